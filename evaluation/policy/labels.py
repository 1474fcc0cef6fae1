"""Human labels of compared pairs: the file that people fill in."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError, field_validator

from constitution.errors import Problem, Problems, UserError, problems_of
from constitution.records import Strict
from generation.data.record import BadRow
from generation.data.source import source

OUTCOMES = {"a": 1.0, "tie": 0.5, "b": 0.0}


class HumanLabel(Strict):
    """One row: which response a person prefers."""

    prompt_id: str
    """Id of the prompt, as `--to-label` and `pairs` of `--json` have it."""
    label: Literal["a", "b", "tie"] | None = None
    """A's response, B's, or neither; empty where nobody looked at the pair."""
    group: str = ""
    """Which group of annotators labels, as a region or a profession; one label of a pair for each group."""

    @field_validator("prompt_id", "group", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("label", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return (value.strip().lower() or None) if isinstance(value, str) else value


class Labels(NamedTuple):
    """What people say of pairs."""

    outcomes: dict[str, float]
    """Prompt id -> A's outcome, 1, 1/2 or 0; the mean over groups where several looked at the pair."""
    groups: dict[str, dict[str, float]]
    """Group -> prompt id -> A's outcome; empty where no row names a group."""


def read_labels(path: Path) -> Labels:
    """Rows without a label are left out. Raises UserError with every problem."""
    problems = Problems()
    found: dict[str, dict[str, float]] = {}
    for record in source(str(path)).one()[0]():
        if isinstance(record.row, BadRow):
            problems.found.append(record.row.at(record.place))
            continue
        given = {name: record.row[name] for name in HumanLabel.model_fields if record.row.get(name) is not None}
        try:
            row = HumanLabel.model_validate(given)
        except ValidationError as error:
            problems.found += problems_of(error, HumanLabel, record.place)
            continue
        if row.label is None:
            continue
        group = found.setdefault(row.group, {})
        if group.setdefault(row.prompt_id, OUTCOMES[row.label]) != OUTCOMES[row.label]:
            problems.add(record.place, "label", f"got {row.label} for {row.prompt_id}, which has another above")
    problems.check()
    if not found:
        fix = "each row needs prompt_id, and label: a, b or tie; `--to-label FILE` writes rows to fill in"
        raise UserError(Problem(str(path), got="holds no label", fix=fix))
    each: dict[str, list[float]] = {}
    for labels in found.values():
        for prompt, outcome in labels.items():
            each.setdefault(prompt, []).append(outcome)
    groups = {name: labels for name, labels in found.items() if name}
    return Labels({prompt: sum(said) / len(said) for prompt, said in each.items()}, groups)
