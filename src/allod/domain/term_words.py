"""Terms, approvals and plans of rollouts as differences, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from allod.domain.condition import Term, moment, span
from allod.domain.desired import ConfigurationOrder, Software
from allod.domain.rollout import Needs, Rollout, Stage
from allod.domain.said import Difference, plain


def approval_differences(
    subject: str, key: str, old: tuple[bytes, ...], new: tuple[bytes, ...]
) -> Iterator[Difference]:
    """Who they are of is said where they are verified; here, that others stand there."""
    if old != new:
        yield plain(
            subject, "approvals", f"{key} carries approvals",
            str(len(old)) if old else None, str(len(new)) if new else "none", package=key,
        )  # fmt: skip


def term_differences(
    subject: str, old: tuple[Term, ...], new: tuple[Term, ...]
) -> Iterator[Difference]:
    """Term by term, in words; equal sets in another order differ too."""
    if old == new:
        return
    had, has = ({one.name: one for one in terms} for terms in (old, new))
    found = False
    for name in sorted(had.keys() | has.keys()):
        first, second = had.get(name), has.get(name)
        if first != second:
            found = True
            before, after = (None if one is None else one.says for one in (first, second))
            if before == after:
                after = f"{after} ({second!r})"
            yield plain(subject, "term", "whoever decides here", before, after, path=name)
    if not found:
        before, after = (", ".join(one.name for one in terms) for terms in (old, new))
        yield plain(subject, "term-order", "terms stand as", before, after)


def rollout_differences(
    subject: str, key: str, old: Rollout | None, new: Rollout | None
) -> Iterator[Difference]:
    """A plan, stage by stage, and what holds where it has not come yet."""
    if old == new:
        return
    had, has = _lines(old), _lines(new)
    for name in dict.fromkeys((*had, *has)):
        before, after = had.get(name), has.get(name)
        if before != after:
            first, second = (None if one is None else one[0] for one in (before, after))
            if first == second and after is not None:
                second = f"{second} ({after[1]!r})"
            yield plain(
                subject, "rollout", f"{key} {name}", first, second, package=key, path=name
            )  # fmt: skip


def _lines(rollout: Rollout | None) -> Mapping[str, tuple[str, object]]:
    """Name of a part -> the part in words, and itself: what differs is told, whatever it is."""
    if rollout is None:
        return {}
    found: dict[str, tuple[str, object]] = {"rollout": (rollout.id, rollout.id)}
    for number, stage in enumerate(rollout.stages):
        found[f"rollout stage {number}"] = (describe_stage(stage), stage)
    if rollout.before is not None:
        found["until its stage"] = (_software(rollout.before), rollout.before)
    if rollout.before_configuration is not None:
        order = rollout.before_configuration
        found["until its stage, configuration"] = (_configuration(order), order)
    if rollout.retries:
        found["tries again"] = (f"{rollout.retries} times", rollout.retries)
    return found


def describe_stage(stage: Stage) -> str:
    """A stage of a rollout in a few words."""
    who = [f"{stage.percent:g}% of the devices"] if stage.percent else []
    who += [f"device {device}" for device in sorted(stage.canaries)]
    parts = [" and ".join(who) or "nobody", f"from {moment(stage.at)}"]
    if stage.needs is Needs.SUCCESS:
        parts.append("once those before report success")
    if stage.bake_seconds:
        parts.append(f"{span(stage.bake_seconds)} after they began to run it")
    parts.append(f"at most {stage.max_failed:g}% failed")
    parts.append(f"{stage.max_silent:g}% silent after {span(stage.timeout_seconds)}")
    return ", ".join(parts)


def _software(software: Software) -> str:
    listed = ", ".join(
        f"{one.version} {one.level} at {one.when} [{one.provider} {one.digest}]"
        for one in software.releases
    )
    return f"{listed or 'nothing'} (decided by {software.manager})"


def _configuration(order: ConfigurationOrder) -> str:
    what = order.digest or "the release's default"
    return f"{what} ({order.size} bytes, {order.media_type}, at {order.when}, {order.manager})"
