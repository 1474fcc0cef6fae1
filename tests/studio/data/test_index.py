"""The index finds what is in the run's files, and is built once."""

import math
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from constitution.errors import UserError
from generation.output.run import Run, open_run
from studio.data import schema
from studio.data.calls import calls_about
from studio.data.filters import FACETS, PairFilter, PairQuery, read_query
from studio.data.index import Index, _open, index_of
from tests.calling import call, calling_run, rule


@pytest.fixture
def index(finished: Path) -> Index:
    found = index_of(finished)
    assert found is not None
    return found


@pytest.fixture
def run(finished: Path) -> Run:
    return open_run(finished)


def test_every_pair_is_found_whole(index: Index, run: Run) -> None:
    pairs = list(run.pairs())
    assert index.pairs == len(pairs)
    assert [index.pair(i) for i in range(len(pairs))] == pairs
    assert index.pair(len(pairs)) is None


def test_facets_and_numbers_are_those_of_the_pairs(index: Index, run: Run) -> None:
    pairs = list(run.pairs())
    ways: dict[str, Callable[..., set[str]]] = {
        "principle": lambda pair: {vote.principle for vote in pair.votes},
        "against": lambda pair: {vote.principle for vote in pair.votes if vote.value < 0},
        "flips": lambda pair: {vote.principle for vote in pair.votes if vote.position_inconsistent},
        "objective": lambda pair: {name for name, value in pair.objectives.items() if value is not None},
        "objective_against": lambda pair: {name for name, value in pair.objectives.items() if (value or 0) < 0},
        "tag": lambda pair: set(pair.tags),
        "origin": lambda pair: {f"{pair.chosen_origin} over {pair.rejected_origin}"},
        "source": lambda pair: {pair.label_source},
        "split": lambda pair: {pair.split},
    }
    for facet, of in ways.items():
        values = {value for pair in pairs for value in of(pair)}
        assert {count.value for count in index.counts(facet)} == values
        for value in values:
            assert index.having(facet, value).tolist() == [i for i, pair in enumerate(pairs) if value in of(pair)], (
                facet
            )
    why: dict[str, set[str]] = {}
    for one in run.failures():
        why.setdefault(one.prompt_id, set()).add(f"{one.stage}: {one.reason}")
    assert {count.value for count in index.counts("failure")} == set().union(*(why.get(p.prompt_id, ()) for p in pairs))
    for value, _ in index.counts("failure"):
        having = [i for i, pair in enumerate(pairs) if value in why.get(pair.prompt_id, ())]
        assert index.having("failure", value).tolist() == having
    marks = {one.id: one.indicators for one in run.responses()}
    for mark, _ in index.counts("indicator"):
        having = [i for i, p in enumerate(pairs) if mark in marks[p.chosen_id] + marks[p.rejected_id]]
        assert index.having("indicator", mark).tolist() == having
    assert index.values("p") == pytest.approx([pair.p_chosen for pair in pairs])
    assert index.values("against") == pytest.approx([np.mean([v.value < 0 for v in p.votes]) for p in pairs])
    assert index.values("longer").tolist() == [len(p.chosen.content) - len(p.rejected.content) for p in pairs]


def test_filters_are_all_held_and_sorts_turn_round(index: Index, run: Run) -> None:
    pairs = list(run.pairs())
    several = [("tag", "safe"), ("principle", pairs[0].votes[0].principle)]
    both = [
        i for i, pair in enumerate(pairs) if "safe" in pair.tags and several[1][1] in {v.principle for v in pair.votes}
    ]
    assert index.numbers(PairFilter(values=tuple(several))).tolist() == both
    middle = float(np.median(index.values("p")))
    query = read_query([("p_from", f"{middle}"), ("tag", "safe"), ("sort", "-p"), ("size", "3")])
    wanted = [i for i, pair in enumerate(pairs) if pair.p_chosen >= middle - 1e-6 and "safe" in pair.tags]
    found = index.find(query)
    assert found.total == len(wanted) > 0
    assert [one.number for one in found.pairs] == sorted(wanted, key=lambda i: -pairs[i].p_chosen)[:3]
    rising = index.numbers(PairFilter(), "p")
    assert (np.diff(index.values("p")[rising]) >= 0).all()
    assert index.numbers(PairFilter(), "-p").tolist() == rising[::-1].tolist()


