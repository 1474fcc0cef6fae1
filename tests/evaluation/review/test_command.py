"""`solon review`: pairs are handed out and labels taken in, by keys and as JSON."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.review.command import run as review
from evaluation.review.session import Review
from evaluation.review.settings import ReviewSettings
from generation.console import Console
from generation.output.reading import read_candidates
from solon.__main__ import main
from tests.evaluation.review.conftest import PROMPTS, make


def out(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code = main(["review", *arguments])
    found = capsys.readouterr()
    assert code == 0, found.err
    return found.out


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "review.jsonl").read_text().splitlines()]


def test_pairs_go_out_and_labels_come_in_as_json(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handed = [json.loads(line) for line in out(capsys, str(run), "--by", "eve", "--next", "5", "--json").splitlines()]
    texts = {one.id: one.text for one in read_candidates(run / "responses.parquet")}
    assert len({one["line"]["prompt_id"] for one in handed}) == 5
    for one in handed:
        assert (one["a"], one["b"]) == (texts[one["line"]["a"]], texts[one["line"]["b"]])
        assert set(one["line"]) == {"prompt_id", "a", "b", "by", "left", "id"}, "nothing of the judges is told"
    answers = [json.dumps({**one["line"], "label": "a"}) for one in handed]
    assert "2 labels added" in out(capsys, str(run), "--add", answers[0], "--add", answers[1])
    assert "0 labels added, 1 were there" in out(capsys, str(run), "--add", answers[0])
    again = [json.loads(line) for line in out(capsys, str(run), "--by", "eve", "--next", "99", "--json").splitlines()]
    assert {one["line"]["prompt_id"] for one in again} == {p["id"] for p in PROMPTS} - {
        one["line"]["prompt_id"] for one in handed[:2]
    }
    assert [row["label"] for row in lines(run)] == ["a", "a"]
    told = json.loads(out(capsys, str(run), "--json"))
    assert (told["labels"], told["people"]) == (2, {"eve": 2})


def test_the_next_pairs_are_the_same_each_time_and_sides_are_each_persons_own(run: Path) -> None:
    one, other = Review(run), Review(run)
    assert one.next("eve", 9) == other.next("eve", 9)
    left = {by: [one.show(i, by).line["a"] for i in range(24)] for by in ("eve", "ada")}
    assert left["eve"] != left["ada"]
    keys = [one.keys[i].a for i in range(24)]
    assert 4 < sum(a == b for a, b in zip(left["eve"], keys, strict=True)) < 20


def test_lines_that_are_no_labels_of_the_run_are_refused_and_none_of_them_is_added(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {"prompt_id": "p0", "a": "p0/s0", "b": "p0/s1", "label": "a"}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(good) + "\n" + json.dumps(good | {"label": "c"}) + "\n"))
    assert main(["review", str(run), "--add", "-"]) == 2
    assert "line 2" in capsys.readouterr().err
    assert not (run / "review.jsonl").exists()
    assert main(["review", str(run), "--add", json.dumps(good | {"b": "p1/s0"})]) == 2
    assert "are not two responses to 'p0'" in capsys.readouterr().err
    assert main(["review", str(run), "--add", "{}", "--next", "2"]) == 2


def test_a_person_labels_on_the_terminal_and_sees_the_panel_afterwards(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed: Iterator[str] = iter(["?", "a", "n", "b", "=", " ", "x", "q"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("invents\x1b[2J a source\n"))
    screen = io.StringIO()
    (run / "review.jsonl").write_text('{"prompt_id": "p1", "a"')
    review(ReviewSettings(run=run, by="eve"), Console(file=screen, width=100), lambda: next(pressed))
    shown = screen.getvalue()
    assert "\x1b" not in shown
    assert shown.index("A is better with probability") > shown.index("both bad")
    assert shown.count("panel: A is better") == 4, "none for the skipped one"
    assert shown.count("ended within a line") == 1
    rows = [json.loads(line) for line in (run / "review.jsonl").read_text().splitlines()[1:]]
    assert [row["label"] for row in rows] == ["a", "b", "tie", "skip", "both_bad"]
    assert rows[1]["note"] == "invents�[2J a source"
    assert {row["by"] for row in rows} == {"eve"}
    assert "4 pairs labelled" in shown


def test_the_end_of_the_input_ends_the_review(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\n"))
    screen = io.StringIO()
    review(ReviewSettings(run=run, by="eve"), Console(file=screen, width=100))
    assert [row["label"] for row in lines(run)] == ["a"]


def test_once_a_label_has_taken_the_pair_the_panel_is_still_known_by_its_votes(tmp_path: Path) -> None:
    run = make(tmp_path)
    before = Review(run)
    number = before.next("eve")[0]
    pair = before.pair(number)
    against = {"prompt_id": pair.prompt_id, "a": pair.rejected_id, "b": pair.chosen_id, "label": "a", "by": "eve"}
    rewritten = {"edited": "a", "text": "A better one."}
    (run / "review.jsonl").write_text(json.dumps(against | rewritten) + "\n")
    make(tmp_path)
    after = Review(run)
    assert sorted(after.keys) == sorted(before.keys), "what a person wrote has no votes, and is no pair to look at"
    place = after.keys.index(before.keys[number])
    assert after.logits[place] * before.logits[number] > 0
    found = after.progress()
    assert (found.labels, found.preferences) == (1, 1)
    assert {found.accuracy.value, found.chosen.value} & {0.0}
