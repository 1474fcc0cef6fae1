"""Requests as servers read them."""

from constitution.records import Function, Message, ToolCall
from generation.engines.base import Request, Sampling
from generation.servers.bodies import request_body

JUDGE = Request("d", "compare", (), Sampling(1), (("A", -1), ("B", -1)))
SAY = Request("d", "sample", (), Sampling(8))


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
