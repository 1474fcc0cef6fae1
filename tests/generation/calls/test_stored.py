"""The wrapper that makes no call twice."""

import asyncio
import gc
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from constitution.digest import digest
from constitution.records import Message
from generation.calls.database import StoreError
from generation.calls.reading import StoredCalls
from generation.calls.store import CallStore
from generation.calls.stored import Stored
from generation.engines.base import (
    SCHEMA,
    CallError,
    Completion,
    Encoded,
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

ANSWER = Completion("text", "stop", {"A": -0.5}, Usage(3, 2, 1))


def request(index: int = 0) -> Request:
    return Request("model", "sample", (1, 2, 3), Sampling(8, 1.0, 1.0, 7), index=index)


class Counting:
    """An engine that counts calls and answers as told."""

    def __init__(self, answer: Completion | Exception) -> None:
        self.calls = 0
        self.closed = 0
        self.asked: list[tuple[tuple[int, ...], int]] = []
        self._answer = answer

    async def generate(self, request: Request) -> Completion:
        self.calls += 1
        self.asked.append((request.tokens, request.scored))
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


@pytest.mark.parametrize(
    "change",
    [
        'record = CAST(\'{"text": 1, "colour": 2}\' AS BLOB)',
        "record = replace(record, 'text', 'test')",
        "completion_tokens = completion_tokens + 8",
        "model = CAST(x'ff' AS TEXT)",
        "failed = 'empty'",
        "seconds = 'long'",
        "checksum = checksum + 1",
    ],
)
def test_a_damaged_call_is_told_by_all_that_read_it_and_can_be_made_again(change: str, tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    other = replace(request(), index=1)
    ask(Counting(ANSWER), path, request(), other)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE calls SET {change} WHERE key = ?", (request().key(),))
        connection.commit()
    told = f"{path}: 1 stored calls are damaged; run the command of {tmp_path} again with --forget damaged"
    with pytest.raises(StoreError, match=re.escape(told)):
        CallStore(path)
    with closing(StoredCalls([path])) as calls:
        with pytest.raises(StoreError, match=re.escape(told)):
            calls.get(request().key())
        assert calls.get(other.key()) == ANSWER
    store = CallStore(path, forget_damaged=True)
    assert (store.get(request().key()), store.get(other.key())) == (None, ANSWER)
    store.close()


def test_forgotten_calls_are_not_damaged(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "c.sqlite")
    store.put(request().key(), request(), failed(ErrorReason.PROMPT_TOO_LONG, "x"))
    store.close()
    CallStore(tmp_path / "c.sqlite", forget_failed=True).close()
    store = CallStore(tmp_path / "c.sqlite")
    assert store.totals().made == 1
    store.close()


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


ASKED = (Message(role="user", content='<reply>\nIt is.\n</reply>\n\nIs it "so"?'),)


def test_messages_name_a_call_whatever_ids_are_made_of_them() -> None:
    base = Request("model", "compare", (), Sampling(1), messages=ASKED, rendering="r")
    assert replace(base, tokens=(1, 2), scored=1).key() == base.key()
    head = ASKED[0].content.partition("Is")[0]
    others = [
        replace(base, rendering=""), replace(base, rendering="s"), replace(base, last="response"), replace(base, last="ended_response"),
        replace(base, messages=(*ASKED, *ASKED)), replace(base, tools="[]"),
        *(replace(base, messages=(Message(role=role, content=text),))
          for role in ("user", "system") for text in (head, f"{head}Is it?", f"{head[1:]}Is it?", f"x{head}Is it?")),
    ]  # fmt: skip
    assert len({one.key() for one in (base, *others)}) == 1 + len(others)


@pytest.mark.parametrize("content", [ASKED[0].content, 'Which?"content":"', "\ud800</reply>\n\n\u00e9\0"])
def test_a_key_is_the_digest_of_canonical_json_whatever_a_prompt_shares_with_others(content: str) -> None:
    asked = Request(
        "m", "compare", (), Sampling(1), messages=(Message.model_construct(role="user", content=content), *ASKED)
    )
    plain = [SCHEMA, "m", [[one.model_dump(mode="json") for one in asked.messages], ""], 1, 0.0, 1.0, None, [], [], 0]
    assert asked.key().hex() == digest(json.dumps(plain, separators=(",", ":")))


def test_only_calls_that_are_made_are_encoded(tmp_path: Path) -> None:
    encoded: list[str] = []

    def asked(text: str) -> Request:
        def encode() -> Encoded:
            encoded.append(text)
            if text == "odd":
                raise RefusedError(CallError(ErrorReason.BAD_CHAT, text))
            return Encoded((1, 2, 3), 2)

        return Request(
            "model", "compare", (), Sampling(1), messages=(Message(role="user", content=text),), encode=encode
        )

    engine, path = Counting(ANSWER), tmp_path / "c.sqlite"
    assert ask(engine, path, asked("one"), asked("one")) == [ANSWER, ANSWER]
    assert (engine.asked, encoded) == ([((1, 2, 3), 2)], ["one"])
    assert ask(None, path, asked("one")) == [ANSWER]
    refused, found = ask(None, path, asked("odd"), asked("one"))
    assert (str(refused), found, encoded) == ("bad_chat: odd", ANSWER, ["one", "odd"])


class Slow(Counting):
    """An engine whose answers take a while."""

    finished = 0

    async def generate(self, request: Request) -> Completion:
        await asyncio.sleep(0.05)
        self.finished += 1
        return await super().generate(request)


@pytest.mark.parametrize("drains", [True, False])
@pytest.mark.filterwarnings("error")
def test_calls_under_way_are_finished_or_given_up(drains: bool, tmp_path: Path) -> None:
    engine = Slow(ANSWER)

    async def opened() -> Engine:
        return engine

    async def leave() -> Completion | None:
        store = CallStore(tmp_path / "c.sqlite")
        stored = Stored(store, opened, lambda *_: None)
        asking = asyncio.create_task(stored.generate(request()))
        await asyncio.sleep(0.01)
        asking.cancel()
        if drains:
            await stored.drain()
        await stored.close()
        found = store.get(request().key())
        store.close()
        return found

    assert asyncio.run(leave()) == (ANSWER if drains else None)
    assert (engine.finished, engine.closed) == (int(drains), 1)


def test_an_observer_hears_of_every_answer_and_whether_a_call_was_made(tmp_path: Path) -> None:
    heard: list[tuple[int, Completion, bool, bool]] = []

    async def engine() -> Counting:
        return Counting(ANSWER)

    async def twice() -> None:
        with closing(CallStore(tmp_path / "calls.sqlite")) as store:
            ours = Stored(store, engine, lambda r, c, reused, s: heard.append((r.index, c, reused, s > 0)))
            await asyncio.gather(ours.generate(request()), ours.generate(request()))
            await ours.generate(request())
            await ours.close()

    asyncio.run(twice())
    assert sorted(heard[:2], key=lambda one: one[2]) == [(0, ANSWER, False, True), (0, ANSWER, True, True)]
    assert heard[2:] == [(0, ANSWER, True, False)]
