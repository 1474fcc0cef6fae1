"""Gates: what a round's policy must come to, or nothing is built on it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

from pydantic import Field

from constitution.records import Strict
from critics.ranking.weights import Estimate
from evaluation.policy.result import PolicyEvaluation, Sides
from evaluation.statistics import share

_SHARE = Field(default=None, ge=0, le=1)
_ROUNDING = 1e-9
"""A figure that is the limit itself passes, whatever its last bit."""


class Gates(Strict):
    """Limits; None switches a gate off. If the figure that a gate needs is missing, the gate fails."""

    win: float | None = Field(default=0.5, ge=0, le=1)
    """Minimum win rate over the base."""
    controlled: float | None = _SHARE
    """Minimum length-controlled win rate over the base."""
    gold: float | None = _SHARE
    """Minimum win rate over the base by the constitution of `evaluation.gold`."""
    previous: float | None = _SHARE
    """Minimum win rate over the policy that the round started from; needs a separate evaluation."""
    bound: Literal["value", "low"] = "value"
    """What of these four win rates is compared with the limit: the value, or the lower end of its 95% interval."""
    kl: float | None = Field(default=None, gt=0)
    """Maximum KL from the base, in nats per response."""
    longest: float | None = Field(default=None, gt=0)
    """Maximum mean length in words, as a multiple of the base's."""
    shortest: float | None = Field(default=None, gt=0)
    """Minimum mean length in words, as a multiple of the base's."""
    refusal_up: float | None = _SHARE
    """Maximum increase over the base of the share of harmless prompts that are refused; 0.02 is two points."""
    unsafe_refusal_down: float | None = _SHARE
    """Maximum decrease below the base of the share of harmful prompts that are refused."""
    repetition_up: float | None = _SHARE
    """Maximum increase over the base of the share of repeated text."""
    distinct_down: float | None = _SHARE
    """Maximum decrease of `distinct_2`, as a share of the base's."""
    truncated: float | None = _SHARE
    """Maximum share of responses cut by the token limit."""
    unanswered: float | None = Field(default=0.1, ge=0, le=1)
    """Maximum share of empty or missing responses; other measures use the rest."""
    agreement: float | None = _SHARE
    """Minimum share of held-out fresh pairs that the round's reward model ranks as the judge did."""
    controls: float | None = _SHARE
    """Minimum share of control pairs that the judge gets right, which the lower end of the 95% interval must reach: a coin gets 5
    of 8 right once in three times."""


class Evidence(NamedTuple):
    """What is known of a round."""

    evaluation: PolicyEvaluation
    """Policy against base."""
    previous: PolicyEvaluation | None
    """Policy against the one that the round started from; the same where that is the base."""
    agreement: float | None
    """Share of held-out pairs that the reward model orders as the judge did; None without a reward model."""
    controls: tuple[int, int] | None
    """Right, and asked; None without fresh pairs."""
    idle: tuple[str, ...] = ()
    """Rules that told no two fresh responses apart."""


class Gate(Strict):
    """One gate's verdict."""

    name: str
    passed: bool
    value: float | None
    """What was compared; None where it is missing."""
    limit: float
    reason: str
    """What was found and what is allowed, in words."""


class _GateValue(NamedTuple):
    value: float | None
    text: str
    """How the value reads; why there is none, where it is None."""


def judge(gates: Gates, evidence: Evidence) -> tuple[Gate, ...]:
    """Every gate that is set, passed or not, in the order of the settings."""
    return tuple(_judged(gates, evidence))


def _judged(gates: Gates, evidence: Evidence) -> Iterator[Gate]:
    for name, kind in _GATES.items():
        limit = getattr(gates, name)
        if limit is None:
            continue
        found = kind.read(evidence, gates)
        if found.value is None:
            reason = f"{kind.what}: is missing ({found.text})"
            yield Gate(name=name, passed=False, value=None, limit=limit, reason=reason)
            continue
        # a figure that is not finite passes no gate: each comparison with it is false
        room = found.value - limit if kind.least else limit - found.value
        reason = f"{kind.what}: {found.text}; allowed: at {'least' if kind.least else 'most'} {kind.shown(limit)}"
        yield Gate(name=name, passed=room >= -_ROUNDING, value=found.value, limit=limit, reason=reason)


def figures(evidence: Evidence) -> dict[str, Estimate]:
    """What a round came to, by name, for tables and curves."""
    e = evidence.evaluation
    found = {
        "win": e.win.raw,
        "controlled": e.win.controlled,
        "gold": e.gold.win.raw if e.gold else None,
        "previous": evidence.previous.win.raw if evidence.previous else None,
        "kl": e.kl,
        **e.responses.a,
        **{f"{name}_refusal": value for name, value in e.refusals.a.items()},
        **e.probes.a,
    }
    return {name: value for name, value in found.items() if value is not None}


def _share(found: Estimate | None, gates: Gates, missing: str) -> _GateValue:
    """One of the four win rates."""
    if found is None:
        return _GateValue(None, missing)
    text = f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"
    return _GateValue(found.low if gates.bound == "low" else found.value, text)


def _win(evidence: Evidence, gates: Gates) -> _GateValue:
    return _share(evidence.evaluation.win.raw, gates, "")


def _controlled(evidence: Evidence, gates: Gates) -> _GateValue:
    return _share(evidence.evaluation.win.controlled, gates, "the evaluation could not control for length")


def _gold(evidence: Evidence, gates: Gates) -> _GateValue:
    gold = evidence.evaluation.gold
    return _share(gold.win.raw if gold else None, gates, "the evaluation has no gold constitution")


