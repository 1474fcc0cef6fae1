"""All prompts, in order, with bounded memory; and engines that fail."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

import generate_feedback
from constitution.errors import Problem, UserError
from constitution.records import Failure, Message, Prompt
from generation.calls.budget import LimitReached
from generation.calls.database import StoreError
from generation.engines.base import Completion, Engine, ModelError, Request, Sampling, TransientError
from generation.engines.limited import Limited
from generation.engines.replay import Replay
from generation.output.manifest import read as read_manifest
from generation.output.records import Feedback
from generation.pipeline import scheduler
from generation.pipeline.scheduler import AHEAD, HeadStart, run
from generation.tasks import together


def prompts(count: int) -> Iterator[Prompt | Failure]:
    for i in range(count):
        yield (
            Failure(f"bad{i}", "read", "empty_prompt")
            if i % 7 == 3
            else Prompt(id=f"p{i}", messages=(Message(role="user", content="x"),))
        )


def test_outcomes_come_in_the_prompts_order_and_few_are_held() -> None:
    dice, started, active, most = random.Random(0), [0], [0], [0]

    async def work(prompt: Prompt) -> Feedback:
        active[0] += 1
        most[0] = max(most[0], active[0])
        await asyncio.sleep(dice.random() / 300)
        active[0] -= 1
        return Feedback(prompt)

    def source() -> Iterator[Prompt | Failure]:
        for item in prompts(300):
            started[0] += 1
            yield item

    async def collect() -> list[str]:
        names = []
        async for outcome in run(source(), work, 4):
            names.append(outcome.prompt.id)
            assert started[0] - len(names) < 4 * AHEAD + 1 + scheduler.EVERY
        return names

    assert asyncio.run(collect()) == [item.prompt_id if isinstance(item, Failure) else item.id for item in prompts(300)]
    assert most[0] == 4


def test_rows_are_begun_one_at_a_time_and_the_loop_goes_round_between() -> None:
    begun, most = 0, 0

    async def work(prompt: Prompt) -> Feedback:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0.01)
        return Feedback(prompt)

    async def watch() -> None:
        nonlocal most
        while True:
            before = begun
            await asyncio.sleep(0)
            most = max(most, begun - before)

    async def both() -> None:
        watching = asyncio.create_task(watch())
        assert len([outcome async for outcome in run(prompts(60), work, 50)]) == 60
        watching.cancel()

    asyncio.run(both())
    assert begun > 50
    assert most <= 2


def test_a_row_whose_engine_is_away_is_a_failure_and_the_rest_go_on() -> None:
    async def work(prompt: Prompt) -> Feedback:
        if prompt.id == "p1":
            raise TransientError("gone")
        return Feedback(prompt)

    async def collect() -> list[Feedback]:
        return [outcome async for outcome in run(prompts(3), work, 2)]

    outcomes = asyncio.run(collect())
    assert [[f.reason for f in outcome.failures] for outcome in outcomes] == [[], ["unavailable"], []]


@pytest.mark.parametrize(
    "error", [ValueError("odd"), RecursionError("deep"), OverflowError("1e999"), UserError(Problem("a", got="long"))]
)
def test_whatever_a_row_raises_is_its_own_failure(error: Exception) -> None:
    async def work(prompt: Prompt) -> Feedback:
        if prompt.id == "p1":
            raise error
        return Feedback(prompt)

    async def collect() -> list[Feedback]:
        return [outcome async for outcome in run(prompts(3), work, 2)]

    found = [outcome.failures for outcome in asyncio.run(collect())]
    assert found == [(), (Failure("p1", "engine", "internal_error", f"{type(error).__name__}: {error}"),), ()]


@pytest.mark.parametrize(
    "error", [ModelError("no key"), StoreError("no disk"), LimitReached("no money")], ids=["model", "store", "limit"]
)
@pytest.mark.parametrize("beside", [False, True], ids=["row", "beside"])
@pytest.mark.filterwarnings("error")
def test_what_ends_the_run_ends_it_at_once(error: Exception, beside: bool) -> None:
    asked, ended = [0], [0]

    async def work(prompt: Prompt) -> Feedback:
        try:
            for _ in range(100):
                asked[0] += 1
                await asyncio.sleep(0.001)
                if prompt.id == "p5" and not beside:
                    raise error
            await asyncio.sleep(60)
            return Feedback(prompt)
        finally:
            ended[0] += 1

    async def other() -> None:
        await asyncio.sleep(0.002)
        raise error

    async def collect() -> None:
        tasks = [asyncio.create_task(other())] if beside else []
        async with aclosing(run(prompts(1000), work, 20, tasks)) as outcomes:
            async for _ in outcomes:
                pass

    with pytest.raises(type(error), match=str(error)):
        asyncio.run(collect())
    assert asked[0] < 200
    assert ended[0] == 20


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError])
def test_an_interruption_is_no_failure_of_a_row(error: type[BaseException]) -> None:
    async def work(prompt: Prompt) -> Feedback:
        raise error

    async def collect() -> list[Feedback]:
        return [outcome async for outcome in run(prompts(3), work, 2)]

    with pytest.raises(error):
        asyncio.run(collect())


def test_where_one_step_fails_the_others_have_ended_when_it_raises() -> None:
    ended = []

    async def step(number: int) -> int:
        try:
            await asyncio.sleep(0 if number == 2 else 60)
            raise ValueError("second")
        finally:
            ended.append(number)

    with pytest.raises(ValueError, match="second"):
        asyncio.run(together(*(step(number) for number in range(4))))
    assert sorted(ended) == [0, 1, 2, 3]


def test_an_incomplete_run_is_exit_1_and_the_same_command_finishes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(
        "{name: laws, version: 1, objectives: {good: 1.0}, principles: [{id: kind, objective: good, text: Be kind.}]}"
    )
    (tmp_path / "p.jsonl").write_text('{"prompt": "hi"}\n')
    files = [
        "--constitution",
        str(tmp_path / "c.yaml"),
        "--prompts",
        str(tmp_path / "p.jsonl"),
        "--out",
        str(tmp_path / "run"),
    ]
    away = "endpoints=[{url: 'http://127.0.0.1:9', attempts: 1}]"
    assert generate_feedback.main([*files, "--engine", "endpoint", "--set", away]) == 1
    err = capsys.readouterr().err
    assert "run: incomplete, a model is unavailable: endpoint http://127.0.0.1:9: cannot connect" in err
    assert err.endswith("; run the same command again to resume\n")
    assert read_manifest(tmp_path / "run") is None
    assert not (tmp_path / "run" / "data").exists()


def test_limited_lets_n_calls_through_in_order() -> None:
    active, most, order = [0], [0], []

    class Slow:
        async def generate(self, request: Request) -> Completion:
            active[0] += 1
            most[0] = max(most[0], active[0])
            order.append(request.index)
            await asyncio.sleep(0.001)
            active[0] -= 1
            return Completion("x")

        async def close(self) -> None: ...

    async def ask(engine: Engine) -> None:
        await asyncio.gather(*(engine.generate(Request("m", "sample", (1,), Sampling(1), index=i)) for i in range(30)))

    asyncio.run(ask(Limited(Slow(), 3)))
    assert most[0] == 3
    assert order == list(range(30))


def test_the_pseudo_model_answers_by_the_key_alone() -> None:
    async def ask(seed: int) -> Completion:
        return await Replay.pseudo().generate(Request("m", "sample", (1, 2), Sampling(9, 1.0, 1.0, seed)))

    assert asyncio.run(ask(1)) == asyncio.run(ask(1))
    assert asyncio.run(ask(1)) != asyncio.run(ask(2))


def test_rows_that_are_not_finished_are_begun_before_finished_ones_are_passed() -> None:
    rows = [row for row in prompts(400) if isinstance(row, Prompt)]
    finished = {row.id for row in rows[:200]}
    done: list[str] = []
    begun: dict[str, int] = {}

    async def work(prompt: Prompt) -> Feedback:
        begun.setdefault(prompt.id, len(done))
        if prompt.id not in finished:
            await asyncio.sleep(0)
        return Feedback(prompt)

    async def resume() -> list[str]:
        ahead = HeadStart(work, 2, lambda prompt: prompt.id in finished)
        looking = asyncio.create_task(ahead.look(iter(rows)))
        async for outcome in run(iter(rows), ahead, 2, [looking]):
            done.append(outcome.prompt.id)
            await asyncio.sleep(0)
        await looking
        return done

    assert asyncio.run(resume()) == [row.id for row in rows]
    assert begun[rows[200].id] == 0, "long before its turn"
    assert sum(count < 200 for name, count in begun.items() if name not in finished) == 2 * AHEAD, "and few of them"


def test_all_rows_that_are_left_are_done_while_finished_ones_are_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "POLL", 0.001)
    rows = [row for row in prompts(350) if isinstance(row, Prompt)]
    finished = {row.id for row in rows[:250]}
    done: list[str] = []
    begun: dict[str, int] = {}
    held = [0]
    fails = rows[260].id

    async def work(prompt: Prompt) -> Feedback:
        begun.setdefault(prompt.id, len(done))
        held[0] = max(held[0], len(ahead._begun))
        await asyncio.sleep(0)
        if prompt.id == fails:
            raise ValueError("its own")
        finished.add(prompt.id)  # as a store keeps it
        return Feedback(prompt)

    ahead = HeadStart(work, 2, lambda prompt: prompt.id in finished)

    async def resume() -> list[str]:
        async for outcome in run(iter(rows), ahead, 2, [asyncio.create_task(ahead.look(iter(rows)))]):
            done.append(outcome.prompt.id if outcome.outcome != "failed" or not outcome.failures else "failed")
            await asyncio.sleep(0.003)
        return done

    assert asyncio.run(resume()) == [row.id if row.id != fails else "failed" for row in rows]
    assert all(begun[row.id] < 250 for row in rows[250:])
    assert held[0] <= 2 * AHEAD


def test_what_ends_the_run_is_raised_before_finished_rows_are_passed() -> None:
    rows = [row for row in prompts(4000) if isinstance(row, Prompt)]
    passed: list[str] = []
    ended: list[str] = []

    async def work(prompt: Prompt) -> Feedback:
        if prompt is rows[-1]:
            raise ModelError("the key is wrong")
        if prompt is rows[-2]:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(prompt.id)
        return Feedback(prompt)

    async def resume() -> None:
        ahead = HeadStart(work, 2, lambda prompt: prompt not in rows[-2:])
        async for outcome in run(iter(rows), ahead, 2, [asyncio.create_task(ahead.look(iter(rows)))]):
            passed.append(outcome.prompt.id)
            await asyncio.sleep(0)

    async def whole() -> list[str]:
        with pytest.raises(ModelError, match="the key is wrong"):
            await resume()
        return [*ended]

    assert asyncio.run(whole()) == [rows[-2].id], "what was begun beside it is ended with it"
    assert len(passed) < 100
