"""The calls of several runs, read by key, by prompt, by the beginning of a key; sums of each; outcomes by their state."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from generation.calls.reading import StoredCalls, Totals
from generation.calls.store import CallStore
from generation.engines.base import Completion, Request, Sampling, Subject, Usage


def request(prompt: str, index: int = 0) -> Request:
    return Request("model", "sample", (1, 2, 3), Sampling(8, 1.0, 1.0, 7), index=index, subject=Subject(prompt))


def answer(text: str, tokens: int) -> Completion:
    return Completion(text, "stop", {}, Usage(tokens, 0, 1))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two runs that share a key, and one that was killed before its first call."""
    for name, calls in (
        ("a", [(b"k1", "p", 3), (b"k2", "q", 4)]), ("b", [(b"k1", "p", 5), (b"k3", "p", 6)])
    ):  # fmt: skip
        with closing(CallStore(tmp_path / name)) as store:
            for i, (key, prompt, tokens) in enumerate(calls):
                store.put(key * 8, request(prompt, i), answer(f"{name}{i}", tokens), float(tokens))
            store.put_outcome("p", b"s" * 16, f"of {name}".encode())
    CallStore(tmp_path / "none").close()
    return [tmp_path / name for name in ("none", "a", "b")]


def test_the_first_file_that_has_a_call_answers(files: list[Path]) -> None:
    with closing(StoredCalls(files)) as calls:
        found = [calls.get(key * 8) for key in (b"k1", b"k3", b"k4")]
        assert [one and one.text for one in found] == ["a0", "b1", None]
        assert [place for place, _ in filter(None, (calls.find(key * 8) for key in (b"k1", b"k3")))] == [1, 2]


def test_calls_are_found_by_prompt_and_by_the_beginning_of_their_keys(files: list[Path]) -> None:
    with closing(StoredCalls(files[2:])) as calls:
        assert [row.completion().text for _, row in calls.about("p")] == ["b0", "b1"]
        assert [key for key, _ in calls.named("6B")] == [b"k1" * 8, b"k3" * 8]
        assert [key for key, _ in calls.named("6B33")] == [b"k3" * 8]
        assert [*calls.about("q"), *calls.named("00")] == []
    with closing(StoredCalls(files)) as calls:
        assert [*calls.about("p")] == [], "of the first file alone"


def test_sums_are_of_the_file_that_is_named(files: list[Path], tmp_path: Path) -> None:
    with closing(StoredCalls(files)) as calls:
        found = [calls.totals(path) for path in (*files, tmp_path / "other")]
    assert [(one.made, one.tokens.prompt, one.seconds) for one in found] == [
        (0, 0, 0),
        (2, 7, 7.0),
        (2, 11, 11.0),
        (0, 0, 0),
    ]
    assert found[0] == found[3] == Totals(0, 0, 0, Usage(), 0.0, {})


def test_outcomes_are_of_a_file_and_a_state(files: list[Path]) -> None:
    state, other = b"s" * 16, b"t" * 16
    with closing(StoredCalls(files[1:])) as calls:
        assert [calls.outcome("p", state), calls.outcome("p", state, 1)] == [b"of a", b"of b"]
        assert [calls.outcome("p", other), calls.outcome("q", state)] == [None, None]
        assert [calls.has_outcome(state), calls.has_outcome(other)] == [True, False]
        assert [calls.has_outcome(state, "p"), calls.has_outcome(state, "q"), calls.has_outcome(other, "p")] == [
            True,
            False,
            False,
        ]
    with closing(StoredCalls([files[1], files[0]])) as calls:
        assert calls.outcome("p", state, 1) is None


def test_a_store_says_what_it_holds_while_it_is_open(tmp_path: Path) -> None:
    with closing(CallStore(tmp_path / "c")) as store:
        store.put(b"k" * 16, request("p"), replace(answer("x", 2), finish="length"))
        store.flush()
        with closing(StoredCalls([tmp_path / "c"])) as calls:
            assert calls.get(b"k" * 16) == replace(answer("x", 2), finish="length")
