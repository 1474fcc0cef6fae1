"""Errors of servers, read: which of them are about the request, and what the others are about."""

import json
from typing import Any

import pytest

from generation.engines.base import Completion, ErrorReason
from generation.servers.refusals import ServerFault, Trouble, read_refusal

SENT = ("model", "messages", "max_tokens", "temperature", "top_p", "seed", "stop", "logprobs", "top_logprobs", "tools")

TOO_LONG = [
    (400, "openai", {"message": "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. Please reduce the length of the messages.", "code": "context_length_exceeded", "param": "messages"}),
    (400, "openai-responses", {"message": "Your input exceeds the context window of this model. Please adjust your input and try again."}),
    (400, "anthropic", {"type": "invalid_request_error", "message": "prompt is too long: 213462 tokens > 200000 maximum"}),
    (400, "anthropic-sum", {"message": "input length and `max_tokens` exceed context limit: 174167 + 64000 > 200000, decrease input length or `max_tokens` and try again"}),
    (400, "gemini", {"code": 400, "status": "INVALID_ARGUMENT", "message": "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)."}),
    (400, "bedrock", {"__type": "ValidationException", "message": "Input is too long for requested model."}),
    (400, "bedrock-2", {"message": "Too many input tokens. Max input tokens: 200000, request input token count: 210000"}),
    (400, "mistral", {"message": "Prompt contains 33000 tokens and 0 draft tokens, too large for model with 32768 maximum context length"}),
    (400, "cohere", {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000."}),
    (413, "groq", {"message": "Please reduce the length of the messages or completion.", "code": "context_length_exceeded"}),
    (422, "together", {"message": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 8200 `inputs` tokens and 512 `max_new_tokens`"}),
    (400, "fireworks", {"message": "The prompt is too long: 140000, model maximum context length: 131071"}),
    (422, "tgi", {"message": "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000", "type": "validation"}),
    (400, "deepseek", {"message": "This model's maximum context length is 65536 tokens. However, you requested 70000 tokens (62000 in the messages, 8000 in the completion)."}),
    (400, "cerebras", {"message": "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192", "code": "context_length_exceeded"}),
    (400, "xai", {"message": "This model's maximum prompt length is 131072 but the request contains 537812 tokens."}),
    (400, "moonshot", {"message": "Invalid request: Your request exceeded model token limit: 8192 (requested: 9000)"}),
    (400, "copilot", {"message": "prompt token count of 140000 exceeds the limit of 128000", "code": "model_max_prompt_tokens_exceeded"}),
    (400, "minimax", {"message": "invalid params, context window exceeds limit"}),
    (400, "dashscope", {"code": "InvalidParameter", "message": "Range of input length should be [1, 30720]"}),
    (400, "zhipu", {"code": "1261", "message": "Prompt exceeds max length"}),
    (400, "openrouter", {"code": 400, "message": "This endpoint's maximum context length is 32768 tokens. However, you requested about 40000 tokens (39000 of text input, 1000 in the output)."}),
    (400, "openrouter-raw", {"message": "Provider returned error", "metadata": {"raw": '{"error": {"message": "prompt is too long: 9 tokens > 8 maximum"}}'}}),
    (400, "vllm", {"message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens", "type": "BadRequestError"}),
    (400, "vllm-2", {"message": "The decoder prompt (length 5000) is longer than the maximum model length of 4096."}),
    (400, "sglang", {"message": "The input (61709 tokens) is longer than the model's context length (40960 tokens)."}),
    (400, "sglang-2", {"message": "Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens). Use a shorter input or enable --allow-auto-truncate."}),
    (400, "llama.cpp", {"code": 400, "type": "exceed_context_size_error", "message": "the request exceeds the available context size, try increasing it"}),
    (500, "llama.cpp-500", {"code": 500, "message": "Context size has been exceeded."}),
    (400, "lmstudio", "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens"),
    (400, "ollama", "the input length exceeds the context length"),
    (413, "databricks", {"message": "Input token count exceeds the model's limit of 8192 tokens"}),
    (400, "nobody-yet", {"message": "Your conversation has 9000 tokens; at most 8192 tokens are supported."}),
]  # fmt: skip

REFUSED = [
    (400, "azure", {"code": "content_filter", "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "innererror": {"code": "ResponsibleAIPolicyViolation"}}),
    (400, "openai", {"message": "Invalid prompt: your prompt was flagged as potentially violating our usage policy.", "code": "invalid_prompt"}),
    (400, "openai-2", {"message": "Your request was rejected as a result of our safety system.", "code": "content_policy_violation"}),
    (403, "openrouter", {"code": 403, "message": "Your chosen model requires moderation and your input was flagged", "metadata": {"reasons": ["violence"]}}),
    (400, "deepseek", {"message": "Content Exists Risk", "type": "invalid_request_error"}),
    (400, "dashscope", {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}),
    (400, "zhipu", {"code": "1301", "message": "The system detected potentially unsafe or sensitive content in the input."}),
    (400, "bedrock", {"message": "The content was blocked by a guardrail."}),
    (400, "gemini", {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
    (422, "minimax", {"base_resp": {"status_msg": "input new_sensitive"}}),
    (403, "waf-of-words", {"message": "This request violates our acceptable use policy"}),
]  # fmt: skip

TROUBLES = [
    (400, "max_tokens", {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "code": "unsupported_parameter", "param": "max_tokens"}, Trouble.PARAMETER, "max_tokens"),
    (400, "temperature", {"message": "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."}, Trouble.PARAMETER, "temperature"),
    (422, "seed", {"detail": [{"loc": ["body", "seed"], "msg": "extra fields not permitted: seed"}]}, Trouble.PARAMETER, "seed"),
    (400, "top_logprobs", {"message": "Invalid value for 'top_logprobs': must be less than or equal to 5."}, Trouble.PARAMETER, "top_logprobs"),
    (403, "logprobs", {"message": "You are not allowed to request logprobs from this model"}, Trouble.PARAMETER, "logprobs"),
    (400, "too-many-asked", {"message": "max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you provided 100000."}, Trouble.PARAMETER, "max_tokens"),
    (404, "model", {"message": "The model `x` does not exist or you do not have access to it.", "code": "model_not_found"}, Trouble.MODEL, ""),
    (400, "model-400", {"message": "x is not a valid model ID"}, Trouble.MODEL, ""),
    (404, "path", {"message": "no route /v2"}, Trouble.ADDRESS, ""),
    (405, "method", {"message": "Method Not Allowed"}, Trouble.ADDRESS, ""),
    (301, "moved", {}, Trouble.ADDRESS, ""),
    (401, "key", {"message": "Incorrect API key provided"}, Trouble.KEY, ""),
    (400, "key-gemini", {"message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}, Trouble.KEY, ""),
    (403, "key-403", {"message": "Permission denied: this API key has no access"}, Trouble.KEY, ""),
    (402, "credit", {"message": "content policy credits"}, Trouble.ACCOUNT, ""),
    (429, "quota", {"message": "You exceeded your current quota, please check your plan and billing details.", "code": "insufficient_quota"}, Trouble.ACCOUNT, ""),
    (429, "quota-a-minute", {"message": "You exceeded your current quota, please check your plan and billing details. Please retry in 37.1s."}, Trouble.RATE, ""),
    (429, "rate", {"message": "Rate limit reached for requests"}, Trouble.RATE, ""),
    (400, "balance", {"message": "Your credit balance is too low to access the API."}, Trouble.ACCOUNT, ""),
    (403, "suspended", {"message": "Your account was suspended for violating our usage policies"}, Trouble.ACCOUNT, ""),
    (403, "country", {"code": "unsupported_country_region_territory", "message": "Country, region, or territory not supported"}, Trouble.ACCOUNT, ""),
    (403, "firewall", "<html><title>Attention Required!</title>Sorry, you have been blocked</html>", Trouble.PROMPT, ""),
    (400, "tokens-a-minute", {"message": "Too many tokens, please wait before trying again."}, Trouble.PROMPT, ""),
    (413, "groq-tpm", {"message": "Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 7000", "code": "rate_limit_exceeded"}, Trouble.PROMPT, ""),
    (400, "role", {"message": "System role not supported"}, Trouble.PROMPT, ""),
    (500, "broken", {"message": "maximum context length"}, Trouble.PASSES, ""),
    (503, "filter-is-away", {"message": "content filter is unavailable"}, Trouble.PASSES, ""),
    (529, "overloaded", {"type": "overloaded_error"}, Trouble.PASSES, ""),
    (408, "timeout", {}, Trouble.PASSES, ""),
    (0, "inside-an-answer", {"message": "Provider returned error"}, Trouble.PASSES, ""),
]  # fmt: skip


def body(error: object) -> str:
    return error if isinstance(error, str) else json.dumps({"error": error})


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        pytest.param(status, error, ErrorReason.PROMPT_TOO_LONG, id=f"too-long-{name}")
        for status, name, error in TOO_LONG
    ]
    + [
        pytest.param(status, error, ErrorReason.CONTENT_REFUSED, id=f"refused-{name}")
        for status, name, error in REFUSED
    ],
)
def test_refusals_that_are_about_the_request(status: int, error: object, reason: ErrorReason) -> None:
    found = read_refusal(status, body(error), SENT)
    assert isinstance(found, Completion), found
    assert found.error
    assert found.error.reason == reason


@pytest.mark.parametrize(
    ("status", "error", "trouble", "parameter"), [pytest.param(s, e, t, p, id=name) for s, name, e, t, p in TROUBLES]
)
def test_other_refusals_are_the_servers_fault(status: int, error: object, trouble: Trouble, parameter: str) -> None:
    found = read_refusal(status, body(error), SENT)
    assert isinstance(found, ServerFault), found
    assert (found.status, found.trouble, found.parameter) == (status, trouble, parameter)


PROMPT = "Explain the content policy and the maximum context length."


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(
            {"detail": [{"loc": ["body"], "msg": "field not permitted", "input": PROMPT}]}, id="beside-the-words"
        ),
        pytest.param({"error": {"message": f"cannot parse '{PROMPT}'"}}, id="among-the-words"),
    ],
)
def test_a_prompt_that_a_server_sends_back_does_not_explain_its_refusal(error: dict[str, Any]) -> None:
    assert isinstance(read_refusal(422, json.dumps(error), SENT, [PROMPT]), ServerFault)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ('{"error": {"details": [{"retryDelay": "37s"}]}}', 37.0),
        ('{"error": {"message": "Please try again in 1.5s."}}', 1.5),
        ('{"error": {"message": "Please try again in 20ms"}}', 0.02),
        ('{"error": {"message": "later"}}', None),
    ],
)
def test_a_body_may_name_the_wait(text: str, wait: float | None) -> None:
    found = read_refusal(429, text)
    assert isinstance(found, ServerFault)
    assert found.wait == wait


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"error": ' * 5000, "\x00\ud800", "", "null", '{"error": null}', "{" * 99]
)
def test_any_body_is_read(text: str) -> None:
    for status in (400, 403, 404, 429, 500):
        assert isinstance(read_refusal(status, text, SENT), ServerFault)
