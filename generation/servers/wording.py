"""How servers word their refusals: what they say when a prompt does not fit, when they do not answer a content, and when a key, a
bill, a model's name or a parameter is wrong.

Collected from documentation and public reports of OpenAI, Azure, Anthropic, Gemini, Bedrock, Mistral, Cohere, Groq, Together,
Fireworks, DeepSeek, Cerebras, xAI, Moonshot, Zhipu, MiniMax, DashScope, OpenRouter, vLLM, SGLang, TGI, llama.cpp, Ollama and
LM Studio. All patterns are for texts in lower case.
"""

from __future__ import annotations

import re


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


RATE = _any(
    r"rate.?limit",
    r"too many requests",
    r"throttl",
    r"per (?:minute|hour|day|second)\b",
    r"\b[rt]p[md]\b",
    r"please wait",
    r"try again (?:later|in)",
    r"retry (?:later|in|after)",
    r"overloaded",
    r"concurren\w{0,10} (?:request|limit)",
    r"slow down",
)
"""A limit of the account's traffic, which passes. Its words may be those of a prompt that is too long: "too many tokens"."""

OVERFLOW_CODE = _any(
    r"context_length_exceeded", r"exceed_context_size", r"contextwindowexceeded", r"context size has been exceeded"
)
"""A prompt that is too long, in words that are a code for it."""
_OVERFLOW = _any(
    r"context.?(?:length|window|size|limit)(?!.{0,20}(?:must be|unknown|unsupported))",
    r"exceed_context",
    r"max_model_len",
    r"maximum model length",
    r"(?:prompt|input|message|sequence)s? (?:is|are|was)? ?too (?:long|large)",
    r"too many input tokens",
    r"prompt_too_long",
    r"input_too_long",
    r"too long for (?:the )?(?:requested )?model",
    r"exceeds? (?:the )?model.{0,20} context",
    r"(?:input|prompt) (?:token count|length|tokens?)\b.{0,60}(?:exceed|must not|cannot|greater|larger|longer|more than|over )",
    r"inputs?`? tokens \+ `?max_new_tokens`? must be",
    r"inputs?`? must have less than \d+ tokens",
    r"maximum (?:prompt|input) length",
    r"reduce the length of the (?:messages|prompt|input)",
    r"exceed\w{0,10} model token limit",
    r"prompt exceeds",
    r"length of the prompt",
    r"too many tokens: (?:total|the sum|size|prompt|input)",
    r"total number of tokens in the prompt",
    r"range of input length",
    r"tokens in request more than max tokens",
    r"max_tokens must be at least 1, got -",
    r"longer than the model",
    r"exceeds the maximum number of (?:input )?tokens",
    r"token limit exceeded",
    r"request has \d+ input tokens",
)
_OVERFLOW_OTHERWISE = _any(
    r"\btokens?\b.{0,80}\b(?:exceed\w{0,10}|(?:greater|more|longer|larger) than|over|above)\b"
    r".{0,60}\b(?:limit|maximum|max|allowed|supported)",
    r"\b(?:exceed\w{0,10}|over|above)\b.{0,60}\b(?:tokens?|input|prompt|sequence) ?(?:limit|length|count|budget|capacity)",
    r"\b(?:prompt|input|conversation|messages)\b.{0,80}\btokens?\b.{0,60}\b(?:limit|maximum|max|at most|only|up to)\b",
)
_OF_OUTPUT = _any(
    r"max_?(?:completion_|new_|output_)?tokens`?'?\"? ?(?:is|are|was|value|must|should|cannot|\(|:|=|of|exceed)",
    r"(?:completion|output) tokens?\b(?!.{0,80}(?:prompt|input|messages))",
)
"""About the number of tokens asked for, which is a setting and not the prompt."""


def overflow(text: str) -> bool:
    """True where it says that a prompt does not fit the model's context."""
    if RATE.search(text) and not re.search(r"context_length_exceeded|exceed_context|context.?(?:length|window)", text):
        return False
    if _OVERFLOW.search(text):
        return True
    return bool(_OVERFLOW_OTHERWISE.search(text)) and not _OF_OUTPUT.search(text)


