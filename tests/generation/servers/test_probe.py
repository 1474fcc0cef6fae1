"""A few calls tell what a server takes and gives, whatever it refuses on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from constitution.errors import Unavailable
from generation.engines.base import Completion, ModelError
from generation.engines.capabilities import EXACT, Capabilities
from generation.models.chat_model import ChatModel
from generation.pipeline.preflight import questions, told
from generation.servers.endpoint import Endpoint
from generation.servers.probe import as_taken, merged
from generation.servers.served import Served
from tests.generation.servers.judge import ChatJudge
from tests.generation.servers.loopback import JUDGE, SAY, settings


def probed(serve: Any, behaviour: Any, tools: bool = False, structured: bool = False, **more: Any) -> Capabilities:
    """What a probe of one server finds."""
    served = Served([settings(serve(behaviour), **more)], "m")
    model = ChatModel("m", "digest", served.open(), None, 0, served=served)
    found = asyncio.run(served.probe(questions(model, tools, structured)))
    assert model.capabilities == found
    return found


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        pytest.param(ChatJudge(), Capabilities(top_logprobs=20, thinks=False), id="all-is-well"),
        pytest.param(ChatJudge(alternatives=5), Capabilities(top_logprobs=5, thinks=False), id="five-alternatives"),
        pytest.param(ChatJudge(alternatives=8), Capabilities(top_logprobs=8, thinks=False), id="as-many-as-the-refusal-says"),
        pytest.param(ChatJudge(alternatives=5, says_which=False), Capabilities(top_logprobs=5, thinks=False), id="five-and-it-does-not-say-so"),
        pytest.param(ChatJudge(alternatives=1), Capabilities(top_logprobs=1, thinks=False), id="one-alternative"),
        pytest.param(ChatJudge(refuses=["logprobs"]), Capabilities(top_logprobs=0, thinks=False, structured=True), id="refuses-log-probabilities"),
        pytest.param(ChatJudge(ignores_logprobs=True), Capabilities(top_logprobs=0, thinks=False, structured=True), id="ignores-them"),
        pytest.param(ChatJudge(ignores_logprobs=True, schema=False), Capabilities(top_logprobs=0, thinks=False, refused=frozenset({"response_format"})), id="no-schema-either"),
        pytest.param(ChatJudge(refuses=["seed"]), Capabilities(top_logprobs=20, thinks=False, refused=frozenset({"seed"})), id="no-seed"),
        pytest.param(ChatJudge(refuses=["max_tokens"], fixed={"temperature": 1}), Capabilities(top_logprobs=20, thinks=False, refused=frozenset({"max_tokens", "temperature"})), id="as-the-o-series"),
        pytest.param(ChatJudge(refuses=["seed"], says_which=False), Capabilities(top_logprobs=20, thinks=False, refused=frozenset({"seed"})), id="no-seed-and-it-does-not-say-so"),
        pytest.param(ChatJudge(thinks="inline"), Capabilities(top_logprobs=0, thinks=True, structured=True), id="thinks"),
        pytest.param(ChatJudge(thinks="closed"), Capabilities(top_logprobs=0, thinks=True, structured=True), id="thinks-and-the-template-opened"),
        pytest.param(ChatJudge(thinks="apart"), Capabilities(top_logprobs=0, thinks=True, structured=True), id="thinks-apart"),
    ],
)  # fmt: skip
def test_a_server_is_known_after_a_few_calls(serve: Any, judge: ChatJudge, expected: Capabilities) -> None:
    assert probed(serve, judge) == expected
    assert len(judge.bodies) <= 16


def test_structured_output_and_tools_are_asked_about_where_they_are_needed(serve: Any) -> None:
    judge = ChatJudge()
    assert probed(serve, judge, tools=True, structured=True).structured
    assert [bool(body.get("tools")) for body in judge.bodies] == [False, False, False, True]
    with pytest.raises(ModelError, match="'tools' is not supported"):
        probed(serve, ChatJudge(refuses=["tools"]), tools=True)


def test_settings_bound_what_is_asked_for(serve: Any) -> None:
    judge = ChatJudge()
    assert probed(serve, judge, top_logprobs=3).top_logprobs == 3
    assert probed(serve, judge, top_logprobs=0).top_logprobs == 0
    renamed = ChatJudge(refuses=["max_tokens", "seed"])
    more = {"rename": {"max_tokens": "max_completion_tokens"}, "omit": ["seed"]}
    assert probed(serve, renamed, **more).refused == frozenset()
    assert len(renamed.bodies) == 2


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "Incorrect API key"),
        (402, "Insufficient credits"),
        (404, "The model `m` does not exist"),
        (404, "no route /v1"),
    ],
)
def test_trouble_of_the_account_ends_it_in_the_servers_own_words(serve: Any, status: int, words: str) -> None:
    server = serve({"status": status, "json": {"error": {"message": words}}})
    with pytest.raises(ModelError, match=words):
        asyncio.run(Endpoint(settings(server)).probe(_questions()))
    assert len(server.seen) <= 2


def test_a_server_that_is_away_is_no_wrong_setting(serve: Any) -> None:
    with pytest.raises(Unavailable, match="busy"):
        asyncio.run(
            Endpoint(settings(serve({"status": 503, "json": {"error": {"message": "busy"}}}))).probe(_questions())
        )
    busy = {"status": 429, "json": {"error": {"message": "slow down"}}}
    server = serve(busy, ChatJudge())
    assert asyncio.run(Endpoint(settings(server)).probe(_questions())).top_logprobs == 20


def test_one_server_of_several_may_be_away(serve: Any) -> None:
    away = settings(serve({"status": 503}))
    served = Served([away, settings(serve(ChatJudge(alternatives=5)))], "m")
    assert asyncio.run(served.probe(_questions())).top_logprobs == 5


def test_servers_of_one_model_are_asked_for_what_all_take() -> None:
    one = Capabilities(top_logprobs=20, thinks=False, structured=True, refused=frozenset({"seed"}))
    other = Capabilities(top_logprobs=5, thinks=True, refused=frozenset({"stop"}))
    assert merged([one, other]) == Capabilities(top_logprobs=5, thinks=True, refused=frozenset({"seed", "stop"}))
    assert merged([Capabilities(), Capabilities()]).top_logprobs == EXACT


def test_what_is_refused_is_left_out_or_renamed(serve: Any) -> None:
    judge = ChatJudge(refuses=["max_tokens", "seed"], fixed={"temperature": 1}, alternatives=5)
    served = Served([settings(serve(judge), omit=["top_p"])], "m")

    async def run() -> list[Completion]:
        await served.probe(_questions())
        pool = served.open()
        try:
            return [await pool.generate(SAY), await pool.generate(JUDGE)]
        finally:
            await pool.close()

    assert all(completion.error is None for completion in asyncio.run(run()))
    said, judged = judge.bodies[-2:]
    assert sorted(said) == ["max_completion_tokens", "messages", "model", "stop"]
    assert judged["top_logprobs"] == 5


def test_a_name_that_is_refused_too_is_left_out(serve: Any) -> None:
    found = probed(serve, ChatJudge(refuses=["max_tokens", "max_completion_tokens"]))
    assert found.refused == {"max_tokens", "max_completion_tokens"}
    taken = as_taken(settings(serve({})), found)
    assert ("max_tokens" in taken.omit, taken.rename) == (True, {})


def test_what_is_known_is_told_in_one_line() -> None:
    assert told("m", Capabilities()) == "probe: m: exact log-probabilities"
    line = told("m", Capabilities(top_logprobs=0, thinks=True, structured=True, refused=frozenset({"seed", "top_p"})))
    assert line == (
        "probe: m: no log-probabilities of an answer, so it judges by what it writes as JSON; thinks before it answers; "
        "left out, since it refuses them: seed, top_p"
    )


def _questions() -> Any:
    return questions(ChatModel("m", "digest", Served([], "m").open(), None, 0))
