"""What may happen in a simulated fleet next: one move a function, chosen by the seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from allod.domain.observed import Inhibition
from allod.testing.faults import Faults, Strike
from allod.testing.fleet_wares import PACKAGES, provider_of
from allod.testing.fleet_watch import Watcher
from allod.testing.fleet_words import OWNER, Entry, Reboot, Rule, Span, Ware, Wish
from allod.trust.device_view import WITHDRAWN_PATH

Move = Callable[[Watcher], None]
DAYS: Final = frozenset(range(7))
LASTING: Final = ("soak", "window", "rate", "access", "version", "consent")  #: an owner's own


def a_ware(watcher: Watcher, package: str) -> Ware:
    """Any release of a package; mostly one that nothing is wrong with, now and then a recalled."""
    rng, wares = watcher.world.rng, watcher.world.shop.of(package)
    listed = watcher.world.truth.get(WITHDRAWN_PATH, ())
    recalled = [ware for ware in wares if ware.digest in listed]
    if recalled and rng.random() < 0.2:
        return rng.choice(recalled)
    modest = [ware for ware in wares if not ware.sick and not ware.forged and len(ware.access) < 2]
    return rng.choice(modest if rng.random() < 0.6 else wares)


def wish(watcher: Watcher, package: str, **fields: str) -> Wish:
    """Any release of a package."""
    ware = a_ware(watcher, package)
    return Wish(ware.provider, ware.version, ware.digest, **fields)


def _entry(watcher: Watcher, scope: str, package: str) -> Entry:
    entry = watcher.world.page(scope).entries.get(package, Entry())
    return replace(entry, change=f"change-{watcher.world.changes + 1}")


def _put(watcher: Watcher, scope: str, package: str, entry: Entry) -> None:
    page = watcher.world.page(scope)
    watcher.world.edit(scope, entries={**page.entries, package: entry})


def a_scope(watcher: Watcher) -> str:
    """Any group or device; groups mostly."""
    scopes = list(watcher.world.scopes())
    return watcher.world.rng.choice([*scopes[:2] * 4, *scopes])


def a_package(watcher: Watcher) -> str:
    """Any package; mostly the same, so that something follows upon something."""
    return watcher.world.rng.choice([*PACKAGES, PACKAGES[watcher.world.seed % len(PACKAGES)]])


# The owner


def deploy(watcher: Watcher) -> None:
    """A release is to run, or only to be had; what was before may stay."""
    deploy_in(watcher, a_scope(watcher))


def deploy_in(watcher: Watcher, scope: str) -> None:
    """The same in this scope."""
    rng = watcher.world.rng
    package = a_package(watcher)
    level = rng.choice(("active", "active", "active", "active", "installed", "transferred"))
    first = wish(
        watcher, package, level=level, when=rng.choice(("now", "now", "restart", "window"))
    )
    entry = _entry(watcher, scope, package)
    kept = tuple(replace(one, level="installed") for one in entry.wishes)
    wishes = (first, *(one for one in kept[:1] if one.digest != first.digest))
    accepts = frozenset({"network.outbound", *rng.choice(((), (), ("camera", "microphone")))})
    overrides = frozenset(rng.choice(((), (), (), ("window",), ("soak", "rate"), ("consent",))))
    entry = replace(
        entry, manager=OWNER, wishes=wishes, accepts=accepts, overrides=overrides, plan=None
    )
    _put(watcher, scope, package, entry)
    watcher.note(
        f"owner deploys {package[12:]} {first.version} {level} {first.when} in {scope[:15]}"
    )


def configure(watcher: Watcher) -> None:
    """A configuration is to hold."""
    rng, scope = watcher.world.rng, a_scope(watcher)
    package = a_package(watcher)
    document = rng.choice([*watcher.world.shop.documents, None])
    entry = _entry(watcher, scope, package)
    entry = replace(
        entry, config_manager=OWNER, config=document, config_when=rng.choice(("now", "window"))
    )
    _put(watcher, scope, package, entry)
    watcher.note(f"owner configures {package[12:]} {str(document)[7:11]} in {scope[:15]}")


def delete(watcher: Watcher) -> None:
    """Nothing of a package is wanted any more."""
    rng, scope = watcher.world.rng, a_scope(watcher)
    package = rng.choice(PACKAGES)
    entry = replace(_entry(watcher, scope, package), manager=OWNER, wishes=())
    _put(watcher, scope, package, entry)
    watcher.note(f"owner deletes {package[12:]} in {scope[:15]}")


def omit(watcher: Watcher) -> None:
    """A package, or a whole scope, is not spoken of any more: nothing follows from that."""
    rng, scope = watcher.world.rng, a_scope(watcher)
    page = watcher.world.page(scope)
    if rng.random() < 0.3:
        watcher.world.say({f"state/{scope}.json": None})
        watcher.note(f"owner says nothing of {scope[:15]}")
    elif page.entries:
        gone = rng.choice(sorted(page.entries))
        watcher.world.edit(scope, entries={k: e for k, e in page.entries.items() if k != gone})
        watcher.note(f"owner omits {gone[12:]} in {scope[:15]}")


def hold(watcher: Watcher) -> None:
    """Nothing may change in a scope, or may again."""
    held = [one for one in watcher.world.scopes() if watcher.world.page(one).hold]
    scope = held[0] if held and watcher.world.rng.random() < 0.7 else a_scope(watcher)
    why = None if watcher.world.page(scope).hold else "harvest"
    watcher.world.edit(scope, hold=why)
    watcher.note(f"owner {'holds' if why else 'resumes'} {scope[:15]}")


def a_span(watcher: Watcher) -> Span:
    """A few hours of each day."""
    rng = watcher.world.rng
    return Span(DAYS, rng.randrange(24) * 60, rng.choice((60, 120, 480)))


def rules(watcher: Watcher, kinds: tuple[str, ...], count: int) -> tuple[Rule, ...]:
    """So many terms: few, so that each has to hold by itself."""
    rng = watcher.world.rng
    made = {
        "soak": lambda: Rule("soak", rng.choice((3_600, 86_400))),
        "window": lambda: Rule("window", (a_span(watcher),)),
        "rate": lambda: Rule("rate", (1, rng.choice((3_600, 86_400)))),
        "access": lambda: Rule("access", frozenset(rng.choice(((), ("network.outbound",))))),
        "version": lambda: Rule(
            "version", rng.choice((("same-minor", ()), ("security", ("provider",))))
        ),
        "consent": lambda: Rule("consent"),
        "approvals": lambda: Rule("approvals", (("operations", 1), ("qa", 1))),
        "until": lambda: Rule("until", watcher.world.now + timedelta(hours=rng.choice((1, 8, 72)))),
    }
    return tuple(made[kind]() for kind in rng.sample(kinds, count))


def bind_oneself(watcher: Watcher) -> None:
    """The owner's own terms for a scope."""
    scope = a_scope(watcher)
    found = rules(watcher, LASTING, watcher.world.rng.choice((0, 1, 1, 2)))
    watcher.world.edit(scope, rules=found)
    watcher.note(f"owner binds {scope[:15]} by {[one.kind for one in found]}")


