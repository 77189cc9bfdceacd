"""Tests of the API look at no crash."""

from __future__ import annotations

from tests.quick_disk import quick_disk as quick_disk  # noqa: PLC0414 — a fixture
