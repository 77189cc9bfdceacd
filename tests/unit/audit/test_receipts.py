"""Receipts against a log: each way in which one can fail to fit, at every size."""

from __future__ import annotations

from typing import Any

import pytest

from allod.audit.receipts import KnownEntries, check_logs, check_receipt, check_seen, read_seen
from allod.errors import AllodError, InvalidInput, Untrusted
from allod.testing.logs import NaiveLog, naive_root
from allod.tlog.lines import write_base64
from allod.wire.report import Authority, SeenCheckpoint

ENTRIES = [b"entry %d" % number for number in range(20)]
LOG = NaiveLog(ENTRIES)
ORIGIN = LOG.signer.key.name
KNOWN = KnownEntries(LOG.checkpoint().checkpoint, LOG, {("targets", 4): (7, 9)})
DIGEST = "sha256:" + "0" * 64


def receipt(index: int | None = 7, size: int = 12, **other: Any) -> Authority:
    """What a device says of its change."""
    seen = SeenCheckpoint(origin=ORIGIN, size=size, root=write_base64(LOG.root(size)))
    fields: dict[str, Any] = {
        "document": "state/groups/kitchen.json",
        "digest": DIGEST,
        "role": "targets",
        "version": 4,
        "log_index": index,
        "checkpoint": seen,
    }
    return Authority(**{**fields, **other})


def refusal(authority: Authority, known: KnownEntries = KNOWN) -> str:
    """The code with which a receipt is refused."""
    with pytest.raises(AllodError) as caught:
        check_receipt(authority, {ORIGIN: known})
    return caught.value.code


def test_a_receipt_that_fits() -> None:
    """Entry and checkpoint are the log's, for each entry that counted and every later size."""
    for index in (7, 9):
        for size in range(index + 1, len(ENTRIES) + 1):
            assert check_receipt(receipt(index, size), {ORIGIN: KNOWN})


def test_without_a_log_there_is_none() -> None:
    """A fleet that names no log has no receipts, and nothing is refused for it."""
    assert not check_receipt(receipt(None, checkpoint=None), {})


@pytest.mark.parametrize("size", range(21))
def test_every_beginning_is_known_and_no_other_history_is(size: int) -> None:
    """For each size the log's own root is taken; that of a log with another entry is not."""
    check_seen(size, LOG.root(size), KNOWN)
    for at in range(size):
        other = [*ENTRIES[:at], b"another", *ENTRIES[at + 1 : size]]
        with pytest.raises(Untrusted) as caught:
            check_seen(size, naive_root(other), KNOWN)
        assert caught.value.code == "other-history"
    with pytest.raises(Untrusted):
        check_seen(size, LOG.root(20 if size != 20 else 19), KNOWN)


def test_a_longer_log_is_withheld_from_its_reader() -> None:
    """The device saw more than the reader was shown."""
    with pytest.raises(Untrusted) as caught:
        check_seen(21, LOG.root(20), KNOWN)
    assert caught.value.code == "log-withheld"


@pytest.mark.parametrize(
    ("authority", "code"),
    [
        (receipt(8), "false-receipt"),
        (receipt(7, version=5), "false-receipt"),
        (receipt(7, role="devices"), "false-receipt"),
        (receipt(9, 9), "false-receipt"),
        (receipt(-1), "false-receipt"),
        (receipt(None), "false-receipt"),
        (receipt(7, checkpoint=None), "false-receipt"),
        (receipt(checkpoint=SeenCheckpoint(origin="x", size=12, root="")), "wrong-log"),
        (receipt(checkpoint=SeenCheckpoint(origin=ORIGIN, size=12, root="AAAA")), "bad-checkpoint"),
        (receipt(checkpoint=SeenCheckpoint(origin=ORIGIN, size=-1, root=DIGEST)), "bad-checkpoint"),
        (
            receipt(
                checkpoint=SeenCheckpoint(origin=ORIGIN, size=12, root=write_base64(LOG.root(11)))
            ),
            "other-history",
        ),
    ],
)
def test_a_receipt_that_does_not_fit(authority: Authority, code: str) -> None:
    """Another entry, role, version or log, an entry beyond the checkpoint, half a receipt."""
    assert refusal(authority) == code


def test_what_a_report_says_that_it_saw() -> None:
    """All of its logs are checked; text that is none is refused."""
    text = f"12 {write_base64(LOG.root(12))}"
    assert read_seen(text) == (12, LOG.root(12))
    check_logs({ORIGIN: text}, {ORIGIN: KNOWN})
    for said in ("", "12", "12 AAAA", "-1 " + text[3:], "012 " + text[3:], "9" * 40):
        with pytest.raises(InvalidInput):
            check_logs({ORIGIN: said}, {ORIGIN: KNOWN})
    with pytest.raises(Untrusted):
        check_logs({"other": text}, {ORIGIN: KNOWN})


def test_a_negative_size_is_no_beginning() -> None:
    """A size that no log has is refused, not computed with."""
    with pytest.raises(AllodError):
        check_seen(-1, LOG.root(0), KNOWN)
