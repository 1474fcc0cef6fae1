"""The files of a run, read in pieces, as what `columns` writes: memory does not grow with the run.

Every reader checks the columns that it reads, and raises UserError that names the file, what is missing and the fix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from constitution.errors import Problem, UserError
from constitution.records import Critique, Dropped, Failure, Message, Vote
from generation.output.dataset import SPLITS

ROWS = 1000
"""Rows of one piece that holds texts."""
AGAIN = "run generate_feedback.py again to write it"
VOTE = ("prompt_id", "a", "b", "principle", "logit_ab", "logit_ba", "method", "judge", "censored")
"""Columns of a Vote."""


class Pair(NamedTuple):
    """A preference pair as the dataset has it.

    >>> pair = next(solon.open_run("runs/eggs").pairs())
    >>> pair.chosen.role, pair.p_chosen >= 0.5, len(pair.votes) > 0
    ('assistant', True, True)
    """

    prompt: tuple[Message, ...]
    chosen: Message
    rejected: Message
    p_chosen: float
    """Probability that chosen is better, 0.5 to 1."""
    log_odds: float
    """Its logit, at least 0."""
    prompt_id: str
    chosen_id: str
    rejected_id: str
    chosen_origin: str
    """`sampled`, `revised` or `given`; likewise for rejected."""
    rejected_origin: str
    chosen_truncated: bool
    """max_tokens ended it, not its author; likewise for rejected."""
    rejected_truncated: bool
    objectives: Mapping[str, float | None]
    """Each objective's own log-odds for chosen; None where none of its principles was asked."""
    votes: tuple[Vote, ...]
    """Every vote on the pair, with a = chosen and b = rejected."""
    constitution_digest: str
    judge: str
    """Name of the judge's model."""
    split: str
    """`train` or `test`; no prompt is in both."""


class Target(NamedTuple):
    """A response to imitate, as the dataset has it."""

    prompt: tuple[Message, ...]
    completion: Message
    prompt_id: str
    response_id: str
    origin: str
    constitution_digest: str
    split: str


class Candidate(NamedTuple):
    """A response that was compared, whatever came of it."""

    id: str
    prompt_id: str
    origin: str
    parent: str | None
    """The response that a revision rewrites."""
    text: str
    raw: str
    """The model's text before anything was cut from it."""
    principles: tuple[str, ...]
    """Those that a revision was asked to serve."""
    tags: tuple[str, ...]
    """The prompt's."""
    indicators: tuple[str, ...]
    """Manipulation indicators."""
    truncated: bool


class ControlVote(NamedTuple):
    """A vote on a control pair, with a = the better response."""

    vote: Vote
    kind: str
    right: bool
    """The pair got a label, and the right one."""


def read_pairs(path: Path, split: str) -> Iterator[Pair]:
    """Pairs of a parquet file of the dataset, in its order."""
    for row in rows(path, Pair._fields[:-1]):
        ids = (row["prompt_id"], row["chosen_id"], row["rejected_id"])
        (chosen,), (rejected,) = row["chosen"], row["rejected"]
        row |= {
            "prompt": tuple(map(_message, row["prompt"])),
            "chosen": _message(chosen),
            "rejected": _message(rejected),
        }
        yield Pair(**{**row, "votes": tuple(Vote(*ids, **vote) for vote in row["votes"])}, split=split)


def read_targets(path: Path, split: str) -> Iterator[Target]:
    """Responses to imitate of a parquet file of the dataset, in its order."""
    for row in rows(path, Target._fields[:-1]):
        (completion,) = row["completion"]
        row |= {"prompt": tuple(map(_message, row["prompt"])), "completion": _message(completion)}
        yield Target(**row, split=split)


def read_candidates(path: Path) -> Iterator[Candidate]:
    """`responses.parquet`: every response that could be compared."""
    for row in rows(path, Candidate._fields):
        row |= {name: tuple(row[name]) for name in ("principles", "tags", "indicators")}
        yield Candidate(**row)


def read_critiques(path: Path) -> Iterator[Critique]:
    """`critiques.parquet`."""
    yield from (
        Critique(**row) for row in rows(path, ("prompt_id", "response_id", "principle", "text", "found", "raw"))
    )


def read_votes(path: Path) -> Iterator[Vote]:
    """`votes.parquet`: every vote on every pair of candidates that was compared."""
    yield from (Vote(**row) for row in rows(path, VOTE))


def read_controls(path: Path) -> Iterator[ControlVote]:
    """`controls.parquet`: the votes on control pairs."""
    for row in rows(path, (*VOTE, "kind", "right")):
        kind, right = row.pop("kind"), row.pop("right")
        yield ControlVote(Vote(**row), kind, right)


def read_failures(path: Path) -> Iterator[Failure | Dropped]:
    """`failures.parquet`: what went wrong, and what was left out on purpose."""
    for row in rows(path, ("kind", "prompt_id", "stage", "reason", "detail", "subject")):
        yield (Failure if row.pop("kind") == "failed" else Dropped)(**row)


def split_files(run: Path, name: str) -> list[tuple[str, Path]]:
    """(split, file) of `preferences` or `sft`."""
    return [(split, run / "data" / name / f"{split}.parquet") for split in SPLITS]


def rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a parquet file. Raises UserError."""
    for table in tables(path, columns, ROWS):
        yield from table.to_pylist()


def tables(path: Path, columns: Sequence[str] | None = None, size: int = 1 << 16) -> Iterator[pa.Table]:
    """A parquet file in tables of `size` rows. Raises UserError, also where a column is missing."""
    try:
        with pq.ParquetFile(path) as file:
            missing = sorted(set(columns or ()) - set(file.schema_arrow.names))
            if missing:
                raise UserError(Problem(str(path), got=f"has no column {', '.join(missing)}", fix=AGAIN))
            for batch in file.iter_batches(batch_size=size, columns=columns):
                yield pa.Table.from_batches([batch])
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from None


def schema_of(path: Path) -> pa.Schema:
    """A parquet file's columns. Raises UserError."""
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> UserError:
    """Why a file of a run cannot be read."""
    reason = " ".join(str(error).split())[:200]
    return UserError(Problem(str(path), got=f"cannot be read ({reason})", fix=AGAIN))


def _message(row: Mapping[str, Any]) -> Message:
    return Message.model_validate({key: value for key, value in row.items() if value is not None})
