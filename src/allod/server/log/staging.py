"""What a batch will write, in one piece, before anything of it is decided."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from allod.errors import Unavailable


class Stage(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The files of a batch, and the checkpoints (their texts) before and after it."""

    before: str | None
    after: str
    size_before: int
    files: dict[str, bytes]


def stage_name(text: str) -> str:
    """The name of the stage that leads to a checkpoint."""
    return sha256(text.encode()).hexdigest()


def pack(stage: Stage) -> bytes:
    """Write a stage."""
    return msgspec.msgpack.encode(stage)


def unpack(data: bytes, text: str) -> Stage:
    """Read the stage that leads to the checkpoint `text`.

    Raises:
        Unavailable: `log-damaged`: it cannot be read, or is another one.
    """
    try:
        stage = msgspec.msgpack.decode(data, type=Stage)
    except msgspec.DecodeError as error:
        raise Unavailable(
            "log-damaged",
            "cannot finish the last batch of the log: what was to be written is damaged; restore "
            "the log from a backup, or let a successor log follow it",
        ) from error
    if stage.after != text:
        raise Unavailable(
            "log-damaged", "cannot finish the last batch of the log: another one was staged"
        )
    return stage
