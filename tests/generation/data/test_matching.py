"""Tags of prompts that no principle names, principles whose tags no prompt has, and columns that no row has are told."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from constitution.loading import load
from constitution.principles import Constitution
from generation.data.matching import SHOWN, unmatched


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """Constitution whose principles apply to the prompts with each of these tags."""

    def make(*tags: list[str] | None) -> Constitution:
        principles = [
            {"id": f"p{i}", "objective": "good", "text": f"Be {i}."} | ({"applies_to": {"tags": some}} if some else {})
            for i, some in enumerate(tags)
        ]
        path = tmp_path / "laws.yaml"
        path.write_text(
            yaml.safe_dump({"name": "x", "version": 1, "objectives": {"good": 1.0}, "principles": principles})
        )
        return load(path)

    return make


def test_what_meets_is_not_told(made: Any) -> None:
    assert [*unmatched(made(["code", "long"], None), ["long", "code"], [])] == []
    assert [*unmatched(made(None), [], [])] == []


def test_both_sides_are_told(made: Any) -> None:
    assert [*unmatched(made(["code"], ["long"], None), ["cod", "long"], [])] == [
        "tags that no principle names: cod (did you mean code?)",
        "principles that apply to no row, for no row has their tags: p0",
    ]


def test_some_are_named_and_the_rest_counted(made: Any) -> None:
    (line,) = unmatched(made(None), [f"t{i:02}" for i in range(SHOWN)], [])
    assert line == "tags that no principle names: " + ", ".join(f"t{i:02}" for i in range(SHOWN))
    (line,) = unmatched(made(None), [f"t{i:02}" for i in range(SHOWN + 2)], [])
    assert line.endswith("t09 and 2 more")


def test_columns_that_rules_read_and_no_row_has_are_told(tmp_path: Path) -> None:
    path = tmp_path / "laws.yaml"
    rule = {"id": "right", "objective": "good", "text": "Be right.", "check": {"answer": "answer", "of_row": "rules"}}
    path.write_text(yaml.safe_dump({"name": "x", "version": 1, "objectives": {"good": 1.0}, "principles": [rule]}))
    assert [*unmatched(load(path), [], ["answer", "rules"])] == []
    assert [*unmatched(load(path), [], ["answers", "rules"])] == [
        "columns that rules of x read and no row has: answer (did you mean answers?)"
    ]