def windows(watcher: Watcher) -> None:
    """A window for what waits for one."""
    scope = a_scope(watcher)
    watcher.world.edit(scope, windows=(a_span(watcher),))
    watcher.note(f"owner sets a window in {scope[:15]}")


def order_restart(watcher: Watcher) -> None:
    """A restart of the machines of a scope."""
    rng, scope, now = watcher.world.rng, a_scope(watcher), watcher.world.now
    at = now + timedelta(hours=rng.randrange(4))
    one = Reboot(f"restart-{watcher.world.changes}", at, at + timedelta(hours=12))
    watcher.world.edit(scope, reboots=(*watcher.world.page(scope).reboots[-2:], one))
    watcher.note(f"owner orders a restart in {scope[:15]}")


def move(watcher: Watcher) -> None:
    """A device belongs to other groups."""
    rng = watcher.world.rng
    member = watcher.world.members[rng.choice(sorted(watcher.world.members))]
    groups = rng.choice((("kitchen",), ("cellar",), ("cellar", "kitchen"), ()))
    watcher.world.edit(f"devices/{member.memory.device}", groups=groups)
    watcher.note(f"owner moves {member.device.name} to {groups}")


def withdraw(watcher: Watcher) -> None:
    """A release is recalled."""
    rng = watcher.world.rng
    package = rng.choice(PACKAGES)
    ware = rng.choice(watcher.world.shop.of(package))
    listed = watcher.world.truth.get(WITHDRAWN_PATH, ())
    watcher.world.say(
        {WITHDRAWN_PATH: (*listed, ware.digest) if ware.digest not in listed else listed}
    )
    watcher.note(f"owner withdraws {package[12:]} {ware.version}")


