"""Calls on disk: nothing lost, nothing twice, errors told."""

import itertools
import math
import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.calls.database import StoreError
from generation.calls.reading import Mean, ModelTotals, StoredCalls
from generation.calls.record import to_row
from generation.calls.store import CallStore
from generation.engines.base import (
    CallError,
    Completion,
    ErrorReason,
    Request,
    Sampling,
    Unkept,
    Usage,
    failed,
)
from tests.forks import start, wait_until
from tests.properties import examples

ROOT = Path(__file__).parents[3]
KEY = b"k" * 16
ANSWER = Completion("text", "stop", {"A": -0.5}, Usage(3, 2, 1))


def request(index: int = 0) -> Request:
    return Request("model", "sample", (1, 2, 3), Sampling(8, 1.0, 1.0, 7), index=index)


numbers = st.floats(allow_nan=False) | st.just(-math.inf)
completions = st.builds(
    Completion,
    text=st.text(st.characters()),
    finish=st.sampled_from(["stop", "length"]),
    logprobs=st.dictionaries(st.sampled_from(["A", "B"]), numbers),
    usage=st.builds(Usage, *[st.integers(0, 1 << 40)] * 4, st.booleans()),
    error=st.none()
    | st.builds(CallError, st.sampled_from([r for r in ErrorReason if r.of_request]), st.text(st.characters())),
    scores=st.lists(numbers, max_size=5).map(tuple),
    floor=st.none() | numbers,
)


