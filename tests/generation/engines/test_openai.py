"""Answers of servers, read: log-probabilities of labels, ends of texts, and what a refusal means."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.records import Function, Message, ToolCall
from generation.engines.base import Completion, ErrorReason, Request, Sampling, Usage
from generation.engines.openai import (
    NoCompletion,
    ServerFault,
    label_logprobs,
    read_completion,
    read_refusal,
    request_body,
)

JUDGE = Request("d", "compare", (), Sampling(1), (("A", -1), ("B", -1)))
SAY = Request("d", "sample", (), Sampling(8))


def position(*listed: tuple[str, Any], sampled: tuple[str, Any] | None = None) -> dict[str, Any]:
    entry = {"top_logprobs": [{"token": token, "logprob": value} for token, value in listed]}
    return entry | ({"token": sampled[0], "logprob": sampled[1]} if sampled else {})


def both(*values: float) -> float:
    return math.log(sum(map(math.exp, values)))


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        pytest.param(position(("A", -0.1), ("B", -2.4), ("A", -12.0)), {"A": both(-0.1, -12), "B": -2.4}, id="the-same-text-twice"),
        pytest.param(position(("B", -12.0), ("A", -2.4), ("B", -0.1)), {"A": -2.4, "B": both(-0.1, -12)}, id="in-any-order"),
        pytest.param(position((" A", -0.2), (" B", -2.0), ("B", -5.0), ("A", -7.0)), {"A": both(-0.2, -7), "B": both(-2, -5)}, id="with-and-without-a-space"),
        pytest.param(position(("\u2581A", -0.2), ("\u0120B", -2.0)), {"A": -0.2, "B": -2.0}, id="spaces-as-vocabularies-write-them"),
        pytest.param(position(("A", -0.2), ("A", -0.2), ("B", -2.0)), {"A": -0.2, "B": -2.0}, id="an-entry-twice"),
        pytest.param(position(("A", -0.2), ("B", -2.0), sampled=("A", -0.2)), {"A": -0.2, "B": -2.0}, id="sampled-and-listed"),
        pytest.param(position(("B", -2.0), sampled=("A", -0.2)), {"A": -0.2, "B": -2.0}, id="sampled-beside-the-list"),
        pytest.param(position(("A", -0.2), ("b", -1.0), ("AB", -1.0), ("x", -3.0)), {"A": -0.2}, id="other-texts"),
        pytest.param(position(("A", -0.1), ("B", -9999.0)), {"A": -0.1}, id="placeholder"),
        pytest.param(position(("A", -0.1), ("B", -math.inf)), {"A": -0.1}, id="minus-infinity"),
        pytest.param(position(("A", -0.1), ("B", None)), {"A": -0.1}, id="null"),
        pytest.param(position(("A", math.nan), ("B", -0.1)), {"B": -0.1}, id="nan"),
        pytest.param(position(("A", 3.0), ("B", True), ("B", "-1")), {}, id="no-log-probabilities"),
        pytest.param(position(("A", -9999.0), ("A", -0.1), ("B", -2.0)), {"A": -0.1, "B": -2.0}, id="a-placeholder-beside-a-number"),
        pytest.param(position(("A", 1e-7)), {"A": 0.0}, id="rounded-above-0"),
        pytest.param({"token": "A", "logprob": -0.1, "top_logprobs": None}, {"A": -0.1}, id="no-list"),
    ],
)  # fmt: skip
def test_probabilities_of_one_text_add_up_and_what_is_no_number_is_left_out(
    listed: dict[str, Any], found: dict[str, float]
) -> None:
    assert label_logprobs(listed, ["A", "B"]) == pytest.approx(found, abs=1e-12)


@given(
    entries=st.lists(
        st.tuples(st.sampled_from(["A", " A", "B", " B", "B ", "C"]), st.floats(-30, -3)), max_size=20, unique=True
    ),
    data=st.data(),
)
def test_the_order_of_the_list_decides_nothing(entries: list[tuple[str, float]], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(entries))
    assert label_logprobs(position(*entries), ["A", "B"]) == label_logprobs(position(*shuffled), ["A", "B"])


def answer(choice: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"choices": [choice], **more}).encode()


def test_labels_that_have_no_log_probabilities_are_missing() -> None:
    for logprobs in (None, {}, {"content": None}, {"content": []}):
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


def test_tool_calls_are_sent_in_the_servers_form() -> None:
    messages = (
        Message(role="user", content="hi"),
        Message(role="assistant", tool_calls=(ToolCall(id="1", function=Function(name="f", arguments={"x": 1})),)),
        Message(role="tool", content="2", tool_call_id="1"),
    )
    request = Request("d", "sample", (), Sampling(8), messages=messages, tools='[{"type": "function"}]')
    path, body = request_body(request, "m", token_ids=False)
    assert path == "/v1/chat/completions"
    assert body["tools"] == [{"type": "function"}]
    assert body["messages"][1]["tool_calls"] == [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    ]


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
    ("status", "error", "reason"),
    [
        pytest.param(400, {"code": "context_length_exceeded", "message": "x"}, ErrorReason.PROMPT_TOO_LONG, id="code"),
        pytest.param(400, {"type": "exceed_context_size_error", "message": "x"}, ErrorReason.PROMPT_TOO_LONG, id="llama.cpp"),
        pytest.param(413, {"message": "prompt is too long: 9 tokens > 8 maximum"}, ErrorReason.PROMPT_TOO_LONG, id="words"),
        pytest.param(400, {"innererror": {"code": "ResponsibleAIPolicyViolation"}}, ErrorReason.CONTENT_REFUSED, id="policy"),
        pytest.param(403, {"message": "x", "metadata": {"reasons": ["was flagged for violence"]}}, ErrorReason.CONTENT_REFUSED, id="moderation"),
    ],
)  # fmt: skip
def test_refusals_that_are_about_the_request(status: int, error: dict[str, Any], reason: ErrorReason) -> None:
    found = read_refusal(status, json.dumps({"error": error}))
    assert isinstance(found, Completion)
    assert found.error
    assert found.error.reason == reason


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(400, "Unsupported parameter: 'max_tokens'", id="parameter"),
        pytest.param(404, "The model with a context length of 8 does not exist", id="model"),
        pytest.param(402, "content policy credits", id="credit"),
        pytest.param(500, "maximum context length", id="broken"),
        pytest.param(301, "", id="redirect"),
    ],
)
def test_other_refusals_are_the_servers_fault(status: int, error: str) -> None:
    found = read_refusal(status, json.dumps({"error": {"message": error}}))
    assert isinstance(found, ServerFault)
    assert found.status == status


def test_a_prompt_that_a_server_sends_back_does_not_explain_its_refusal() -> None:
    """As pydantic's errors do, which name the input beside the message."""
    detail = [{"loc": ["body", "seed"], "msg": "extra fields not permitted", "input": "Explain the content policy."}]
    assert isinstance(read_refusal(422, json.dumps({"detail": detail})), ServerFault)


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
