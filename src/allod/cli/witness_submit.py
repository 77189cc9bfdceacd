"""`allod witness submit`: show a log of the fleet to a witness, past the server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from allod.cli.options import OPTIONS, Options
from allod.errors import Unavailable

if TYPE_CHECKING:
    from allod.cli.client import ApiClient
    from allod.tlog.asking import Heard
    from allod.tlog.checkpoint import SignedCheckpoint
    from allod.tlog.note import VerifierKey

Yes = Annotated[bool, Parameter(negative="")]

_PREFIX: Final = "allod.dev/log/"
_SECONDS: Final = 15.0


def submit(
    log: str,
    witness: str,
    url: str,
    *,
    out: Path | None = None,
    hand_in: Yes = False,
    options: Options = OPTIONS,
) -> None:
    """Have a witness cosign the newest checkpoint of a log of your fleet, or see that it refuses.

    Args:
        log: The key of the log, as the trust statement names it.
        witness: The key of the witness.
        url: Where the witness answers.
        out: Write the cosigned checkpoint here; else it is printed.
        hand_in: Bring the cosignature to the server, which serves it if your fleet names the witness.
        options: Options of every verb.
    """
    from allod import durable
    from allod.tlog.note import parse_key

    client, log_key = options.open().client, parse_key(log)
    cosigned = ask_witness(client, log_key, parse_key(witness), url)
    if hand_in:
        hand_over(client, log_key, cosigned)
    text = cosigned.encode().decode()
    if out is not None:
        durable.write_atomic(out, text.encode())
    options.output.result(
        {"size": cosigned.size, "checkpoint": text, "handedIn": hand_in},
        text.rstrip("\n") if out is None else f"{out} holds the cosigned checkpoint.",
    )


def ask_witness(
    client: ApiClient, log: VerifierKey, witness: VerifierKey, url: str
) -> SignedCheckpoint:
    """The newest checkpoint of a log, with the witness's cosignature.

    Raises:
        InvalidInput: `bad-url`, or an answer can't be read.
        Untrusted: `note-signature`, `wrong-log`; `witness-refused`: it saw another history.
        Conflict: `witness-ahead`: the server shows less than the witness saw.
        Unavailable: `log-missing`, `witness-unavailable`.
    """
    from allod.tlog.asking import ask
    from allod.tlog.checkpoint import CHECKPOINT_CAP, open_checkpoint
    from allod.tlog.tiles import Tile, TileReader

    place = _place(log)

    def file(path: str, cap: int) -> bytes:
        data = client.file(f"{place}/{path}", cap=cap)
        if data is None:
            raise Unavailable("log-missing", f"cannot read {place}/{path}: the server lacks it")
        return data

    def tile(wanted: Tile) -> bytes:
        return file(wanted.path, wanted.cap)

    signed = open_checkpoint(file("checkpoint", CHECKPOINT_CAP), log.name, [log])
    talk = ask(signed, witness, TileReader(signed.size, tile))
    body = next(talk)
    while True:
        try:
            body = talk.send(_post(url, body))
        except StopIteration as done:
            cosigned: SignedCheckpoint = done.value
            return cosigned


def hand_over(client: ApiClient, log: VerifierKey, cosigned: SignedCheckpoint) -> None:
    """Bring a cosigned checkpoint to the server.

    Raises:
        Conflict: `log-grew`: the log has grown since; submit it again.
        AllodError: what else the server answers.
    """
    path = f"/f/{client.fleet}/{_place(log)}/cosignatures"
    client.request("POST", path, body=cosigned.encode(), headers={"content-type": "text/plain"})


def _place(log: VerifierKey) -> str:
    return "log/" + log.name.removeprefix(_PREFIX).partition("/")[2]


def _post(url: str, body: bytes) -> Heard:
    import httpx2

    from allod.cli.client import check_url
    from allod.tlog.asking import Heard
    from allod.tlog.witness import RESPONSE_CAP

    address = f"{check_url(url)}/add-checkpoint"
    try:
        with (
            httpx2.Client(timeout=_SECONDS, follow_redirects=False) as http,
            http.stream("POST", address, content=body) as answer,
        ):
            data = b""
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > RESPONSE_CAP:
                    raise Unavailable(
                        "witness-unavailable", f"cannot use the answer of {url}: it is too long"
                    )
            return Heard(answer.status_code, data)
    except httpx2.HTTPError as error:
        raise Unavailable(
            "witness-unavailable", f"cannot reach the witness at {url}: {type(error).__name__}"
        ) from error
