"""Labels that early stopping changes on fresh pairs, where a panel was fitted on few pairs for its voters.

    python -m benchmarks.stopping

Simulated panels: by the normal model of votes alone, and with the factor that makes held-out folds keep the stated error. Intervals
are ranges over five panels.
"""

from __future__ import annotations

import numpy as np

from benchmarks.common import show
from evaluation.judge.crossval import calibrated_stopping, same_labels, stop_early
from evaluation.judge.fitting import fit_logistic, stopping
from evaluation.statistics import Floats

ERRORS = (0.005, 0.02, 0.05)
"""Probabilities of another label at which asking stops early."""
FRESH = 4_000
"""Pairs on which a panel is tested."""
SIMULATED = (192, 68)
"""Pairs and voters that it is fitted on."""


def main() -> None:
    """Print every figure."""
    for kind in ("errors correlated by 0.5", "errors correlated by 0.8", "heavy tails", "votes of +1 and -1"):
        changed: dict[tuple[str, float], list[float]] = {}
        for seed in range(5):
            votes = _votes(kind, seed)
            train, fresh = votes[: SIMULATED[0]], votes[SIMULATED[0] :]
            groups, voters = [str(i) for i in range(len(train))], [str(k) for k in range(SIMULATED[1])]
            found = fit_logistic(train, groups)
            rules = {
                "normal model alone": stopping(train, found, voters),
                "calibrated": calibrated_stopping(train, groups, voters, fit_logistic, found, 0),
            }
            for rule, learnt in rules.items():
                for error in ERRORS:
                    turned = stop_early(fresh, voters, learnt, error, 0.0).logits
                    pairs, same = same_labels(found.logits(fresh), turned, 0.0)
                    changed.setdefault((rule, error), []).append(100 * (1 - same / pairs))
        for (rule, error), shares in changed.items():
            figure = f"{kind}, error {error}: labels changed"
            show(figure, float(np.mean(shares)), "%", f"<= {100 * error:g}", rule, (min(shares), max(shares)))


def _votes(kind: str, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    rows, voters = SIMULATED[0] + FRESH, SIMULATED[1]
    skill = rng.normal(0.3, 0.3, voters)
    shared = {"errors correlated by 0.8": 0.8, "heavy tails": 0.3}.get(kind, 0.5)
    own = 0.6 * rng.standard_t(2.5, (rows, voters)) if kind == "heavy tails" else rng.normal(0, 1, (rows, voters))
    scale = 1.0 if kind == "heavy tails" else np.sqrt(1 - shared)
    votes: Floats = skill + np.sqrt(shared) * rng.normal(size=(rows, 1)) + scale * own
    return np.sign(votes) if kind == "votes of +1 and -1" else votes


if __name__ == "__main__":
    main()
