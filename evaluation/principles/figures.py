"""A report of principles from the votes on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from constitution.principles import Constitution
from evaluation.principles.asking import Answers
from evaluation.principles.checks import SIDE, Doubt, Probe, agreement, by_kind, relation
from evaluation.principles.report import Agreement, Doubted, Proposed, TestCalls, Tested, TestReport

LEVEL = 0.05
"""Of the intervals that are shown."""


def report(
    constitution: Constitution, answers: Answers, found: Sequence[Doubt], proposals: Sequence[Proposed] = ()
) -> TestReport:
    """Everything that was found."""
    judged = [principle.id for principle in constitution.principles if principle.judged]
    return TestReport(
        constitution=constitution.digest,
        pairs=len(answers.said.pairs),
        calls=TestCalls(**answers.calls._asdict()),
        failed_votes=answers.failures,
        principles={name: _tested(constitution, answers, name, judged) for name in judged},
        doubts=tuple(Doubted(**{**one._asdict(), **_finite(one)}) for one in found),
        proposals=tuple(proposals),
    )


def _finite(one: Doubt) -> dict[str, float | None]:
    return {name: value if np.isfinite(value := getattr(one, name)) else None for name in ("value", "low", "high")}


def _tested(constitution: Constitution, answers: Answers, name: str, judged: list[str]) -> Tested:
    probe = Probe(constitution.by_id(name), by_kind(name, answers.wordings), answers.said, LEVEL)
    own = agreement(probe)
    against = [one.value for votes in probe.votes("antithesis") if (one := relation(probe.own, votes, LEVEL))]
    known = probe.own[~np.isnan(probe.own)]
    alike = [
        (found.value, other)
        for other in judged
        if other != name and (found := relation(probe.own, answers.said.of(other), LEVEL))
    ]
    likeness, most_like = max(alike, default=(None, ""))
    return Tested(
        text=probe.principle.text,
        in_other_words=Agreement(**own._asdict()) if own else None,
        antithesis=against[0] if against else None,
        decides=float((np.abs(known) >= SIDE).mean()) if len(known) else None,
        most_like=most_like,
        likeness=likeness,
        wordings={kind: len(names) for kind, names in probe.wordings.items()},
    )
