"""What a finished run made of one call: the response, the critique, the vote, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from constitution.records import Critique, Dropped, Failure, Vote
from generation.calls.record import Row
from generation.output import manifest
from generation.output.reading import Candidate, read_candidates, read_critiques, read_failures, read_votes


class Results(NamedTuple):
    """A run's records about one prompt."""

    responses: list[Candidate]
    critiques: list[Critique]
    votes: list[Vote]
    failures: list[Failure | Dropped]


def results(run: Path, prompt: str) -> Results | None:
    """The records about a prompt; None where the run is not finished. Raises UserError for damaged files."""
    if manifest.read(run) is None:
        return None
    manifest.whole(run)
    return Results(
        [one for one in read_candidates(run / "responses.parquet") if one.prompt_id == prompt],
        [one for one in read_critiques(run / "critiques.parquet") if one.prompt_id == prompt],
        [one for one in read_votes(run / "votes.parquet") if one.prompt_id == prompt],
        [one for one in read_failures(run / "failures.parquet") if one.prompt_id == prompt],
    )


def lineage(responses: Mapping[str, Candidate], name: str | None) -> list[str]:
    """A response and what it was revised from, oldest first; only those that are known."""
    names: list[str] = []
    while name is not None and name in responses and name not in names:
        names.insert(0, name)
        name = responses[name].parent
    return names


def responses_of(row: Row) -> list[str]:
    """Ids of the responses that a call is about."""
    names = row.subject.rpartition("|")[0].split()
    return [f"{row.prompt}/{name}" for name in names]


def voter_of(row: Row) -> str:
    """Who judged; of a critique, the principle."""
    return row.subject.rpartition("|")[2]


def came_to(row: Row, found: Results) -> Iterator[str]:
    """A line for each record that a call had a part in."""
    ids, voter = responses_of(row), voter_of(row)
    if row.stage in ("sample", "revise"):
        for response in (one for one in found.responses if one.id in ids):
            marks = [response.origin, *(["truncated"] if response.truncated else []), *response.indicators]
            yield f"response {response.id} ({', '.join(marks)})"
    if row.stage == "critique":
        for critique in (one for one in found.critiques if one.response_id in ids and one.principle == voter):
            yield f"critique of {critique.response_id}: {'something to change' if critique.found else 'nothing to change'}"
    if row.stage == "compare":
        for vote in (one for one in found.votes if one.voter == voter and {one.a, one.b} >= set(ids)):
            bound = ", a bound" if vote.censored else ""
            odds = f"logit_ab {vote.logit_ab:+.3f}, logit_ba {vote.logit_ba:+.3f}"
            yield f"vote on {vote.a} vs {vote.b}: {vote.value:+.3f} for the first ({odds}{bound})"
    for failure in found.failures:
        if failure.stage == row.stage and all(name in failure.subject for name in (*ids, voter)):
            detail = f": {failure.detail}" if failure.detail else ""
            yield f"{'failure' if isinstance(failure, Failure) else 'dropped'}: {failure.reason}{detail}"
