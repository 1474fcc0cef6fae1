"""What `constitution test --json` writes, and whoever shows it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import ValidationError

from constitution.errors import Problem, UserError
from constitution.principles import Constitution
from constitution.records import Strict
from evaluation.principles.asking import Answers
from evaluation.principles.checks import SIDE, Doubt, Probe, agreement, by_kind, relation

LEVEL = 0.05
"""Of the intervals that are shown."""


class Agreement(Strict):
    """A correlation of votes."""

    value: float
    low: float
    high: float
    pairs: int


class Tested(Strict):
    """A principle's figures."""

    text: str
    """As it was when it was tested."""
    in_other_words: Agreement | None
    """Of the principle with itself in other words."""
    antithesis: float | None
    """Of the principle with its antithesis: it should be below 0."""
    decides: float | None
    """Share of the pairs in which it takes a side."""
    most_like: str
    """The principle whose votes its own are most like; empty where there is none."""
    likeness: float | None
    """Correlation of the two."""
    wordings: dict[str, int]
    """Kind -> wordings that were asked."""


class Doubted(Strict):
    """Something that is wrong with a principle."""

    principle: str
    check: str
    what: str
    fix: str
    value: float | None
    low: float | None
    high: float | None
    pairs: int


class Proposed(Strict):
    """A wording in a principle's place."""

    principle: str
    text: str
    before: float | None
    """Agreement of the principle with itself in other words."""
    after: float | None
    """The same of the proposal."""
    same: float | None
    """Agreement of the two."""


class TestCalls(Strict):
    """Model calls."""

    __test__ = False
    made: int
    reused: int


class TestReport(Strict):
    """What a constitution's principles are worth."""

    __test__ = False
    constitution: str
    """Its digest."""
    pairs: int
    calls: TestCalls
    failed_votes: int
    principles: dict[str, Tested]
    """Those that a model judges."""
    doubts: tuple[Doubted, ...]
    proposals: tuple[Proposed, ...] = ()

    def about(self, name: str) -> list[Doubted]:
        """What is wrong with a principle."""
        return [one for one in self.doubts if one.principle == name]


def report(
    constitution: Constitution, answers: Answers, found: list[Doubt], proposals: tuple[Proposed, ...] = ()
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
        proposals=proposals,
    )


def read_report(path: Path) -> TestReport:
    """A report that was written. Raises UserError."""
    try:
        return TestReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        got = f"is no report of principles ({' '.join(str(error).split())[:200]})"
        fix = f"solon constitution test PATH --data PAIRS|RUN --json {path}"
        raise UserError(Problem(str(path), got=got, fix=fix)) from None


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
