"""Logged numbers survive kills and resumes, and their names have meanings."""

import math
from pathlib import Path

import pytest

from constitution.errors import UserError
from training.run.metrics import FAMILIES, GROUPS, METRICS, Metrics, Row, describe, read


def test_what_is_written_is_read_back_also_what_is_not_finite(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.write(1, {"loss": 0.1, "kl": math.inf, "score": -math.inf})
    metrics.write(1, {"loss": math.nan}, "eval")
    metrics.warn(1, "the loss is ≠")
    # without a close: every line is out once it is written
    first, second, third = read(tmp_path / "metrics.jsonl")
    assert first == Row(1, "train", {"loss": 0.1, "kl": math.inf, "score": -math.inf})
    assert (second.split, str(second.values)) == ("eval", "{'loss': nan}")
    assert third == Row(1, "warning", {}, "the loss is ≠")
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert lines[:2] == [
        '{"step": 1, "split": "train", "loss": 0.1, "kl": "inf", "score": "-inf"}',
        '{"step": 1, "split": "eval", "loss": "nan"}',
    ]
    with pytest.raises(ValueError, match="metric 'step': allowed: any name but split, step, text"):
        metrics.write(1, {"step": 2})


def test_a_resumed_run_repeats_no_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(tmp_path)
    for step in (1, 2, 3):
        metrics.write(step, {"loss": step})
        metrics.warn(step, "bad")
    metrics.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": 4, "spl')
    assert [row.step for row in read(path)] == [1, 1, 2, 2, 3, 3]
    metrics = Metrics(tmp_path)
    metrics.resume(2)
    assert [row.step for row in read(path)] == [1, 1, 2, 2]
    metrics.write(3, {"loss": 3})
    metrics.warn(3, "bad")
    assert path.read_bytes() == whole


def test_a_line_after_a_torn_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "train"')
    Metrics(tmp_path).write(2, {"loss": 1})
    assert read(tmp_path / "metrics.jsonl") == [Row(2, "train", {"loss": 1})]


@pytest.mark.parametrize("line", ["nonsense", "[1]", '{"split": "train"}', '{"step": 1, "split": "train", "loss": []}'])
def test_a_damaged_line_is_told(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1, "split": "train"}}\n{line}\n')
    with pytest.raises(UserError, match=r"metrics.jsonl:2: got .* allowed: a JSON object with `step`"):
        read(path)


def test_every_metric_has_a_group_and_a_meaning() -> None:
    assert {metric.group for metric in METRICS.values()} == set(GROUPS) - {"other"}
    assert all(metric.meaning.endswith(".") for metric in METRICS.values())


def test_names_are_described_by_themselves_their_family_or_not_at_all() -> None:
    assert describe("loss") is METRICS["loss"]
    assert describe("principle/short") is FAMILIES["principle/"]
    assert describe("gold/principle/short") is FAMILIES["gold/principle/"]
    assert [(describe(name).group, describe(name).chart) for name in ("mine", "mine/a", "mine.a.b", "/a")] == [
        ("other", ""), ("other", "mine"), ("other", "mine"), ("other", ""),
    ]  # fmt: skip


def test_a_file_that_is_not_there_has_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path / "metrics.jsonl") == []
