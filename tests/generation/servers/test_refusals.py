"""Errors of servers, read: which of them are about the request."""

import json
from typing import Any

import pytest

from generation.engines.base import Completion, ErrorReason
from generation.servers.refusals import ServerFault, read_refusal


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
