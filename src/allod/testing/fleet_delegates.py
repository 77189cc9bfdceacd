"""Moves of those who are no owner: delegates, providers, approvers, and people at devices."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from allod.agent.supervisor_consent import answer, questions
from allod.domain.ids import Purl
from allod.testing.fleet_moves import LASTING, Move, a_package, a_ware, rules
from allod.testing.fleet_reading import Reading
from allod.testing.fleet_wares import PACKAGES
from allod.testing.fleet_watch import Watcher
from allod.testing.fleet_words import (
    OWNER,
    Entry,
    Grant,
    Page,
    Plan,
    Reboot,
    Rule,
    Shelf,
    Stage,
    Vote,
    Wish,
)
from allod.trust.device_view import FLEET_PATH
from allod.trust.dsse import decode_envelope
from allod.trust.gates import make_gate
from allod.wire.gate import CanaryReport, gate_path

PEOPLE: Final = {"ann": ("qa",), "bob": ("operations",), "eve": ("operations", "qa")}
VERBS: Final = ("transfer", "install", "activate", "configure", "delete", "restart")
TERMS: Final = (*LASTING, "approvals", "until")
ALL: Final = "pkg:generic/acme/*"
CHANNEL: Final = "acme/stable"


def grants(watcher: Watcher) -> list[Grant]:
    """All delegations that are in force."""
    return [one for one in watcher.world.truth.values() if isinstance(one, Grant)]


def name_people(watcher: Watcher) -> None:
    """The owner says who may approve as what."""
    rng = watcher.world.rng
    people = {name: kinds for name, kinds in PEOPLE.items() if rng.random() < 0.9}
    watcher.world.say({FLEET_PATH: {"people": people}})
    watcher.note(f"owner names {sorted(people)}")


def grant(watcher: Watcher) -> Grant:
    """The owner lets somebody decide, in some scopes, on some packages, within some terms."""
    rng, world = watcher.world.rng, watcher.world
    world.grants += 1
    scopes = rng.sample(["groups/kitchen", "groups/cellar"], rng.choice((1, 1, 2)))
    key = rng.choice((*PACKAGES, ALL, ALL))
    verbs = frozenset(VERBS if rng.random() < 0.75 else rng.sample(VERBS, 5))
    follows = CHANNEL if rng.random() < 0.5 else None
    terms = rules(watcher, TERMS, rng.choice((0, 1, 1, 1, 2, 2)))
    if rng.random() < (0.5 if world.log == "witnessed" else 0.04):
        terms = (*terms, Rule("lease", rng.choice((7_200, 36_000))))
    packages = (key,) if rng.random() < 0.8 else (a_package(watcher),)
    made = Grant(f"ops{world.grants}", frozenset(scopes), packages, verbs, terms, follows)
    world.say({f"delegations/{made.id}.json": made})
    watcher.note(
        f"owner grants {made.id} {packages[0][12:]} in {sorted(scopes)}"
        f" {follows or ''} {[one.kind for one in terms]}"
    )
    for scope in scopes if rng.random() < 0.8 else ["groups/kitchen", "groups/cellar"]:
        hand_over(watcher, scope, key, made)
    return made


def also_grant(watcher: Watcher) -> None:
    """A delegation more, of which nothing follows yet."""
    grant(watcher)


def hand_over(watcher: Watcher, scope: str, key: str, made: Grant) -> None:
    """The owner's page names the manager; what it accepts and sets aside stands there too."""
    rng, page = watcher.world.rng, watcher.world.page(scope)
    entries = dict(page.entries)
    if key == ALL:
        entries = {k: e for k, e in entries.items() if not k.startswith(ALL[:-1])}
    accepts = frozenset(rng.choice(((), *(("network.outbound",),) * 7, ("microphone",))))
    overrides = frozenset(rng.choice(((), (), (), ("window",), ("soak", "approvals"))))
    also = made.id if made.follows is None and rng.random() < 0.6 else None
    entries[key] = Entry(
        made.id,
        config_manager=also,
        accepts=accepts,
        overrides=overrides,
        change=f"change-{watcher.world.changes + 1}",
    )
    watcher.world.edit(scope, entries=entries)


