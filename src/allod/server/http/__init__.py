"""The HTTP edge: bare ASGI for bytes and devices, Litestar for the administration API."""
