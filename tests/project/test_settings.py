"""Every setting and every figure of a report says what it means: lists, documents and editors print the string under its field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, Field

from constitution.__main__ import ASKING
from constitution.loading import ConstitutionFile
from constitution.records import Message, Prompt, Strict
from critics.controls import Control
from evaluation.__main__ import COMMANDS as EVALUATION
from evaluation.attack.suite import Texts
from evaluation.audit.thresholds import Thresholds
from evaluation.judge.assessment import Assessment
from evaluation.judge.recorded import RecordedVote
from evaluation.judge.unlabelled import AgreementReport
from evaluation.policy.labels import HumanLabel
from evaluation.policy.result import PolicyEvaluation
from evaluation.probes.facts import Facts
from evaluation.probes.suite import Probes
from generation.config import RunConfig
from generation.request import FeedbackSettings
from training.catalogue import COMMANDS, settings_model

WRITTEN: list[type[BaseModel]] = [
    ConstitutionFile,
    Control,
    Facts,
    Message,
    Probes,
    Prompt,
    RecordedVote,
    RunConfig,
    Texts,
    *map(settings_model, COMMANDS),
    Thresholds,
    FeedbackSettings,
    HumanLabel,
    *(command.options for command in (*EVALUATION.values(), *ASKING.values())),
]
"""Models of the files and the command lines that a user writes."""
REPORTED: list[type[BaseModel]] = [Assessment, PolicyEvaluation, AgreementReport]
"""Models of the JSON that evaluation writes."""


def inside(kind: Any) -> Iterator[type[BaseModel]]:
    """The models in a type, itself included."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from inside(field.annotation)
    for part in get_args(kind):
        yield from inside(part)


def undescribed(kinds: list[type[BaseModel]]) -> set[str]:
    return {
        f"{model.__module__}.{model.__name__}.{name}"
        for kind in kinds
        for model in inside(kind)
        for name, field in model.model_fields.items()
        if not field.description
    }


def test_every_setting_has_a_string_under_it() -> None:
    assert undescribed(WRITTEN) == set()


def test_every_figure_of_a_report_has_a_string_under_it() -> None:
    assert undescribed(REPORTED) == set()


class Inner(Strict):
    said: int = 0
    """What it means."""
    silent: int = 0


class Outer(Strict):
    inner: tuple[Inner | None, ...] = ()
    """Some of them."""
    by_name: dict[str, Inner] = Field(default_factory=dict)


@pytest.mark.parametrize(("model", "names"), [(Outer, ["Inner.silent", "Outer.by_name"]), (Inner, ["Inner.silent"])])
def test_one_without_is_found_wherever_it_stands(model: type[BaseModel], names: list[str]) -> None:
    assert undescribed([model]) == {f"{__name__}.{name}" for name in names}
