"""What a device reads of dpkg's and pip's files: whoever writes there may be hostile."""

from __future__ import annotations

import tempfile
from pathlib import Path

from allod.agent.inventory import read_dpkg, read_pip
from allod.wire.codec import encode


def target(data: bytes) -> None:
    """Both readers leave out what they can't read, and what they tell can be sent."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        record = root / "usr/lib/python3/dist-packages/a-1.dist-info/METADATA"
        record.parent.mkdir(parents=True)
        record.write_bytes(data)
        (root / "status").write_bytes(data)
        encode([*read_dpkg(root / "status"), *read_pip(root)])
