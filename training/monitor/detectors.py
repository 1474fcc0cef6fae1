"""What may be wrong with a policy, one function or row for each way: from all checks so far to the alerts that hold now."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from training.monitor import overoptimisation
from training.monitor.chances import chance
from training.monitor.config import Detector, MonitorSettings
from training.monitor.moves import PRINCIPLE, Check, Move, best_of, earned, has, moved, since_start
from training.monitor.shifts import SHIFTS

GREW = 1.1
"""Times as many words from which on responses count as longer, for the reward that follows length."""
RISEN = 0.1
"""Chance at which noise alone looks as if the reward had risen while gold fell."""
_TURN = "raise kl.coefficient, lower learning_rate, or train the reward anew on this policy's responses"


class Alert(NamedTuple):
    """Something that is wrong."""

    detector: Detector
    level: Literal["warn", "halt"]
    text: str
    """What moved, from where to where, and what to try."""
    new: bool = True
    """False where the run has raised it before."""


def shifted(checks: Sequence[Check], settings: MonitorSettings) -> Iterator[Alert]:
    """Values beyond their limit at each of the last checks, by more than noise."""
    for shift in SHIFTS:
        limit = getattr(settings, shift.limit)
        found = None if limit is None else since_start(checks, shift.name, settings.checks)
        if found is None or limit is None:
            continue
        move, values = found
        beyond = all(shift.beyond(move.before, value, limit) for value in values)
        if beyond and _unwanted(shift.detector, move, checks, settings):
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
    follows = min(values) > limit and move.now > GREW * move.before
    if follows and _unwanted("verbosity", move, checks, settings):
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
    surer = min(values) > move.before + limit and hedged[0].by <= 0
    if surer and _unwanted("hallucinated confidence", move, checks, settings):
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
    for name in sorted(name for name in checks[0].values if PRINCIPLE in name):
        found = since_start(checks, name, settings.checks)
        if found is None:
            continue
        move, values = found
        fell = max(values) < move.before - settings.principle
        if fell and _unwanted("principle drift", move, checks, settings):
            yield _alert(
                checks, settings, "principle drift",
                f"{name} went {move} while the reward went {total[0]}: the policy trades this principle for the others",
                "raise that principle's weight, give it a veto, or " + _TURN,
            )  # fmt: skip


def overoptimised(checks: Sequence[Check], settings: MonitorSettings) -> Iterator[Alert]:
    """The reward has risen since gold was highest, and gold has fallen by more than noise: a warning where only the last check says
    so, a halt where gold is lower at each of the last `checks`.
    """
    for last in range(settings.checks, 0, -1):
        found = _fallen(checks, settings, last)
        if found is None:
            continue
        peak, gold, proxy = found
        seen = f"since step {peak.step} the reward rose {proxy}, while gold fell {gold}, over the last {_count(last)}"
        advice = f"{_TURN}, or use several reward models with reward.models.pessimism"
        if last == settings.checks:
            advice = f"keep the policy of step {peak.step}; {advice}"
            yield _alert(checks, settings, "over-optimisation", f"{seen}: the reward is over-optimized", advice)
        else:
            text = _alert_text(checks, "over-optimisation", f"{seen}: the gap grows", f"if it continues, {advice}")
            yield Alert("over-optimisation", "warn", text)
        return


def _fallen(checks: Sequence[Check], settings: MonitorSettings, last: int) -> tuple[Check, Move, Move] | None:
    """(gold's best check, gold's fall since, the reward's rise) over some last checks; None where gold did not fall for sure.

    Gold is lower at each of them. A fall that grows is clearest at the last one, a slow one in the mean of all, so each such mean
    is tested, at its share of the chance, of which one check alone has half as well: the highest of some noisy checks is higher
    than it ought to be.
    """
    best, recent = best_of(checks, "gold"), checks[-last:]
    if best is None or len(checks) - 1 - best < last or len(has(recent, "gold")) < last:
        return None
    peak = checks[best]
    if len(has([peak, *recent], "proxy")) <= last:
        return None
    gold, proxy = moved(peak, recent, "gold"), moved(peak, recent, "proxy")
    if not gold.by < 0 < proxy.by or not proxy.sure(RISEN) or (last < settings.checks and math.isnan(gold.error)):
        return None  # where noise is not known, only several checks tell
    allowed = chance(checks, settings, "over-optimisation", ends=last == settings.checks) / max(2, last)
    falls = [moved(peak, recent[i:], "gold") for i in range(last)]
    lower = all(moved(peak, [check], "gold").by < 0 for check in recent)
    return (peak, gold, proxy) if lower and any(fall.by < 0 and fall.sure(allowed) for fall in falls) else None


def turning(checks: Sequence[Check], settings: MonitorSettings) -> Iterator[Alert]:
    """The curve through gold's gains has its peak near, or behind."""
    curve = gold_curve(checks)
    if settings.peak_ahead is None or curve is None or not has(checks[-1:], "gold") or not has(checks[-1:], "kl"):
        return
    d = math.sqrt(max(0.0, checks[-1].values["kl"]))
    if d > 0 and curve.falls(settings.peak_ahead * d, chance(checks, settings, "predicted peak")):
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


def _unwanted(detector: Detector, move: Move, checks: Sequence[Check], settings: MonitorSettings) -> bool:
    """No noise, and no price of a gold that rises with the reward."""
    return move.sure(chance(checks, settings, detector)) and not earned(checks[0], checks[-settings.checks :])


def _alert(checks: Sequence[Check], settings: MonitorSettings, detector: Detector, seen: str, advice: str) -> Alert:
    return Alert(
        detector, "halt" if detector in settings.halts else "warn", _alert_text(checks, detector, seen, advice)
    )


def _alert_text(checks: Sequence[Check], detector: Detector, seen: str, advice: str) -> str:
    return f"step {checks[-1].step}: {detector}: {seen}. {advice[0].upper()}{advice[1:]}."


def _count(checks: int) -> str:
    return "check" if checks == 1 else f"{checks} checks"
