"""What a report is of: the run's name and what made it, so that two reports are told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from generation.output.folder import OwnedFolder

DECISIVE = ("samples", "rounds", "principles", "min_log_odds", "seed")
"""Settings of the plan that a report names."""


class Heading(NamedTuple):
    """The top of a report."""

    run: str
    """Name of the run's folder."""
    facts: tuple[tuple[str, str], ...]
    """(what, value): models, constitution, prompts, date and the settings that decide most; empty where the folder does not say."""


def read_heading(run: Path) -> Heading:
    """From the run's settings file. Raises UserError where it is damaged."""
    facts = _facts(OwnedFolder(run).snapshot() or {})
    return Heading(run.resolve().name, tuple((what, value) for what, value in facts if value))


def _facts(snapshot: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    constitution, prompts, plan = (_group(snapshot, name) for name in ("constitution", "prompts", "plan"))
    several = [f"{one.get('name')} ({one.get('model')})" for one in snapshot.get("policies") or ()]
    policy = ", ".join(several) or str(snapshot.get("policy") or "")
    yield "policy", policy
    panel = [str(member.get("model", "")) for member in snapshot.get("panel") or ()]
    yield "judge", ", ".join([str(snapshot.get("judge") or policy), *panel])
    if constitution:
        yield "constitution", f"{constitution.get('name')} ({str(constitution.get('digest'))[:12]})"
    if prompts:
        limit = prompts.get("limit")
        yield "prompts", f"{prompts.get('source')}{f', the first {limit}' if limit else ''}"
    if plan:
        yield "methods", ", ".join(plan.get("methods", ()))
        yield "settings", ", ".join(f"{name} {plan[name]}" for name in DECISIVE if name in plan)
    yield "begun", str(snapshot.get("date") or "")  # no clock: a run that was killed and went on has the same page


def _group(snapshot: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = snapshot.get(name)
    return found if isinstance(found, dict) else {}
