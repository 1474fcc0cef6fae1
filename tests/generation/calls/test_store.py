"""Calls on disk: nothing lost, nothing twice, errors told."""

import asyncio
import gc
import itertools
import math
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.calls.store import CallStore, StoredCalls, StoreError, to_row
from generation.calls.stored import Stored
from generation.engines.base import (
    CallError,
    Completion,
    Engine,
    ErrorReason,
    ModelError,
    RefusedError,
    Request,
    Sampling,
    TransientError,
    Usage,
    failed,
)
from generation.engines.replay import Replay
from tests.forks import start, wait_until

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
    usage=st.builds(Usage, *[st.integers(0, 1 << 40)] * 3),
    error=st.none()
    | st.builds(CallError, st.sampled_from([r for r in ErrorReason if r.of_request]), st.text(st.characters())),
    scores=st.lists(numbers, max_size=5).map(tuple),
    floor=st.none() | numbers,
)


@settings(max_examples=50, deadline=None)
@given(completion=completions)
def test_any_completion_survives(completion: Completion, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("store") / "calls.sqlite"
    store = CallStore(path)
    store.put(KEY, "sample", "model", completion)
    assert store.get(KEY) == completion  # before it is on disk
    store.close()
    again = CallStore(path)
    assert again.get(KEY) == completion
    again.close()


def test_nan_survives_for_readers_to_reject(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "c.sqlite")
    store.put(KEY, "compare", "model", Completion("", logprobs={"A": math.nan}, scores=(-1.0, math.nan)))
    store.flush()
    found = store.get(KEY)
    assert found is not None
    assert math.isnan(found.logprobs["A"])
    assert math.isnan(found.scores[1])
    store.close()


def test_a_record_names_scores_only_where_there_are_some() -> None:
    record = b'{"text":"text","finish":"stop","logprobs":{"A":-0.5}}'
    assert to_row("sample", "model", ANSWER, 1.0).record == record
    assert to_row("sample", "model", Completion("", scores=(-2.5, -0.125)), 1.0).record.endswith(
        b',"scores":[-2.5,-0.125]}'
    )
    assert to_row("sample", "model", Completion("", floor=-7.5), 1.0).record.endswith(b',"floor":-7.5}')


def test_the_first_record_of_a_key_stays(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "c.sqlite")
    store.put(KEY, "sample", "model", ANSWER)
    store.flush()
    store.put(KEY, "sample", "model", Completion("another"))
    store.flush()
    assert store.get(KEY) == ANSWER
    assert store.totals().made == 1
    store.close()


def test_calls_of_another_run_are_copied_and_counted_apart(tmp_path: Path) -> None:
    first = CallStore(tmp_path / "a.sqlite")
    first.put(KEY, "sample", "model", ANSWER)
    first.close()
    second = CallStore(tmp_path / "b.sqlite", reuse=[tmp_path / "a.sqlite"])
    assert second.get(KEY) == ANSWER
    second.put(b"x" * 16, "sample", "model", ANSWER, 2.5)
    totals = second.totals()
    assert (totals.made, totals.reused, totals.tokens, totals.seconds) == (1, 1, Usage(6, 4, 2), 2.5)
    second.close()
    alone = StoredCalls([tmp_path / "b.sqlite"])
    assert alone.get(KEY) == ANSWER
    alone.close()


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


def test_a_full_disk_is_told_and_what_was_committed_is_kept(tmp_path: Path) -> None:
    code = f"""
import resource, sys
sys.path.insert(0, {str(ROOT)!r})
from generation.engines.base import Completion
from generation.calls.store import CallStore, StoreError
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = CallStore(__import__('pathlib').Path({str(tmp_path / "c.sqlite")!r}), window=8)
for i in range(8):
    store.put(i.to_bytes(16, 'big'), 'sample', 'm', Completion('x' * 1000))
store.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for i in range(8, 5000):
        store.put(i.to_bytes(16, 'big'), 'sample', 'm', Completion('x' * 1000))
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
            store.put(i.to_bytes(16, "big"), "sample", "m", Completion("x" * 500))
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


class Counting:
    """An engine that counts calls and answers as told."""

    def __init__(self, answer: Completion | Exception) -> None:
        self.calls = 0
        self.closed = 0
        self._answer = answer

    async def generate(self, _: Request) -> Completion:
        self.calls += 1
        await asyncio.sleep(0.01)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def close(self) -> None:
        self.closed += 1


def ask(engine: Counting | None, path: Path, *requests: Request) -> list[Completion | BaseException]:
    async def opened() -> Engine:
        if engine is None:
            raise ModelError("no such model")
        return engine

    async def together() -> list[Completion | BaseException]:
        store = CallStore(path)
        stored = Stored(store, opened, lambda *_: None)
        try:
            return list(await asyncio.gather(*(stored.generate(r) for r in requests), return_exceptions=True))
        finally:
            await stored.close()
            store.close()

    return asyncio.run(together())


def test_equal_calls_in_flight_are_one_and_later_ones_are_read(tmp_path: Path) -> None:
    engine = Counting(ANSWER)
    assert ask(engine, tmp_path / "c.sqlite", *[request()] * 5, request(1)) == [ANSWER] * 6
    assert (engine.calls, engine.closed) == (2, 1)
    unopened = ask(None, tmp_path / "c.sqlite", request(), request(1))  # no model is needed
    assert unopened == [ANSWER] * 2


def test_what_is_wrong_with_the_request_itself_is_stored(tmp_path: Path) -> None:
    terminal = Counting(failed(ErrorReason.PROMPT_TOO_LONG, "x"))
    ask(terminal, tmp_path / "a.sqlite", request())
    ask(terminal, tmp_path / "a.sqlite", request())
    assert terminal.calls == 1


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(TransientError("later"), id="unavailable"),
        pytest.param(RefusedError(CallError(ErrorReason.SERVER_REFUSED, "temperature")), id="refused"),
        pytest.param(ModelError("no credit"), id="no-credit"),
    ],
)
def test_what_a_server_cannot_do_is_not_stored_and_asked_again(error: Exception, tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    engine = Counting(error)
    for _ in range(2):
        (got,) = ask(engine, path, request())
        assert got is error
    assert engine.calls == 2
    assert ask(Counting(ANSWER), path, request()) == [ANSWER]


@pytest.mark.parametrize("reason", [reason for reason in ErrorReason if not reason.of_request])
def test_no_engine_can_have_a_passing_error_stored(reason: ErrorReason, tmp_path: Path) -> None:
    (got,) = ask(Counting(failed(reason, "x")), tmp_path / "c.sqlite", request())
    assert isinstance(got, ValueError)
    assert ask(Counting(ANSWER), tmp_path / "c.sqlite", request()) == [ANSWER]


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    ask(Counting(ANSWER), path, request())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('UPDATE calls SET record = CAST(\'{"text": 1, "colour": 2}\' AS BLOB)')
        connection.commit()
    (got,) = ask(None, path, request())
    assert isinstance(got, StoreError)
    assert "a stored call is damaged" in str(got)


def test_a_model_that_cannot_be_opened_is_told_to_every_caller(tmp_path: Path) -> None:
    errors = ask(None, tmp_path / "c.sqlite", request(), request(1))
    assert [str(error) for error in errors] == ["no such model"] * 2


def test_a_failure_that_nobody_waits_for_is_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A run that ends cancels hundreds of callers at once; each call's traceback would bury what ended it."""
    engine = Counting(TransientError("the engine died"))

    async def opened() -> Engine:
        return engine

    async def given_up() -> None:
        store = CallStore(tmp_path / "c.sqlite")
        stored = Stored(store, opened, lambda *_: None)
        caller = asyncio.create_task(stored.generate(request()))
        while not engine.calls:
            await asyncio.sleep(0)
        caller.cancel()
        assert isinstance((await asyncio.gather(caller, return_exceptions=True))[0], asyncio.CancelledError)
        await asyncio.sleep(0.05)
        await stored.close()
        store.close()

    asyncio.run(given_up())
    gc.collect()
    assert caplog.messages == []


def test_a_recording_answers_and_knows_what_it_lacks(tmp_path: Path) -> None:
    ask(Counting(ANSWER), tmp_path / "c.sqlite", request())
    calls = StoredCalls([tmp_path / "c.sqlite"])
    replay = Replay.recorded(calls.get)
    assert asyncio.run(replay.generate(request())) == ANSWER
    with pytest.raises(RefusedError, match="not_recorded"):
        asyncio.run(replay.generate(request(9)))
    calls.close()


def test_a_key_names_all_that_decides_the_answer() -> None:
    base = request()
    others = [
        Request("other", "sample", (1, 2, 3), Sampling(8, 1.0, 1.0, 7)),
        Request("model", "sample", (1, 2, 4), Sampling(8, 1.0, 1.0, 7)),
        *(Request("model", "sample", (1, 2, 3), s) for s in (Sampling(9, 1.0, 1.0, 7), Sampling(8, 0.9, 1.0, 7), Sampling(8, 1.0, 0.9, 7), Sampling(8, 1.0, 1.0, 8))),
        Request("model", "sample", (1, 2, 3), Sampling(8, 1.0, 1.0, 7, ("x",))),
        Request("model", "sample", (1, 2, 3), Sampling(8, 1.0, 1.0, 7), (("A", 1),)),
        request(1),
        replace(base, scored=1),
        replace(base, scored=2),
        replace(base, numerics="float32"),
        replace(base, numerics="server"),
        replace(base, schema='{"type": "object"}'),
        replace(base, schema="server"),
    ]  # fmt: skip
    assert len({r.key() for r in (base, *others)}) == 1 + len(others)
    assert (
        Request("model", "critique", (1, 2, 3), Sampling(8, 1.0, 1.0, 7)).key() == base.key()
    )  # the stage decides nothing
