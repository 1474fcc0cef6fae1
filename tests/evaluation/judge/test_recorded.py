"""Recorded votes: read into matrix, compared with another parser's reading, refused with every problem."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from constitution.errors import UserError
from constitution.records import Message
from evaluation.judge.labelled import made_pair
from evaluation.judge.recorded import RecordedVote, described, read_recorded


def row(**fields: Any) -> dict[str, Any]:
    return {"pair": "p1", "judge": "j", "method": "plain", "swapped": False, "label": 1, "text": "A"} | fields


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in rows))
    return path


def test_verdicts_become_votes_for_the_better_response(tmp_path: Path) -> None:
    found, _ = read_recorded(
        write(
            tmp_path / "v.jsonl",
            row(text="Output (a) is better"),
            row(text="Output (b) is better", swapped=True),
            row(pair="p2", label=2, text="[[A]]"),
            row(pair="p2", label=2, text="[[A]]", swapped=True),
            row(pair="p3", label="2", text="no idea"),
        )
    )
    assert (found.pairs, found.voters, found.judges) == (("p1", "p2", "p3"), ("j/plain",), ("j",))
    # p1: the better is first, then second, and chosen both times. p2: the first place is chosen both times.
    np.testing.assert_array_equal(found.better_first, [[1.0], [1.0], [np.nan]])
    np.testing.assert_array_equal(found.better_second, [[-1.0], [1.0], [np.nan]])
    np.testing.assert_array_equal(found.votes, [[1.0], [0.0], [np.nan]])
    np.testing.assert_array_equal(found.recorded_first, [1.0, 0.0, 0.0])


def test_probabilities_become_log_odds_and_stay_finite(tmp_path: Path) -> None:
    rows = (row(text=None, p=p, method=str(p)) for p in (0.75, 0.0, 1.0))
    found, parsing = read_recorded(write(tmp_path / "v.jsonl", *rows))
    assert dict(zip(found.voters, found.better_first[0], strict=True)) == pytest.approx(
        {"j/0.75": np.log(3), "j/0.0": -13.8155, "j/1.0": 13.8155}, abs=1e-3
    )
    assert parsing.texts == 0


def test_several_answers_are_averaged_and_a_method_may_be_absent(tmp_path: Path) -> None:
    rows = [row(method="", text=text) for text in ("A", "A", "B", "who knows")]
    found, parsing = read_recorded(write(tmp_path / "v.jsonl", *rows))
    assert found.voters == found.judges == ("j",)
    assert found.better_first[0, 0] == pytest.approx(1 / 3)
    assert (parsing.texts, parsing.unread) == (4, 1)


def test_readings_are_compared_in_the_files_order(tmp_path: Path) -> None:
    path = write(
        tmp_path / "v.jsonl",
        row(text="A", winner=1),
        row(text="A", winner="2", swapped=True),
        row(text="A", winner=2),
        row(text="maybe", winner=1),
        row(text="maybe", winner=None),
        row(text="B"),
    )
    parsing = read_recorded(path)[1]
    assert (parsing.texts, parsing.unread, parsing.recorded, parsing.agreed) == (6, 2, 4, 2)
    assert [(d.line, d.ours, d.recorded, d.text) for d in parsing.differing] == [
        (3, "1", "2", "A"),
        (4, "none", "1", "maybe"),
    ]


def test_a_winner_is_a_vote_without_any_text(tmp_path: Path) -> None:
    """By its place in the pair: p1's better response is chosen in both orders, p2's first place, p3 is a tie."""
    bare = {"text": None}
    rows = [
        row(**bare, winner=1),
        row(**bare, winner="1", swapped=True),
        row(**bare, winner=1, pair="p2"),
        row(**bare, winner=2, pair="p2", swapped=True),
        row(**bare, winner=None, pair="p3"),
        row(**bare, winner="Tie", pair="p3", swapped=True),
    ]
    found, parsing = read_recorded(write(tmp_path / "v.jsonl", *rows))
    np.testing.assert_array_equal(found.votes, [[1.0], [0.0], [np.nan]])
    assert (parsing.texts, parsing.recorded) == (0, 0), "nothing was read"
    listed, _ = read_recorded(tmp_path / "v.jsonl", order="listed")
    np.testing.assert_array_equal(listed.votes, [[0.0], [1.0], [np.nan]])


def test_a_winner_in_listed_order_is_recognized_by_the_texts(tmp_path: Path) -> None:
    chosen = [("A", 1, False), ("B", 2, True), ("A", 1, True), ("B", 2, False), ("A", 1, True), ("who knows", 1, False)]
    path = write(
        tmp_path / "v.jsonl",
        *(
            row(pair=f"p{i}", text=text, winner=winner, swapped=swapped)
            for i, (text, winner, swapped) in enumerate(chosen)
        ),
    )
    matrix, parsing = read_recorded(path)
    assert (parsing.agreed, parsing.agreed_otherwise, parsing.recorded) == (2, 5, 6)
    assert parsing.winner_warning(matrix) == (
        "`winner` goes with 83.3% of the texts when it means the place as listed to the judge, and with 33.3% when it means "
        "the place in the pair, as here: read so with --winner listed; votes come from the texts either way"
    )
    matrix, parsing = read_recorded(path, order="listed")
    assert (parsing.agreed, [found.ours for found in parsing.differing]) == (5, ["none"])
    assert parsing.winner_warning(matrix) == ""


def test_a_winner_in_listed_order_is_recognized_without_texts(tmp_path: Path) -> None:
    """A judge that is nearly always of one mind in both orders seems to choose places when its winners are misread."""
    rows = [
        row(pair=f"p{i}", text=None, winner=(2 if swapped else 1) if i else 1, swapped=swapped)
        for i in range(10)
        for swapped in (False, True)
    ]
    matrix, parsing = read_recorded(write(tmp_path / "v.jsonl", *rows))
    assert parsing.winner_warning(matrix) == (
        "90.0% of the votes chose one place in both orders; if `winner` means the place as listed to the judge, read so with "
        "--winner listed"
    )
    matrix, parsing = read_recorded(tmp_path / "v.jsonl", order="listed")
    assert parsing.winner_warning(matrix) == ""


def test_packed_files_and_blank_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write("\n" + json.dumps(row(subset="hard")) + "\n\n")
    assert read_recorded(path)[0].subsets == ("hard",)


def test_what_is_known_of_the_pairs_is_added(tmp_path: Path) -> None:
    found, _ = read_recorded(write(tmp_path / "v.jsonl", row(), row(pair="p2"), row(pair="p3", subset="own")))
    say = (Message(role="user", content="Say it."),)
    long, short = (Message(role="assistant", content=text) for text in ("a b c", "a"))
    labelled = [made_pair("p1", say, long, short, "easy"), made_pair("p2", say, short, long, "hard")]
    known = described(found, labelled)
    assert known.subsets == ("easy", "hard", "own")
    np.testing.assert_array_equal(known.longer, [1.0, -1.0, np.nan])
    assert known.groups[0] == known.groups[1] != known.groups[2] == "p3", "pairs of one prompt belong together"
    with pytest.raises(
        UserError, match=r"--subsets: names none of the votes' pairs \(as 'p1'\); give its rows the `id` that"
    ):
        described(found, [made_pair("other", say, long, short)])


def test_columns_of_other_names_tables_and_what_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_text("\ufeffitem,judge,swapped,label,p,swaped\n0,j,false,1,0.75,x\n0,j,True,1,0.5,x\n")
    said: list[str] = []
    found, _ = read_recorded(path, mapped=["pair=item"], tell=said.append)
    assert (found.pairs, found.voters) == (("0",), ("j",))
    np.testing.assert_allclose(found.better_first, [[np.log(3)]])
    np.testing.assert_allclose(found.better_second, [[0.0]], atol=1e-9)
    assert said == [f"{path}: columns not read: swaped (did you mean swapped?)"]
    with pytest.raises(UserError, match=r"--map pair=itm: .*v.csv has no column itm \(did you mean item\?\)"):
        read_recorded(path, mapped=["pair=itm"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": None}, "v.jsonl:1: has neither text nor p nor winner; allowed: one of them"),
        ({"winner": 3}, "v.jsonl:1: winner: got '3'; allowed: 1, 2"),
        ({"p": 0.5}, "v.jsonl:1: has both text and p; allowed: one of the two"),
        ({"text": None, "p": 1.5}, r"v.jsonl:1: p: got 1.5; allowed: at most 1"),
        ({"label": 3}, r"v.jsonl:1: label: got '3'; allowed: 1, 2"),
        ({"swapped": "perhaps"}, "v.jsonl:1: swapped: got 'perhaps'; allowed: true or false"),
    ],
)
def test_a_bad_line_is_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_recorded(write(tmp_path / "v.jsonl", row(**fields), row()))


def test_every_problem_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "v.jsonl", row(label=3), row(), row(label=2), row(text=None))
    with pytest.raises(UserError) as caught:
        read_recorded(path)
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["1", "3", "4"]
    assert "v.jsonl:3: label: got 2 for pair p1, which was 1 above; allowed: one label a pair" in str(caught.value)


def test_a_file_without_votes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"v.jsonl: holds no votes; each row needs pair, judge, swapped, label and"):
        read_recorded(write(tmp_path / "v.jsonl"))
    with pytest.raises(UserError, match=r"none.jsonl: no such file or folder; allowed: .jsonl"):
        read_recorded(tmp_path / "none.jsonl")


STYLES: tuple[tuple[str, int | None], ...] = (
    ("Output (a) is better.", 1),
    ("Output (b)", 2),
    (
        "Both explain the tides. Output (a) names the moon and the sun, Output (b) only the moon. Therefore, Output (a) is better.",
        1,
    ),
    ("## Verdict\nThe second response answers what was asked, so **Output (b)** is better.", 2),
    (
        "At first Output (b) seems better, as it is longer. It leaves out the units, though. Hence Output (a) is better.",
        1,
    ),
    ("My preference: [[B]]", 2),
    ("After weighing both, I would choose Response 1.", 1),
    ("It is a tie: both outputs are equally good.", None),
    ("Neither output is better for the instruction.", None),
    ("I cannot decide without the table that the instruction speaks of.", None),
)
"""Verdicts as judges write them, and which response a reader takes from them."""


def test_the_ways_in_which_judges_write_are_read_as_a_reader_reads_them(tmp_path: Path) -> None:
    rows = [row(pair=f"p{i}", text=text, winner=winner) for i, (text, winner) in enumerate(STYLES)]
    found, parsing = read_recorded(write(tmp_path / "v.jsonl", *rows))
    assert (parsing.texts, parsing.unread, parsing.recorded, parsing.agreed) == (10, 3, 7, 7)
    assert parsing.differing == []
    expected = [{1: 1.0, 2: -1.0, None: np.nan}[winner] for _, winner in STYLES]
    np.testing.assert_array_equal(found.better_first[:, 0], expected)


def test_a_label_after_rows_without_any_is_told_with_the_first_of_them(tmp_path: Path) -> None:
    path = write(tmp_path / "v.jsonl", row(label=None), row(pair="p2", label=1))
    with pytest.raises(UserError) as error:
        read_recorded(path, labels=False)
    assert f"{path}:2: label: got 1, and line 1 has none; give all or none" in str(error.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("My final verdict is: [[A>>B]]", 2.0),
        ("My final verdict is: [[A>B]]", 1.0),
        ("[[B<<A]]", 2.0),
        ("First I thought [[A>>B]]. Wait, on reflection: [[A>B]]", 1.0),
        ("[[A]]", 1.0),
    ],
)
def test_a_verdict_that_one_is_much_better_counts_for_more(text: str, size: float) -> None:
    vote = RecordedVote(pair="p", judge="j", swapped=False, text=text)
    assert vote.log_odds("pair") == size
