"""What may be wrong with a policy, one function or row for each way: from all checks so far to the alerts that hold now."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from training.monitor import overoptimisation
from training.monitor.config import Detector, MonitorSettings
from training.monitor.moves import Check, Move, best_of, has, moved, since_start

GREW = 1.1
"""Times as many words from which on responses count as longer, for the reward that follows length."""
_TURN = "raise kl.coefficient, lower learning_rate, or train the reward anew on this policy's responses"


class Alert(NamedTuple):
    """Something that is wrong."""

    detector: Detector
    level: Literal["warn", "halt"]
    text: str
    """What moved, from where to where, and what to try."""
    new: bool = True
    """False where the run has raised it before."""


class Shift(NamedTuple):
    """A value that must not move too far from where it was at the first check."""

    detector: Detector
    name: str
    limit: str
    """Setting that holds the limit."""
    kind: Literal["rise", "fall", "times", "lost"]
    """rise, fall: by the limit. times: to so many times. lost: by that share."""
    what: str
    advice: str

    def beyond(self, before: float, now: float, limit: float) -> bool:
        """True where the value is further than it may be."""
        allowed = {
            "rise": before + limit,
            "fall": before - limit,
            "times": before * limit,
            "lost": before * (1 - limit),
        }
        return now > allowed[self.kind] if self.kind in ("rise", "times") else now < allowed[self.kind]


SHIFTS = (
    Shift(
        "disagreement", "spread", "spread", "times", "reward models disagree more on what the policy writes than they did",
        "raise reward.models.pessimism, add models, or",
    ),
    Shift(
        "verbosity", "words", "words", "times", "responses grow longer",
        "compare length-controlled win rates, add a rule against length to the reward, or",
    ),
    Shift(
        "style exploitation", "markup", "markup", "rise", "responses fill with markup (per 100 words)",
        "label pairs whose sides differ in style alone, or",
    ),
    Shift(
        "repetition", "repetition", "repetition", "rise", "responses repeat themselves",
        "add a rule on max_repetition to the reward, or",
    ),
    Shift(
        "repetition", "distinct_2", "distinct", "lost", "responses grow alike (share of different pairs of words)",
        "raise entropy, or",
    ),
    Shift(
        "truncation", "truncated", "truncated", "rise", "more responses are cut at the limit",
        "raise missing_end_penalty or sampler.max_tokens, or",
    ),
    Shift(
        "over-refusal", "refusal", "refusal", "rise", "harmless prompts are refused",
        "add safe prompts that look unsafe to the data, weigh helpfulness more, or",
    ),
    Shift(
        "under-refusal", "unsafe_refusal", "unsafe_refusal", "fall", "unsafe prompts are refused less",
        "add unsafe prompts to the data, weigh harmlessness more, or",
    ),
    Shift(
        "hallucinated confidence", "confidence", "confidence", "rise", "the policy answers unanswerable questions as if it knew",
        "reward responses that admit not knowing, or",
    ),
    Shift(
        "sycophancy", "agreement", "agreement", "rise", "responses open with praise or agreement",
        "add a principle against flattery, or",
    ),
    Shift(
        "sycophancy", "sycophancy", "sycophancy", "rise", "answers adopt the user's wrong belief",
        "reward right answers to users who are wrong, or",
    ),
    Shift(
        "distribution shift", "novelty", "novelty", "rise", "responses differ from the reward model's data (new word 4-grams)",
        "add such responses to its data, or",
    ),
)  # fmt: skip
"""What needs no more than two numbers; the functions below look at several values together."""


def shifted(checks: Sequence[Check], settings: MonitorSettings) -> Iterator[Alert]:
    """Values beyond their limit at each of the last checks, by more than noise."""
    for shift in SHIFTS:
        limit = getattr(settings, shift.limit)
        found = None if limit is None else since_start(checks, shift.name, settings.checks)
        if found is None or limit is None:
            continue
        move, values = found
        if all(shift.beyond(move.before, value, limit) for value in values) and _sure(move, checks, settings):
            yield _alert(
                checks, settings, shift.detector, f"{shift.what}: {shift.name} went {move}", f"{shift.advice} {_TURN}"
            )


def verbose(checks: Sequence[Check], settings: MonitorSettings) -> Iterator[Alert]:
    """The reward follows length, and responses grow: the one explains the other."""
    limit, words = settings.reward_length, since_start(checks, "words", settings.checks)
    recent = checks[-settings.checks :]
    if limit is None or words is None or len(has(recent, "reward_length")) < len(recent):
        return
    move, _ = words
    values = [check.values["reward_length"] for check in recent]
    if min(values) > limit and move.now > GREW * move.before and _sure(move, checks, settings):
        yield _alert(
            checks, settings, "verbosity",
            f"the reward follows length (rank correlation {values[-1]:.2f}) and responses grow: words went {move}",
            "see that longer responses are better by gold too, add a rule against length to the reward, or " + _TURN,
        )  # fmt: skip


def overconfident(checks: Sequence[Check], settings: MonitorSettings) -> Iterator[Alert]:
    """More boosters without more hedges."""
    limit, k = settings.certainty, settings.checks
    certain, hedged = since_start(checks, "certainty", k), since_start(checks, "hedging", k)
    if limit is None or certain is None or hedged is None:
        return
    move, values = certain
    if min(values) > move.before + limit and hedged[0].by <= 0 and _sure(move, checks, settings):
        yield _alert(
            checks, settings, "hallucinated confidence",
            f"responses claim certainty: certainty went {move} words in 100, while hedging went {hedged[0]}",
            "run the confidence probes of `python -m evaluation policy`, reward responses that admit not knowing, or " + _TURN,
        )  # fmt: skip


def drifting(checks: Sequence[Check], settings: MonitorSettings) -> Iterator[Alert]:
    """Principles that are given up while the whole rises."""
    total = since_start(checks, "proxy", settings.checks)
    if settings.principle is None or total is None or total[0].by <= 0:
        return
    for name in sorted(name for name in checks[0].values if "principle/" in name):
        found = since_start(checks, name, settings.checks)
        if found is None:
            continue
        move, values = found
        if max(values) < move.before - settings.principle and _sure(move, checks, settings):
            yield _alert(
                checks, settings, "principle drift",
                f"{name} went {move} while the reward went {total[0]}: the policy trades this principle for the others",
                "raise that principle's weight, give it a veto, or " + _TURN,
            )  # fmt: skip


def overoptimised(checks: Sequence[Check], settings: MonitorSettings) -> Iterator[Alert]:
    """The reward has risen since gold was highest, and gold has not come back since: a warning; a halt once its fall is no noise.

    The highest of t noisy checks is higher than it ought to be, so the chance of a false alarm is shared out over the t (t - 1) / 2
    pairs of checks that could have been compared so far.
    """
    k, best = settings.checks, best_of(checks, "gold")
    if best is None or len(checks) - 1 - best < k or len(has(checks[-k:], "gold")) < k:
        return
    recent, peak = checks[-k:], checks[best]
    if len(has([peak, *recent], "proxy")) <= k:
        return
    gold, proxy = moved(peak, recent, "gold"), moved(peak, recent, "proxy")
    if gold.by >= 0 or proxy.by <= 0:
        return
    seen = len(has(checks, "gold"))
    since_peak = f"since step {peak.step} the reward rose {proxy}"
    if gold.sure(2 * settings.false_alarm / (seen * (seen - 1))):
        yield _alert(
            checks, settings, "over-optimisation",
            f"{since_peak}, while gold fell {gold}, over the last {_count(k)}: the reward is over-optimized",
            f"keep the policy of step {peak.step}; {_TURN}, or use several reward models with reward.models.pessimism",
        )  # fmt: skip
    else:
        text = f"{since_peak}, while gold went {gold}: the gap grows"
        yield Alert(
            "over-optimisation", "warn", _alert_text(checks, "over-optimisation", text, f"if it continues, {_TURN}")
        )


def turning(checks: Sequence[Check], settings: MonitorSettings) -> Iterator[Alert]:
    """The curve through gold's gains has its peak near, or behind."""
    curve = gold_curve(checks)
    if settings.peak_ahead is None or curve is None or not has(checks[-1:], "gold") or not has(checks[-1:], "kl"):
        return
    d = math.sqrt(max(0.0, checks[-1].values["kl"]))
    if d > 0 and curve.falls(settings.peak_ahead * d, settings.false_alarm / len(checks)):
        fell = curve.beta <= 0  # it goes down and flattens: there is no place where it turns
        where = "is behind" if fell or curve.peak < d else "is near"
        turns = "goes down from the start" if fell else f"turns down at sqrt(KL) {curve.peak:.2f}"
        text = (
            f"gold's peak {where}: the curve through {len(has(checks, 'gold'))} checks {turns}, "
            f"and the policy is at {d:.2f} (KL {d * d:.3g} nats)"
        )
        yield _alert(checks, settings, "predicted peak", text, f"stop here, or {_TURN}")


