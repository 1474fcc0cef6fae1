"""What the monitor saw, as a section of a page: the verdicts, and reward and gold over the distance from the reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from evaluation.pages import plots
from evaluation.pages.section import Section, Table
from training.monitor.detectors import gold_curve
from training.monitor.file import CheckRecord
from training.monitor.moves import Check, has

_FORMS = {"rl": "gold, fitted d (a - b log d)", "best of n": "gold, fitted d (a - b d)"}
_DRAWN = 41
"""Points of a fitted curve."""
_SHOWN = ("kl", "proxy", "gold")


def verdicts(seen: Sequence[CheckRecord]) -> Section:
    """The section of a run; without parts where there was no check."""
    text = (
        "The same held-out prompts at each check. Proxy is the reward that is trained on, gold the one that it approximates: where "
        "the proxy keeps rising and gold falls, the reward is over-optimized. d is the square root of the KL from the reference; "
        "both curves are those of Gao et al. 2023 (arXiv:2210.10760). What each detector saw is below, under Monitor."
    )
    if not seen:
        return Section("Verdicts", text, [])
    rows = [
        (check.step, verdict.level, *(_number(check, name) for name in _SHOWN), _reasons(CheckRecord(check, verdict)))
        for check, verdict in seen
    ]
    table = Table("", ("#step", "verdict", "#KL", "#reward", "#gold", "why"), rows)
    return Section("Verdicts", text, [*_over_distance(seen), table])


def _over_distance(seen: Sequence[CheckRecord]) -> Iterator[plots.Plot]:
    """Gains of reward and gold, each in standard deviations over the prompts at the start, so that they share an axis."""
    checks = [check for check, _ in seen]
    places = [i for i in has(checks, "gold") if i in has(checks, "kl") and i in has(checks, "proxy")]
    if len(places) < 2:
        return
    first = checks[places[0]]
    scales = {name: _spread(first, name) for name in ("proxy", "gold")}
    distance = [math.sqrt(max(0.0, checks[i].values["kl"])) for i in places]
    lines = {
        {"proxy": "reward", "gold": "gold"}[name]: [
            (d, (checks[i].values[name] - first.values[name]) / scale) for d, i in zip(distance, places, strict=True)
        ]
        for name, scale in scales.items()
    }
    gains = [gain for points in lines.values() for _, gain in points]
    for form in ("rl", "best of n"):
        if fitted := gold_curve(checks, form):
            grid = np.linspace(0, max(distance), _DRAWN)
            lines[_FORMS[form]] = [(float(d), fitted.gain(float(d)) / scales["gold"]) for d in grid]
    halt = next((i for i, (_, verdict) in enumerate(seen) if verdict.level == "halt"), None)
    if halt is not None and halt in places:
        d = distance[places.index(halt)]
        lines[f"halted, step {checks[halt].step}"] = [(d, min(gains)), (d, max(gains))]
    unit = "standard deviations" if scales != {"proxy": 1.0, "gold": 1.0} else ""
    yield plots.line("Gain of reward and gold over the distance", lines, "d = sqrt(KL), KL in nats per response", unit)


def _spread(check: Check, name: str) -> float:
    """Over prompts; 1 where it is not known, or where all are alike."""
    found = float(np.nanstd(check.rows[name])) if name in check.rows else 0.0
    return found if math.isfinite(found) and found > 0 else 1.0


def _number(check: Check, name: str) -> str:
    return f"{check.values[name]:.4g}" if name in check.values else ""


def _reasons(seen: CheckRecord) -> str:
    """What is new, whole; of the rest, the detectors' names."""
    new = [alert.text for alert in seen.verdict.alerts if alert.new]
    old = dict.fromkeys(alert.detector for alert in seen.verdict.alerts if not alert.new)
    return " ".join([*new, f"Still: {', '.join(old)}." if old else ""]).strip()
