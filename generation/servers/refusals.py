"""What the errors of servers mean: a refusal counts as the request's own fault only where the server says so."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from generation.engines.base import Completion, ErrorReason, failed
from generation.servers import wording

SHOWN = 300
"""Characters of a server's words that are kept."""

READ = 20_000
"""Characters of what a server says that are looked at."""

_WORD = 10
"""Characters of a prompt, fewer than which may be a word of the server's own."""


class Trouble(StrEnum):
    """What a refusal is about, which decides what is done."""

    PASSES = "passes"
    """The server's own trouble: the call is made again."""
    RATE = "rate"
    """Too many calls: the whole server is asked more slowly."""
    KEY = "key"
    """The key is not taken."""
    ACCOUNT = "account"
    """A bill is not paid, or the account may not ask."""
    ADDRESS = "address"
    """Nothing answers there, or another address does."""
    MODEL = "model"
    """The server has no such model."""
    PARAMETER = "parameter"
    """It does not take a parameter, or not its value."""
    PROMPT = "prompt"
    """It refuses the request and does not say why in words that are known; another request may do."""

    @property
    def of_settings(self) -> bool:
        """True where no call will be answered until somebody mends something."""
        return self in _OF_SETTINGS


_OF_SETTINGS = frozenset({Trouble.KEY, Trouble.ACCOUNT, Trouble.ADDRESS, Trouble.MODEL, Trouble.PARAMETER})


class ServerFault(NamedTuple):
    """What a server answered in place of a completion, where nothing says that the request is to blame."""

    status: int
    """As HTTP means it; 0 where an answer with status 200 holds an error and no number."""
    words: str
    """The server's own, shortened."""
    trouble: Trouble = Trouble.PASSES
    parameter: str = ""
    """The field of the request that it refuses, where that is the trouble."""
    wait: float | None = None
    """Seconds after which the body asks to be asked again."""


def read_refusal(
    status: int, content: str, sent: Collection[str] = (), asked: Collection[str] = ()
) -> Completion | ServerFault:
    """What an error means: a fact about the request where the server's code or words say so, else the server's fault.

    sent: the fields of the request, of which the server may refuse one. asked: its texts, which say nothing of why it is refused
    where the server repeats them.
    """
    stated = statements(content)
    words, text = (stated or " ".join(content.split()))[:SHOWN], _without(stated.lower(), asked)[:READ]
    trouble, parameter = _trouble(status, text, sent)
    if status == 500 and wording.OVERFLOW_CODE.search(text):  # llama.cpp, and gateways that pass on what a model said
        return failed(ErrorReason.PROMPT_TOO_LONG, words)
    if trouble in (Trouble.PROMPT, Trouble.PARAMETER):
        if wording.overflow(text):
            return failed(ErrorReason.PROMPT_TOO_LONG, words)
        if wording.refused(text):
            return failed(ErrorReason.CONTENT_REFUSED, words)
    return ServerFault(status, words, trouble, parameter, _named_wait(content))


def statements(content: str) -> str:
    """What a body says of an error, on one line; empty where it says nothing."""
    return " ".join(" ".join(_statements(content)).split())


def _without(text: str, asked: Collection[str]) -> str:
    for one in asked:
        known = " ".join(one.lower().split())
        if len(known) > _WORD:
            text = text.replace(known, " ")
    return text


def _trouble(status: int, text: str, sent: Collection[str]) -> tuple[Trouble, str]:
    """What a status and its words are about, and the parameter that is refused."""
    if status == 429:
        # a limit a minute is told as a quota too, by some
        unpaid = wording.ACCOUNT.search(text) and not wording.RATE.search(text)
        return (Trouble.ACCOUNT if unpaid or "insufficient_quota" in text else Trouble.RATE), ""
    if status in (408, 409, 423, 425) or status >= 500:
        return Trouble.PASSES, ""
    if status == 401:
        return Trouble.KEY, ""
    if status == 402:
        return Trouble.ACCOUNT, ""
    if 300 <= status < 400 or status in (405, 406, 410, 411, 415, 421, 426):
        return Trouble.ADDRESS, ""
    if status == 404:
        return (Trouble.MODEL if wording.MODEL.search(text) else Trouble.ADDRESS), ""
    return _of_words(status, text, sent)


