"""Labels are added a line at a time: whole, once, and beside others."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from constitution.errors import UserError
from evaluation.review.adding import add_label
from generation.data.labels import Label, Labels

ADD = """
import sys
from pathlib import Path
from generation.data.labels import Label
from evaluation.review.adding import add_label
for line in sys.stdin:
    name = line.strip()
    add_label(Path(sys.argv[1]), Label(prompt_id=name, a="x", b="y", label="a", by="eve", id=name))
    print(name, flush=True)
"""


def label(name: str = "", **given: str) -> Label:
    return Label.model_validate({"prompt_id": "p", "a": "x", "b": "y", "label": "a", "id": name, **given})


def lines(run: Path) -> list[str]:
    return (run / "review.jsonl").read_text().splitlines()


def test_a_label_is_a_line_that_the_reader_takes(tmp_path: Path) -> None:
    added = add_label(tmp_path, label(by="eve", note="line\nbreak", left="b", edited="a", text="Better."))
    assert added == (True, False)
    (line,) = lines(tmp_path)
    row = json.loads(line)
    assert row.pop("time").endswith("+00:00")
    assert row == {
        "prompt_id": "p", "a": "x", "b": "y", "label": "a", "by": "eve", "note": "line\nbreak",
        "left": "b", "edited": "a", "text": "Better.",
    }  # fmt: skip
    found = Labels((tmp_path / "review.jsonl").read_bytes())
    assert not found.problems
    assert [*found.of("p")] == [("x", "y", "a")]
    assert [*found.edits("p")] == [("x", "Better.")]


def test_the_same_answer_sent_again_is_one_line_and_another_answer_is_another(tmp_path: Path) -> None:
    assert add_label(tmp_path, label("one")).new
    assert not add_label(tmp_path, label("one")).new
    assert add_label(tmp_path, label("on")).new, "an id that another begins with"
    assert add_label(tmp_path, label()).new
    assert add_label(tmp_path, label()).new, "without an id every line is its own"
    assert len(lines(tmp_path)) == 4


@pytest.mark.parametrize("whole", [False, True])
def test_part_of_a_line_that_a_killed_program_left_stays_and_the_next_label_has_a_line_of_its_own(
    tmp_path: Path, whole: bool
) -> None:
    path = tmp_path / "review.jsonl"
    add_label(tmp_path, label("one"))
    before = path.read_bytes()
    add_label(tmp_path, label("two"))
    torn = path.read_bytes()[: -1 if whole else -9]
    path.write_bytes(torn)
    again = add_label(tmp_path, label("two"))
    assert again == (not whole, True), "a line that lacks its end alone is an answer that was given"
    assert path.read_bytes().startswith(torn + b"\n")
    assert path.read_bytes().startswith(before)
    found = Labels(path.read_bytes())
    assert len(found.problems) == (not whole)
    assert sum('"two"' in line and line.endswith("}") for line in lines(tmp_path)) == 1


def test_a_link_and_a_pipe_in_its_place_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("kept")
    path = tmp_path / "review.jsonl"
    path.symlink_to(other)
    with pytest.raises(UserError, match="cannot be written"):
        add_label(tmp_path, label())
    assert other.read_text() == "kept"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="no ordinary file"):
        add_label(tmp_path, label())


def _several(run: Path, who: str) -> None:
    for i in range(40):
        add_label(run, label(f"{who}{i}", by=who, note="x" * 5000))


def test_several_programs_add_at_once(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    people = [fork.Process(target=_several, args=(tmp_path, who)) for who in "uvw"]
    for each in people:
        each.start()
    for each in people:
        each.join()
    assert sorted(json.loads(line)["id"] for line in lines(tmp_path)) == sorted(
        f"{w}{i}" for w in "uvw" for i in range(40)
    )


@pytest.mark.model
def test_killed_while_labels_are_given_none_is_lost_and_none_is_there_twice(tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(200)]
    waiting, told = [*names], list[str]()
    for kill in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", ADD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdin is not None
            assert program.stdout is not None
            while waiting:
                program.stdin.write(waiting[0] + "\n")
                program.stdin.flush()
                if kill < 2 and len(told) == 20 + 50 * kill:
                    time.sleep(0.0003 * kill)
                    program.send_signal(signal.SIGKILL)
                    break
                told.append(program.stdout.readline().strip())
                waiting.pop(0)
            program.stdin.close()
    found = Labels((tmp_path / "review.jsonl").read_bytes())
    assert told == names
    assert sorted(prompt for (prompt, _, _), _ in found.people()) == sorted(names)
    assert len([line for line in lines(tmp_path) if line.endswith("}")]) == len(names)
