"""Settings that nothing would read under the others."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ValidationError, model_validator

from constitution.errors import problems_of
from generation.reads import ReadIf, check_read, unread

_ON = ReadIf("on is true", lambda group, _: group.on)
_LOUD = ReadIf("volume is above 0", lambda _, whole: whole.volume > 0)


class Group(BaseModel):
    on: bool = False
    size: Annotated[int, _ON] = 3
    name: str = "g"
    tone: Annotated[str, _LOUD] = "low"


class Apart(BaseModel):
    group: Group = Group()


class Settings(BaseModel):
    volume: int = 1
    group: Group = Group()
    many: tuple[Group, ...] = ()
    named: dict[str, Group] = {}
    whole: Annotated[Group, _LOUD] = Group()
    apart: Apart = Apart()


class Checked(Settings):
    @model_validator(mode="after")
    def _read(self) -> "Checked":
        check_read(self)
        return self


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        pytest.param({}, [], id="defaults"),
        pytest.param({"group": {"size": 3}}, [], id="a-default-is-not-given"),
        pytest.param({"group": {"size": 4}}, ["group.size"], id="in-a-group"),
        pytest.param({"group": {"size": 4, "on": True}}, [], id="on"),
        pytest.param({"many": [{"size": 4, "name": "a"}, {"size": 5, "on": True}]}, ["many.a.size"], id="in-a-list"),
        pytest.param({"named": {"x": {"tone": "high"}}, "volume": 0}, ["named.x.tone"], id="by-the-outermost"),
        pytest.param({"whole": {"size": 9}, "volume": 0}, ["whole"], id="a-whole-group-is-told-once"),
        pytest.param({"whole": {"size": 9}}, ["whole.size"], id="what-is-in-a-group-that-is-read"),
        pytest.param({"apart": {"group": {"size": 4}}}, [], id="what-has-rules-of-its-own"),
    ],
)
def test_what_nothing_reads_is_found(given: dict[str, object], keys: list[str]) -> None:
    assert [one.key for one in unread(Settings.model_validate(given), apart=(Apart,))] == keys


def test_an_error_says_where_it_would_be_read() -> None:
    with pytest.raises(ValidationError) as caught:
        Checked.model_validate({"group": {"size": 4}})
    (problem,) = problems_of(caught.value, Checked)
    assert str(problem) == "group.size: got 4, which is read only where on is true; leave it out"
