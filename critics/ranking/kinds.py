"""The kinds of schedule and of selection that settings name."""

from __future__ import annotations

from typing import Literal

Strategy = Literal["best_worst", "adjacent", "all_pairs", "revision_original"]
"""Which pairs to train on: the strongest against the weakest, neighbours in rank, every judged pair, or each original against
its last revision."""
Schedule = Literal["all", "swiss", "knockout", "adaptive"]
"""Which comparisons to make: all, rounds of candidates about equally strong, eliminations, or those that tell most."""
Targets = Literal["best", "revised", "all"]
"""Which responses to imitate: a revision that beats its original or else the best response, such a revision alone, or every
revision."""
