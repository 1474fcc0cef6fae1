"""Servers that answer, delay, break and refuse; a real one on loopback, scripted."""

import asyncio
import logging
import math
import time
from typing import Any

import pytest

from constitution.errors import Unavailable
from generation.engines.base import (
    Completion,
    ErrorReason,
    ModelError,
    RefusedError,
    Request,
    Sampling,
    TransientError,
    Unkept,
    Usage,
)
from generation.servers.endpoint import FIRST_REFUSALS, Endpoint
from generation.servers.pool import Pool
from generation.servers.settings import EndpointSettings
from tests.generation.servers.loopback import CHAT, JUDGE, SAY, VERDICT, Behaviour, ask, in_turn, settings

KEY = "sk-secret-1234567890"


def test_a_chat_server_is_sent_messages(serve: Any) -> None:
    server = serve({"json": CHAT})
    assert ask(settings(server), SAY) == [Completion("hello", "length", {}, Usage(5, 3, 2))]
    path, _, body = server.seen[0]
    assert path == "/v1/chat/completions"
    assert body == {
        "model": "m", "max_tokens": 8, "temperature": 0.5, "top_p": 0.9, "seed": 3, "stop": ["END"],
        "messages": [{"role": "user", "content": "hi"}],
    }  # fmt: skip


