"""Engines around engines: where a pool sends its calls, and what it does where a member gives no answer."""

import asyncio

import pytest

from generation.engines.base import CallError, Completion, ErrorReason, RefusedError, Request, Sampling, TransientError
from generation.servers.pool import Pool


class Member:
    """An engine of a pool."""

    def __init__(self, name: str, unavailable: bool = False, refuses: bool = False) -> None:
        self.name, self.unavailable, self.refuses, self.asked = name, unavailable, refuses, 0

    async def generate(self, _: Request) -> Completion:
        self.asked += 1
        await asyncio.sleep(0)
        if self.unavailable:
            raise TransientError(f"{self.name} is unavailable")
        if self.refuses:
            raise RefusedError(CallError(ErrorReason.SERVER_REFUSED, self.name))
        return Completion(self.name)

    async def close(self) -> None:
        self.asked = -1


def tokens(first: int, last: int = 0) -> Request:
    return Request("d", "compare", (first,) * 128 + (last,), Sampling(1))


def test_a_pool_keeps_prefixes_together_and_spreads_the_rest() -> None:
    members = [Member(str(i)) for i in range(4)]
    pool = Pool(members)

    async def together() -> None:
        for prefix in range(40):
            names = {(await pool.generate(tokens(prefix, last))).text for last in range(5)}
            assert len(names) == 1

    asyncio.run(together())
    assert all(member.asked >= 10 for member in members)


def test_a_pool_prefers_less_loaded_members_to_affinity() -> None:
    members = [Member("a"), Member("b")]

    async def together() -> None:
        await asyncio.gather(*(Pool.generate(pool, tokens(1, i)) for i in range(40)))

    pool = Pool(members, slack=4)
    asyncio.run(together())
    assert min(member.asked for member in members) >= 10


def test_a_pool_goes_round_a_member_that_is_unavailable() -> None:
    members = [Member("a", unavailable=True), Member("b")]

    async def together(pool: Pool) -> list[str]:
        names = [(await pool.generate(tokens(i))).text for i in range(20)]
        asked = [member.asked for member in members]
        await pool.close()
        assert asked in ([1, 20], [0, 20])  # the one that is away is left alone after its first refusal
        return names

    assert asyncio.run(together(Pool(members, cooldown_seconds=60))) == ["b"] * 20
    assert [member.asked for member in members] == [-1, -1]  # closed
    with pytest.raises(TransientError, match="is unavailable"):
        asyncio.run(together(Pool([Member("a", unavailable=True), Member("b", unavailable=True)])))


def test_what_one_member_refuses_another_is_asked() -> None:
    members = [Member("a", refuses=True), Member("b")]

    async def together(pool: Pool) -> list[str]:
        return [(await pool.generate(tokens(i))).text for i in range(20)]

    assert asyncio.run(together(Pool(members))) == ["b"] * 20
    assert members[0].asked > 1  # it was not left alone: it may answer other requests
    with pytest.raises(RefusedError, match="server_refused"):
        asyncio.run(together(Pool([Member("a", refuses=True), Member("b", refuses=True)])))
    with pytest.raises(TransientError):  # the one that is unavailable might answer later
        asyncio.run(together(Pool([Member("a", refuses=True), Member("b", unavailable=True)])))


def test_a_member_that_is_unavailable_is_left_alone_for_the_cool_down() -> None:
    members = [Member("a", unavailable=True), Member("b")]

    async def together(pool: Pool) -> None:
        for i in range(20):
            await pool.generate(tokens(i))

    asyncio.run(together(Pool(members, cooldown_seconds=60)))
    assert members[0].asked == 1
