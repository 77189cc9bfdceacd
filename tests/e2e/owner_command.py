"""`allod` as a program, with passphrases that cost less: what they cost is tested elsewhere."""

from __future__ import annotations

import sys

from allod import program
from allod.cli import pkcs8

pkcs8.SCRYPT_N = 16  # type: ignore[misc]
pkcs8.SCRYPT_P = 1  # type: ignore[misc]

if __name__ == "__main__":
    sys.exit(program.main())
