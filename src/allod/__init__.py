"""Allod: software and configuration of devices, under their owners' signature."""

__version__ = "0.1.0"
