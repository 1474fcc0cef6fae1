"""The files of a run, read in pieces, as what `columns` writes: memory does not grow with the run.

Every reader checks the columns that it reads, and raises UserError that names the file, what is missing and the fix.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from constitution.errors import Problem, UserError
from constitution.records import Critique, Dropped, Failure, Message, ToolCall, Vote
from generation.output.dataset import SPLITS, split_path
from generation.output.files import parts_of

ROWS = 1000
"""Rows of one piece that holds texts."""
FEW = 50
"""Rows that become Python's own at once."""
AGAIN = "run generate_feedback.py again to write it"
VOTE = ("prompt_id", "a", "b", "principle", "logit_ab", "logit_ba", "method", "judge", "censored")
"""Columns of a Vote."""
VOTER = ("judge", "method", "principle")
"""Columns that name a voter."""
PIECE = 1 << 16
"""Votes of one piece of columns, about."""

Tools = tuple[dict[str, Any], ...]
Of = Callable[[str], bool] | None
"""Takes a prompt's id, and says whether its rows are read; all are where None."""
Voter = tuple[str, str, str]
"""(judge, method, principle)"""


class Turn(NamedTuple):
    """Who speaks and what is said: a message for those who read texts alone."""

    role: str
    content: str


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
    label_source: str
    """Who the label is from: `panel`, `rule` where rules alone decided, or `human`."""
    prompt_id: str
    chosen_id: str
    rejected_id: str
    chosen_origin: str
    """`sampled`, `revised` or `given`; likewise for rejected."""
    rejected_origin: str
    chosen_policy: str | None
    """Name of the policy that sampled it, or that sampled what it revises; None for a given one. Likewise for rejected."""
    rejected_policy: str | None
    chosen_truncated: bool
    """max_tokens ended it, not its author; likewise for rejected."""
    rejected_truncated: bool
    objectives: Mapping[str, float | None]
    """Each objective's own log-odds for chosen; None where none of its principles was asked."""
    votes: tuple[Vote, ...]
    """Every vote on the pair, with a = chosen and b = rejected."""
    tools: Tools
    """JSON-schema descriptions of the tools that the prompt offers."""
    tags: tuple[str, ...]
    """The prompt's."""
    metadata: str | None
    """The other columns of the prompt's source row, as a JSON object; None where there are none."""
    constitution_digest: str
    judge: str
    """Name of the judge's model."""
    split: str
    """`train` or `test`; no prompt is in both."""


class TrainingPair(NamedTuple):
    """What training takes from a preference pair; its votes, most of the file's bytes, stay unread."""

    prompt: tuple[Message, ...]
    chosen: Message
    rejected: Message
    p_chosen: float
    """Probability that chosen is better, 0.5 to 1."""
    prompt_id: str
    chosen_truncated: bool
    """max_tokens ended it, not its author; likewise for rejected."""
    rejected_truncated: bool
    tools: Tools
    """JSON-schema descriptions of the tools that the prompt offers."""
    tags: tuple[str, ...]
    """The prompt's."""
    metadata: str | None
    """The other columns of the prompt's row, as JSON."""
    constitution_digest: str
    split: str
    """`train` or `test`; no prompt is in both."""


class Target(NamedTuple):
    """A response to imitate, as the dataset has it."""

    prompt: tuple[Message, ...]
    completion: Message
    prompt_id: str
    response_id: str
    origin: str
    policy: str | None
    """As `Pair.chosen_policy`."""
    tools: Tools
    tags: tuple[str, ...]
    metadata: str | None
    constitution_digest: str
    split: str


class Candidate(NamedTuple):
    """A response that was compared, whatever came of it."""

    id: str
    prompt_id: str
    origin: str
    policy: str | None
    """As `Pair.chosen_policy`."""
    parent: str | None
    """The response that a revision rewrites."""
    text: str
    raw: str
    """The model's text before anything was cut from it."""
    tool_calls: tuple[ToolCall, ...]
    principles: tuple[str, ...]
    """Those that a revision was asked to serve."""
    tags: tuple[str, ...]
    """The prompt's."""
    indicators: tuple[str, ...]
    """Manipulation indicators."""
    truncated: bool

    @property
    def message(self) -> Message:
        """What it says, with the tools that it calls."""
        return Message(role="assistant", content=self.text, tool_calls=self.tool_calls)


class ControlVote(NamedTuple):
    """A vote on a control pair, with a = the better response."""

    vote: Vote
    kind: str
    right: bool
    """The pair got a label, and the right one."""


class VoteColumns(NamedTuple):
    """Votes of whole prompts, column by column: each array is [votes]."""

    voter: NDArray[np.int64]
    """Index of the vote's voter."""
    pair: NDArray[np.int64]
    """Number of the vote's pair among those of this piece, from 0."""
    value: NDArray[np.float64]
    """`Vote.value`; likewise for the others."""
    bias: NDArray[np.float64]
    position_inconsistent: NDArray[np.bool_]


