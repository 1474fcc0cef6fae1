"""A stored call: what the engine answered, what the call was about and whether it came to anything."""

from __future__ import annotations

import json
import zlib
from typing import Any, NamedTuple

from critics.text.thoughts import split
from generation.calls.asked import asked
from generation.calls.database import StoreError
from generation.engines.base import CallError, Completion, ErrorReason, Request, Usage

_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Row(NamedTuple):
    """One stored call, without its key."""

    stage: str
    model: str
    seconds: float
    """Time the engine took."""
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    estimated_tokens: int
    batched: bool
    failed: str
    """Reason of an error, or NOTHING for an answer of which nothing can be used, or why it is not kept; else empty."""
    prompt: str
    """Id of the prompt that the call is about."""
    subject: str
    """Ids of the responses that it is about, without the prompt's, and after a bar the voter."""
    asked: bytes
    """Digests of the texts that were asked, as `asked.asked` gives them."""
    record: bytes
    """JSON of the rest of the completion. UTF-8 with surrogates let through, so that any text at all survives."""

    def completion(self) -> Completion:
        """The completion, equal to the one that was stored. Raises StoreError for a record that is none."""
        try:
            fields: dict[str, Any] = json.loads(self.record.decode("utf-8", "surrogatepass"))
            scores, error = tuple(fields.pop("scores", ())), fields.pop("error", None)
            return Completion(
                **fields,
                scores=scores,
                error=CallError(ErrorReason(error[0]), error[1]) if error else None,
                usage=Usage(
                    self.prompt_tokens,
                    self.cached_tokens,
                    self.completion_tokens,
                    self.estimated_tokens,
                    bool(self.batched),
                ),
            )
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as wrong:
            raise StoreError(
                f"a stored call is damaged ({wrong}); move the file away and its calls are made again"
            ) from None


def checksum(*row: object) -> int:
    """By which a row that the disk or a program has damaged is known. row: the values of a Row; text as text or in UTF-8."""
    return zlib.crc32(b"\0".join(map(_bytes, row)))


def _bytes(value: object) -> bytes:
    """A value as it is summed; the database knows no bool."""
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else b"%r" % (int(value) if isinstance(value, bool) else value)


NOTHING = "nothing"
"""The answer is empty or thoughts alone, or lacks the log-probabilities that were asked for."""


def to_row(request: Request, completion: Completion, seconds: float) -> tuple[Row, dict[bytes, str]]:
    """What is stored of a call, and the texts that it asked by digest.

    Raises ValueError for an error that is not the request's own: it may pass, and must not stay.
    """
    error = completion.error
    if error and not error.reason.of_request:
        raise ValueError(f"{error.reason}: is no fact about the request, so the engine raises it as a RefusedError")
    fields: dict[str, Any] = {"text": completion.text, "finish": completion.finish, "logprobs": completion.logprobs}
    if error:
        fields["error"] = error
    if completion.scores:
        fields["scores"] = completion.scores
    if completion.floor is not None:
        fields["floor"] = completion.floor
    record = _encode_json(fields).encode("utf-8", "surrogatepass")
    names, texts = asked(request)
    prompt, responses, voter = request.subject
    about = "|".join((" ".join(name.removeprefix(f"{prompt}/") for name in responses), voter))
    failed = str(error.reason) if error else NOTHING if _fruitless(request, completion) else ""
    usage = completion.usage
    tokens = (usage.prompt, usage.cached, usage.completion, usage.estimated, usage.batched)
    return Row(request.stage, request.model, float(seconds), *tokens, failed, prompt, about, names, record), texts


def _fruitless(request: Request, completion: Completion) -> bool:
    if request.labels or request.scored:
        return not (completion.logprobs or completion.scores)
    return not split(completion.text).answer
