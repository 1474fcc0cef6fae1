"""Answers of servers, read: contents, ends of texts, numbers."""

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.engines.base import Completion, ErrorReason, Request, Sampling, Usage
from generation.servers.answers import LONGEST, LONGEST_TOKEN, Malformed, read_answer
from generation.servers.refusals import ServerFault

JUDGE = Request("d", "compare", (), Sampling(1), (("A", -1), ("B", -1)))
SAY = Request("d", "sample", (), Sampling(8))


def answer(choice: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"choices": [choice], **more}).encode()


def test_labels_that_have_no_log_probabilities_are_missing() -> None:
    forms: list[dict[str, Any] | None] = [None, {}, {"content": None}, {"content": []}]
    for logprobs in forms:
        choice = {"message": {"content": "A"}, "finish_reason": "length", "logprobs": logprobs}
        assert read_answer(200, answer(choice), JUDGE, token_ids=False) == Completion("A", "length")


def test_placeholders_of_a_token_server_are_missing() -> None:
    tops = [{"token_id": 7, "logprob": -9999.0}, {"token_id": 9, "logprob": -0.5}, {"token_id": 9, "logprob": None}]
    choice = {"token_ids": [9], "finish_reason": "length", "logprobs": {"content": [{"top_logprobs": tops}]}}
    request = Request("d", "compare", (1,), Sampling(1), (("A", 7), ("B", 9)))
    assert read_answer(200, answer(choice), request, token_ids=True) == Completion("B", "length", {"B": -0.5})


OFFERED = dataclasses.replace(SAY, tools="[{}]")


@pytest.mark.parametrize(
    ("finish", "wanted"),
    [("stop", "stop"), ("tool_calls", "stop"), ("end_turn", "stop"), ("length", "length"), ("max_tokens", "length")],
)
def test_ends_that_are_known(finish: str, wanted: str) -> None:
    found = read_answer(200, answer({"message": {"content": "x"}, "finish_reason": finish}), SAY, token_ids=False)
    assert isinstance(found, Completion)
    assert (found.text, found.finish, found.error) == ("x", wanted, None)


@pytest.mark.parametrize("finish", ["finished", None, "", 3, [], {"type": None}])
def test_an_end_that_is_not_known_is_no_completion(finish: object) -> None:
    for token_ids, choice in ((False, {"message": {"content": "x"}}), (True, {"text": "x", "token_ids": [1]})):
        found = read_answer(200, answer({**choice, "finish_reason": finish}), SAY, token_ids)
        assert isinstance(found, Malformed)
        assert "does not say that the text is complete" in found.words


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param({"message": {"content": "half a te"}, "finish_reason": "content_filter"}, id="cut-by-a-filter"),
        pytest.param({"message": {"content": None, "refusal": "I cannot."}, "finish_reason": "stop"}, id="refused"),
        pytest.param(
            {"message": {"content": [{"type": "refusal", "refusal": "No."}]}, "finish_reason": "stop"}, id="a-part"
        ),
        pytest.param({"message": None, "finish_reason": "SAFETY"}, id="no-message"),
        pytest.param({"finish_reason": "error_toxic"}, id="toxic"),
    ],
)
def test_a_refused_content_is_no_text(choice: dict[str, Any]) -> None:
    found = read_answer(200, answer(choice), SAY, token_ids=False)
    assert isinstance(found, Completion)
    assert found.error
    assert found.error.reason == ErrorReason.CONTENT_REFUSED
    assert found.text == ""


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param("half \ud83d", "half \ufffd", id="half-a-character"),
        pytest.param([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab", id="parts"),
        pytest.param([{"type": "output_text", "text": "a"}, "b", {"type": "image"}], "ab", id="parts-of-other-kinds"),
        pytest.param({"type": "text", "text": "a"}, "a", id="one-part"),
        pytest.param("a\0b", "a\ufffdb", id="nul"),
        pytest.param("", "", id="nothing"),
        pytest.param([], "", id="no-parts"),
    ],
)
def test_contents_as_servers_send_them(content: object, text: str) -> None:
    found = read_answer(200, answer({"message": {"content": content}, "finish_reason": "stop"}), SAY, token_ids=False)
    assert isinstance(found, Completion)
    assert found.text == text
    found.text.encode()


