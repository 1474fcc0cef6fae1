"""The settings by which a finished run is made again under another constitution, from the calls that it made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from constitution.digest import digest
from constitution.principles import Constitution
from evaluation.diff.ballots import config_of
from generation.output.folder import run_folder
from generation.request import FeedbackSettings

TRIED: Mapping[str, Any] = {"principles": 1_000, "controls": 0, "min_log_odds": 0.0, "max_error": None}
"""Of the plan, when a prompt of one's own is tried: all principles are asked, and what they say is shown, however little it is."""


def again(run: Path, constitution: Path, out: Path, least: float | None = None) -> FeedbackSettings:
    """What `solon feedback` is asked for. Weights and thresholds that were fitted for the run's own constitution are left out.

    least: plan.min_log_odds, the run's own where left out. Raises UserError where the folder is no run's.
    """
    source = (run_folder(run).snapshot() or {}).get("prompts", {})
    given = {"limit": source["limit"]} if source.get("limit") else {}
    return FeedbackSettings(
        constitution=constitution,
        prompts=source.get("source", ""),
        columns=tuple(source.get("map", ())),
        out=str(out),
        reuse=(run,),
        overrides=_overrides(run, {} if least is None else {"min_log_odds": least}),
        **given,
    )


def trying(run: Path, constitution: Path, prompts: Path, out: Path) -> FeedbackSettings:
    """The same about other prompts. Raises UserError where the folder is no run's."""
    return FeedbackSettings(
        constitution=constitution, prompts=str(prompts), out=str(out), reuse=(run,), overrides=_overrides(run, TRIED)
    )


def _overrides(run: Path, plan: Mapping[str, Any]) -> tuple[str, ...]:
    """The run's settings, with changes of its plan."""
    values: dict[str, Any] = config_of(run).model_dump(mode="json", exclude_unset=True)
    if plan:
        changed = {**values.get("plan", {}), **plan}
        values["plan"] = {name: value for name, value in changed.items() if value is not None}
    return tuple(f"{name}={json.dumps(value)}" for name, value in values.items() if value is not None)


def beside(run: Path, constitution: Constitution, least: float | None = None) -> Path:
    """The folder, beside the run's, of the run under an edited constitution: the same for the same edit, so that it resumes."""
    return run.with_name(f"{run.name}-{digest(f'{constitution.digest} {least}')[:8]}")