def distrust(watcher: Watcher) -> None:
    """A provider is distrusted, or trusted again."""
    provider = provider_of(watcher.world.rng.choice(PACKAGES))
    path = f"providers/{provider}.json"
    said = {} if watcher.world.truth[path].get("distrusted") else {"distrusted": "its key is out"}
    watcher.world.say({path: said})
    watcher.note(f"owner {'distrusts' if said else 'trusts'} {provider}")


# Time, devices, and what befalls them


def pass_time(watcher: Watcher) -> None:
    """Minutes to days."""
    hours = watcher.world.rng.choice((0.25, 1, 3, 8, 20, 30))
    watcher.world.pass_time(timedelta(hours=hours))


def look(watcher: Watcher) -> None:
    """Every device looks."""
    for name in watcher.world.members:
        watcher.run(name)


def look_alone(watcher: Watcher) -> None:
    """One device looks, maybe over a network that loses something."""
    rng = watcher.world.rng
    name = rng.choice(sorted(watcher.world.members))
    transport = watcher.world.members[name].device.transport
    if rng.random() < 0.4:
        transport.loses = transport.asked + rng.randrange(1, 15)
    watcher.run(name)
    transport.loses = 0


def cut(watcher: Watcher) -> None:
    """The power fails, or something on the machine does, somewhere in a run."""
    rng = watcher.world.rng
    name = rng.choice(sorted(watcher.world.members))
    faults = Faults(at=rng.randrange(1, 120), strike=rng.choice(list(Strike)))
    watcher.run(name, faults)
    if faults.struck:
        watcher.note(f"{name} {faults.strike} at {faults.struck}")
        if faults.strike in {Strike.KILL_BEFORE, Strike.KILL_AFTER} and rng.random() < 0.5:
            watcher.world.members[name].device.reboot()


def reboot(watcher: Watcher) -> None:
    """A machine restarts; one without a battery may wake up in another time."""
    rng = watcher.world.rng
    name = rng.choice(sorted(watcher.world.members))
    member = watcher.world.members[name]
    member.device.reboot()
    skew = rng.choice((0.0, 0.0, 0.0, -400.0, -2.0, 3.0))
    member.device.hardware.clock.wall = watcher.world.now + timedelta(hours=skew)
    watcher.note(f"{name} restarts; its clock is off by {skew} h")


def forget(watcher: Watcher) -> None:
    """A disk forgets what it had cached."""
    name = watcher.world.rng.choice(sorted(watcher.world.members))
    for file in sorted(watcher.world.members[name].device.state.tuf.iterdir()):
        if watcher.world.rng.random() < 0.5:
            file.write_bytes(b"rust")
    watcher.note(f"{name} lost of its cache")


def disturb(watcher: Watcher) -> None:
    """Somebody must not be disturbed at a device, or may be again."""
    name = watcher.world.rng.choice(sorted(watcher.world.members))
    member = watcher.world.members[name]
    holders = member.device.hardware.inhibitors.holders
    member.memory.busy = not holders
    holders[:] = [] if holders else [Inhibition("cook", "a pot is on", watcher.world.now)]
    watcher.note(f"{name} is {'busy' if holders else 'free'}")


#: Moves and how often they come.
OWNERS: Final[tuple[tuple[int, Move], ...]] = (
    (3, deploy),
    (2, configure),
    (1, delete),
    (1, omit),
    (2, hold),
    (3, bind_oneself),
    (1, windows),
    (1, order_restart),
    (1, move),
    (2, withdraw),
    (2, distrust),
)
DEVICES: Final[tuple[tuple[int, Move], ...]] = (
    (3, pass_time),
    (3, cut),
    (2, reboot),
    (1, forget),
    (1, disturb),
)
