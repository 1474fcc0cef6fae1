"""What the panel says of a pair whose label is a person's by now."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from constitution.loading import load
from constitution.principles import Constitution
from critics.ranking.aggregate import score
from critics.ranking.weights import Weights, read_weights
from generation.output.folder import CONSTITUTION, WEIGHTS, run_folder
from generation.output.reading import Pair


def panel_logit(run: Path, pair: Pair) -> float:
    """Log-odds for the chosen response, by the pair's votes alone."""
    constitution, weights, plan = _rules(run)
    found = score(
        pair.votes, constitution, weights, plan["position_inconsistent"], plan["early_stop_error"], plan["min_log_odds"]
    )
    return found.logit


@lru_cache(4)
def _rules(run: Path) -> tuple[Constitution, Weights | None, dict[str, Any]]:
    settings = run_folder(run).snapshot() or {}
    weights = read_weights(run / WEIGHTS) if (run / WEIGHTS).is_file() else None
    return load(run / CONSTITUTION), weights, settings["plan"]
