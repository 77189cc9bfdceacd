"""Attack 60: the server shows the owner an old base, so that they sign a revocation away."""

from __future__ import annotations

from tests.unit.cli.conftest import Owner
from tests.unit.cli.test_own import Device

from allod.cli.refresh import refresh


def old_files(owner: Owner) -> dict[str, bytes | None]:
    """What is served now, to be shown again later."""
    device = Device(owner)
    repository = device.accept()
    snapshot = repository.versions["snapshot"]
    shown = {}
    for path in ("tuf/timestamp.json", f"tuf/{snapshot}.snapshot.json"):
        shown[path] = device.get(path, 1 << 20)
    return shown


def test_attack_60_the_owner_signs_on_no_old_base(begun: Owner) -> None:
    """With its own floors the owner's command refuses the older state, and signs nothing."""
    key = begun.home / "k"
    begun.do("people", "key", key)
    begun.do("people", "add", "eve", key, "--yes")
    old = old_files(begun)
    begun.do("people", "remove", "eve", "--yes")
    begun.served.lie = dict(old)
    posts = [one for one in begun.served.seen if one.startswith("POST")]
    assert begun.refused("keys", "rotate", "targets", "--yes") == "rollback"
    assert begun.refused("people", "list") == "rollback"
    assert [one for one in begun.served.seen if one.startswith("POST")] == posts
    begun.served.lie = {}
    names = [person.name for person in refresh(begun.fleet()).fleet_document.people]
    assert names == ["owner"]


def test_attack_60_not_even_with_the_cache_gone(begun: Owner) -> None:
    """Floors are their own file: who empties the cache gets no older state accepted."""
    import shutil

    old = old_files(begun)
    begun.do("keys", "rotate", "provider", "--yes")
    shutil.rmtree(begun.fleet().directory / "cache")
    begun.served.lie = dict(old)
    assert begun.refused("people", "list") == "rollback"
    begun.served.lie = {}
    begun.do("people", "list")


def test_attack_60_an_acknowledged_change_that_is_not_shown(begun: Owner) -> None:
    """The server acknowledges and shows the state of before: the command fails, and says so."""
    fleet = begun.fleet()
    old = old_files(begun)
    original = begun.served._answer

    def answer(client: object, method: str, path: str, body: bytes, cap: int) -> bytes:
        data = original(client, method, path, body, cap)  # type: ignore[arg-type]
        if path == f"/api/v1/fleets/{fleet.id}/changes":
            begun.served.lie = dict(old)
        return data

    begun.monkeypatch.setattr(begun.served, "_answer", answer)
    # The log has what the files do not show: it may still be under way, and is not proved.
    assert begun.refused("keys", "rotate", "provider", "--yes") == "not-seen-in-force"
