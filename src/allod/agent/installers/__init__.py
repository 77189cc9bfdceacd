"""Installers by kind: each puts releases of its kind in place, several side by side."""
