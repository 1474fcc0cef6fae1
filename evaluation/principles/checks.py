"""What is wrong with a principle, as the votes under its wordings show it.

Agreement of two wordings is Pearson's correlation of their votes over pairs, with an interval by Fisher's transformation (1921) at
a level that is divided among all comparisons, so that sound principles raise hardly an alarm. Two principles say the same where
their correlation is what their own wordings leave of it (Spearman 1904, the correction for attenuation).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import scipy  # whose parts are loaded where they are first used

from constitution.principles import Principle
from evaluation.principles.votes import Said
from evaluation.principles.wording import Kind, Wording
from evaluation.statistics import Floats
from evaluation.verify.finding import above, below

FEWEST = 20
"""Pairs with both votes below which nothing is said of two wordings."""
ALARMS = 0.01
"""Chance that a sound principle raises an alarm, by chance alone."""
SAME = 0.95
"""Correlation, once noise is taken off, from which two principles are one."""
APART = 0.5
"""Correlation with itself in other words below which a principle has no meaning that a judge holds to."""
PARTS = 0.3
"""Correlation of a principle's two demands below which they are two principles."""
DECIDES = 0.1
"""Share of pairs in which a principle must take a side."""
SIDE = 0.2
"""Size of a vote, on the scale on which a usual one is 0.76, from which it takes a side."""
FIRST = 0.5
"""Share of pairs in which the same position wins in both orders, from which the place decides."""
LENGTH, AT_LEAST = 0.85, 0.7
"""Share of pairs in which the longer, or the shorter, wins, from which length decides; and what it must be beyond noise."""
_ABOUT_LENGTH = re.compile(
    r"\b(?:short\w*|brief\w*|concise\w*|long\w*|length\w*|words?|sentences?|detail\w*|verbose|wordy|thorough\w*|complete\w*|succinct\w*|ramble\w*|padding)\b",
    re.IGNORECASE,
)


class Doubt(NamedTuple):
    """Something that is wrong with a principle."""

    principle: str
    check: str
    what: str
    fix: str
    value: float
    low: float
    high: float
    pairs: int


class Relation(NamedTuple):
    """How two rows of votes go together."""

    value: float
    low: float
    high: float
    pairs: int


class Probe(NamedTuple):
    """A principle, its wordings and the votes."""

    principle: Principle
    wordings: Mapping[Kind, Sequence[str]]
    """Kind -> ids under which it was asked."""
    said: Said
    level: float
    """Of each test."""

    def votes(self, kind: Kind = "own") -> list[Floats]:
        """[pairs] for each wording of a kind."""
        return [self.said.of(name) for name in self.wordings.get(kind, ())]

    @property
    def own(self) -> Floats:
        """Votes as the principle stands."""
        return self.said.of(self.principle.id)


def doubts(principles: Sequence[Principle], wordings: Sequence[Wording], said: Said) -> list[Doubt]:
    """What is wrong with each of the principles that a model judges, in their order."""
    judged = [principle for principle in principles if principle.judged]
    level = ALARMS / (len(_ALONE) + 2 * len(judged))
    of = [Probe(principle, by_kind(principle.id, wordings), said, level) for principle in judged]
    found = [doubt for probe in of for check in _ALONE for doubt in check(probe)]
    found += [doubt for a, b in combinations(of, 2) for doubt in _together(a, b)]
    places = {principle.id: i for i, principle in enumerate(judged)}
    return sorted(found, key=lambda doubt: places[doubt.principle])


def relation(one: Floats, other: Floats, level: float) -> Relation | None:
    """Correlation with an interval; None for too few pairs, or where either says the same of all."""
    both = ~(np.isnan(one) | np.isnan(other))
    n = int(both.sum())
    if n < FEWEST or np.ptp(one[both]) < 1e-9 or np.ptp(other[both]) < 1e-9:
        return None
    value = float(np.corrcoef(one[both], other[both])[0, 1])
    half = float(scipy.special.ndtri(1 - level / 2)) / np.sqrt(n - 3)
    z = np.arctanh(np.clip(value, -0.999999, 0.999999))
    return Relation(value, float(np.tanh(z - half)), float(np.tanh(z + half)), n)


def agreement(probe: Probe) -> Relation | None:
    """Of a principle as it stands with itself in other words: the mean over these."""
    others = (*probe.votes("again"), *probe.votes("plain"))
    found = [one for other in others if (one := relation(probe.own, other, probe.level))]
    if not found:
        return None
    value, low, high = (float(np.mean([getattr(one, name) for one in found])) for name in ("value", "low", "high"))
    return Relation(value, low, high, found[0].pairs)


def by_kind(name: str, wordings: Sequence[Wording]) -> dict[Kind, list[str]]:
    """Kind -> ids of the wordings of a principle."""
    found: dict[Kind, list[str]] = {}
    for wording in wordings:
        if wording.of == name:
            found.setdefault(wording.kind, []).append(wording.probe.id)
    return found


def _doubt(probe: Probe, check: str, what: str, fix: str, found: Relation) -> Doubt:
    return Doubt(probe.principle.id, check, what, fix, *found)


def _counted(hits: int, n: int) -> Relation:
    share = hits / n if n else float("nan")
    return Relation(share, share, share, n)


def _silent(probe: Probe) -> Iterator[Doubt]:
    """never_decides: no pair, or hardly one, is decided by it."""
    known = ~np.isnan(probe.own)
    n, hits = len(probe.own), int((np.abs(probe.own[known]) >= SIDE).sum())
    if n >= FEWEST and below(hits, n, DECIDES + 0.15) and hits < DECIDES * n:
        what = f"it takes a side in {hits} of {n} pairs"
        yield _doubt(probe, "never_decides", what, "leave it out, or say in it what a reply must do", _counted(hits, n))