def test_an_answer_of_as_many_tokens_as_it_may_have_is_cut_whatever_it_says_of_itself(serve: Any) -> None:
    def said(tokens: int) -> dict[str, Any]:
        choice = {"index": 0, "message": {"content": "half a"}, "finish_reason": "stop"}
        return {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": tokens}}

    server = serve({"json": said(8)}, {"json": said(7)}, {"json": said(8)}, {"json": said(16)})
    finishes = [one.finish for one in ask(settings(server), SAY, SAY) if isinstance(one, Completion)]
    finishes += [
        one.finish for one in ask(settings(server, thinking_tokens=8), SAY, SAY) if isinstance(one, Completion)
    ]
    assert sorted(finishes) == ["length", "length", "stop", "stop"]


def test_labels_are_read_from_the_alternatives_and_a_missing_one_is_left_out(serve: Any) -> None:
    server = serve({"json": VERDICT})
    (completion,) = ask(settings(server), JUDGE)
    assert isinstance(completion, Completion)
    assert completion.logprobs == {"A": -0.1}
    assert (server.seen[0][2]["logprobs"], server.seen[0][2]["top_logprobs"]) == (True, 20)


def test_a_vllm_server_is_sent_token_ids(serve: Any) -> None:
    tops = [{"token_id": 7, "logprob": -0.2}, {"token_id": 9, "logprob": -1.7}]
    server = serve(
        {
            "json": {
                "choices": [
                    {"token_ids": [7], "finish_reason": "length", "logprobs": {"content": [{"top_logprobs": tops}]}}
                ]
            }
        }
    )
    request = Request("d", "compare", (1, 2), Sampling(1), (("A", 7), ("B", 9)))
    (completion,) = ask(settings(server, token_ids=True), request)
    assert isinstance(completion, Completion)
    assert (completion.text, completion.logprobs) == ("A", {"A": -0.2, "B": -1.7})
    path, _, body = server.seen[0]
    assert path == "/inference/v1/generate"
    assert body["token_ids"] == [1, 2]
    assert body["sampling_params"]["logprob_token_ids"] == [7, 9, 9]


SCORE = Request("d", "compare", (1, 2, 3, 4), Sampling(9, 0.5, seed=3), scored=2)


@pytest.mark.parametrize(
    ("listed", "scores"),
    [
        pytest.param([None, {"2": {"logprob": -9}}, {"3": {"logprob": -0.1234567}}, {"4": {"logprob": -2}}], (-0.123457, -2.0), id="all"),
        pytest.param([None, {"2": {"logprob": -9}}, {"8": {"logprob": -1}}, {"4": {"logprob": None}}], (math.nan, math.nan), id="another-token-and-none"),
        pytest.param([None, {"4": {"logprob": -2}}], (math.nan, -2.0), id="too-few"),
        pytest.param(None, (math.nan, math.nan), id="none"),
    ],
)  # fmt: skip
def test_a_vllm_server_gives_the_prompts_own_log_probabilities(
    serve: Any, listed: list[object] | None, scores: tuple[float, ...]
) -> None:
    answer = {"choices": [{"token_ids": [7], "finish_reason": "length"}], "prompt_logprobs": listed}
    server = serve({"json": answer | {"usage": {"prompt_tokens": 4, "completion_tokens": 1}}})
    (completion,) = ask(settings(server, token_ids=True), SCORE)
    assert isinstance(completion, Completion)
    assert completion.scores == pytest.approx(scores, nan_ok=True)
    assert (completion.text, completion.usage) == ("", Usage(4, 0, 0))
    path, _, body = server.seen[0]
    assert path == "/inference/v1/generate"
    assert body == {
        "model": "m", "token_ids": [1, 2, 3, 4], "output_mode": "tokens",
        "sampling_params": {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, "detokenize": False},
    }  # fmt: skip


def test_a_server_of_messages_cannot_score(serve: Any) -> None:
    server = serve({"json": CHAT})
    chosen = settings(server)
    (error,) = ask(chosen, SCORE)
    assert isinstance(error, RefusedError)
    assert error.error == (
        "unsupported",
        f"endpoint {chosen.url}: a server of messages gives no log-probabilities of a given response; "
        "use a vLLM server with token_ids: true, or methods that put a question",
    )
    assert server.seen == []


@pytest.mark.parametrize(
    ("behaviours", "tries"),
    [
        pytest.param([{"status": 503}, {"json": CHAT}], 2, id="503"),
        pytest.param([{"status": 429, "headers": {"Retry-After": "0.1"}}, {"json": CHAT}], 2, id="429-retry-after"),
        pytest.param(
            [{"status": 429, "headers": {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}}, {"json": CHAT}],
            2,
            id="429-date",
        ),
        pytest.param([{"status": 408}, {"status": 409}, {"json": CHAT}], 3, id="408-409"),
        pytest.param([{"raw": b'{"choices', "cut": True}, {"json": CHAT}], 2, id="hung-up-mid-body"),
        pytest.param([{"raw": b"<html>"}, {"json": CHAT}], 2, id="no-json"),
        pytest.param([{"json": {"choices": []}}, {"json": CHAT}], 2, id="no-choice"),
        pytest.param([{"json": CHAT, "delay": 1.0}, {"json": CHAT}], 2, id="timeout"),
    ],
)
def test_what_may_pass_is_tried_again(serve: Any, behaviours: list[Behaviour], tries: int) -> None:
    server = serve(*behaviours)
    (completion,) = ask(settings(server, timeout_seconds=0.4), SAY)
    assert isinstance(completion, Completion)
    assert completion.text == "hello"
    assert len(server.seen) == tries


def test_retry_after_is_waited_for_up_to_the_cap(serve: Any) -> None:
    begin = time.monotonic()
    ask(settings(serve({"status": 429, "headers": {"Retry-After": "60"}}, {"json": CHAT})), SAY)
    assert 0.3 <= time.monotonic() - begin < 10


def test_a_server_that_stays_away_is_a_transient_error(serve: Any) -> None:
    server = serve({"status": 500})
    (error,) = ask(settings(server), SAY)
    assert isinstance(error, TransientError)
    assert "status 500" in str(error)
    assert len(server.seen) == 3
    (gone,) = ask(EndpointSettings(url="http://127.0.0.1:9", attempts=2, backoff_seconds=0.01), SAY)
    assert isinstance(gone, TransientError)


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        pytest.param(400, {"message": "This model's maximum context length is 10 tokens"}, ErrorReason.PROMPT_TOO_LONG, id="too-long"),
        pytest.param(403, {"message": "Your input was flagged"}, ErrorReason.CONTENT_REFUSED, id="content"),
        pytest.param(200, {"message": "no", "code": "content_filter"}, ErrorReason.CONTENT_REFUSED, id="content-in-a-200"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_request_is_an_answer(
    serve: Any, status: int, error: dict[str, Any], reason: ErrorReason
) -> None:
    server = serve({"status": status, "json": {"error": error}})
    for completion in ask(settings(server), *[SAY] * FIRST_REFUSALS * 2):
        assert isinstance(completion, Completion)
        assert completion.error
        assert completion.error.reason == reason
    assert len(server.seen) == FIRST_REFUSALS * 2


WORD = {"json": {"error": {"message": "no such word"}}}


@pytest.mark.parametrize(
    ("status", "at_first", "later"),
    [
        pytest.param(301, ModelError, TransientError, id="redirect"),
        pytest.param(307, ModelError, TransientError, id="login-page"),
        pytest.param(401, ModelError, ModelError, id="key"),
        pytest.param(402, ModelError, ModelError, id="credit"),
        pytest.param(404, ModelError, TransientError, id="model"),
        pytest.param(405, ModelError, TransientError, id="path"),
        pytest.param(400, RefusedError, RefusedError, id="parameter"),
        pytest.param(403, RefusedError, RefusedError, id="forbidden"),
        pytest.param(422, RefusedError, RefusedError, id="field"),
        pytest.param(503, TransientError, TransientError, id="overload"),
    ],
)
def test_a_servers_own_trouble_is_never_an_answer(
    serve: Any, status: int, at_first: type[Exception], later: type[Exception]
) -> None:
    (error,) = ask(settings(serve({"status": status, **WORD})), SAY)
    assert type(error) in (at_first, *at_first.__subclasses__())
    assert "no such word" in str(error)

    async def after_an_answer() -> None:
        endpoint = Pool([Endpoint(settings(serve({"json": CHAT}, {"status": status, **WORD})))])
        await endpoint.generate(SAY)
        try:
            with pytest.raises(later, match="no such word"):
                await endpoint.generate(SAY)
        finally:
            await endpoint.close()

    asyncio.run(after_an_answer())


def test_a_server_that_refuses_every_call_of_a_kind_ends_the_run(serve: Any) -> None:
    """It takes samples, and refuses verdicts in words that nobody knows."""
    refused = {"status": 400, "json": {"error": {"message": "nope"}}}
    chosen = settings(serve({"json": CHAT}, refused))
    asked = [JUDGE] * (FIRST_REFUSALS - 1) + [SAY] * FIRST_REFUSALS + [JUDGE]
    _, *rest, last = in_turn(chosen, SAY, *asked)
    assert {type(error) for error in rest} == {RefusedError}
    assert isinstance(last, ModelError)
    assert "status 400: nope; it refused the first 5 calls of this kind" in str(last)


def test_a_parameter_that_is_refused_is_named_and_ends_the_run(serve: Any) -> None:
    refused = {"status": 400, "json": {"error": {"message": "'top_logprobs' must be at most 5"}}}
    server = serve({"json": CHAT}, refused)
    _, error = in_turn(settings(server), SAY, JUDGE)
    assert isinstance(error, ModelError)
    assert "status 400: 'top_logprobs' must be at most 5; leave the parameter out with `omit: [top_logprobs]`" in str(
        error
    )
    assert len(server.seen) == 3  # it was asked once more, since gateways have hiccups


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param({"message": {"content": "half an ans"}, "finish_reason": "error"}, id="ended-by-an-error"),
        pytest.param({"message": {"content": "half an ans"}, "finish_reason": None}, id="no-end"),
        pytest.param({"message": {"content": 7}, "finish_reason": "stop"}, id="a-number"),
        pytest.param({"message": {"content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}, "finish_reason": "stop"}, id="half-a-tool-call"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_completion_is_asked_for_again_and_then_refused(
    serve: Any, choice: dict[str, Any]
) -> None:
    bad = {"json": {"choices": [choice]}}
    (completion,) = ask(settings(serve(bad, {"json": CHAT})), SAY)
    assert isinstance(completion, Completion)
    server = serve(bad)
    (error,) = ask(settings(server), SAY)
    assert isinstance(error, RefusedError)
    assert error.error.reason == ErrorReason.BAD_ANSWER
    assert len(server.seen) == 3


def test_a_refused_key_stops_the_run_and_the_key_is_never_shown(
    serve: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    server = serve({"status": 401, "json": {"error": f"bad key {KEY}"}})
    chosen = settings(server, api_key_env="JUDGE_KEY")
    (error,) = ask(chosen, SAY)
    assert isinstance(error, ModelError)
    assert "check the key in variable JUDGE_KEY" in str(error)
    assert server.seen[0][1]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in f"{error}{error!r}{chosen!r}{caplog.text}"
    monkeypatch.delenv("JUDGE_KEY")
    with pytest.raises(ModelError, match="environment variable JUDGE_KEY is not set"):
        Endpoint(chosen)


def test_no_more_calls_than_allowed_are_at_the_server(serve: Any) -> None:
    server = serve({"json": CHAT, "delay": 0.02})
    ask(settings(server, concurrency=3), *[SAY] * 12)
    assert len(server.seen) == 12
    assert server.most <= 3


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="allowed: http:// and https:// addresses"):
        EndpointSettings(url=url)


@pytest.mark.parametrize("attempts", [2, 4])
def test_a_key_that_worked_before_is_tried_as_often_as_a_request(serve: Any, attempts: int) -> None:
    """A gateway may have a hiccup; a key that was taken back ends the run."""
    server = serve({"json": CHAT}, {"status": 401, "json": {"error": {"message": "Incorrect API key provided"}}})
    _, error = in_turn(settings(server, attempts=attempts), SAY, SAY)
    assert isinstance(error, ModelError)
    assert len(server.seen) == 1 + attempts


def test_a_probe_that_there_is_no_room_for_is_not_sent(serve: Any) -> None:
    """Limits of a run hold for what is asked to learn of a server, too."""

    class Full:
        def before_probe(self, request: Request) -> None:
            raise Unavailable("max_calls: 0 are left")

        def paid(self, request: Request, usage: Usage, why: Unkept) -> None:
            raise AssertionError(request)

    server = serve({"json": CHAT})

    async def look() -> None:
        endpoint = Endpoint(settings(server))
        endpoint.meter = Full()
        try:
            await endpoint.look(SAY, endpoint.settings)
        finally:
            await endpoint.close()

    with pytest.raises(Unavailable, match="0 are left"):
        asyncio.run(look())
    assert not server.seen