def renew(watcher: Watcher) -> None:
    """The owner changes what a delegation may."""
    found = grants(watcher)
    if found:
        one = watcher.world.rng.choice(found)
        terms = rules(watcher, TERMS, watcher.world.rng.choice((0, 1, 2)))
        watcher.world.say({f"delegations/{one.id}.json": replace(one, rules=terms)})
        watcher.note(f"owner renews {one.id} {[rule.kind for rule in terms]}")


def revoke(watcher: Watcher) -> None:
    """The owner ends a delegation; devices keep running what they have."""
    found = grants(watcher)
    if found:
        one = watcher.world.rng.choice(found)
        watcher.world.say({f"delegations/{one.id}.json": None})
        watcher.note(f"owner revokes {one.id}")


# Delegates


def a_page(watcher: Watcher, covered: tuple[str, ...]) -> Page:
    """What a delegate wants: mostly of their own packages, and some of it never theirs to want."""
    rng, world = watcher.world.rng, watcher.world
    entries: dict[str, Entry] = {}
    known = [name for name in PACKAGES if any(name.startswith(one.rstrip("*")) for one in covered)]
    for package in dict.fromkeys((*known, a_package(watcher)) if rng.random() < 0.3 else known):
        bold = rng.random() < 0.2
        ware = world.shop.ware(package, "1.0.3") if bold else a_ware(watcher, package)
        version = ware.version if rng.random() < 0.95 else "1.0.4"
        wishes: tuple[Wish, ...] = (
            Wish(ware.provider, version, ware.digest, when=rng.choice(("now",) * 5 + ("restart",))),
        )
        config = rng.choice((None, *world.shop.documents))
        entries[package] = Entry(
            OWNER,
            wishes if rng.random() < 0.9 else (),
            OWNER if rng.random() < 0.4 else None,
            config,
            accepts=frozenset({"microphone", "camera", "root"}),  # theirs to want, not to take
            overrides=frozenset({"window", "soak", "consent", "approvals", "version"}),
            votes=votes(watcher),
            change=f"change-{world.changes + 1}",
        )
    reboots: tuple[Reboot, ...] = ()
    if rng.random() < 0.2:
        now = world.now
        reboots = (Reboot(f"restart-{world.changes}", now, now + timedelta(hours=12)),)
    return Page(entries, reboots=reboots)


def votes(watcher: Watcher) -> tuple[Vote, ...]:
    """Some people's approvals, not all of them of this very entry."""
    rng = watcher.world.rng
    chosen = [(kind, name) for name, kinds in PEOPLE.items() for kind in kinds]
    return tuple(
        Vote(kind, name, rng.random() < 0.85) for kind, name in chosen if rng.random() < 0.75
    )


def command(watcher: Watcher) -> None:
    """A delegate says what they want of a scope, be it theirs or not."""
    rng = watcher.world.rng
    found = [one for one in grants(watcher) if one.follows is None]
    if found:
        command_as(watcher, rng.choice(found))


def command_as(watcher: Watcher, one: Grant) -> None:
    """This delegate says what they want."""
    rng = watcher.world.rng
    scopes = sorted(one.scopes) if rng.random() < 0.9 else list(watcher.world.scopes())
    page = a_page(watcher, one.packages if rng.random() < 0.6 else (*one.packages, ALL))
    watcher.world.say({f"by/{one.id}/{scope}.json": page for scope in scopes})
    wanted = [
        f"{p[12:]} {e.wishes[0].version if e.wishes else '-'}" for p, e in page.entries.items()
    ]
    watcher.note(f"{one.id} orders {wanted} in {[scope[:15] for scope in scopes]}")


# Providers


def a_shelf(watcher: Watcher, sequence: int) -> Shelf:
    """What a provider recommends; a hostile one everything."""
    rng, world = watcher.world.rng, watcher.world
    releases = {}
    for package in PACKAGES if rng.random() < 0.2 else PACKAGES[:2]:
        ware = a_ware(watcher, package)
        flaws = ware.mends if rng.random() < 0.8 else ("CVE-9",)
        releases[package] = (ware.version, ware.digest, flaws)
    life = timedelta(days=rng.choice((1, 3, 30, 30)))
    return Shelf("acme", "stable", sequence, world.now, world.now + life, releases)


