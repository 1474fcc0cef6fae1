"""Requests as servers read them."""

from dataclasses import replace
from typing import Any

import pytest

from constitution.records import Function, Message, ToolCall
from generation.engines.base import Request, Sampling
from generation.servers.bodies import request_body
from generation.servers.settings import EndpointSettings

ASK = (Message(role="user", content="hi"),)
SAY = Request("d", "sample", (), Sampling(8, 0.5, 0.9, 3), messages=ASK)
JUDGE = Request("d", "compare", (), Sampling(1), (("A", -1), ("B", -1)), messages=ASK)
TOKENS = Request("d", "compare", (1, 2), Sampling(4, seed=3), (("A", 7), ("B", 9)))


def body(request: Request, **more: Any) -> dict[str, Any]:
    return request_body(request, "m", EndpointSettings.model_validate({"url": "http://h", **more}))


def test_tool_calls_are_sent_in_the_servers_form() -> None:
    messages = (
        *ASK,
        Message(role="assistant", tool_calls=(ToolCall(id="1", function=Function(name="f", arguments={"x": 1})),)),
        Message(role="tool", content="2", tool_call_id="1"),
    )
    sent = body(Request("d", "sample", (), Sampling(8), messages=messages, tools='[{"type": "function"}]'))
    assert sent["tools"] == [{"type": "function"}]
    assert sent["messages"][1]["tool_calls"] == [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    ]


PLAIN = {
    "model": "m",
    "max_tokens": 8,
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 3,
    "messages": [{"role": "user", "content": "hi"}],
}


@pytest.mark.parametrize(
    ("more", "changed", "without"),
    [
        pytest.param({}, {}, (), id="plain"),
        pytest.param({"omit": ["seed", "temperature", "top_p"]}, {}, ("seed", "temperature", "top_p"), id="omit"),
        pytest.param({"rename": {"max_tokens": "max_completion_tokens"}}, {"max_completion_tokens": 8}, ("max_tokens",), id="rename"),
        pytest.param({"extra_body": {"provider": {"order": ["x"]}, "temperature": 1}}, {"provider": {"order": ["x"]}, "temperature": 1}, (), id="extra-body-is-laid-over"),
        pytest.param({"chat_template_kwargs": {"enable_thinking": False}}, {"chat_template_kwargs": {"enable_thinking": False}}, (), id="template"),
        pytest.param({"reasoning_effort": "low"}, {"reasoning_effort": "low"}, (), id="effort"),
        pytest.param({"thinking_tokens": 100}, {"max_tokens": 108}, (), id="thinking-tokens"),
    ],
)  # fmt: skip
def test_settings_change_the_body(more: dict[str, Any], changed: dict[str, Any], without: tuple[str, ...]) -> None:
    wanted = {name: value for name, value in {**PLAIN, **changed}.items() if name not in without}
    assert body(SAY, **more) == wanted


def test_what_a_prompt_tells_the_template_is_laid_over_what_the_settings_tell_it() -> None:
    found = body(replace(SAY, template_kwargs='{"tone": "calm", "x": 1}'), chat_template_kwargs={"x": 2, "y": 3})
    assert found["chat_template_kwargs"] == {"x": 1, "y": 3, "tone": "calm"}


@pytest.mark.parametrize(("given", "sent"), [(None, 20), (5, 5), (0, None)])
def test_as_many_alternatives_are_asked_for_as_settings_say(given: int | None, sent: int | None) -> None:
    found = body(JUDGE, top_logprobs=given)
    assert (found.get("logprobs"), found.get("top_logprobs")) == (sent is not None or None, sent)


def test_an_answer_prefix_is_a_message_that_is_gone_on_with() -> None:
    found = body(SAY, answer_prefix="<think></think>", omit=["add_generation_prompt"])
    assert found["messages"][-1] == {"role": "assistant", "content": "<think></think>", "prefix": True}
    assert found["continue_final_message"] is True
    assert "add_generation_prompt" not in found


def test_a_schema_is_sent_as_a_response_format() -> None:
    found = body(Request("d", "compare", (), Sampling(8), messages=ASK, schema='{"type": "object"}'))
    form = {"name": "answer", "strict": True, "schema": {"type": "object"}}
    assert found["response_format"] == {"type": "json_schema", "json_schema": form}


def test_parameters_of_a_token_server_can_be_left_out_too() -> None:
    found = body(TOKENS, token_ids=True, omit=["seed"], extra_body={"priority": 1})
    assert found == {
        "model": "m", "token_ids": [1, 2], "output_mode": "tokens", "priority": 1,
        "sampling_params": {"max_tokens": 4, "temperature": 0.0, "top_p": 1.0, "logprob_token_ids": [7, 9, 9], "logprobs": 3},
    }  # fmt: skip


def test_a_token_server_is_told_where_answers_end_and_others_know_it_themselves() -> None:
    ending = Sampling(8, ends=(5, 6))
    tokens = body(Request("d", "sample", (1, 2), ending), token_ids=True)
    assert tokens["sampling_params"]["stop_token_ids"] == [5, 6]
    assert "stop_token_ids" not in body(Request("d", "sample", (), ending, messages=ASK))