def read_pairs(path: Path, split: str, first: int = 0, of: Of = None) -> Iterator[Pair]:
    """Pairs of a parquet file of the dataset, in its order. first: number of the first row that is read, from 0; likewise below."""
    for row in _of_prompts(path, Pair._fields[:-1], first, of):
        ids = (row["prompt_id"], row["chosen_id"], row["rejected_id"])
        votes = tuple(Vote(*ids, **vote) for vote in row["votes"])
        yield Pair(**{**row, **_messages(row), "votes": votes}, split=split)


def read_pair(path: Path, number: int, split: str) -> Pair:
    """One pair of such a file, by the number of its row from 0. Raises UserError, and IndexError where there is no such row."""
    for pair in read_pairs(path, split, number):
        return pair
    raise IndexError(number)


def read_training_pairs(path: Path, split: str) -> Iterator[TrainingPair]:
    """The same pairs, without what training does not ask for."""
    for row in _of_prompts(path, TrainingPair._fields[:-1]):
        yield TrainingPair(**{**row, **_messages(row)}, split=split)


def read_targets(path: Path, split: str) -> Iterator[Target]:
    """Responses to imitate of a parquet file of the dataset, in its order."""
    for row in _of_prompts(path, Target._fields[:-1]):
        (completion,) = row["completion"]
        row |= {"prompt": tuple(map(read_message, row["prompt"])), "completion": read_message(completion)}
        yield Target(**row, split=split)


def read_prompts(path: Path) -> Iterator[tuple[str, list[Turn]]]:
    """(id, turns) of the prompts of a parquet file of the dataset; once where the rows of a prompt follow each other."""
    before = None
    for table in tables(path, ("prompt_id", "prompt"), ROWS):
        ids = table["prompt_id"].to_pylist()
        new = [i for i, name in enumerate(ids) if name != (ids[i - 1] if i else before)]
        before = ids[-1]
        for i, messages in zip(new, table["prompt"].take(pa.array(new, pa.int64())).to_pylist(), strict=True):
            yield ids[i], [Turn(message["role"], message["content"] or "") for message in messages]


def read_prompt_ids(path: Path) -> Iterator[str]:
    """The prompt's id of each row of a parquet file of the dataset."""
    for table in tables(path, ("prompt_id",)):
        yield from table["prompt_id"].to_pylist()


def read_candidates(path: Path, first: int = 0, of: Of = None) -> Iterator[Candidate]:
    """`responses.parquet`: every response that could be compared."""
    for row in rows(path, Candidate._fields, first, of):
        row |= {name: tuple(row[name]) for name in ("principles", "tags", "indicators")}
        row["tool_calls"] = tuple(map(ToolCall.model_validate, row["tool_calls"] or ()))
        yield Candidate(**row)


def read_critiques(path: Path, first: int = 0, of: Of = None) -> Iterator[Critique]:
    """`critiques.parquet`."""
    columns = ("prompt_id", "response_id", "principle", "text", "found", "raw")
    yield from (Critique(**row) for row in rows(path, columns, first, of))


def read_votes(path: Path, first: int = 0) -> Iterator[Vote]:
    """`votes.parquet`: every vote on every pair of candidates that was compared."""
    yield from (Vote(**row) for row in rows(path, VOTE, first))


def count_voters(path: Path) -> Counter[Voter]:
    """`votes.parquet`: each voter's number of votes."""
    found: Counter[Voter] = Counter()
    for table in tables(path, VOTER):
        counts = table.group_by(VOTER).aggregate([([], "count_all")])
        names = zip(*(counts[name].to_pylist() for name in VOTER), strict=True)
        found.update(dict(zip(names, counts["count_all"].to_pylist(), strict=True)))
    return found


def vote_columns(path: Path, voters: Sequence[Voter]) -> Iterator[VoteColumns]:
    """`votes.parquet` in pieces of about PIECE votes that no prompt's votes are divided between.

    voters: every voter of the file; a piece names them by their indices here.
    """
    names = pa.array(["\0".join(voter) for voter in voters], pa.string())
    for table in _whole_prompts(path):
        yield VoteColumns(
            voter=pc.index_in(_joined(table, VOTER), names).to_numpy(),
            pair=pc.dictionary_encode(_joined(table, ("prompt_id", "a", "b"))).combine_chunks().indices.to_numpy(),
            value=table["vote"].to_numpy(),
            bias=table["bias"].to_numpy(),
            position_inconsistent=table["position_inconsistent"].to_numpy(),
        )


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
    """(split, file) of `preferences` or `sft`; a split without rows has no file. What is read here may be in several parts."""
    files = [(split, run / split_path(name, split)) for split in SPLITS]
    return [(split, path) for split, path in files if parts_of(path)]


