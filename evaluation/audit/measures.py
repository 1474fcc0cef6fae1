"""The numbers that an audit watches, each with what to do about it."""

from __future__ import annotations

import numpy as np

from critics.methods import CHOICES, METHODS
from critics.ranking.weights import Estimate
from evaluation.audit.data import Audit
from evaluation.audit.pairs import Tally
from evaluation.audit.thresholds import Measure, Verdict, judged

DECIDED = 0.55
"""p_chosen under which a pair is hardly decided."""

_BLIND = (
    f"Use methods that see no order ({', '.join(name for name in CHOICES if not METHODS[name].pairwise)}), "
    "leave position-inconsistent votes out, or take a larger judge."
)
_BIASED = "See which voters are biased; reword their principles, or add one that asks for the opposite."
_LISTED = "failures.parquet lists each with its reason."
_CLEAN = "Copy the data without them: python -m evaluation audit RUN --clean FOLDER."
WORDS = {
    "bias": ("mean |position bias| of votes asked in two orders, in log-odds", _BLIND),
    "position_inconsistent": (
        "votes in which the judge chose the same position in both orders",
        _BLIND,
    ),
    "length_bias": ("pairs in which the longer response is chosen", _BIASED),
    "confidence_bias": ("pairs in which the response that sounds surer is chosen", _BIASED),
    "agreement_bias": ("pairs in which the one response that opens with agreement or praise is chosen", _BIASED),
    "refusal_bias": ("pairs in which the one response that refuses is chosen", _BIASED),
    "refusals_benign": (
        "chosen responses to benign prompts that refuse",
        "Add or raise a principle against needless refusals, and read those pairs.",
    ),
    "repetition": (
        "chosen responses that repeat themselves",
        "Add a rule `check: {max_repetition: 0.3}`, or sample at another temperature.",
    ),
    "manipulation": (
        "chosen responses with a manipulation indicator",
        "Read them; responses.parquet names them in `indicators`.",
    ),
    "undecided": (
        f"pairs with p_chosen under {DECIDED}",
        "Ask more principles or judges, fit weights on labelled pairs, or set plan.min_log_odds.",
    ),
    "controls": (
        "control pairs that the judge got right",
        "The judge gets easy pairs wrong: its labels are hardly worth training on.",
    ),
    "failed": ("prompts that failed", _LISTED),
    "dropped": ("prompts that were dropped", f"{_LISTED} Ties mean that the judge cannot tell the responses apart."),
    "duplicates": ("prompts that nearly repeat an earlier one", _CLEAN),
    "overlap": ("prompts that are in an evaluation set", _CLEAN),
}
"""Measure -> what it is, and what to do when it crosses its limit."""


def verdicts(audit: Audit) -> list[Verdict]:
    """Each measure that has data, against its limit."""
    return judged(measures(audit), audit.thresholds)


def measures(audit: Audit) -> list[Measure]:
    """What an audit watches, in the order of WORDS."""
    voters, manifest, ordered = audit.voters, audit.manifest, audit.voters.ordered
    asked = int(voters.votes[ordered].sum())
    bias = float(voters.abs_bias[ordered].sum()) / max(1, asked)
    near_even = np.asarray(audit.pairs.log_odds) < np.log(DECIDED / (1 - DECIDED))
    tallies = {
        "position_inconsistent": Tally(int(voters.position_inconsistent[ordered].sum()), asked),
        **{f"{name}_bias": tally for name, tally in audit.pairs.biases.items()},
        "refusals_benign": audit.responses.refusals["benign", "chosen"],
        "repetition": audit.pairs.loops,
        "manipulation": audit.responses.manipulative,
        "undecided": Tally(int(near_even.sum()), len(near_even)),
        "controls": Tally(manifest.controls.right, manifest.controls.asked),
        "failed": Tally(manifest.outcomes.failed, manifest.counts.prompts),
        "dropped": Tally(manifest.outcomes.dropped, manifest.counts.prompts),
        "duplicates": Tally(audit.near.number, audit.prompts),
        "overlap": Tally(len(audit.overlaps), audit.prompts if audit.against else 0),
    }
    found = {name: (tally.share, tally.n) for name, tally in tallies.items()}
    found["bias"] = (Estimate(value=bias, low=bias, high=bias), asked)
    return [Measure(name, what, *found[name], advice) for name, (what, advice) in WORDS.items()]
