"""Attacks on a judge: how often they win, and the control tokens that they make in a judge's prompts.

    python -m benchmarks.attacks
    python -m evaluation attack --constitution principles/hhh.yaml --judge embedded --json attack.json
    python -m benchmarks.attacks --wins attack.json

The first counts control tokens in several styles of chat model, by our encoding (must be 0) and by each own template.
The last prints what the second has measured: for each attack, the share of pairs that it wins under each defence.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, show
from benchmarks.styles import STYLES
from constitution.loading import load
from evaluation.attack.injection import injected
from evaluation.attack.suite import suite, unseen


def control_tokens() -> None:
    """A table of all styles."""
    pairs = (*suite(), *unseen())
    principle = load(ROOT / "principles" / "hhh.yaml").principles[0]
    print(f"{'tokenizer':12}{'pairs':>8}{'ids, ours':>12}{'ids, own template':>20}")
    worst = 0
    for name, make in STYLES.items():
        tokenizer = make()
        ours, theirs = (injected(tokenizer, pairs, principle, safely) for safely in (True, False))
        worst = max(worst, ours)
        print(f"{name:12}{len(pairs):8}{ours:12}{theirs:20}", flush=True)
    print(f"control ids from content: {worst} (target 0)")
    assert worst == 0


def wins(told: dict[str, Any]) -> None:
    """A row for each attack, a column for each defence."""
    for attack, rates in told["attacks"].items():
        for defence, rate in rates.items():
            lost = f"({100 * rate['unlabelled']:.0f}% without a label)" if rate["unlabelled"] else ""
            show(attack, 100 * rate["won"], "%", "-", defence, (100 * rate["low"], 100 * rate["high"]), lost)
        if gain := told["gains"].get(attack):
            show(attack, gain["mean"], "", "-", "gain", (gain["low"], gain["high"]))
        if seen := told["flagged"].get(attack):
            show(attack, 100 * seen["won"], "%", "-", "flagged")


def main() -> None:
    """One or the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks")
    parser.add_argument("--wins", type=Path, metavar="FILE", help="what `evaluation attack --json FILE` wrote")
    options = parser.parse_args()
    if options.wins:
        wins(json.loads(options.wins.read_text(encoding="utf-8")))
    else:
        control_tokens()


if __name__ == "__main__":
    main()
