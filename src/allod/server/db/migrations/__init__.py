"""Alembic migrations of the projection."""
