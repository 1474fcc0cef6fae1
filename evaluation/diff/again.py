"""The settings by which a finished run is made again under another constitution, from the calls that it made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from constitution.digest import digest
from constitution.principles import Constitution
from evaluation.diff.ballots import config_of
from generation.output.folder import run_folder
from generation.request import FeedbackSettings


def again(run: Path, constitution: Path, out: Path, least: float | None = None) -> FeedbackSettings:
    """What `solon feedback` is asked for. Weights and thresholds that were fitted for the run's own constitution are left out.

    least: plan.min_log_odds, the run's own where left out. Raises UserError where the folder is no run's.
    """
    config = config_of(run)
    values: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    if least is not None:
        values["plan"] = {**values.get("plan", {}), "min_log_odds": least}
    source = (run_folder(run).snapshot() or {}).get("prompts", {})
    given = {"limit": source["limit"]} if source.get("limit") else {}
    return FeedbackSettings(
        constitution=constitution,
        prompts=source.get("source", ""),
        columns=tuple(source.get("map", ())),
        out=str(out),
        reuse=(run,),
        overrides=tuple(f"{name}={json.dumps(value)}" for name, value in values.items() if value is not None),
        **given,
    )


def beside(run: Path, constitution: Constitution, least: float | None = None) -> Path:
    """The folder, beside the run's, of the run under an edited constitution: the same for the same edit, so that it resumes."""
    return run.with_name(f"{run.name}-{digest(f'{constitution.digest} {least}')[:8]}")
