"""Outcomes of prompts that are kept with the calls, so that a restart neither renders nor reads again what is settled.

An outcome holds for one state: the very inputs and settings of the run, what its judges' servers give, and the code that made it.
After any change it is made anew, from the stored calls.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from constitution.digest import hasher
from constitution.records import Prompt
from generation.calls.store import CallStore
from generation.engines.base import ErrorReason
from generation.output.manifest import Digests
from generation.output.records import Feedback

UNSETTLED = {str(reason) for reason in ErrorReason if not reason.of_request} | {"internal_error"}
"""Reasons of failures that may be gone at the next start."""
_ROOT = Path(__file__).resolve().parents[2]
_CODE = ("constitution", "critics", "generation")
"""Packages that decide what comes of a prompt."""
_feedback: TypeAdapter[Feedback] = TypeAdapter(Feedback)
_LEVEL = 1


class Settled:
    """The outcomes that a run has kept."""

    def __init__(self, store: CallStore, digests: Digests, found: Iterable[str], again: bool) -> None:
        """found: what else an outcome depends on, as capabilities of servers. again: True to make failed prompts anew."""
        self._store = store
        self._again = again
        h = hasher()
        h.update(json.dumps([digests.model_dump(exclude={"labels"}), *found, code()]).encode())
        self._state = h.digest()

    def get(self, prompt: Prompt) -> Feedback | None:
        """The prompt's outcome; None where it is not known for this state. Raises StoreError."""
        body = self._store.outcome(prompt.id, self._state)
        if body is None:
            return None
        try:
            kept = _feedback.validate_json(zlib.decompress(body))
        except (ValidationError, zlib.error, ValueError):
            return None
        return None if kept.prompt != prompt or (self._again and kept.failures) else kept

    def put(self, outcome: Feedback) -> None:
        """Keep an outcome, unless the next start may come to another. Raises StoreError."""
        if any(failure.reason in UNSETTLED for failure in outcome.failures):
            return
        try:
            body = to_json(outcome, inf_nan_mode="constants")
        except (
            PydanticSerializationError,
            UnicodeEncodeError,
        ):  # half a character, which only sqlite and we let through
            return
        self._store.put_outcome(outcome.prompt.id, self._state, zlib.compress(body, _LEVEL))


@cache
def code() -> str:
    """Digest of all code and templates that decide what comes of a prompt."""
    h = hasher()
    for package in _CODE:
        for path in sorted((_ROOT / package).rglob("*")):
            if path.suffix in (".py", ".jinja", ".jsonl"):
                h.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return h.hexdigest()