def _of_words(status: int, text: str, sent: Collection[str]) -> tuple[Trouble, str]:
    """For statuses that say nothing but that the request is refused, and for errors inside an answer, which have none."""
    if wording.overflow(text) or wording.refused(text):
        return Trouble.PROMPT, ""
    if wording.ACCOUNT.search(text):
        return (Trouble.RATE if wording.RATE.search(text) else Trouble.ACCOUNT), ""
    if wording.MODEL.search(text):
        return Trouble.MODEL, ""
    if (parameter := _refused_parameter(text, sent)) is not None:
        return Trouble.PARAMETER, parameter
    if wording.KEY.search(text):
        return Trouble.KEY, ""
    if status == 0:
        return (Trouble.RATE if wording.RATE.search(text) else Trouble.PASSES), ""
    return Trouble.PROMPT, ""


_UNTOLD = frozenset({"model", "messages", "token_ids", "content", "role"})
"""Fields that every request has; what is said of them may be about one prompt."""


def _refused_parameter(text: str, sent: Collection[str]) -> str | None:
    """The first field that the words name as one that is not taken; None where they name none."""
    if not wording.PARAMETER.search(text):
        return None
    places = {
        name: re.search(rf"(?<![\w]){re.escape(name.lower())}(?![\w])", text) for name in sent if name not in _UNTOLD
    }
    found = {name: place.start() for name, place in places.items() if place}
    return min(found, key=lambda name: found[name]) if found else None


def _statements(content: str) -> Iterator[str]:
    """What the server says of an error: its codes and messages, and not the prompt, which some send back beside them."""
    try:
        waiting = deque([json.loads(content)])
    except (ValueError, RecursionError):
        yield re.sub(
            r"<(script|style)\b.*?(?:</\1>|\Z)|<[^>]{0,300}>", " ", content[:READ], flags=re.DOTALL | re.IGNORECASE
        )
        return
    for _ in range(1000):
        if not waiting:
            return
        item = waiting.popleft()
        if isinstance(item, str):
            yield from _inner(item)
        elif isinstance(item, Mapping):
            told = {key.lower(): value for key, value in item.items()}
            waiting.extend(value for key, value in told.items() if key in _STATED_IN)
            if told.get("blockreason") or told.get("block_reason"):
                yield "block reason"  # Gemini's, whose value is a word such as OTHER
        elif isinstance(item, list):
            waiting.extend(item)


def _inner(text: str) -> Iterator[str]:
    """A text, or what an error says that a gateway passes on as JSON inside one."""
    if text.lstrip()[:1] in ("{", "[") and len(text) < 100_000:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            yield text
        else:
            yield from _statements(text)
    else:
        yield text


_STATED_IN = frozenset(
    {
        "error", "errors", "detail", "details", "message", "msg", "code", "type", "status", "innererror", "metadata", "reasons",
        "reason", "error_msg", "error_message", "error_code", "errormessage", "status_msg", "base_resp", "title", "description",
        "raw", "param", "error_type", "__type", "promptfeedback", "prompt_feedback", "blockreason", "block_reason", "cause",
    }
)  # fmt: skip
"""Keys, in lower case, under which servers describe an error."""

_DELAY = re.compile(
    r'"retry_?(?:delay|after)"\s*:\s*"?(\d+(?:\.\d+)?)s?"?|(?:try again|retry) in (\d+(?:\.\d+)?)\s*(ms|m)?',
    re.IGNORECASE,
)


def _named_wait(content: str) -> float | None:
    """Seconds that the body of an error asks to wait, as Gemini's `retryDelay` and OpenAI's `try again in 1.2s` do."""
    found = _DELAY.search(content[:READ])
    if not found:
        return None
    seconds = float(found[1] or found[2])
    return seconds * {"ms": 0.001, "m": 60.0}.get((found[3] or "").lower(), 1.0)


def error_status(error: object) -> int:
    """The number of an error inside an answer, 0 where it names none."""
    if not isinstance(error, Mapping):
        return 0
    for name in ("code", "status", "status_code", "http_status"):
        code = error.get(name)
        code = int(code) if isinstance(code, str) and code.isdecimal() and len(code) == 3 else code
        if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600:
            return code
    return 0
