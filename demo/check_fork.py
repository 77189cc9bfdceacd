"""Checks evidence that a transparency log told two histories, without a line of Allod.

    python check_fork.py FILE LOG_KEY

FILE is what a device, `allod audit` or somebody else kept; LOG_KEY is the log's verifier key
(`name+id+base64`), which you have from a better source than the file. Written after docs/spec/log.md,
C2SP signed-note and tlog-checkpoint, and RFC 6962 alone; needs Python and `cryptography`.

Ends with 0: proven; 3: two signed checkpoints, and no proof that they contradict; 1: no evidence.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PROVEN, NO_EVIDENCE, UNPROVEN = 0, 1, 3
FIRST_LINE = "allod.dev/log-fork@v1"
CAP = 512 * 1024
MAX_PROOF = 63
Checkpoint = tuple[int, bytes]


class NoEvidenceError(Exception):
    """Why the file shows nothing."""


def unbase64(text: str) -> bytes:
    """Base64 in its one spelling."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError as error:
        raise NoEvidenceError("something is no base64") from error
    if base64.b64encode(data).decode() != text:
        raise NoEvidenceError("some base64 has a second spelling")
    return data


def a_hash(text: str) -> bytes:
    """A SHA-256 hash."""
    data = unbase64(text)
    if len(data) != hashlib.sha256().digest_size:
        raise NoEvidenceError("a hash has another length")
    return data


def read_key(text: str) -> tuple[str, bytes, bytes]:
    """Name, id and public key of a verifier key."""
    name, _, rest = text.partition("+")
    number, _, encoded = rest.partition("+")
    data = unbase64(encoded)
    if data[:1] != b"\x01" or len(data) != 33:
        raise NoEvidenceError("the key is no Ed25519 verifier key")
    key_id = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
    if key_id.hex() != number:
        raise NoEvidenceError("the key's id is not the key's")
    return name, key_id, data[1:]


def read_checkpoint(note: bytes, key: tuple[str, bytes, bytes]) -> Checkpoint:
    """Size and root of a checkpoint that the log's key signed."""
    name, key_id, public = key
    try:
        body, blank, signatures = note.decode("utf-8").rpartition("\n\n")
    except UnicodeDecodeError as error:
        raise NoEvidenceError("a checkpoint is not UTF-8") from error
    if not blank:
        raise NoEvidenceError("a checkpoint has no signatures")
    text = body + "\n"
    good = 0
    for line in signatures.removesuffix("\n").split("\n"):
        signer, _, encoded = line.removeprefix("\u2014 ").partition(" ")
        data = unbase64(encoded)
        if signer != name or data[:4] != key_id:
            continue  # a witness, or somebody unknown
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(data[4:], text.encode())
        except InvalidSignature as error:
            raise NoEvidenceError("the log's signature on a checkpoint is wrong") from error
        good += 1
    if not good:
        raise NoEvidenceError("a checkpoint is not signed by the log's key")
    lines = text.split("\n")
    if lines[0] != name:
        raise NoEvidenceError("a checkpoint is of another log")
    digits = lines[1]
    if not digits.isascii() or not digits.isdigit() or str(int(digits)) != digits:
        raise NoEvidenceError("a checkpoint has no size")
    return int(digits), a_hash(lines[2])


def node(left: bytes, right: bytes) -> bytes:
    """An inner node of the tree (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def goes_on(old: Checkpoint, new: Checkpoint, proof: list[bytes]) -> bool:
    """Whether the tree `new` begins with the tree `old` (RFC 9162 section 2.1.4.2)."""
    (size, root), (total, whole) = old, new
    if not 0 < size <= total:
        return False
    if size == total:
        return not proof and root == whole
    path = list(proof)
    if size & (size - 1) == 0:
        path.insert(0, root)
    if not path:
        return False
    here, last = size - 1, total - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    first = second = path[0]
    for other in path[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            first, second = node(other, first), node(other, second)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            second = node(second, other)
        here, last = here >> 1, last >> 1
    return last == 0 and first == root and second == whole


def check(raw: bytes, key_text: str) -> tuple[int, str]:
    """The exit status, and what the file shows."""
    key = read_key(key_text)
    if len(raw) > CAP or not raw.endswith(b"\n"):
        raise NoEvidenceError("the file is too large, or cut")
    try:
        first, *lines = raw.decode("ascii").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise NoEvidenceError("the file is not ASCII") from error
    names = [line.partition(" ")[0] for line in lines[:3]]
    if first != FIRST_LINE or names not in (["short", "long"], ["short", "long", "root"]):
        raise NoEvidenceError("the file is no evidence of a fork")
    values = [line.partition(" ")[2] for line in lines[:3]]
    short, long = (read_checkpoint(unbase64(value), key) for value in values[:2])
    says = f"the key of {key[0]} signed a log of {short[0]} entries and one of {long[0]}"
    if len(lines) == 2:
        return UNPROVEN, f"unproven: {says}; the file does not show that they contradict"
    root, proof = a_hash(values[2]), [a_hash(line) for line in lines[3:]]
    if len(proof) > MAX_PROOF or not goes_on((short[0], root), long, proof):
        raise NoEvidenceError("the proof is false")
    if root == short[1]:
        raise NoEvidenceError("the two checkpoints are of one log, which only grew")
    return PROVEN, (
        f"PROVEN: {says}, whose first {short[0]} entries are others.\n"
        f"  shorter: root {base64.b64encode(short[1]).decode()}\n"
        f"  longer, at that size: root {base64.b64encode(root).decode()}\n"
        "No log has both: whoever holds this key showed two histories."
    )


def main(arguments: list[str]) -> int:
    """Check the file that is named."""
    if len(arguments) != 2:
        sys.stderr.write(f"usage: {sys.argv[0]} FILE LOG_KEY\n")
        return NO_EVIDENCE
    try:
        status, says = check(Path(arguments[0]).read_bytes(), arguments[1])
    except (NoEvidenceError, OSError) as error:
        sys.stderr.write(f"no evidence: {error}\n")
        return NO_EVIDENCE
    sys.stdout.write(says + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
