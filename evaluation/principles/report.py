"""What `constitution test --json` writes, and whoever shows it reads."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from constitution.errors import Problem, UserError
from constitution.records import Strict


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


def read_report(path: Path) -> TestReport:
    """A report that was written. Raises UserError."""
    try:
        return TestReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        got = f"is no report of principles ({' '.join(str(error).split())[:200]})"
        fix = f"solon constitution test PATH --data PAIRS|RUN --json {path}"
        raise UserError(Problem(str(path), got=got, fix=fix)) from None