@pytest.mark.parametrize(("sent", "read"), [('{"y": 2}', '{"y": 2}'), ("", "{}")])
def test_tool_calls_are_read_as_text(sent: str, read: str) -> None:
    call = {"function": {"name": "g", "arguments": sent}}
    choice = {"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    found = read_answer(200, answer(choice), OFFERED, token_ids=False)
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
        ({"input_tokens": 7, "output_tokens": 2}, Usage(7, 0, 2)),
        ({"prompt_tokens": 7, "prompt_cache_hit_tokens": 4, "completion_tokens": 2}, Usage(7, 4, 2)),
        ({"prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": 90}}, Usage(7, 7, 0)),
        ({"prompt_tokens": True, "completion_tokens": {}}, Usage(1, 0, 0)),
    ],
)
def test_token_counts_are_numbers_or_0(usage: object, counted: Usage) -> None:
    found = read_answer(
        200, answer({"message": {"content": "x"}, "finish_reason": "stop"}, usage=usage), SAY, token_ids=False
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
        pytest.param(b'{"choices": []}', id="no-choice"),
        pytest.param(b'{"choices": null}', id="null-choices"),
        pytest.param(b'{"choices": [null]}', id="a-null-choice"),
        pytest.param(b'{"choices": [{"finish_reason": "stop"}]}', id="an-end-alone"),
        pytest.param(b'{"choices": [{"finish_reason": "stop", "message": {"content": null}}]}', id="null-content"),
        pytest.param(
            b'{"choices": [{"finish_reason": "stop", "message": {"content": {"text": "x"}}}]}',
            id="an-object-of-no-type",
        ),
        pytest.param(b'{"choices": [{"finish_reason": "stop", "message": "words"}]}', id="a-message-of-words"),
        pytest.param(b'{"choices": [{"finish_reason": "stop", "message": {"tool_calls": [{}]}}]}', id="half-a-call"),
        pytest.param(b"<html>Just a moment...</html>", id="a-page"),
        pytest.param(b"\xff\xfe\x00", id="no-text"),
        pytest.param(b"{}", id="an-empty-object"),
        pytest.param(b'"text"', id="a-text"),
        pytest.param(b'{"id": ' + b"9" * 5000 + b"}", id="a-number-without-end"),
        pytest.param(b"data: {}\n\ndata: [DONE]\n", id="a-stream"),
    ],
)
def test_what_is_no_completion_is_told(content: bytes) -> None:
    for token_ids in (False, True):
        assert isinstance(read_answer(200, content, SAY, token_ids), Malformed)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        pytest.param({"content": "b", "reasoning_content": "a"}, "<think>a</think>b", id="reasoning_content"),
        pytest.param({"content": "b", "reasoning": " a "}, "<think>a</think>b", id="reasoning"),
        pytest.param({"content": None, "reasoning_content": "a"}, "<think>a</think>", id="thoughts-alone"),
        pytest.param({"content": "<think>a</think>b", "reasoning": "a"}, "<think>a</think>b", id="told-twice"),
        pytest.param({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}, {"type": "text", "text": "b"}]}, "<think>a</think>b", id="parts"),
        pytest.param({"content": "b", "reasoning_content": None}, "b", id="null"),
    ],
)  # fmt: skip
def test_thoughts_that_are_sent_apart_stand_before_the_text(message: dict[str, Any], text: str) -> None:
    found = read_answer(200, answer({"message": message, "finish_reason": "stop"}), SAY, token_ids=False)
    assert isinstance(found, Completion)
    assert found.text == text


@pytest.mark.parametrize("status", [200, 201, 206])
def test_the_older_form_of_a_completion_is_read(status: int) -> None:
    logprobs = {"tokens": ["A"], "token_logprobs": [-0.1], "top_logprobs": [{"A": -0.1, "B": -2.0}]}
    choice = {"text": "A", "finish_reason": {"type": "stop"}, "logprobs": logprobs}
    found = read_answer(status, answer(choice), JUDGE, token_ids=False)
    assert isinstance(found, Completion)
    assert (found.text, found.finish) == ("A", "stop")
    assert found.logprobs == pytest.approx({"A": -0.1, "B": -2.0})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": {"message": "no", "code": "content_filter"}}, ErrorReason.CONTENT_REFUSED),
        ({"choices": [], "promptFeedback": {"blockReason": "SAFETY"}}, ErrorReason.CONTENT_REFUSED),
        ({"choices": [], "error": {"message": "prompt is too long: 9 tokens > 8"}}, ErrorReason.PROMPT_TOO_LONG),
        ({"base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}}, ErrorReason.CONTENT_REFUSED),
    ],
)
def test_a_refusal_inside_an_answer_is_a_refusal(body: dict[str, Any], reason: ErrorReason) -> None:
    found = read_answer(200, json.dumps(body).encode(), SAY, token_ids=False)
    assert isinstance(found, Completion)
    assert found.error
    assert found.error.reason == reason