def _previous(evidence: Evidence, gates: Gates) -> _GateValue:
    previous = evidence.previous
    return _share(previous.win.raw if previous else None, gates, "the two policies were not compared")


def _kl(evidence: Evidence, _: Gates) -> _GateValue:
    kl, why = evidence.evaluation.kl, evidence.evaluation.kl_missing
    if kl is None:
        return _GateValue(None, why or "the evaluation did not measure it")
    return _GateValue(kl.value, f"{kl.value:.2f} nats ({kl.low:.2f} to {kl.high:.2f})")


def _words(evidence: Evidence, _: Gates) -> _GateValue:
    ours, base = _both(evidence.evaluation.responses, "words")
    if ours is None or base is None or not base:
        return _GateValue(None, "no words were counted")
    return _GateValue(ours / base, f"{ours:.1f} against {base:.1f}, {ours / base:.2f} times as many")


def _refusal(evidence: Evidence, _: Gates) -> _GateValue:
    return _rise("safe", evidence.evaluation.refusals, "no harmless prompts were asked")


def _unsafe_refusal(evidence: Evidence, _: Gates) -> _GateValue:
    found = _rise("unsafe", evidence.evaluation.refusals, "no harmful prompts were asked")
    return found if found.value is None else found._replace(value=-found.value)


def _repetition(evidence: Evidence, _: Gates) -> _GateValue:
    return _rise("repetition", evidence.evaluation.responses, "no repetition was measured")


def _distinct(evidence: Evidence, _: Gates) -> _GateValue:
    ours, base = _both(evidence.evaluation.responses, "distinct_2")
    if ours is None or base is None or not base:
        return _GateValue(None, "distinct_2 was not measured")
    return _GateValue(1 - ours / base, f"{ours:.3f} against the base's {base:.3f}, {1 - ours / base:.1%} lost")


def _truncated(evidence: Evidence, _: Gates) -> _GateValue:
    cut = evidence.evaluation.responses.a.get("truncated")
    return _GateValue(cut.value, f"{cut.value:.1%}") if cut else _GateValue(None, "cut responses were not counted")


def _unanswered(evidence: Evidence, _: Gates) -> _GateValue:
    share = evidence.evaluation.responses.a.get("unanswered")
    return (
        _GateValue(share.value, f"{share.value:.1%}")
        if share
        else _GateValue(None, "missing responses were not counted")
    )


def _agreement(evidence: Evidence, _: Gates) -> _GateValue:
    value = evidence.agreement
    return (
        _GateValue(None, "the round has no reward model with held-out pairs")
        if value is None
        else _GateValue(value, f"{value:.1%}")
    )


def _controls(evidence: Evidence, _: Gates) -> _GateValue:
    if not evidence.controls or not evidence.controls[1]:
        return _GateValue(None, "the round has no fresh pairs with control pairs")
    right, asked = evidence.controls
    found = share(right, asked)
    return _GateValue(found.low, f"{right} of {asked} ({found.low:.1%} to {found.high:.1%})")


def _both(sides: Sides, name: str) -> tuple[float | None, float | None]:
    """A measure of the policy and of the base."""
    ours, base = sides.a.get(name), sides.b.get(name)
    return ours.value if ours else None, base.value if base else None


def _rise(name: str, sides: Sides, missing: str) -> _GateValue:
    """How far a share of the policy lies above the base's."""
    ours, base = _both(sides, name)
    if ours is None or base is None:
        return _GateValue(None, missing)
    return _GateValue(ours - base, f"{ours:.1%} against the base's {base:.1%}, {100 * (ours - base):+.1f} points")


def _percent(limit: float) -> str:
    return f"{limit:.1%}"


def _points(limit: float) -> str:
    return f"{100 * limit:.1f} points"


class _Kind(NamedTuple):
    what: str
    least: bool
    """Whether the limit is the least that is allowed, or the most."""
    read: Callable[[Evidence, Gates], _GateValue]
    shown: Callable[[float], str]
    """How a limit reads."""


_GATES: Mapping[str, _Kind] = {
    "win": _Kind("win rate over the base", True, _win, _percent),
    "controlled": _Kind("win rate over the base at equal length", True, _controlled, _percent),
    "gold": _Kind("win rate over the base by the gold constitution", True, _gold, _percent),
    "previous": _Kind("win rate over the round's starting policy", True, _previous, _percent),
    "kl": _Kind("KL from the base", False, _kl, "{:g} nats".format),
    "longest": _Kind("words", False, _words, "{:g} times as many".format),
    "shortest": _Kind("words", True, _words, "{:g} times as many".format),
    "refusal_up": _Kind("refusals of harmless prompts", False, _refusal, lambda limit: f"{_points(limit)} more"),
    "unsafe_refusal_down": _Kind(
        "refusals of harmful prompts", False, _unsafe_refusal, lambda limit: f"{_points(limit)} fewer"
    ),
    "repetition_up": _Kind("repeated text", False, _repetition, lambda limit: f"{_points(limit)} more"),
    "distinct_down": _Kind("different pairs of words", False, _distinct, lambda limit: f"{_percent(limit)} lost"),
    "truncated": _Kind("responses cut at the limit", False, _truncated, _percent),
    "unanswered": _Kind("responses that are empty or missing", False, _unanswered, _percent),
    "agreement": _Kind("agreement of reward model and judge on fresh pairs", True, _agreement, _percent),
    "controls": _Kind("pairs with a known answer that the judge got right", True, _controls, _percent),
}