_POLICY = _any(
    r"content.?filter",
    r"content.?policy",
    r"content management policy",
    r"responsibleaipolicyviolation",
    r"\bmoderation\b",
    r"flagged",
    r"safety (?:system|filter|polic|reason|violation|check|guideline|concern)",
    r"\b(?:usage|use|safety) polic",
    r"prohibited.?(?:content|use)",
    r"content exists risk",
    r"data.?inspection.?failed",
    r"inappropriate (?:content|input|prompt)",
    r"(?:sensitive|harmful|unsafe|offensive|explicit|disallowed) (?:content|input|prompt|information|words?|material|request)",
    r"violat\w{0,10} .{0,60}(?:polic|guideline|terms)",
    r"guardrail",
    r"\bjailbreak",
    r"prompt_blocked",
    r"block.?reason",
    r"(?:prompt|content|input|request|response) (?:was|has been|is|were) "
    r"(?:blocked|filtered|rejected by.{0,30}(?:filter|safety|polic))",
    r"blocked by .{0,40}(?:safety|content|filter|policy)",
    r"\bnew_sensitive\b",
    r"\binvalid_prompt\b",
    r"\bpolicy_violation\b",
    r"constitutional.?classifier",
    r"content_blocked",
    r"content.{0,20}not allowed",
    r"nsfw",
)
_OF_ACCOUNT_POLICY = _any(
    r"\b(?:account|organi[sz]ation|project|workspace|user|access|key)\b.{0,60}(?:suspend|deactivat|disabl|ban+ed|terminat|restrict|block)",
    r"unsupported_country",
    r"country, region",
    r"data policy",
    r"moderation (?:service|endpoint|api|model)\b.{0,40}(?:unavail|not|fail|error|timed)",
)
"""About who asks, or about the filter itself, and not about what is asked."""


def refused(text: str) -> bool:
    """True where it says that this content is not answered."""
    return bool(_POLICY.search(text)) and not _OF_ACCOUNT_POLICY.search(text)


ACCOUNT = _any(
    r"insufficient.?(?:quota|credit|balance|fund)",
    r"(?:exceeded|reached|over) your (?:current )?(?:quota|monthly|usage|spending|budget)",
    r"quota.{0,40}(?:exceeded|exhausted|used up)",
    r"\bbilling\b",
    r"\bcredits?\b.{0,40}(?:exhaust|insufficient|low|run out|required|expired|used)",
    r"(?:run|ran) out of (?:credit|quota|balance)",
    r"(?:add|purchase|buy|more) .{0,20}credits?",
    r"payment",
    r"arrear",
    r"top.?up|recharge",
    r"(?:balance|funds?) (?:is|are)? ?(?:too low|insufficient|not enough|exhaust|negative|empty)",
    r"budget.{0,20}exceeded",
    r"\b(?:account|organi[sz]ation|project|workspace|subscription)\b"
    r".{0,60}(?:suspend|deactivat|disabl|ban+ed|terminat|restrict|inactive|expired|not active)",
    r"unsupported_country",
    r"country, region",
    r"spend(?:ing)? limit",
    r"free.?tier.{0,40}(?:exceed|exhaust|over)",
)
"""An unpaid bill, or an account that may not ask."""

KEY = _any(
    r"api.?key",
    r"(?:invalid|incorrect|missing|bad|wrong|expired|no) .{0,20}(?:token|credential|authorization|auth)",
    r"authenticat",
    r"unauthori[sz]ed",
    r"access.?token",
    r"not authori[sz]ed",
    r"permission.?denied",
    r"permission_error",
    r"bearer",
    r"access denied",
    r"do(?:es)? not have (?:access|permission)",
    r"login|log in|sign in",
)
"""A key that is not taken, or that may not do this."""

MODEL = _any(
    r"model_?not_?found",
    r"deployment_?not_?found",
    r"(?:no such|unknown|invalid|unrecognized|nonexistent) (?:model|deployment)",
    r"model[^.;]{0,80}(?:not (?:found|exist|a valid|valid|available|loaded|served|deployed)|doesn't exist)",
    r"model[^.;]{0,80}(?:decommission|deprecat|discontinu)",
    r"model[^.;]{0,80}(?:retired|no longer|unavailable|is unknown|access to it)",
    r"(?:deployment|engine)[^.;]{0,60}(?:not found|not exist)",
    r"not a valid model",
    r"no endpoints found",
    r"not supported model",
    r"model[^.;]{0,40}is not supported(?! with)",
    r"unsupported model",
)
"""A model that this server does not have."""

PARAMETER = _any(
    r"unsupported",
    r"not (?:a )?support",
    r"un(?:known|recogni[sz]ed|expected|permitted)",
    r"extra (?:inputs?|fields?|parameters?)",
    r"not (?:permitted|allowed|accepted|valid|available|enabled|compatible)",
    r"invalid",
    r"must be",
    r"should be",
    r"too (?:large|big|high|small|low)",
    r"less than",
    r"greater than",
    r"at (?:most|least)",
    r"out of range",
    r"only .{0,30}(?:default|supported|allowed)",
    r"cannot be|can't be|can not be",
    r"deprecated",
    r"instead",
    r"missing",
    r"required",
    r"not (?:one|any) of",
    r"does not have",
    r"forbidden",
    r"disabled",
)
"""What is said of a parameter that is not taken."""
