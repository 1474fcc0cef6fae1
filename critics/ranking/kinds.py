"""What settings name of how responses are compared, votes weighed, and labels accepted and selected."""

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
Method = Literal["logistic", "temperature", "agreement", "agreement_by_judge"]
"""How weights were come by; `evaluation.judge.fitting` has a function for each."""
Test = Literal["mid-p", "exact"]
"""How a threshold is shown to keep the error with a stated confidence."""
Below = Literal["review", "drop"]
"""What becomes of pairs that the last judges leave unsure."""
