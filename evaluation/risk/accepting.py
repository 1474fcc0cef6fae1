"""A panel's log-odds of labelled pairs -> what can be promised of the labels that are accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from critics.ranking.accept import Acceptance, Kind, Seen, Step
from critics.ranking.kinds import Test
from critics.ranking.weights import Origin
from evaluation.risk.splits import halves
from evaluation.risk.thresholds import loosest, rank_steps, step_scales
from evaluation.statistics import Floats

HALVED = 20
"""Fewer labelled pairs than this are not halved to see the error out of sample."""
Flags = NDArray[np.bool_]


def accepting(
    logits: Floats,
    cascade: Sequence[str],
    groups: Sequence[str],
    origin: Origin,
    promised: tuple[float, float | None, Test],
    digests: tuple[str, str],
    kinds: Mapping[str, Flags],
) -> Acceptance:
    """Where labels are accepted as the steps of a cascade ask; one step where all judges are asked together.

    logits: [pairs, steps] for the better response, by all votes up to each step, and by weights that did not see the pair. Each
    step's log-odds are put on one scale, by the divisor that makes the labels most likely, and one threshold on it is found for the
    cascade as a whole. groups: [pairs] the prompt of each. promised: error, confidence and test. digests: of the weights, and of
    the settings that say who votes. kinds: kind of pair -> [pairs] whether each is one.
    """
    error, confidence, test = promised
    clean = np.nan_to_num(logits)
    scales = step_scales(clean)
    at = loosest(rank_steps(clean / scales), error, confidence, test)
    left, found = np.ones(len(clean), dtype=bool), []
    for number, scale in enumerate(scales):
        least = None if at.least is None else at.least * float(scale)
        enough = (
            np.abs(clean[:, number]) >= least * (1 - 1e-9) if least is not None else np.zeros(len(clean), dtype=bool)
        )
        taken = left & enough
        step = Step(
            judges=(cascade[number],) if cascade else (),
            threshold=None if least is None else least * (1 - 1e-9),
            labels=int(left.sum()),
            accepted=int(taken.sum()),
            wrong=int((clean[taken, number] < 0).sum()),
        )
        found.append(step)
        left &= ~enough
    return Acceptance(
        max_error=error,
        confidence=confidence,
        test=test,
        found_on=origin,
        weights=digests[0],
        voting="" if digests[0] else digests[1],
        prompts=len(set(groups)),
        steps=tuple(found),
        seen=out_of_sample(clean, error, confidence, test),
        kinds=selected(kinds, ~left),
    )


def out_of_sample(logits: Floats, error: float, confidence: float | None, test: Test) -> Seen | None:
    """The error seen where halves of the labels choose the threshold for the others; None for too few. logits: [pairs, steps]."""
    if len(logits) < HALVED:
        return None
    found = halves(logits, error, confidence, test)
    return Seen(accepted=found.accepted, error=found.error, exceeded=found.exceeded)


def selected(kinds: Mapping[str, Flags], taken: Flags) -> dict[str, Kind]:
    """Each kind's share among the accepted pairs and among all; nothing where none is accepted."""
    if not taken.any():
        return {}
    return {
        name: Kind(accepted=float(flags[taken].mean()), all=float(flags.mean()))
        for name, flags in kinds.items()
        if flags.any()
    }
