"""Principles that `constitution learn` finds: how short the list is, and how much of the whole's accuracy it keeps.

    python -m benchmarks.learnt [--pairs 200] [--seeds 3]

Labels come from three qualities of the replies. The pool has twenty principles, one for each of as many qualities; by contrast, the
judge of `benchmarks.planted` writes the quality in which the better reply is ahead most.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import show
from benchmarks.planted import pairs, simulated, sound
from constitution.principles import Constitution
from evaluation.principles.learning import Learnt, learn
from evaluation.principles.settings import LearnSettings
from solon.settings import settings_of

WANTED = {0: 1.0, 1: 0.8, 2: 0.6}


def learnt(count: int, seed: int, folder: Path, *, contrast: bool) -> Learnt:
    """From a pool of twenty, or from what the judge writes."""
    pool = Constitution(name="pool", version=1, objectives={"good": 1.0}, principles=tuple(map(sound, range(20))))
    settings = LearnSettings(data="none", out=folder, contrast=contrast)
    run = settings_of(None, {"judge": simulated}).judge_alone()
    return asyncio.run(learn(settings, run, None if contrast else pool, pairs(count, seed, WANTED).pairs))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for word, contrast in (("from a pool of 20", False), ("by contrast", True)):
            found = [
                learnt(options.pairs, seed, Path(name) / f"{word}-{seed}", contrast=contrast)
                for seed in range(options.seeds)
            ]
            lists = [{one.candidates[place].text for place in one.chosen.places} for one in found]
            wanted = {sound(k).text for k in WANTED}
            show(f"{word}: principles in the list", float(np.mean([len(one) for one in lists])), "", "<= 5")
            show(
                f"{word}: of the 3 that made the labels", float(np.mean([len(one & wanted) for one in lists])), "", "3"
            )
            chosen, whole = (
                float(np.mean([getattr(one.measured, key).value for one in found])) for key in ("chosen", "whole")
            )
            show(f"{word}: accuracy of the list, held out", 100 * chosen, "%", "report")
            show(f"{word}: of that of all candidates", 100 * chosen / whole, "%", ">= 95")


if __name__ == "__main__":
    main()
