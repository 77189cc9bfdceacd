"""Whoever took over the server of a simulated fleet: every online key, every old file, and the wire.

What is shown to one device is a copy of the fleet in which something is wrong; others may see
something else. Witnesses and owners are honest, and lend nobody their keys.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from tuf.api.metadata import Metadata, TargetFile, Targets

from allod.domain.ids import sha256
from allod.testing.attacker import OnlineAttacker
from allod.testing.fleet_delegates import ALL, a_page
from allod.testing.fleet_watch import Watcher
from allod.testing.fleet_words import Page
from allod.testing.fleet_world import Member, role_of
from allod.testing.owner import key_from
from allod.testing.repository import RepositorySimulator
from allod.trust.metadata import ADDRESS, open_role

Lie = Callable[[Watcher, Member], str]


def _victim(watcher: Watcher) -> Member:
    world = watcher.world
    return world.members[world.rng.choice(sorted(world.members))]


def _past(watcher: Watcher) -> RepositorySimulator:
    world = watcher.world
    chosen = world.rng.choice(world.past) if world.past else world.sim
    return chosen.snapshot_state()


def _show(member: Member, copy: RepositorySimulator) -> None:
    """From now on the device sees this; the honest log's witnesses do not cosign it."""
    if copy.log is not None:
        copy.log.cosigners = []
    member.device.transport.source = copy


def lie(watcher: Watcher) -> None:
    """The server shows a device something that is not so, until it is told otherwise."""
    member = _victim(watcher)
    chosen = watcher.world.rng.choice(LIES)
    how = chosen(watcher, member)
    watcher.note(f"server lies to {member.device.name}: {chosen.__name__} {how}".rstrip())
    watcher.run(member.device.name)


def behave(watcher: Watcher) -> None:
    """The server shows everybody what is so."""
    for member in watcher.world.members.values():
        honest(watcher, member)
    watcher.note("server behaves")


def honest(watcher: Watcher, member: Member) -> None:
    """What is so."""
    transport = member.device.transport
    transport.source, transport.down, transport.swapped = watcher.world.sim, False, {}


def freeze(watcher: Watcher, member: Member) -> str:
    """What was so once, as it was signed then."""
    copy = _past(watcher)
    _show(member, copy)
    return f"at {copy.now:%m-%d %H:%M}"


def replay(watcher: Watcher, member: Member) -> str:
    """What was so once, under online signatures of now."""
    copy = _past(watcher)
    then, copy.now = copy.now, watcher.world.now
    _show(member, copy)
    kept = {path: data for path, data in copy.files.items() if path.startswith("log/")}
    copy.refresh()
    if watcher.world.rng.random() < 0.5:
        copy.files.update(kept)  # with what the witnesses said of it then
    return f"of {then:%m-%d %H:%M}"


def mix(watcher: Watcher, member: Member) -> str:
    """Some roles of now and others of once, under online signatures that vouch for both."""
    rng = watcher.world.rng
    old, copy = _past(watcher), watcher.world.sim.snapshot_state()
    names = sorted(role for role in old.roles if role not in {"root", "snapshot", "timestamp"})
    chosen = rng.sample(names, rng.randrange(1, len(names) + 1))
    # The files of the log stay as they are: with what witnesses said of the honest one.
    log, copy.log = copy.log, None
    OnlineAttacker(copy).show({role: old.roles[role] for role in chosen})
    copy.log = log
    member.device.transport.source = copy
    versions = [f"{role} {Metadata.from_bytes(old.roles[role]).signed.version}" for role in chosen]
    return ", ".join(versions)


def fork(watcher: Watcher, member: Member) -> str:
    """Another history: what came after some moment was never logged, and something else was."""
    copy = _past(watcher)
    copy.now = watcher.world.now
    _show(member, copy)
    if copy.log is not None:
        copy.log.entries.append(b"\0" * watcher.world.rng.randrange(1, 9))
    copy.refresh()
    return ""


