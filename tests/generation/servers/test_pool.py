"""Several servers as one: where calls go, and what becomes of a server's trouble."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from generation.engines.base import Completion, ErrorReason, ModelError, RefusedError, Request, Sampling, TransientError
from generation.servers.endpoint import Endpoint
from generation.servers.pool import Pool
from generation.servers.settings import EndpointSettings
from tests.generation.servers.loopback import CHAT, SAY, Behaviour, Server, settings

T = TypeVar("T")
FINE = {"json": CHAT, "delay": 0.005}
GONE = "http://127.0.0.1:9"


def run(pool: Pool, work: Coroutine[Any, Any, T]) -> T:
    async def together() -> T:
        try:
            return await work
        finally:
            await pool.close()

    return asyncio.run(together())


def of(*members: EndpointSettings) -> Pool:
    return Pool([Endpoint(one) for one in members])


async def all_of(pool: Pool, requests: list[Request]) -> list[Completion | BaseException]:
    return list(await asyncio.gather(*(pool.generate(one) for one in requests), return_exceptions=True))


def tokens(first: int, last: int = 0) -> Request:
    return Request("d", "compare", (first,) * 128 + (last,), Sampling(1))


TOKENS: Behaviour = {"json": {"choices": [{"text": "x", "finish_reason": "stop"}]}}


def test_a_pool_keeps_prefixes_together_while_there_is_room(serve: Any) -> None:
    servers = [serve(TOKENS) for _ in range(3)]
    pool = of(*(settings(one, token_ids=True) for one in servers))

    async def in_turn() -> None:
        for prefix in range(30):
            before = [len(one.seen) for one in servers]
            for last in range(3):
                await pool.generate(tokens(prefix, last))
            assert sorted(len(one.seen) - n for one, n in zip(servers, before, strict=True)) == [0, 0, 3]

    run(pool, in_turn())
    assert all(one.seen for one in servers)


def test_a_pool_spreads_calls_of_one_prefix_over_servers_that_have_room(serve: Any) -> None:
    servers = [serve(FINE), serve(FINE)]
    pool = of(*(settings(one, concurrency=4) for one in servers))
    run(pool, all_of(pool, [SAY] * 40))
    assert min(len(one.seen) for one in servers) >= 8
    assert max(one.most for one in servers) <= 4


def unavailable(server: Server | None) -> EndpointSettings:
    return settings(server) if server else EndpointSettings(url=GONE, model="m", backoff_seconds=5, attempts=3)


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(None, id="nobody-there"),
        pytest.param({"status": 503, "headers": {"Retry-After": "0.2"}}, id="503"),
        pytest.param({"status": 429, "headers": {"Retry-After": "0.2"}}, id="429"),
        pytest.param({"raw": b"<html>"}, id="a-page"),
    ],
)
def test_a_servers_trouble_comes_back_at_once_and_the_call_goes_to_another(
    serve: Any, behaviour: Behaviour | None
) -> None:
    well = serve(FINE)
    pool = of(unavailable(serve(behaviour) if behaviour else None), settings(well, concurrency=4))
    begin = time.monotonic()
    found = run(pool, all_of(pool, [SAY] * 40))
    assert {type(one) for one in found} == {Completion}
    assert len(well.seen) == 40
    assert time.monotonic() - begin < 3


def test_a_server_that_came_back_is_asked_again(serve: Any) -> None:
    back = serve({"status": 503}, FINE)
    pool = of(settings(back, max_wait_seconds=0.02), settings(serve(FINE), concurrency=1))
    found = run(pool, all_of(pool, [SAY] * 60))
    assert {type(one) for one in found} == {Completion}
    assert len(back.seen) > 5


def test_a_pool_of_dead_servers_gives_up_on_all_calls_at_once() -> None:
    quick = {"model": "m", "backoff_seconds": 0.01, "attempts": 3}
    pool = of(*(EndpointSettings.model_validate({"url": url, **quick}) for url in (GONE, "http://127.0.0.1:10")))
    begin = time.monotonic()
    found = run(pool, all_of(pool, [SAY] * 200))
    assert {type(one) for one in found} <= {TransientError, *TransientError.__subclasses__()}
    assert all("cannot connect" in str(one) for one in found)
    assert time.monotonic() - begin < 3


def test_what_one_server_refuses_another_is_asked(serve: Any) -> None:
    refusal = {"status": 422, "json": {"error": {"message": "not this one"}}}
    refusing, well = serve({"json": CHAT}, refusal), serve(FINE)
    pool = of(settings(refusing), settings(well))

    async def in_turn() -> list[Completion]:
        await pool._members[0].generate(SAY)
        return [await pool.generate(SAY) for _ in range(8)]

    assert len(run(pool, in_turn())) == 8
    assert len(well.seen) == 8
    pool = of(settings(serve(refusal)), settings(serve(refusal)))
    (error,) = run(pool, all_of(pool, [SAY]))
    assert isinstance(error, RefusedError)
    assert error.error.reason == ErrorReason.SERVER_REFUSED


def test_wrong_settings_of_one_end_all(serve: Any) -> None:
    server = serve({"status": 401, "json": {"error": {"message": "bad key"}}, "delay": 0.005})
    pool = of(settings(server, concurrency=2))
    found = run(pool, all_of(pool, [SAY] * 50))
    assert {type(one) for one in found} == {ModelError}
    assert len(server.seen) <= 8  # what waited is not sent


def test_a_limit_slows_the_whole_server(serve: Any) -> None:
    server = serve(FINE, FINE, {"status": 429, "headers": {"Retry-After": "0.1"}}, FINE)
    pool = of(settings(server, concurrency=2))
    found = run(pool, all_of(pool, [SAY] * 12))
    assert {type(one) for one in found} == {Completion}
    limited = server.began[2]
    assert len([at for at in server.began if limited + 0.01 < at < limited + 0.09]) <= 1  # what was under way with it


def test_limits_do_not_count_as_tries_while_calls_are_answered(serve: Any) -> None:
    limited = {"status": 429, "headers": {"Retry-After": "0"}}
    server = serve(*([limited, FINE] * 30), FINE)
    pool = of(settings(server, attempts=2, concurrency=3))
    found = run(pool, all_of(pool, [SAY] * 20))
    assert {type(one) for one in found} == {Completion}


def test_a_call_that_is_given_up_leaves_its_place(serve: Any) -> None:
    server = serve({"json": CHAT, "delay": 0.05})
    pool = of(settings(server, concurrency=1))

    async def together() -> Completion:
        tasks = [asyncio.create_task(pool.generate(SAY)) for _ in range(5)]
        await asyncio.sleep(0.01)
        for task in tasks[:4]:
            task.cancel()
        return await tasks[4]

    assert run(pool, together()).text == "hello"
    assert pool._members[0].gate.active == 0


def test_a_call_that_is_given_up_as_its_turn_comes_leaves_its_place(serve: Any) -> None:
    pool = of(settings(serve({"json": CHAT, "delay": 0.05}), concurrency=1))

    async def together() -> Completion:
        first, second = (asyncio.create_task(pool.generate(SAY)) for _ in range(2))
        await asyncio.sleep(0.01)
        (waiting,) = pool._queue
        pool._queue.clear()
        assert waiting.turn is not None
        waiting.turn.set_result((0, pool._members[0].gate.begin()))
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        return await first

    assert run(pool, together()).text == "hello"
    assert pool._members[0].gate.active == 0


def test_a_slow_server_gets_no_call_that_a_fast_one_does_sooner(serve: Any) -> None:
    slow, fast = serve({"json": CHAT, "delay": 0.2}), serve({"json": CHAT, "delay": 0.01})
    pool = of(settings(slow, concurrency=2), settings(fast, concurrency=2))

    async def together() -> None:
        await all_of(pool, [SAY] * 20)
        known = len(slow.seen)
        await all_of(pool, [SAY] * 6)
        assert len(slow.seen) == known

    run(pool, together())


def test_a_server_that_has_answered_nothing_yet_is_not_taken_to_be_fast(serve: Any) -> None:
    slow, fresh = serve({"json": CHAT, "delay": 0.08}), serve(FINE)
    pool = of(settings(slow, concurrency=1), settings(fresh, concurrency=1))

    async def in_turn() -> list[Completion | BaseException]:
        await pool._members[0].generate(SAY)
        return await all_of(pool, [SAY] * 4)

    assert {type(one) for one in run(pool, in_turn())} == {Completion}
