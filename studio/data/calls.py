"""The calls of a run about a prompt or a pair: what was asked, what was answered."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from generation.calls.asked import Asked
from generation.calls.reading import StoredCalls
from generation.output.results import responses_of, voter_of
from generation.pipeline.session import CALLS
from studio.data.index import Index


class Call(NamedTuple):
    """One call."""

    key: str
    stage: str
    model: str
    responses: list[str]
    """Ids of those that it is about."""
    voter: str
    seconds: float
    prompt_tokens: int
    completion_tokens: int
    asked: Asked | None
    """None where it was not kept."""
    answer: str
    finish: str
    error: str
    logprobs: Mapping[str, float]


def calls_about(
    run: Path, prompt: str, responses: frozenset[str] = frozenset(), voter: str = "", index: Index | None = None
) -> list[Call]:
    """Calls about a prompt, in their order; of two responses only those that compare them. None where the run has no calls.

    index: where the run is finished; without it all calls are looked through. Raises StoreError.
    """
    if not (run / CALLS).is_file():
        return []
    with closing(StoredCalls([run / CALLS])) as calls:
        found = []
        for key, row in calls.at(index.call_rows(prompt)) if index else calls.about(prompt):
            if row.prompt != prompt:
                continue
            of = responses_of(row)
            if responses and not (row.stage == "compare" and set(of) <= responses):
                continue
            if voter and voter_of(row) != voter:
                continue
            done = row.completion()
            call = Call(
                key=key.hex(),
                stage=row.stage,
                model=row.model,
                responses=of,
                voter=voter_of(row),
                seconds=row.seconds,
                prompt_tokens=row.prompt_tokens,
                completion_tokens=row.completion_tokens,
                asked=calls.asked(0, row),
                answer=done.text,
                finish=done.finish,
                error=row.failed or (str(done.error) if done.error else ""),
                logprobs=done.logprobs,
            )
            found.append(call)
        return found
