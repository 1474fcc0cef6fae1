"""Tells improvement from reward hacking: looks at a policy's responses to fixed prompts, check after check.

A reward that is optimized stops measuring what it did before (Goodhart). So the gold reward, which it approximates, is measured
next to it (Gao et al. 2023, arXiv:2210.10760), as are the known ways of gaming a reward: `training/monitor/detectors.py` has a
function for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from constitution.errors import Problem, UserError
from critics.ranking.weights import Estimate
from evaluation.policy.result import PolicyEvaluation
from training.monitor.config import MonitorSettings
from training.monitor.detectors import DETECT, Alert
from training.monitor.moves import Check, best_of

Level = Literal["ok", "warn", "halt"]


class Verdict(NamedTuple):
    """What a check says of the policy."""

    level: Level
    alerts: tuple[Alert, ...]
    """All that hold now, those that end the run first."""

    @property
    def reason(self) -> str:
        """Why it is not ok, in words: of a halt, what halts. Empty where it is ok."""
        return " ".join(alert.text for alert in self.alerts if alert.level == self.level)


class Monitor:
    """Sees each check once, in order; the first is what later ones are compared with. Shown the old checks again, a run that goes
    on is where it was.
    """

    def __init__(self, settings: MonitorSettings | None = None) -> None:
        self.settings = settings or MonitorSettings()
        self.checks: list[Check] = []
        self._reported: set[tuple[str, str]] = set()

    def see(self, check: Check) -> Verdict:
        """What this check brings. Raises ValueError for one that does not come after the last."""
        if self.checks and check.step <= self.checks[-1].step:
            raise ValueError(f"check of step {check.step}: comes after that of step {self.checks[-1].step}")
        self.checks.append(check)
        found = [alert for detect in DETECT for alert in detect(self.checks, self.settings)]
        alerts = [alert._replace(new=(alert.detector, alert.level) not in self._reported) for alert in found]
        self._reported |= {(alert.detector, alert.level) for alert in alerts}
        alerts.sort(key=lambda alert: alert.level != "halt")
        level: Level = alerts[0].level if alerts else "ok"
        return Verdict(level, tuple(alerts))

    @property
    def best(self) -> int | None:
        """Step of the check at which gold was highest, the first of equals; None without gold."""
        found = best_of(self.checks, "gold")
        return None if found is None else self.checks[found].step


def after_round(settings: MonitorSettings, evaluations: Sequence[PolicyEvaluation]) -> Verdict:
    """The verdict on the last of some rounds. evaluations: as for `checks_of`."""
    monitor = Monitor(settings)
    return [monitor.see(check) for check in checks_of(evaluations)][-1]


def checks_of(evaluations: Sequence[PolicyEvaluation]) -> list[Check]:
    """What rounds of training came to: check 0 is the base, check i the policy of the i-th evaluation.

    evaluations: of the accepted policy of each round, and then of the one in question, all against the same base; a later attempt
    may have prompts of its own, and is then moved by how far apart the base is on these and on the first ones. `proxy` is the win
    rate; `gold` that by the constitution held out, or by what of the first was not trained against, as long as that is the same as
    in the first round. Raises UserError for evaluations that cannot be compared.
    """
    first, checks = evaluations[0], list[Check]()
    for number, found in enumerate(evaluations, 1):
        for what, one, other in (
            ("another base", found.b.digest, first.b.digest),
            ("another constitution", found.constitution, first.constitution),
        ):
            if one != other:
                got = f"has {what} ({one[:12]}) than the first ({other[:12]})"
                raise UserError(Problem(f"evaluation {number}", got=got, fix="evaluate all rounds alike"))
        checks.append(_round(number, found, first))
    known = checks[0].values
    start = {name: 0.5 for name in known if name in ("proxy", "gold") or name.startswith("principle/")}
    start |= {"kl": 0.0} if "kl" in known else {}
    errors = dict.fromkeys(start, 0.0)
    for name, e in _measures(first, "b").items():
        if name in known:
            start[name] = e.value
            errors[name] = 0.0 if _paired(first, name) else _error(e)
    return [Check(0, start, errors), *checks]


def _round(number: int, found: PolicyEvaluation, first: PolicyEvaluation) -> Check:
    known = dict(_measures(found, "a"))
    errors = {name: _error(found.differences[name] if _paired(found, name) else e) for name, e in known.items()}
    values = {name: e.value for name, e in known.items()}
    base, start = _measures(found, "b"), _measures(first, "b")  # equal where the prompts are
    for name in known.keys() & base.keys() & start.keys():
        if not _by_amount(name):
            values[name] += start[name].value - base[name].value
        elif base[name].value:  # from this evaluation's amount of text, the less of both sides', to the first's
            scale = start[name].value / base[name].value
            values[name] *= scale
            errors[name] *= scale
    judged = {f"principle/{name}": e for name, e in found.win.principles.items()} | {"proxy": found.win.raw}
    judged |= {name: e for name, e in (("gold", _gold(found, first)), ("kl", found.kl)) if e is not None}
    errors |= {name: _error(e) for name, e in judged.items()}
    return Check(number, values | {name: e.value for name, e in judged.items()}, errors)


def _by_amount(name: str) -> bool:
    """True for measures that fall with the amount of text, whatever it says."""
    return name.startswith("distinct_")


def _gold(found: PolicyEvaluation, first: PolicyEvaluation) -> Estimate | None:
    """None where it would be measured otherwise than in the first round: a part of what was unseen then is trained against now."""
    if found.gold:
        return found.gold.win.raw
    alike = [
        (one.gold, one.judges, one.held_out, one.provenance.principles, one.provenance.judges) for one in (found, first)
    ]
    return found.win.unseen if alike[0] == alike[1] else None


def _paired(found: PolicyEvaluation, name: str) -> bool:
    """True where the evaluation says how far apart the two are in a measure, prompt by prompt: the whole error is in that."""
    return name in found.differences and not (name == "refusal" and "safe" in found.refusals.a)


def _measures(found: PolicyEvaluation, side: Literal["a", "b"]) -> dict[str, Estimate]:
    """Those of one side's responses and probes; `refusal` is that of safe prompts, where they were asked."""
    refusals, probes = getattr(found.refusals, side), getattr(found.probes, side)
    safe = {"refusal": refusals["safe"]} if "safe" in refusals else {}
    unsafe = {"unsafe_refusal": refusals["unsafe"]} if "unsafe" in refusals else {}
    probed = {name: probes[name] for name in ("sycophancy", "confidence") if name in probes}
    return {**getattr(found.responses, side), **safe, **unsafe, **probed}


def _error(estimate: Estimate) -> float:
    """Standard error that a 95% interval stands for."""
    return (estimate.high - estimate.low) / (2 * 1.96)