def withhold(watcher: Watcher, member: Member) -> str:
    """Some file is not there, or not whole, or changed."""
    rng = watcher.world.rng
    copy = watcher.world.sim.snapshot_state()
    paths = sorted(copy.files)
    for path in rng.sample(paths, min(len(paths), rng.randrange(1, 9))):
        data = copy.files[path]
        how = rng.randrange(3)
        if how == 0:
            del copy.files[path]
        elif how == 1:
            copy.files[path] = data[: len(data) // 2]
        elif data:
            at = rng.randrange(len(data))
            copy.files[path] = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    member.device.transport.source = copy
    return ""


def exchange(watcher: Watcher, member: Member) -> str:
    """Documents of one scope under the name of another."""
    rng = watcher.world.rng
    copy = watcher.world.sim.snapshot_state()
    paths = sorted(path for path in copy.files if path.startswith("tuf/targets/"))
    if len(paths) > 1:
        one, other = rng.sample(paths, 2)
        copy.files[one], copy.files[other] = copy.files[other], copy.files[one]
    member.device.transport.source = copy
    return ""


def other_bytes(watcher: Watcher, member: Member) -> str:
    """Releases whose files are those of others."""
    rng, transport = watcher.world.rng, member.device.transport
    paths = sorted(path for path in transport.shop if path.startswith("v2/"))
    chosen = rng.sample(paths, 24)
    transport.swapped = {path: transport.shop[rng.choice(paths)] for path in chosen}
    return ""


def run_ahead(watcher: Watcher, member: Member) -> str:
    """Versions, or expiries, far in the future: the online keys' own."""
    copy = watcher.world.sim.snapshot_state()
    copy.log = None
    copy.now += timedelta(days=watcher.world.rng.choice((0, 3)))
    OnlineAttacker(copy).show({}, snapshot_version=watcher.world.rng.choice((None, 40)))
    member.device.transport.source = copy
    return ""


def cut_off(watcher: Watcher, member: Member) -> str:
    """Nothing can be reached."""
    member.device.transport.down = True
    return ""


def haunt(watcher: Watcher, member: Member) -> str:
    """A delegate in league with the server signs on: after the end, or where it never came."""
    world, rng = watcher.world, watcher.world.rng
    known = sorted(world.sim.owner.delegates)
    if not known:
        return freeze(watcher, member)
    name = rng.choice(known)
    live = f"delegations/{name}.json" in world.truth
    path = f"by/{name}/{rng.choice(('groups/kitchen', 'groups/cellar'))}.json"
    page = a_page(watcher, (ALL,))
    world.changes += 1
    return (_once if live or rng.random() < 0.5 else _after)(watcher, member, path, page)


def _once(watcher: Watcher, member: Member, path: str, page: Page) -> str:
    """In a copy of once, in which the delegation may still stand."""
    world, copy, role = watcher.world, _past(watcher), role_of(path)
    if role not in copy.roles:
        return "in vain"
    copy.now = world.now
    _show(member, copy)
    before = world.book.files[role][open_role(copy.roles[role], role).digest]
    made = copy.set_target(path, world.paper(path, page, copy.now - timedelta(days=2)))
    world.enter(made.roles, {**before, path: page})
    return f"as {role}, at once"


def _after(watcher: Watcher, member: Member, path: str, page: Page) -> str:
    """Now, with a role that nobody delegates to any more, in the true log and under every key."""
    world, role = watcher.world, role_of(path)
    key, data = key_from(f"delegate/{path.split('/')[1]}"), world.paper(path, page, world.now)
    version = world.versions.get(role, 0) + 1
    signed = Targets(
        version=version,
        expires=(world.now + timedelta(days=90)).replace(microsecond=0),
        targets={path: TargetFile.from_data(path, data, ["sha256"])},
        unrecognized_fields={ADDRESS: {"fleet": world.sim.fleet, "role": role}},
    )
    raw = OnlineAttacker.sign(signed, key)
    world.enter({role: raw}, {path: page})
    if world.sim.log is not None:
        world.sim.log.sign(role, version, open_role(raw, role).digest, [key])
        world.sim.refresh()
        world.published()
    copy = world.sim.snapshot_state()
    directory, _, file = path.rpartition("/")
    digest = sha256(data).removeprefix("sha256:")
    copy.files[f"tuf/targets/{directory}/{digest}.{file}"] = data
    log, copy.log = copy.log, None
    OnlineAttacker(copy).show({role: raw})
    copy.log = log
    member.device.transport.source = copy
    return f"as {role}, after its end"


LIES: Final[tuple[Lie, ...]] = (
    haunt,
    haunt,
    haunt,
    freeze,
    replay,
    replay,
    mix,
    mix,
    fork,
    withhold,
    exchange,
    other_bytes,
    run_ahead,
    cut_off,
)
