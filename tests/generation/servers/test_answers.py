"""Answers of servers, read: contents, ends of texts, numbers."""

import json
import math
from typing import Any

import pytest

from generation.engines.base import Completion, ErrorReason, Request, Sampling, Usage
from generation.servers.answers import NoCompletion, read_completion
from generation.servers.refusals import ServerFault

JUDGE = Request("d", "compare", (), Sampling(1), (("A", -1), ("B", -1)))
SAY = Request("d", "sample", (), Sampling(8))


def answer(choice: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"choices": [choice], **more}).encode()


def test_labels_that_have_no_log_probabilities_are_missing() -> None:
    forms: list[dict[str, Any] | None] = [None, {}, {"content": None}, {"content": []}]
    for logprobs in forms:
        choice = {"message": {"content": "A"}, "finish_reason": "length", "logprobs": logprobs}
        assert read_completion(answer(choice), JUDGE, token_ids=False) == Completion("A", "length")


def test_placeholders_of_a_token_server_are_missing() -> None:
    tops = [{"token_id": 7, "logprob": -9999.0}, {"token_id": 9, "logprob": -0.5}, {"token_id": 9, "logprob": None}]
    choice = {"token_ids": [9], "finish_reason": "length", "logprobs": {"content": [{"top_logprobs": tops}]}}
    request = Request("d", "compare", (1,), Sampling(1), (("A", 7), ("B", 9)))
    assert read_completion(answer(choice), request, token_ids=True) == Completion("B", "length", {"B": -0.5})


@pytest.mark.parametrize(
    ("finish", "wanted"),
    [("stop", "stop"), ("tool_calls", "stop"), ("end_turn", "stop"), ("length", "length"), ("max_tokens", "length")],
)
def test_ends_that_are_known(finish: str, wanted: str) -> None:
    found = read_completion(answer({"message": {"content": "x"}, "finish_reason": finish}), SAY, token_ids=False)
    assert isinstance(found, Completion)
    assert (found.text, found.finish, found.error) == ("x", wanted, None)


@pytest.mark.parametrize("finish", ["error", "cancelled", "abort", None, "", 3])
def test_an_end_that_is_not_known_is_no_completion(finish: object) -> None:
    for token_ids, choice in ((False, {"message": {"content": "x"}}), (True, {"text": "x", "token_ids": [1]})):
        with pytest.raises(NoCompletion, match="does not say that the text is complete"):
            read_completion(answer({**choice, "finish_reason": finish}), SAY, token_ids)


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param({"message": {"content": "half a te"}, "finish_reason": "content_filter"}, id="cut-by-a-filter"),
        pytest.param({"message": {"content": None, "refusal": "I cannot."}, "finish_reason": "stop"}, id="refused"),
    ],
)
def test_a_refused_content_is_no_text(choice: dict[str, Any]) -> None:
    found = read_completion(answer(choice), SAY, token_ids=False)
    assert isinstance(found, Completion)
    assert found.error
    assert found.error.reason == ErrorReason.CONTENT_REFUSED
    assert found.text == ""


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param("half \ud83d", "half \ufffd", id="half-a-character"),
        pytest.param([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab", id="parts"),
        pytest.param(None, "", id="none"),
    ],
)
def test_contents_as_servers_send_them(content: object, text: str) -> None:
    found = read_completion(answer({"message": {"content": content}, "finish_reason": "stop"}), SAY, token_ids=False)
    assert isinstance(found, Completion)
    assert found.text == text
    found.text.encode()


@pytest.mark.parametrize(("sent", "read"), [('{"y": 2}', '{"y": 2}'), ("", "{}")])
def test_tool_calls_are_read_as_text(sent: str, read: str) -> None:
    call = {"function": {"name": "g", "arguments": sent}}
    choice = {"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    found = read_completion(answer(choice), SAY, token_ids=False)
    assert isinstance(found, Completion)
    assert found.text == f'<tool_call>{{"name": "g", "arguments": {read}}}</tool_call>'


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": "12", "completion_tokens": 3.0, "prompt_tokens_details": []}, Usage(12, 0, 3)),
        ({"prompt_tokens": None, "completion_tokens": -4}, Usage()),
        ({"prompt_tokens": 10**30, "completion_tokens": math.inf}, Usage()),
        (None, Usage()),
        ("many", Usage()),
    ],
)
def test_token_counts_are_numbers_or_0(usage: object, counted: Usage) -> None:
    found = read_completion(
        answer({"message": {"content": "x"}, "finish_reason": "stop"}, usage=usage), SAY, token_ids=False
    )
    assert isinstance(found, Completion)
    assert found.usage == counted


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a-list"),
        pytest.param(b'{"choices": {}}', id="choices-of-another-type"),
        pytest.param(b"[" * 200_000, id="nested-without-end"),
        pytest.param(b'{"choices": [{"message": null}]}', id="no-message"),
        pytest.param(b"data: {}\n\ndata: [DONE]\n", id="a-stream"),
    ],
)
def test_what_is_no_completion_is_told(content: bytes) -> None:
    for token_ids in (False, True):
        with pytest.raises(NoCompletion):
            read_completion(content, SAY, token_ids)


def test_the_first_choice_is_the_one_with_index_0() -> None:
    choices = [{"index": i, "message": {"content": str(i)}, "finish_reason": "stop"} for i in (1, 0)]
    found = read_completion(json.dumps({"choices": choices}).encode(), SAY, token_ids=False)
    assert isinstance(found, Completion)
    assert found.text == "0"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"message": "Provider returned error", "code": 502}}, 502),
        ({"error": {"message": "slow down", "code": "rate_limit"}}, 0),
        ({"error": "overloaded"}, 0),
        ({"choices": [{"message": {"content": "half"}, "error": {"code": 404, "message": "gone"}}]}, 404),
    ],
)
def test_an_error_inside_an_answer_is_an_error(body: dict[str, Any], status: int) -> None:
    found = read_completion(json.dumps(body).encode(), SAY, token_ids=False)
    assert isinstance(found, ServerFault)
    assert found.status == status