def publish_channel(watcher: Watcher) -> None:
    """A provider's next word to all who follow; or, in bad faith, an old number again."""
    world = watcher.world
    newest = max((one.sequence for one in world.shelved), default=0)
    sequence = newest + 1
    if world.hostile and world.rng.random() < 0.3:
        sequence = max(1, newest - world.rng.randrange(2))
    shelf = a_shelf(watcher, sequence)
    world.put_shelf(shelf)
    shown = {package[12:]: one[0] for package, one in shelf.releases.items()}
    watcher.note(f"acme publishes {sequence}: {shown}")


# Rollouts


def roll_out(watcher: Watcher) -> tuple[str, str] | None:
    """The owner deploys in stages, one device is a canary: where, and which; None: nothing can."""
    rng, world = watcher.world.rng, watcher.world
    places = [
        (scope, package, entry)
        for scope in ("groups/kitchen", "groups/cellar")
        for package, entry in sorted(world.page(scope).entries.items())
        if entry.manager == OWNER and entry.plan is None and package in PACKAGES
    ]
    if not places:
        return None
    scope, package, entry = rng.choice(places)
    ware = rng.choice([one for one in world.shop.of(package) if not one.sick and not one.forged])
    group = scope.removeprefix("groups/")
    names = [name for name, one in sorted(world.members.items()) if group in one.memory.groups]
    name = rng.choice(names)
    canary = world.members[name].memory.device
    now, bake = world.now, rng.choice((0, 3_600))
    stages = (
        Stage(now, 0.0, frozenset({canary})),
        Stage(
            now + timedelta(hours=2),
            rng.choice((50.0, 100.0)),
            success=rng.random() < 0.6,
            bake=bake,
        ),
        Stage(now + timedelta(hours=rng.choice((3, 20))), 100.0),
    )
    plan = Plan(f"rollout-{world.changes}", stages, entry.wishes)
    after = (Wish(ware.provider, ware.version, ware.digest),)
    change = f"change-{world.changes + 1}"
    entry = replace(entry, wishes=after, plan=plan, change=change, accepts=ware.access)
    world.edit(scope, entries={**world.page(scope).entries, package: entry})
    watcher.note(f"owner rolls out {package[12:]} {ware.version} in {scope} as {plan.id}")
    return scope, name


def _live(watcher: Watcher) -> list[tuple[str, Plan]]:
    return [
        (package, entry.plan)
        for page in watcher.world.truth.values()
        for package, entry in (page.entries.items() if isinstance(page, Page) else ())
        if entry.plan is not None
    ]


def open_gates(watcher: Watcher) -> None:
    """The controller opens what is due, with what the canaries reported; a hostile one all."""
    world = watcher.world
    forced = world.hostile and world.rng.random() < 0.5
    for _, plan in _live(watcher):
        for number, stage in enumerate(plan.stages[1:], start=1):
            path = gate_path(plan.id, number)
            if path not in world.sim.files and (forced or stage.at <= world.now):
                reports = _reports(watcher, plan, number) if stage.success else []
                world.sim.files[path] = make_gate(
                    world.sim.fleet, plan.id, number, world.now, [world.sim.owner.gate], reports
                )
                watcher.note(f"controller opens {plan.id} {number}, {len(reports)} reports")


def _reports(watcher: Watcher, plan: Plan, number: int) -> list[CanaryReport]:
    found = []
    for one in plan.stages[:number]:
        for member in watcher.world.members.values():
            if member.memory.device in one.canaries:
                key = member.device.key.key
                raws = member.device.transport.posted[-6:]
                found += [CanaryReport(key=key, report=decode_envelope(raw)) for raw in raws]
    return found


# People at a device


def consent(watcher: Watcher) -> None:
    """Somebody at a device answers what they are asked there."""
    rng, world = watcher.world.rng, watcher.world
    for name in sorted(world.members):
        member = world.members[name]
        reading = Reading(world.book, member.memory)
        for asked in questions(str(member.device.state.root)):
            package, agrees = str(asked["package"]), rng.random() < 0.8
            if package and not answer(
                str(member.device.state.root), str(asked["id"]), agrees, "a cook"
            ):
                member.memory.consent[reading.question(Purl(package))] = agrees
                watcher.note(f"{name} cook {'agrees' if agrees else 'declines'}: {package[12:]}")


OTHERS: Final[tuple[tuple[int, Move], ...]] = (
    (1, name_people),
    (1, also_grant),
    (2, renew),
    (1, revoke),
    (3, command),
    (2, publish_channel),
    (2, open_gates),
    (1, consent),
)
