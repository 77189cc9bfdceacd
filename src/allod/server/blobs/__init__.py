"""Blob stores, one adapter a technology."""
