"""Are pooled mean votes probabilities? Panels are simulated whose truth is known, of 1 to 64 voters that are each calibrated.

    python -m benchmarks.pooled

A voter of strength m says z = t m + e of a pair whose truth is t = +-1, with normal errors of variance 2 m, so that z is its
calibrated log-odds; errors of different voters correlate by rho. In `unequal` panels strengths differ tenfold between voters; in
`missing` ones half of the votes are missing; in `difficulty` ones all voters find the same pairs hard. A run of PAIRS pairs
estimates the correlation without labels; expected calibration error (10 bins of equal numbers) is measured on other pairs, less
what a perfectly calibrated panel shows on as many. Beside it: the mean vote as it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from benchmarks.common import show
from critics.ranking.pooling import Counted, pool
from evaluation.statistics import Floats

VOTERS = (1, 2, 4, 8, 16, 32, 64)
CORRELATIONS = (0.0, 0.1, 0.3, 0.6, 0.9)
PANELS = ("weak", "strong", "unequal", "missing", "difficulty")
PAIRS = 500
HELD_OUT = 20_000
BINS = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pooled", description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="runs of each panel (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs of a run (default: %(default)s)")
    options = parser.parse_args(arguments)
    for panel in PANELS:
        for voters in VOTERS:
            found = [measured(panel, voters, rho, options.runs, options.pairs) for rho in CORRELATIONS]
            name = f"{panel} voters: {voters} of them"
            pooled = [one[0] for one in found]
            show(
                f"{name}, pooled: ECE, worst correlation",
                max(pooled),
                f"at {CORRELATIONS[int(np.argmax(pooled))]}",
                "<= 0.03",
                "pooled",
            )
            show(f"{name}, mean vote: ECE, worst correlation", max(one[1] for one in found), "", "-", "mean")  # fmt: skip


def measured(panel: str, voters: int, rho: float, runs: int, pairs: int) -> tuple[float, float]:
    """Mean over runs of the calibration error of pooled log-odds, and of the mean vote."""
    errors = []
    for run in range(runs):
        random = np.random.default_rng([run, PANELS.index(panel), voters, round(100 * rho)])
        strengths = strengths_of(panel, voters, random)
        _, own = votes(panel, strengths, rho, pairs, random)
        pooling = pool(
            [[Counted(1 / len(row), z) for z in row] for row in (line[~np.isnan(line)].tolist() for line in own)]
        )
        assert pooling is not None
        truth, held_out = votes(panel, strengths, rho, HELD_OUT, random)
        mean, count = np.nanmean(held_out, axis=1), (~np.isnan(held_out)).sum(1).astype(float)
        logits = (pooling.log_odds(mean, count), mean)
        errors.append([excess(z, np.sign(z) == truth, random) for z in logits])
    pooled, plain = np.mean(errors, axis=0)
    return float(pooled), float(plain)


def strengths_of(panel: str, voters: int, random: np.random.Generator) -> Floats:
    """[voters]"""
    if panel == "unequal":
        return np.exp(random.uniform(np.log(0.1), np.log(1.0), voters))
    return np.full(voters, {"weak": 0.05, "strong": 1.5}.get(panel, 0.3))


def votes(panel: str, strengths: Floats, rho: float, pairs: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """(truth [pairs], votes [pairs, voters] with NaN for a missing one)"""
    truth = random.choice([-1.0, 1.0], pairs)
    scale = np.exp(random.normal(-0.5, 1.0, (pairs, 1))) if panel == "difficulty" else np.ones((pairs, 1))
    shared, own = random.standard_normal((pairs, 1)), random.standard_normal((pairs, len(strengths)))
    of_pair = scale * strengths
    found = truth[:, None] * of_pair + np.sqrt(2 * of_pair) * (np.sqrt(rho) * shared + np.sqrt(1 - rho) * own)
    if panel == "missing" and len(strengths) > 1:
        gone = random.random(found.shape) < 0.5
        gone[np.arange(pairs), random.integers(0, len(strengths), pairs)] = False
        found[gone] = np.nan
    return truth, found


def excess(logits: Floats, right: np.ndarray, random: np.random.Generator) -> float:
    """The calibration error beyond that of labels drawn from the log-odds themselves."""
    said = 1 / (1 + np.exp(-np.abs(logits)))
    return max(0.0, error(said, right) - error(said, random.random(len(said)) < said))


def error(said: Floats, right: np.ndarray) -> float:
    """Expected calibration error over bins of equal numbers."""
    parts = np.array_split(np.argsort(said), BINS)
    return float(sum(len(part) / len(said) * abs(said[part].mean() - right[part].mean()) for part in parts))


if __name__ == "__main__":
    main()
