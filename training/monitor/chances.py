"""How likely noise alone may fire one detector at one check, so that the chances of a run add up to what the settings allow."""

from __future__ import annotations

from collections.abc import Sequence

from training.monitor.config import Detector, MonitorSettings
from training.monitor.moves import PRINCIPLE, Check
from training.monitor.shifts import SHIFTS

GOLD: Detector = "over-optimisation"
"""Has half of a run's chance, where it shares it with others: nothing says more than gold."""


def chance(checks: Sequence[Check], settings: MonitorSettings, detector: Detector, ends: bool = True) -> float:
    """Of one test at the last check.

    Split among tests by Bonferroni, and among checks as 1 / (t (t - 1)) for the t-th, which sums to 1 however long the run is
    (alpha spending, Lan and DeMets 1983). ends: False for a warning of a detector whose other alerts end the run.
    """
    seen = max(2, len(checks))
    halts = ends and detector in settings.halts
    total = settings.false_alarm if halts else settings.false_warning
    return total * _share(checks[0], settings, detector, halts) / (seen * (seen - 1))


def _share(first: Check, settings: MonitorSettings, detector: Detector, halts: bool) -> float:
    shared = [test for test in family(first, settings) if not halts or test in settings.halts]
    others = sum(test != GOLD for test in shared)
    if detector == GOLD:
        return 0.5 if others else 1.0
    return (0.5 if GOLD in shared else 1.0) / max(1, others)


def family(first: Check, settings: MonitorSettings) -> list[Detector]:
    """The detector of each test that a check is put to: of what the first one measured, and what is not switched off."""
    known, on = first.values, settings
    found: list[Detector] = [s.detector for s in SHIFTS if s.name in known and getattr(on, s.limit) is not None]
    if "gold" in known:
        found.append(GOLD)
    if "gold" in known and "kl" in known and on.peak_ahead is not None:
        found.append("predicted peak")
    if on.principle is not None:
        found += ["principle drift" for name in known if PRINCIPLE in name]
    if on.reward_length is not None and "reward_length" in known:
        found.append("verbosity")
    if on.certainty is not None and "certainty" in known:
        found.append("hallucinated confidence")
    return found
