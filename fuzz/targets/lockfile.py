"""Lock files, of which a bill of materials is made (docs/spec/sbom.md)."""

from __future__ import annotations

import contextlib

from allod.packaging import bill_locks as locks


def target(data: bytes) -> None:
    """Read it as each of them; a reason in words is a good answer."""
    for read in (*locks.PYTHON_LOCKS.values(), *locks.OTHER_LOCKS.values()):
        with contextlib.suppress(ValueError, TypeError):
            list(read(data))
    list(locks.read_requirements({"requirements.txt": data}, "requirements.txt"))
    for name in locks.GO_LOCKS:
        list(locks.read_go({name: data}))
