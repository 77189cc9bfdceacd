"""Scenes of a simulated fleet: somebody wants something where a term speaks, and time passes.

A word alone shows little: devices have to look before its time has come and after it, or after
somebody answered, or never did. Each scene is a word, the looks that follow, and the hours that
the terms in force make matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from allod.testing.fleet_delegates import (
    CHANNEL,
    PEOPLE,
    command_as,
    consent,
    grant,
    grants,
    open_gates,
    publish_channel,
    roll_out,
)
from allod.testing.fleet_foes import honest
from allod.testing.fleet_moves import Move, deploy, deploy_in, look, reboot
from allod.testing.fleet_wares import PACKAGES
from allod.testing.fleet_watch import Watcher
from allod.testing.fleet_words import OWNER, Entry, Grant, Page, Rule, Wish
from allod.testing.fleet_world import Member
from allod.trust.device_view import FLEET_PATH

_GROUPS: Final = ("groups/kitchen", "groups/cellar")


def begin(watcher: Watcher) -> None:
    """Something is wanted everywhere from the first and is there; then somebody else decides."""
    rng, world = watcher.world.rng, watcher.world
    pages = {}
    for scope in _GROUPS:
        entries = {}
        for package in PACKAGES[: rng.choice((1, 2, 2))]:
            ware = world.shop.ware(package, rng.choice(("1.0.0", "1.0.0", "1.0.1")))
            wishes = (Wish(ware.provider, ware.version, ware.digest),)
            entries[package] = Entry(OWNER, wishes, accepts=ware.access, change="change-1")
        pages[f"state/{scope}.json"] = Page(entries)
    world.say({**pages, FLEET_PATH: {"people": PEOPLE}})
    look(watcher)
    if rng.random() < 0.9:
        grant(watcher)


# Who looks, and when


def within(watcher: Watcher, scopes: Iterable[str]) -> list[str]:
    """The devices to which one of these scopes speaks."""
    world, wanted, found = watcher.world, set(scopes), []
    for name, member in world.members.items():
        own = f"devices/{member.memory.device}"
        groups = world.page(own).groups
        named = member.memory.groups if groups is None else groups
        if wanted & {own, *(f"groups/{group}" for group in named)}:
            found.append(name)
    return found


def _look(watcher: Watcher, names: Iterable[str]) -> None:
    for name in names:
        watcher.run(name)


def _opens(rule: Rule, now: datetime) -> float:
    """Hours until half an hour into the next span."""
    minutes = (now.hour * 60 + now.minute - rule.value[0].start) % 1440
    hours: float = ((1440 - minutes) % 1440 + 30) / 60
    return hours


#: Hours that are too few, and hours that are enough.
_HOURS: Final[Mapping[str, Callable[[Any, datetime], tuple[float, float]]]] = {
    "soak": lambda rule, now: (rule.value / 7200, rule.value / 3600 + 0.1),
    "rate": lambda rule, now: (rule.value[1] / 7200, rule.value[1] / 3600 + 0.1),
    "lease": lambda rule, now: (rule.value / 7200, rule.value / 3600 + 0.5),
    "window": lambda rule, now: (_opens(rule, now) / 2, _opens(rule, now)),
    "until": lambda rule, now: (0.2, max((rule.value - now).total_seconds() / 3600 + 0.2, 0.2)),
}


def _wait(watcher: Watcher, rules: Iterable[Rule]) -> None:
    """So long that one of the terms matters; or somebody answers, or a machine restarts."""
    world, rng = watcher.world, watcher.world.rng
    choices = [one for one in rules if one.kind in _HOURS]
    hours = rng.choice((0.25, 1.0, 8.0))
    if choices:
        one = rng.choice(choices)
        hours = rng.choice(_HOURS[one.kind](one, world.now))
    world.pass_time(timedelta(hours=hours))
    watcher.note(f"{hours:.2f} h pass")
    consent(watcher)
    if rng.random() < 0.15:
        reboot(watcher)


def _own(watcher: Watcher, scopes: Iterable[str]) -> tuple[Rule, ...]:
    return tuple(rule for scope in scopes for rule in watcher.world.page(scope).rules)


# Orders


def managed(watcher: Watcher) -> list[Grant]:
    """Delegations that decide on something now."""
    named = {
        who
        for page in watcher.world.truth.values()
        if isinstance(page, Page)
        for entry in page.entries.values()
        for who in (entry.manager, entry.config_manager)
    }
    now = watcher.world.now
    over = {
        one.id
        for one in grants(watcher)
        for rule in one.rules
        if rule.kind == "until" and rule.value + timedelta(hours=3) < now
    }
    return [one for one in grants(watcher) if one.id in named - over]


def _order(watcher: Watcher, one: Grant) -> None:
    if one.follows is None:
        command_as(watcher, one)
    else:
        publish_channel(watcher)


def press(watcher: Watcher) -> None:
    """A delegate wants something, devices look, time passes, they look again; maybe once more."""
    rng, world = watcher.world.rng, watcher.world
    found = managed(watcher)
    fresh = rng.random() < (0.2 if len(found) > 1 else 0.6)  # the others ended
    one = grant(watcher) if fresh or not found else rng.choice(found)
    rules = (*one.rules, *_own(watcher, one.scopes))
    names = within(watcher, one.scopes if rng.random() < 0.8 else _GROUPS)
    _order(watcher, one)
    late = world.past[-1].snapshot_state()
    if rng.random() < 0.75:
        _look(watcher, names)
    if rng.random() < 0.5:
        _order(watcher, one)  # at once: what a rate is for
        late = world.past[-1].snapshot_state()
    _wait(watcher, rules)
    if any(rule.kind == "lease" for rule in rules) and rng.random() < 0.6:
        _stale(watcher, [world.members[name] for name in names], late)
    _look(watcher, names)


def _stale(watcher: Watcher, members: Iterable[Member], late: Any) -> None:
    """Devices see what was so when the order came, and nothing newer."""
    if late.log is not None:
        late.log.cosigners = []
    for member in members:
        member.device.transport.source = late
    watcher.note("what devices are shown is late")


def obey_oneself(watcher: Watcher) -> None:
    """The owner wants something where they bound themself."""
    rng, world = watcher.world.rng, watcher.world
    bound = [scope for scope in world.scopes() if world.page(scope).rules]
    if not bound:
        deploy(watcher)
        _look(watcher, within(watcher, _GROUPS))
        return
    scope = rng.choice(bound)
    names = within(watcher, [scope])
    deploy_in(watcher, scope)
    _look(watcher, names)
    _wait(watcher, world.page(scope).rules)
    _look(watcher, names)


def lose_the_word(watcher: Watcher) -> None:
    """A delegation ends, and whoever had it goes on as if it had not."""
    rng, world = watcher.world.rng, watcher.world
    found = managed(watcher)
    if not found:
        press(watcher)
        return
    one = rng.choice([each for each in found if each.follows] or found)
    names = within(watcher, one.scopes)
    if one.follows is None and rng.random() < 0.7:
        command_as(watcher, one)
    world.say({f"delegations/{one.id}.json": None})
    watcher.note(f"owner revokes {one.id}, who goes on")
    if one.follows == CHANNEL:
        publish_channel(watcher)
    _look(watcher, names)


def in_stages(watcher: Watcher) -> None:
    """A rollout, whose gates are opened in time or out of it, before or after the canary looked."""
    rng, world = watcher.world.rng, watcher.world
    begun = roll_out(watcher)
    if begun is None:
        obey_oneself(watcher)
        return
    scope, canary = begun
    names = within(watcher, [scope])
    others = [name for name in names if name != canary]
    seen = rng.random() < 0.5
    if seen:
        _look(watcher, [canary])
    world.pass_time(timedelta(hours=rng.choice((1, 3, 3))))
    if seen:
        _look(watcher, [canary])  # its report says how long it ran
    open_gates(watcher)
    _look(watcher, others)


def tell_the_truth(watcher: Watcher) -> None:
    """One device is shown what is so."""
    rng, world = watcher.world.rng, watcher.world
    name = rng.choice(sorted(world.members))
    honest(watcher, world.members[name])
    watcher.run(name)


#: Scenes and how often they come.
SCENES: Final[tuple[tuple[int, Move], ...]] = (
    (13, press),
    (2, obey_oneself),
    (2, lose_the_word),
    (3, in_stages),
    (1, tell_the_truth),
    (2, look),
)