def rows(path: Path, columns: Sequence[str] | None = None, first: int = 0, of: Of = None) -> Iterator[dict[str, Any]]:
    """Rows of a parquet file. Raises UserError."""
    for table in tables(path, columns, ROWS, first):
        if of:
            table = table.filter(pa.array(map(of, table["prompt_id"].to_pylist()), pa.bool_()))
        for start in range(0, len(table), FEW):  # who wants one row waits for few
            yield from table.slice(start, FEW).to_pylist()


def tables(path: Path, columns: Sequence[str] | None = None, size: int = 1 << 16, first: int = 0) -> Iterator[pa.Table]:
    """A parquet file, or all its parts, in tables of `size` rows, from row `first` on; nothing before its row group is read.

    Raises UserError, also where a column is missing.
    """
    rest = pa.table({})
    for piece in _pieces(path, columns, size, first):
        rest = pa.concat_tables([rest, piece]) if len(rest) else piece
        while len(rest) >= size:
            yield rest.slice(0, size).combine_chunks()
            rest = rest.slice(size)
    if len(rest):
        yield rest.combine_chunks()


def schema_of(path: Path) -> pa.Schema:
    """A parquet file's columns. Raises UserError."""
    part = next(iter(parts_of(path)), path)
    try:
        return pq.read_schema(part)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(part, error) from None


def rows_in(path: Path) -> int:
    """Rows of a parquet file, or of all its parts."""
    return sum(pq.read_metadata(part).num_rows for part in parts_of(path))


def unreadable(path: Path, error: Exception) -> UserError:
    """Why a file of a run cannot be read."""
    reason = " ".join(str(error).split())[:200]
    return UserError(Problem(str(path), got=f"cannot be read ({reason})", fix=AGAIN))


def _pieces(path: Path, columns: Sequence[str] | None, size: int, first: int) -> Iterator[pa.Table]:
    for part in parts_of(path) or [path]:
        try:
            with pq.ParquetFile(part) as file:
                missing = sorted(set(columns or ()) - set(file.schema_arrow.names))
                if missing:
                    raise UserError(Problem(str(part), got=f"has no column {', '.join(missing)}", fix=AGAIN))
                groups, first = _groups_from(file.metadata, first)
                for group in groups:  # one by one: a reader of many keeps every one that it has read
                    for batch in file.iter_batches(batch_size=size, columns=columns, row_groups=[group]):
                        kept = pa.Table.from_batches([batch.slice(first)])
                        first -= len(batch) - len(kept)
                        yield kept
        except (OSError, pa.ArrowException) as error:
            raise unreadable(part, error) from None


def _groups_from(file: pq.FileMetaData, first: int) -> tuple[list[int], int]:
    """Row groups from the one that has row `first`, and how many rows that one has before it."""
    groups, before = [*range(file.num_row_groups)], first
    while groups and before >= file.row_group(groups[0]).num_rows:
        before -= file.row_group(groups.pop(0)).num_rows
    return groups, before


def _whole_prompts(path: Path) -> Iterator[pa.Table]:
    columns = ("prompt_id", "a", "b", *VOTER, "vote", "bias", "position_inconsistent")
    rest: pa.Table | None = None
    for piece in tables(path, columns, PIECE):
        table = piece if rest is None else pa.concat_tables([rest, piece])
        last = pc.equal(table["prompt_id"], table["prompt_id"][-1])
        rest = table.filter(last)
        whole = table.filter(pc.invert(last))
        if whole.num_rows:
            yield whole
    if rest is not None and rest.num_rows:
        yield rest


def _joined(table: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*(table[name] for name in names), "\0")


def _of_prompts(path: Path, fields: Sequence[str], first: int = 0, of: Of = None) -> Iterator[dict[str, Any]]:
    """Rows with what they have of their prompts. A run without tools has no column of them."""
    offered = "tools" in schema_of(path).names
    for row in rows(path, [name for name in fields if offered or name != "tools"], first, of):
        yield {**row, "tools": tuple(json.loads(row.get("tools") or "[]")), "tags": tuple(row["tags"])}


def _messages(row: Mapping[str, Any]) -> dict[str, Any]:
    """A pair's columns of messages."""
    (chosen,), (rejected,) = row["chosen"], row["rejected"]
    prompt = tuple(map(read_message, row["prompt"]))
    return {"prompt": prompt, "chosen": read_message(chosen), "rejected": read_message(rejected)}


def read_message(row: Mapping[str, Any]) -> Message:
    """A message from its row. Raises ValueError where it is none."""
    return Message.model_validate({key: value for key, value in row.items() if value is not None})
