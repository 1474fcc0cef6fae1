"""What an edit of a constitution changes, and which calls it makes again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from constitution.principles import Constitution, Principle
from constitution.records import VIOLATION

STAGES = ("critique", "revise", "compare")
_LABELS = ("objective", "weight", "veto", "check", "good_answer")
"""Fields that change labels without a call."""

_BY_RULE = "revise (with plan.rule_critiques)"
"""A rule makes no call of its own; where it is a critic too, it decides which responses are revised, and what is asked for."""
_ASKED_BY_RULE = {"check", "text", "revise", "applies_to"}


@dataclass(frozen=True, slots=True)
class Change:
    """One principle that was added, removed or edited."""

    id: str
    kind: str
    """`added`, `removed` or `changed`."""
    fields: tuple[str, ...] = ()
    """What was edited."""
    again: tuple[str, ...] = ()
    """Stages whose calls under it are made again; `labels` where votes are only weighed anew."""


@dataclass(frozen=True, slots=True)
class Diff:
    """All that changed."""

    principles: tuple[Change, ...]
    objectives: tuple[tuple[str, float | None, float | None], ...]
    """(name, old weight, new weight); None where there was or is none. Changes labels, no calls."""

    def __bool__(self) -> bool:
        return bool(self.principles or self.objectives)


def diff(old: Constitution, new: Constitution, methods: Mapping[str, Collection[str]]) -> Diff:
    """What changed from old to new, in the new one's order; removed principles last.

    methods: judging method -> fields of a principle that its prompts are made of.
    """
    before = {principle.id: principle for principle in old.principles}
    after = {principle.id for principle in new.principles}
    changes = []
    for principle in new.principles:
        if principle.id not in before:
            changes.append(Change(principle.id, "added", again=STAGES if principle.judged else (_BY_RULE, "labels")))
        elif principle != before[principle.id]:
            changes.append(_changed(before[principle.id], principle, methods))
    for name in (name for name in before if name not in after):
        changes.append(Change(name, "removed", again=("labels",) if before[name].judged else (_BY_RULE, "labels")))
    names = [*new.objectives, *(name for name in old.objectives if name not in new.objectives)]
    weights = [(name, old.objectives.get(name), new.objectives.get(name)) for name in names]
    return Diff(tuple(changes), tuple(w for w in weights if w[1] != w[2]))


def _changed(old: Principle, new: Principle, methods: Mapping[str, Collection[str]]) -> Change:
    fields = tuple(name for name in Principle.model_fields if getattr(old, name) != getattr(new, name))
    again: set[str] = set()
    if new.judged:
        if not old.judged or "applies_to" in fields:
            again.update(STAGES)
        again.update(stage for stage in STAGES if getattr(old, f"{stage}_request") != getattr(new, f"{stage}_request"))
        again.update(
            method for method, read in methods.items() if method != VIOLATION and not set(read).isdisjoint(fields)
        )
        if new.veto and not {"veto", *methods.get(VIOLATION, ())}.isdisjoint(fields):
            again.add(VIOLATION)
        if "examples" in fields:
            again.update(("critique", "revise"))
    stages = [stage for stage in (*STAGES, *methods) if stage in again]
    if not new.judged and (old.judged or not _ASKED_BY_RULE.isdisjoint(fields)):
        stages.append(_BY_RULE)
    if any(name in _LABELS for name in fields) or not new.judged:
        stages.append("labels")
    return Change(new.id, "changed", fields, tuple(stages))
