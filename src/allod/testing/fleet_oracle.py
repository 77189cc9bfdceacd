"""What may change on a device: judged from the truth, naively.

It shares no code with decision, judgement or plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from allod.testing.fleet_law import Deed, Facts, against, is_open, mended, new_access
from allod.testing.fleet_reading import ConfigWord, Reading, Running, Word
from allod.testing.fleet_words import OWNER, Reboot, Rule, Span, Ware


@dataclass(frozen=True, slots=True)
class Oracle(Reading):
    """Judges what one device did, by what it knew."""

    # What it allows

    def holds(self) -> str | None:
        """Why nothing may change."""
        return next((page.hold for _, page in self.pages() if page.hold is not None), None)

    def windows(self) -> tuple[Span, ...]:
        """Of the first scope that sets them."""
        return next((page.windows for _, page in self.pages() if page.windows), ())

    def ware(self, digest: str | None) -> Ware | None:
        """The release of a digest."""
        return None if digest is None else self.book.wares.get(digest)

    def targets(self, package: str) -> Iterator[tuple[Running, str]]:
        """What somebody whose word counts wants to run, and when."""
        software, config = self.word(package), self.config_word(package)
        release, document = self.running(package)
        wanted = document if config is None else config.document
        if software is not None:
            active = software.active
            if active is None:
                yield (None, None), "now"
            elif active.digest != release:
                yield (active.digest, wanted), active.when
                yield (active.digest, document), active.when
        if config is not None and release is not None:
            yield (release, wanted), config.when

    def allowed(self, package: str) -> set[Running]:
        """What may run of a package from now on, besides what does."""
        return {
            target
            for target, when in self.targets(package)
            if not self.objections(package, target, when)
        }

    def objections(self, package: str, target: Running, when: str) -> list[str]:
        """Why this may not run now; empty: it may."""
        release, _ = target
        found = [] if self.holds() is None else ["hold"]
        found += self._timing(package, target, when)
        if release != self.running(package)[0]:
            found += self._software(package, release)
        if release is not None:
            found += self._configuration(package, target)
        return found

    def _timing(self, package: str, target: Running, when: str) -> list[str]:
        found = ["busy"] if self.memory.busy and when != "restart" else []
        if when == "window" and not is_open(self.windows(), self.now):
            found.append("not in a window")
        if when == "restart":
            since = self.memory.boots.get(f"{package}|{target[0]}|{target[1]}")
            if since is None or since >= self.memory.boot:
                found.append("no restart yet")
        return found

    def _software(self, package: str, release: str | None) -> list[str]:
        word = self.word(package)
        if word is None:
            return ["nobody's word"]
        if release is None:
            deed = self._deed("delete", word, package, None)
            return against(word.rules, deed, self.facts(word, package))
        found = self.unfit(word, package, release)
        ware = self.ware(release)
        running = self.ware(self.running(package)[0])
        fresh = ware is not None and new_access(ware, running, self._taken_on(word))
        if fresh:
            found.append("access")
        deed = self._deed("activate", word, package, ware)
        return found + against(word.rules, deed, self.facts(word, package, ware))

    def _taken_on(self, word: Word) -> frozenset[str]:
        """Access that the owner accepts by name: in the entry, or in the delegation."""
        listed = [rule.value for rule in word.rules if rule.kind == "access"]
        return word.entry.accepts.union(*(listed if word.manager != OWNER else ()))

    def unfit(self, word: Word, package: str, digest: str) -> list[str]:
        """Why a release may come to no new level, whoever wants it."""
        known, found = self.known, []
        withdrawn = self.book.said(known, "targets", "releases/withdrawn.json") or ()
        if digest in withdrawn:
            found.append("withdrawn")
        ware = self.ware(digest)
        wish = next((one for one in word.wishes if one.digest == digest), None)
        if ware is None or ware.forged or wish is None:
            return [*found, "forged"]
        called = (wish.provider, wish.version, package)
        if called != (ware.provider, ware.version, ware.package):
            found.append("another release than it is called")
        provider = self.book.said(known, "targets", f"providers/{ware.provider}.json")
        if provider is None or provider.get("distrusted"):
            found.append("distrusted")
        return found

    def _configuration(self, package: str, target: Running) -> list[str]:
        document = target[1]
        if document == self.running(package)[1]:
            return []
        word = self.config_word(package)
        if word is None:
            return [] if document is None else ["nobody's configuration"]
        if document != word.document:
            return ["another configuration"]
        deed = Deed("configure", word.scope, package, None)
        return against(word.rules, deed, self.config_facts(word, package))

    def _deed(self, verb: str, word: Word, package: str, ware: Ware | None) -> Deed:
        return Deed(verb, word.scope, package, ware)

    def facts(self, word: Word, package: str, ware: Ware | None = None) -> Facts:
        """What is so where the software changes."""
        memory = self.memory
        running = self.ware(self.running(package)[0])
        digest = None if ware is None else ware.digest
        mends = {("provider", flaw) for flaw in mended(ware, running).get("provider", ())}
        if word.shelf is not None and package in word.shelf.releases:
            had = set() if running is None else set(running.mends)
            mends |= {("provider", f) for f in word.shelf.releases[package][2] if f not in had}
        return Facts(
            now=self.now,
            running=running,
            known_since=None if digest is None else memory.seen.get(digest),
            witnessed=self.known.witnessed,
            changed=tuple(at for who, at in memory.changed.get(package, ()) if who == word.manager),
            approved=word.votes,
            consent=memory.consent.get(self.question(package)),
            mends=frozenset(mends),
            accepts=word.entry.accepts,
            overrides=word.entry.overrides,
        )

    def config_facts(self, word: ConfigWord, package: str) -> Facts:
        """What is so where only the configuration changes."""
        memory = self.memory
        return Facts(
            now=self.now,
            running=self.ware(self.running(package)[0]),
            witnessed=self.known.witnessed,
            changed=tuple(at for who, at in memory.changed.get(package, ()) if who == word.manager),
            approved=word.votes,
            consent=memory.consent.get(self.question(package)),
            accepts=word.entry.accepts,
            overrides=word.entry.overrides,
        )

    # Lesser changes

    def may_have(self, package: str, digest: str, verb: str) -> list[str]:
        """Why a release may not be transferred or installed; empty: it may."""
        word = self.word(package)
        if word is None:
            return ["nobody's word"]
        wish = next((one for one in word.wishes if one.digest == digest), None)
        if wish is None:
            return ["not wanted"]
        found = [] if self.holds() is None else ["hold"]
        if verb == "install" and wish.level == "transferred":
            found.append("only to be transferred")
        found += self.unfit(word, package, digest)
        ware = self.ware(digest)
        facts = self.facts(word, package, ware)
        return found + against(word.rules, Deed(verb, word.scope, package, ware), facts)

    def may_delete(self, package: str, digest: str) -> list[str]:
        """Why a release may not be removed from the store; empty: it may."""
        word = self.word(package)
        if word is None:
            return ["nobody's word"]
        if any(one.digest == digest for one in word.wishes):
            return ["wanted"]
        found = [] if self.holds() is None else ["hold"]
        ran = digest in self.memory.ran.get(package, ()) or word.shelf is not None
        if ran and word.active is not None:
            return found  # what ran before something else goes by retention, on nobody's order
        deed = self._deed("delete", word, package, None)
        return found + against(word.rules, deed, self.facts(word, package))

    def may_restart(self) -> list[str]:
        """Why the machine may not be restarted by the agent now; empty: it may."""
        if self.holds() is not None:
            return ["hold"]
        found = []
        for scope, manager, one, rules in self._reboots():
            key = f"{manager}#{scope}#{one.id}"
            if not one.at <= self.now <= one.latest or key in self.memory.rebooted:
                continue
            deed = Deed("restart", scope, "", None)
            why = against(rules, deed, Facts(self.now, witnessed=self.known.witnessed))
            if not why:
                self.memory.rebooted.add(key)
                return []
            found += why
        return found or ["nobody ordered it"]

    def _reboots(self) -> Iterator[tuple[str, str, Reboot, tuple[Rule, ...]]]:
        """Every restart that is ordered: scope, by whom, which, and what it is held to."""
        own = tuple(rule for rule in self.rules() if rule.kind != "approvals")
        pages = self.pages()
        named = {
            who
            for _, page in pages
            for entry in page.entries.values()
            for who in (entry.manager, entry.config_manager)
            if who not in {None, OWNER}
        }
        for scope, page in pages:
            for one in page.reboots:
                yield scope, OWNER, one, own
            for grant in filter(None, (self.grant(who or "") for who in sorted(map(str, named)))):
                theirs = self.by(grant, scope)
                frame = self.frame(grant, "", "")
                rules = tuple(rule for rule in frame if rule.kind != "packages")
                for one in () if theirs is None else theirs.reboots:
                    yield scope, grant.id, one, (*rules, *own)
