"""Evaluations of three arms over several seeds -> win rates over the base, and how far the first arm is ahead of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from benchmarks.harmless_data import Arm
from critics.ranking.weights import Estimate
from evaluation.policy import winrate as winning
from evaluation.policy.result import PolicyEvaluation
from evaluation.statistics import Floats, interval, resampled


class Outcomes(NamedTuple):
    """One policy, or several seeds of it, against the base."""

    won: Floats
    """[pairs] 1, 0, or 1/2 for a tie."""
    longer: Floats
    """[pairs] words of the policy's response less those of the base's."""
    prompts: tuple[str, ...]


def outcomes(evaluations: Sequence[PolicyEvaluation]) -> Outcomes:
    """All pairs of all of them."""
    pairs = [pair for evaluation in evaluations for pair in evaluation.pairs]
    return Outcomes(
        winning.outcomes([pair.logit for pair in pairs]),
        np.array([pair.longer for pair in pairs], dtype=np.float64),
        tuple(pair.prompt_id for pair in pairs),
    )


def rates(found: Outcomes) -> dict[str, Estimate]:
    """Win rate over the base, raw and length-controlled. A prompt's pairs of all seeds are drawn together."""
    return {
        "raw": winning.win_rate(found.won, 0, found.prompts),
        "controlled": winning.controlled(found.won, found.longer, 0, found.prompts),
    }


def ahead(one: Outcomes, other: Outcomes) -> dict[str, Estimate]:
    """Win rate of one less that of the other, with 95% intervals by bootstrap over the prompts, the same in both."""
    cut = len(one.won)
    prompts = (*one.prompts, *other.prompts)

    def difference(rate: Callable[[Outcomes, Floats], Floats]) -> Estimate:
        def both(weights: Floats) -> Floats:
            return rate(one, weights[:, :cut]) - rate(other, weights[:, cut:])

        return interval(resampled(both, len(prompts), 0, prompts), float(both(np.ones((1, len(prompts))))[0]))

    return {"raw": difference(_raw), "controlled": difference(_controlled)}


def _raw(found: Outcomes, weights: Floats) -> Floats:
    rate: Floats = weights @ found.won / weights.sum(1)
    return rate


def _controlled(found: Outcomes, weights: Floats) -> Floats:
    """As `winning.controlled`."""
    spread = found.longer.std()
    x = np.tanh(found.longer / spread) if spread > 0 else np.zeros_like(found.longer)
    rate: Floats = expit(winning.fit(found.won, x, weights)[:, 0])
    return rate


def lines(arms: Mapping[Arm, Sequence[PolicyEvaluation]], kinds: Mapping[Arm, str]) -> list[str]:
    """The table. arms: name -> its seeds' evaluations, the arm in question first. kinds: name -> what it is."""
    made = [
        "| policy | seed | wins over the base | length-controlled | KL, nats | words, policy / base |",
        "|---|---|---|---|---|---|",
    ]
    for name, evaluations in arms.items():
        for seed, evaluation in enumerate(evaluations):
            win = evaluation.win
            made.append(_row(name, str(seed), win.raw, win.controlled, [evaluation]))
        found = rates(outcomes(evaluations))
        made.append(_row(f"**{name}** ({kinds[name]})", "all", found["raw"], found["controlled"], evaluations))
    first, *others = arms
    made += ["", f"| {first} less | raw, points | length-controlled, points |", "|---|---|---|"]
    for name in others:
        found = ahead(outcomes(arms[first]), outcomes(arms[name]))
        made.append(f"| {name} | {shown(found['raw'])} | {shown(found['controlled'])} |")
    return made


def _row(name: str, seed: str, raw: Estimate, controlled: Estimate | None, of: Sequence[PolicyEvaluation]) -> str:
    drift = [evaluation.kl.value for evaluation in of if evaluation.kl]
    words = [f"{np.mean([getattr(e.responses, side)['words'].value for e in of]):.0f}" for side in ("a", "b")]
    kl = f"{np.mean(drift):.1f}" if drift else ""
    return (
        f"| {name} | {seed} | {shown(raw)} | {shown(controlled) if controlled else ''} | {kl} | {' / '.join(words)} |"
    )


def shown(share: Estimate) -> str:
    """A share or a difference of two, in percent."""
    return f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"