def test_bytes_that_are_no_text_are_replaced() -> None:
    whole = answer({"message": {"content": "caf#"}, "finish_reason": "stop"})
    for sent, text in ((whole.replace(b"#", b"\xe9"), "caf\ufffd"), (b"\xef\xbb\xbf" + whole, "caf#")):
        found = read_answer(200, sent, SAY, token_ids=False)
        assert isinstance(found, Completion)
        assert found.text == text


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["choices", "message", "content", "error", "usage", "logprobs", "finish_reason", "text", "type"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON, JSON, st.sampled_from([200, 400, 403, 404, 429, 500]), st.booleans())
def test_any_json_is_read_into_one_of_the_meanings(inner: object, other: object, status: int, token_ids: bool) -> None:
    for sent in (
        inner,
        {"choices": [inner]},
        {"choices": [{"message": inner, "finish_reason": "stop", "logprobs": other}]},
    ):
        for request in (SAY, JUDGE):
            found = read_answer(status, json.dumps(sent).encode(), request, token_ids)
            assert isinstance(found, Completion | Malformed | ServerFault)
            if isinstance(found, Completion):
                found.text.encode()


@pytest.mark.parametrize(
    ("indices", "read"),
    [((1, 0), 1), (("1", "0"), 1), ((1.0, 0.0), 1), ((None, 0), 0), ((2, 1), 0), ((0, 0), 0), (([], {}), 0)],
)
def test_the_choice_is_the_one_with_index_0_or_the_first(indices: tuple[object, ...], read: int) -> None:
    choices = [
        {"index": index, "message": {"content": str(place)}, "finish_reason": "stop"}
        for place, index in enumerate(indices)
    ]
    found = read_answer(200, json.dumps({"choices": choices}).encode(), SAY, token_ids=False)
    assert isinstance(found, Completion)
    assert found.text == str(read)


def test_a_call_of_a_tool_that_nobody_offered_is_no_completion() -> None:
    call = {"function": {"name": "look", "arguments": "{}"}}
    choice = {"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    assert isinstance(read_answer(200, answer(choice), SAY, token_ids=False), Malformed)
    assert isinstance(read_answer(200, answer(choice), OFFERED, token_ids=False), Completion)


@pytest.mark.parametrize(
    "body",
    [
        {"type": "message", "content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn"},
        {"object": "response", "status": "completed", "output": []},
        {"status": "IN_QUEUE", "id": "x"},
    ],
)
def test_another_vendors_form_is_told_by_how_it_begins(body: dict[str, Any]) -> None:
    found = read_answer(200, json.dumps(body).encode(), SAY, token_ids=False)
    assert isinstance(found, Malformed)
    assert found.words.startswith(f"the answer has no choices ({json.dumps(body)[:20]}")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"message": "Provider returned error", "code": 502}}, 502),
        ({"error": {"message": "slow down", "code": "rate_limit"}}, 0),
        ({"error": "overloaded"}, 0),
        ({"object": "error", "message": "broken", "code": 500}, 500),
        ({"detail": "try again"}, 0),
        ({"success": False, "errors": [{"message": "no"}]}, 0),
        ({"choices": [{"message": {"content": "half"}, "finish_reason": "network_error"}]}, 0),
        ({"choices": [{"message": {"content": "half"}, "finish_reason": "error"}]}, 0),
        ({"choices": [{"message": {"content": "half"}, "error": {"code": 404, "message": "gone"}}]}, 404),
    ],
)
def test_an_error_inside_an_answer_is_an_error(body: dict[str, Any], status: int) -> None:
    found = read_answer(200, json.dumps(body).encode(), SAY, token_ids=False)
    assert isinstance(found, ServerFault)
    assert found.status == status


def test_an_answer_longer_than_its_tokens_can_be_is_truncated() -> None:
    longest = LONGEST + LONGEST_TOKEN * 8
    for characters, finish in ((longest, "stop"), (longest + 1, "length")):
        choice = {"message": {"content": "x" * characters}, "finish_reason": "stop"}
        assert read_answer(200, answer(choice), SAY, token_ids=False) == Completion("x" * longest, finish)