def _placed(probe: Probe) -> Iterator[Doubt]:
    """position_decides: the same position wins in both orders."""
    turned = probe.said.inconsistent.get(probe.principle.id)
    turned = turned[~np.isnan(turned)] if turned is not None else np.zeros(0)
    hits, n = int((turned > 0.5).sum()), len(turned)
    if n >= FEWEST and above(hits, n, FIRST):
        what = f"the same position wins in both orders in {hits} of {n} pairs"
        yield _doubt(
            probe, "position_decides", what, "word its question so that both replies are named alike", _counted(hits, n)
        )


def _measured(probe: Probe) -> Iterator[Doubt]:
    """length_decides, where the principle does not speak of length."""
    own, longer = np.nan_to_num(probe.own), probe.said.longer
    both = (np.abs(own) > 0) & (longer != 0)
    n, hits = int(both.sum()), int((np.sign(own[both]) == longer[both]).sum())
    for word, k in (("longer", hits), ("shorter", n - hits)):
        if n and k >= LENGTH * n and above(k, n, AT_LEAST) and not _ABOUT_LENGTH.search(probe.principle.text):
            what = f"the {word} reply wins in {k} of {n} pairs, though it does not speak of length"
            yield _doubt(probe, "length_decides", what, "say in it that length does not count", _counted(k, n))


def _vague(probe: Probe) -> Iterator[Doubt]:
    """varies_with_wording: other words give other votes."""
    found = agreement(probe)
    if found and found.high < APART + 0.15 and found.value < APART:
        what = f"in other words it gives other votes (correlation {found.value:.2f})"
        yield _doubt(probe, "varies_with_wording", what, "say what can be seen in a reply that keeps it", found)


def _reversed(probe: Probe) -> Iterator[Doubt]:
    """reads_reversed: its own question asks for the opposite of its text."""
    for plain in probe.votes("plain"):
        found = relation(probe.own, plain, probe.level)
        if found and found.high < 0:
            what = f"its own question gives the reverse of its text's votes (correlation {found.value:.2f})"
            fix = "ask in `compare` for the reply that keeps it, and mind `good_answer`"
            yield _doubt(probe, "reads_reversed", what, fix, found)


def _unmoved(probe: Probe) -> Iterator[Doubt]:
    """ignores_its_text: its opposite gives the same votes."""
    for against in probe.votes("antithesis"):
        found = relation(probe.own, against, probe.level)
        if found and found.low > 0:
            what = f"its antithesis gives the same votes (correlation {found.value:.2f}): what is said in it is not what decides"
            yield _doubt(probe, "ignores_its_text", what, "try a stronger judge, or plainer words", found)


def _double(probe: Probe) -> Iterator[Doubt]:
    """two_in_one: its two demands are met by different replies."""
    parts = probe.votes("part")
    if len(parts) == 2:
        found = relation(parts[0], parts[1], probe.level)
        if found and found.value < PARTS and found.high < APART + 0.15:
            what = f"it asks for two things that other replies meet (correlation {found.value:.2f})"
            yield _doubt(probe, "two_in_one", what, "make two principles of it", found)


def _split(probe: Probe) -> Iterator[Doubt]:
    """judges_disagree, methods_disagree."""
    voters = probe.said.votes.get(probe.principle.id, {})
    for (name, one), (other_name, other) in combinations(sorted(voters.items()), 2):
        found = relation(one, other, probe.level)
        if found and found.high < 0.4:
            same = name.split("/")[0] == other_name.split("/")[0]
            what = f"{name} and {other_name} do not agree on it (correlation {found.value:.2f})"
            fix = "say what can be seen in a reply that keeps it"
            yield _doubt(probe, "methods_disagree" if same else "judges_disagree", what, fix, found)


def _against(probe: Probe) -> Iterator[Doubt]:
    """against_labels: it prefers what people rejected."""
    sides = probe.own[np.abs(np.nan_to_num(probe.own)) > 0]
    n, hits = len(sides), int((sides > 0).sum())
    if probe.said.labelled and n >= FEWEST and below(hits, n, 0.5) and hits < 0.4 * n:
        what = f"it prefers the better reply in {hits} of {n} labelled pairs"
        yield _doubt(probe, "against_labels", what, "read these pairs; reverse it, or leave it out", _counted(hits, n))


_ALONE: tuple[Callable[[Probe], Iterator[Doubt]], ...] = (
    _silent, _placed, _measured, _vague, _reversed, _unmoved, _double, _split, _against,
)  # fmt: skip


def _together(a: Probe, b: Probe) -> Iterator[Doubt]:
    """redundant, contradicts."""
    found = relation(a.own, b.own, a.level)
    if not found:
        return
    own = [one.value if (one := agreement(probe)) else 1.0 for probe in (a, b)]
    if min(own) < APART:
        return  # noise agrees with nothing, not with itself either
    true = found.value / np.sqrt(own[0] * own[1])
    name = a.principle.id
    if true > SAME and found.low > 0.5:
        what = f"it gives the votes of {name} (correlation {found.value:.2f}, as one principle in other words has)"
        yield _doubt(b, "redundant", what, f"merge it with {name}", found)
    elif true < -SAME + 0.05 and found.high < -0.5:
        what = f"it rewards what {name} penalizes (correlation {found.value:.2f})"
        yield _doubt(b, "contradicts", what, f"keep one of the two, or say when which counts ({name})", found)
