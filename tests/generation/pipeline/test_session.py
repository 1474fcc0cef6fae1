"""Sessions: no call twice, counts, and everything closed whatever happens inside."""

from __future__ import annotations

import asyncio
import datetime
import gc
from pathlib import Path

import pytest

from generation.calls.database import StoreError
from generation.config import RunConfig
from generation.engines.base import Completion, Engine, Request, Sampling
from generation.output.folder import DATE, run_folder
from generation.pipeline.session import CallCount, Session


class Echo:
    """Answers with the request's token, and notes that it was closed."""

    closed = 0

    async def generate(self, request: Request) -> Completion:
        return Completion(str(request.tokens))

    async def close(self) -> None:
        self.closed += 1


def request(token: int) -> Request:
    return Request("m", "sample", (token,), Sampling(1))


async def asked(session: Session, engine: Echo, *tokens: int) -> list[str]:
    async def opened() -> Engine:
        return engine

    model = session.wrap(opened)
    return [(await model.generate(request(token))).text for token in tokens]


def test_calls_are_made_once_and_counted(tmp_path: Path) -> None:
    first, second = Echo(), Echo()

    async def go() -> None:
        async with Session(tmp_path / "a.sqlite") as session:
            assert await asked(session, first, 1, 2, 1) == ["(1,)", "(2,)", "(1,)"]
            assert session.calls == CallCount(made=2, reused=1)
        async with Session(tmp_path / "b.sqlite", reuse=[tmp_path / "a.sqlite"]) as session:
            assert await asked(session, second, 1, 3) == ["(1,)", "(3,)"]
            assert session.calls == CallCount(made=1, reused=1)

    asyncio.run(go())
    assert (first.closed, second.closed) == (1, 1)


def test_what_was_opened_is_closed_when_the_work_fails(tmp_path: Path) -> None:
    engine = Echo()

    async def go() -> None:
        async with Session(tmp_path / "a.sqlite", prompts=1) as session:
            await asked(session, engine, 1)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        asyncio.run(go())
    assert engine.closed == 1

    async def again() -> None:
        async with Session(tmp_path / "a.sqlite") as session:
            await asked(session, engine, 1)
            assert session.calls == CallCount(made=0, reused=1)

    asyncio.run(again())


def test_libraries_are_not_looked_through_again_for_garbage_while_calls_are_made(tmp_path: Path) -> None:
    async def inside() -> tuple[int, int]:
        async with Session(tmp_path / "calls.sqlite") as session:
            opened = gc.get_freeze_count()
            made = [[] for _ in range(1000)]
            await asked(session, Echo(), 1)
            return opened, gc.get_freeze_count() - opened - len(made)

    before, more = asyncio.run(inside())
    assert before > 10_000
    assert more >= 0, "what an engine brought in is frozen too"
    assert gc.get_freeze_count() == 0


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_text("thesis" * 1000)

    async def go() -> None:
        async with Session(tmp_path / "a.sqlite"):
            pass

    with pytest.raises(StoreError, match=r"a\.sqlite"):
        asyncio.run(go())


def test_the_day_of_templates_stays_that_of_the_first_start(tmp_path: Path) -> None:
    """Of this folder, else of one whose calls are taken."""

    async def day(folder: Path, config: RunConfig, *reuse: Path) -> str:
        async with Session(folder / "calls.sqlite", reuse=reuse) as session:
            return str(session.dated(config).date)

    plain, given = RunConfig(engine="replay"), RunConfig(engine="replay", date=datetime.date(2001, 2, 3))
    first, second, run = (tmp_path / name for name in ("first", "second", "run"))
    for folder in (first, second, run):
        folder.mkdir()
    run_folder(run).claim({"date": "2004-05-06"})
    today = asyncio.run(day(first, plain))
    assert (first / DATE).read_text().strip() == today
    (first / DATE).write_text("2002-03-04\n")
    assert asyncio.run(day(first, plain)) == "2002-03-04"
    asyncio.run(day(run, plain))
    assert asyncio.run(day(second, plain, run / "calls.sqlite")) == "2004-05-06"
    assert asyncio.run(day(second, plain)) == "2004-05-06"
    assert asyncio.run(day(second, given)) == "2001-02-03"