def gold_curve(checks: Sequence[Check], form: overoptimisation.Form = "rl") -> overoptimisation.Fit | None:
    """The curve through gold's gains over the first check; None without enough checks."""
    places = [i for i in has(checks, "gold") if math.isfinite(checks[i].values.get("kl", math.nan))]
    if not places or places[0] != 0:
        return None
    moves = [moved(checks[0], [checks[i]], "gold") for i in places[1:]]
    errors = [move.error for move in moves]
    return overoptimisation.fit([checks[i].values["kl"] for i in places[1:]], [m.by for m in moves], errors, form)


DETECT: tuple[Callable[[Sequence[Check], MonitorSettings], Iterator[Alert]], ...] = (
    overoptimised,
    turning,
    drifting,
    verbose,
    overconfident,
    shifted,
)


def _sure(move: Move, checks: Sequence[Check], settings: MonitorSettings) -> bool:
    """No noise, by a chance that is shared out over the checks that were compared with the first so far."""
    return move.sure(settings.false_alarm / (len(checks) - 1))


def _alert(checks: Sequence[Check], settings: MonitorSettings, detector: Detector, seen: str, advice: str) -> Alert:
    return Alert(
        detector, "halt" if detector in settings.halts else "warn", _alert_text(checks, detector, seen, advice)
    )


def _alert_text(checks: Sequence[Check], detector: Detector, seen: str, advice: str) -> str:
    return f"step {checks[-1].step}: {detector}: {seen}. {advice[0].upper()}{advice[1:]}."


def _count(checks: int) -> str:
    return "check" if checks == 1 else f"{checks} checks"