@examples(50)
@given(completion=completions)
def test_any_completion_survives(completion: Completion, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("store") / "calls.sqlite"
    store = CallStore(path)
    store.put(KEY, request(), completion)
    assert store.get(KEY) == completion  # before it is on disk
    store.close()
    again = CallStore(path)
    assert again.get(KEY) == completion
    again.close()


def test_nan_survives_for_readers_to_reject(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "c.sqlite")
    store.put(KEY, request(), Completion("", logprobs={"A": math.nan}, scores=(-1.0, math.nan)))
    store.flush()
    found = store.get(KEY)
    assert found is not None
    assert math.isnan(found.logprobs["A"])
    assert math.isnan(found.scores[1])
    store.close()


def test_a_record_names_scores_only_where_there_are_some() -> None:
    record = b'{"text":"text","finish":"stop","logprobs":{"A":-0.5}}'
    assert to_row(request(), ANSWER, 1.0)[0].record == record
    assert to_row(request(), Completion("", scores=(-2.5, -0.125)), 1.0)[0].record.endswith(b',"scores":[-2.5,-0.125]}')
    assert to_row(request(), Completion("", floor=-7.5), 1.0)[0].record.endswith(b',"floor":-7.5}')


def test_the_first_record_of_a_key_stays(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "c.sqlite")
    store.put(KEY, request(), ANSWER)
    store.flush()
    store.put(KEY, request(), Completion("another"))
    store.flush()
    assert store.get(KEY) == ANSWER
    assert store.totals().made == 1
    store.close()


def test_calls_of_another_run_are_copied_and_counted_apart(tmp_path: Path) -> None:
    first = CallStore(tmp_path / "a.sqlite")
    first.put(KEY, request(), ANSWER)
    first.close()
    second = CallStore(tmp_path / "b.sqlite", reuse=[tmp_path / "a.sqlite"])
    assert second.get(KEY) == ANSWER
    second.put(b"x" * 16, request(), ANSWER, 2.5)
    totals = second.totals()
    assert (totals.made, totals.reused, totals.tokens, totals.seconds) == (1, 1, Usage(6, 4, 2), 2.5)
    second.close()
    alone = StoredCalls([tmp_path / "b.sqlite"])
    assert alone.get(KEY) == ANSWER
    alone.close()


@pytest.mark.parametrize(
    "answer",
    [
        failed(ErrorReason.CONTENT_REFUSED, "x"),
        failed(ErrorReason.PROMPT_TOO_LONG, "x"),
        Completion(" \n"),
        Completion("<think>hm"),
        Completion("A"),
    ],
    ids=["refused", "long", "empty", "thoughts", "no log-probabilities"],
)
def test_a_call_that_came_to_nothing_can_be_made_again(answer: Completion, tmp_path: Path) -> None:
    asked = replace(request(), labels=(("A", 1), ("B", 2))) if answer.text == "A" else request()
    good = Completion("text", "stop", {"A": -0.5}, Usage(1, 0, 1))
    for path, forgets in ((tmp_path / "a.sqlite", False), (tmp_path / "a.sqlite", True), (tmp_path / "b.sqlite", True)):
        store = CallStore(path, reuse=[tmp_path / "a.sqlite"] if path.name == "b.sqlite" else [], forget_failed=forgets)
        if not forgets:
            store.put(b"x" * 16, asked, replace(answer, usage=Usage(3, 0, 0)))
            store.put(KEY, request(), ANSWER)
        store.flush()
        assert (store.get(b"x" * 16) is None) == forgets
        assert store.get(KEY) == ANSWER
        store.close()
    again = CallStore(tmp_path / "a.sqlite", forget_failed=True)
    again.put(b"x" * 16, asked, good)
    again.flush()
    assert again.get(b"x" * 16) == good
    assert again.totals().made == 3
    assert again.totals().tokens == Usage(3 + 3 + 1, 2, 1 + 1)  # what was forgotten was paid all the same
    again.close()


def test_what_the_calls_of_a_model_took(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "c.sqlite")
    store.put(b"a" * 16, request(), ANSWER)
    store.put(b"b" * 16, request(), Completion("no word of tokens", usage=Usage(4, 0, 6, 10)))
    store.put(b"e" * 16, request(), replace(ANSWER, usage=Usage(7, 1, 2, batched=True)))
    store.put(b"c" * 16, request(), failed(ErrorReason.CONTENT_REFUSED, "costs nothing"))
    store.put(b"d" * 16, replace(request(), model="other", stage="compare"), replace(ANSWER, usage=Usage(5, 0, 4)))
    totals = store.totals()
    of_model = ModelTotals(4, Usage(7, 2, 7, 10), Usage(7, 1, 2, batched=True))
    assert totals.models == {"model": of_model, "other": ModelTotals(1, Usage(5, 0, 4))}
    assert totals.tokens == Usage(19, 3, 13, 10)
    store.close()
    calls = StoredCalls([tmp_path / "c.sqlite", tmp_path / "c.sqlite"])
    mean = Mean(6, 14 / 3, 1.0, 3.0)
    assert calls.means() == {("sample", "model"): mean, ("compare", "other"): Mean(2, 5.0, 0.0, 4.0)}
    calls.close()


def test_a_paid_call_that_is_not_kept_is_counted_and_found_by_nobody(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "c.sqlite")
    store.put(request().key(), request(), ANSWER)
    for why in Unkept:
        store.put_unkept(request(1), Usage(5, 0, 2, 7), why)
    store.flush()
    assert store.get(request(1).key()) is None
    store.close()
    again = CallStore(tmp_path / "c.sqlite", forget_failed=True)
    totals = again.totals()
    again.close()
    assert (totals.made, totals.unkept) == (1, 3)
    assert totals.tokens == Usage(3 + 15, 2, 1 + 6, 21)
    assert totals.models == {"model": ModelTotals(4, Usage(3 + 15, 2, 1 + 6, 21))}
    calls = StoredCalls([tmp_path / "c.sqlite"])
    assert calls.means() == {("sample", "model"): Mean(1, 3.0, 2.0, 1.0)}  # what a call takes is known of whole ones
    calls.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda p: p.write_bytes(b"not a database" * 100), "the file is damaged or no database", id="no-database"),
        pytest.param(lambda p: sqlite3.connect(p).execute("CREATE TABLE t (x)").connection.close(), "is another program's database", id="foreign"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_ours_is_refused(make: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    make(path)  # type: ignore[operator]
    with pytest.raises(StoreError, match=message):
        CallStore(path)


def test_damaged_calls_of_a_large_file_are_told_as_they_are_read_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.sqlite"
    store = CallStore(path)
    for index in range(3):
        store.put(bytes([index]) * 16, request(index), ANSWER)
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE calls SET seconds = 9 WHERE rowid = 2")
    connection.close()
    with pytest.raises(StoreError, match="1 stored calls are damaged"):
        CallStore(path)
    monkeypatch.setattr("generation.calls.store.CHECKED_FIRST", 2)
    store = CallStore(path)
    assert store.get(bytes([0]) * 16) == ANSWER
    for read in (lambda: store.get(bytes([1]) * 16), store.check):
        with pytest.raises(StoreError, match="1 stored calls are damaged"):
            read()
    store.close()


def test_a_full_disk_is_told_and_what_was_committed_is_kept(tmp_path: Path) -> None:
    code = f"""
import resource, sys
sys.path.insert(0, {str(ROOT)!r})
from generation.engines.base import Completion, Request, Sampling
from generation.calls.store import CallStore
from generation.calls.database import StoreError
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = CallStore(__import__('pathlib').Path({str(tmp_path / "c.sqlite")!r}), window=8)
request = lambda: Request('m', 'sample', (1,), Sampling(8))
for i in range(8):
    store.put(i.to_bytes(16, 'big'), request(), Completion('x' * 1000))
store.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for i in range(8, 5000):
        store.put(i.to_bytes(16, 'big'), request(), Completion('x' * 1000))
    store.flush()
except StoreError as error:
    print('told:', error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
    assert out.startswith("told: ")
    assert "committed calls are kept" in out
    store = CallStore(tmp_path / "c.sqlite")
    assert all(store.get(i.to_bytes(16, "big")) for i in range(8))
    store.close()


def put_and_tell(path: Path, first: int, told: Path) -> int:
    """Put calls without end; tell of each that was flushed, once it was."""
    store = CallStore(path, window=16, window_seconds=0.01)
    with told.open("a") as out:
        for i in itertools.count(first):
            store.put(i.to_bytes(16, "big"), request(), Completion("x" * 500))
            if i % 50 == 0:
                store.flush()
                print(i, file=out, flush=True)
    return 0


def last(told: Path) -> int:
    """The highest call that was flushed."""
    return max(map(int, told.read_text().split()), default=0) if told.exists() else 0


def test_a_kill_loses_no_flushed_call(tmp_path: Path) -> None:
    dice, first, told = random.Random(1), 0, tmp_path / "told"
    for _ in range(6):
        process = start(put_and_tell, tmp_path / "c.sqlite", first, told, log=tmp_path / "log")
        wait_until(lambda before=first: last(told) > before, process)
        time.sleep(dice.random() / 3)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        first = last(told)
    store = CallStore(tmp_path / "c.sqlite")
    assert all(store.get(i.to_bytes(16, "big")) for i in range(first + 1))
    store.close()
    check = sqlite3.connect(tmp_path / "c.sqlite")
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert check.execute("SELECT count(*) - count(DISTINCT key) FROM calls").fetchone() == (0,)
    check.close()