def test_words_are_found_and_are_no_operators(index: Index, run: Run) -> None:
    pairs = list(run.pairs())

    def found(text: str) -> list[int]:
        return index.numbers(PairFilter(text)).tolist()

    assert found("kindly QUESTION") == [
        i for i, p in enumerate(pairs) if "kindly" in p.chosen.content + p.rejected.content
    ]
    assert found("kindl") == []
    assert found("kindl*") == found("kindly") != []
    assert found("kindly NOT question") == []  # no text has the word "not" beside the others
    assert found('" OR ( NEAR ^ -') == []
    assert found("***") == []


def test_an_address_says_what_is_asked() -> None:
    items = [
        ("q", "a b"),
        ("tag", "x&y"),
        ("tag", "z"),
        ("p_from", "0.6"),
        ("p_below", "0.7"),
        ("sort", "-margin"),
        ("page", "3"),
    ]
    query = read_query(items)
    assert query == PairQuery(PairFilter("a b", (("tag", "x&y"), ("tag", "z")), (("p", 0.6, 0.7),)), "-margin", 3, 50)
    assert query.address(page=query.page) == "q=a+b&tag=x%26y&tag=z&p_from=0.6&p_below=0.7&sort=-margin&page=3"
    assert "page" not in query.without("tag", "z")
    assert read_query([("p_from", ""), ("tag", " ")]) == PairQuery()
    with pytest.raises(UserError) as error:
        read_query([("p_from", "nan"), ("page", "0"), ("sort", "x"), ("other", "1")])
    assert [problem.key for problem in error.value.problems] == ["p_from", "page", "sort", "other"]
    assert math.isinf(read_query([("p_from", "0.5")]).filter.limits[0][2])
    assert FACETS.keys() >= {"principle", "objective", "tag", "origin", "indicator", "failure"}


def test_what_belongs_to_a_prompt(index: Index, run: Run) -> None:
    for name in {pair.prompt_id for pair in run.pairs()}:
        assert index.responses(name) == [one for one in run.responses() if one.prompt_id == name]
        assert index.critiques(name) == [one for one in run.critiques() if one.prompt_id == name]
        assert index.votes(name) == [one for one in run.votes() if one.prompt_id == name]
        assert index.failures(name) == [one for one in run.failures() if one.prompt_id == name]
        known = calls_about(index.run, name, index=index)
        assert known == calls_about(index.run, name), "by the index as by looking through all"
        assert known
    assert index.responses("nothing") == []
    assert calls_about(index.run, "nothing", index=index) == []


def test_a_damaged_or_older_index_is_built_anew(finished: Path, index: Index) -> None:
    path = schema.place(index.manifest.sha256)
    first = path.stat().st_ino
    _open(finished, index.manifest, lambda pairs: None)
    assert path.stat().st_ino == first  # as it was
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    again = _open(finished, index.manifest, lambda pairs: None)
    assert path.stat().st_ino != first
    path.write_bytes(b"no database")
    assert _open(finished, index.manifest, lambda pairs: None).pairs == again.pairs
    assert [one for one in path.parent.iterdir() if one.suffix not in (".sqlite", ".lock")] == []


def test_an_index_that_nobody_opens_is_removed(tmp_path: Path) -> None:
    old, new = tmp_path / "a.sqlite", tmp_path / "b.sqlite"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    schema.remove_old(tmp_path, tmp_path / "c.sqlite")
    assert not old.exists()
    assert new.exists()


def test_an_unfinished_run_has_none(tmp_path: Path) -> None:
    assert index_of(tmp_path) is None


def test_calls_of_tools_are_shown_and_found(tmp_path: Path) -> None:
    responses = [{"role": "assistant", "content": "", "tool_calls": [call("zenith")]}, "nothing"]
    calling_run(tmp_path, [rule("calling", tool_calls="required")], responses, 2)
    index = index_of(tmp_path / "run")
    assert index is not None
    shown = [row.chosen for row in index.listed([0, 1])]
    assert shown == ['Calls tool: {"name": "look", "arguments": {"at": "zenith"}}'] * 2
    assert len(index.numbers(PairFilter(text="zenith"))) == 2
    assert len(index.numbers(PairFilter(text="nadir"))) == 0
