"""How many labels a queue saves: a person with the recorded labels answers in its order, and at random.

    python -m benchmarks.review_queue --votes FILE... [--half 1] [--seeds 24]

Each seed divides the pairs of one half (by a hash of their names) into a queue, 60%, and pairs that are held out. The panel is
fitted on the labels so far and asked about the held-out pairs. The rule was chosen on half 0 of recorded votes about LLMBar and
JudgeBench; half 1 is reported.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common import show
from constitution.digest import integer
from evaluation.judge.fitting import averaged_weights
from evaluation.judge.recorded import read_recorded, two_orders
from evaluation.review.order import next_pairs, scaled
from evaluation.statistics import Floats, accuracy

SIZES = (4, 8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96)
QUEUE = 0.6
"""Share of the pairs that may be labelled."""
NEAR = 0.01
"""An accuracy is as good as another that is so far from it."""
Next = Callable[[Floats, dict[int, int], Floats], int]
"""(votes, labels so far, a number of each pair) -> the pair that is labelled next."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print accuracies by labels, and labels by accuracies."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.review_queue", description=__doc__)
    parser.add_argument("--votes", type=Path, nargs="+", required=True, help="recorded votes, as JSONL, plain or .gz")
    parser.add_argument("--half", type=int, default=1, help="half of the pairs (default: %(default)s)")
    parser.add_argument(
        "--seeds", type=int, default=24, help="divisions into queue and held-out pairs (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    for path in options.votes:
        name = path.name.partition(".")[0].removesuffix("_votes")
        matrix, _ = two_orders(read_recorded(path)[0], path)
        kept = np.array([integer(pair) % 2 == options.half for pair in matrix.pairs])
        rows = scaled(matrix.votes[kept])
        report(f"{name}, half {options.half}", rows, options.seeds)


def report(name: str, rows: Floats, seeds: int) -> None:
    """rows: [pairs, voters] scaled votes for the better response."""
    most = int(len(rows) * QUEUE)
    sizes = [size for size in SIZES if size <= most]
    found = {
        how: np.mean([curve(rows, seed, sizes, pick) for seed in range(seeds)], axis=0)
        for how, pick in (("queue", by_queue), ("random", at_random))
    }
    for i, size in enumerate(sizes):
        print(
            f"{name}: {size:3} labels: queue {100 * found['queue'][i]:5.1f}%, random {100 * found['random'][i]:5.1f}%"
        )
    saved = []
    for target, size in zip(found["random"], sizes, strict=True):
        enough = next((n for n, reached in zip(sizes, found["queue"], strict=True) if reached >= target), None)
        if enough:
            print(f"{name}: {100 * target:.1f}% takes {size} labels at random, {enough} in the queue's order")
            saved.append(enough / size)
    area = {how: 100 * float(np.mean(values)) for how, values in found.items()}
    show("accuracy over these numbers of labels, queue", area["queue"], "%", f"random: {area['random']:.1f}", name)
    near = float(found["random"][-1]) - NEAR
    takes = {
        how: next(n for n, reached in zip(sizes, values, strict=True) if reached >= near)
        for how, values in found.items()
    }
    ratio = takes["queue"] / takes["random"]
    show("labels to within a point of most labels' accuracy, queue / random", ratio, "", "<= 0.5", name)
    print(f"{name}: {100 * near:.1f}% takes {takes['random']} labels at random, {takes['queue']} in the queue's order")
    show("labels of the queue for those at random, median", float(np.median(saved)), "", "<= 0.5", name)


def curve(rows: Floats, seed: int, sizes: Sequence[int], pick: Next) -> list[float]:
    """[sizes] accuracy on held-out pairs of a panel that is fitted on so many labels."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    cut = int(len(rows) * QUEUE)
    sides = rng.choice([-1, 1], cut)
    queue, held_out = rows[order[:cut]] * sides[:, None], rows[order[cut:]]
    drawn = rng.random(cut)
    labels: dict[int, int] = {}
    found = []
    while len(labels) < max(sizes):
        number = pick(queue, labels, drawn)
        labels[number] = int(sides[number])
        if len(labels) in sizes:
            weights = averaged_weights(queue[[*labels]] * np.array([*labels.values()])[:, None])
            found.append(accuracy(held_out @ weights).value)
    return found


def by_queue(rows: Floats, labels: dict[int, int], drawn: Floats) -> int:
    """As `solon review` and the studio hand pairs out."""
    return next_pairs(rows, labels, drawn, set(labels), set(labels), 1)[0]


def at_random(rows: Floats, labels: dict[int, int], drawn: Floats) -> int:
    """Whichever comes."""
    return min((i for i in range(len(rows)) if i not in labels), key=partial(_number, drawn))


def _number(drawn: Floats, i: int) -> float:
    return float(drawn[i])


if __name__ == "__main__":
    main()
