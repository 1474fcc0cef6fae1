"""Read a finished run: its pairs, votes and failures as typed records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from constitution.errors import Problem, UserError
from constitution.principles import Constitution
from constitution.records import Dropped, Failure, Message, Vote
from evaluation.run_files import rows, split_files
from generation.output import manifest
from generation.output.folder import CONSTITUTION
from generation.output.manifest import Manifest
from solon.constitutions import load_constitution


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
    votes: tuple[Vote, ...]
    """Every vote on the pair, with a = chosen and b = rejected."""
    split: str
    """`train` or `test`; no prompt is in both."""


class Run(NamedTuple):
    """A finished run. Its records are read from disk as they are iterated over; memory does not grow with the run.

    >>> run = solon.open_run("runs/eggs")
    >>> len(list(run.votes())) == run.manifest.counts.votes
    True
    >>> {type(record).__name__ for record in run.failures()} <= {"Failure", "Dropped"}
    True
    """

    folder: Path
    manifest: Manifest
    """Counts, tokens, seconds and digests."""

    @property
    def constitution(self) -> Constitution:
        """The constitution it was made with."""
        return load_constitution(self.folder / CONSTITUTION)

    def pairs(self) -> Iterator[Pair]:
        """Every preference pair, those of the train split first."""
        for split, path in split_files(self.folder, "preferences"):
            yield from (_pair(row, split) for row in rows(path))

    def votes(self) -> Iterator[Vote]:
        """Every vote on every pair of candidates that was compared, those that came to no pair of the dataset too."""
        names = ("prompt_id", "a", "b", "principle", "logit_ab", "logit_ba", "method", "judge")
        yield from (Vote(**row) for row in rows(self.folder / "votes.parquet", names))

    def failures(self) -> Iterator[Failure | Dropped]:
        """What went wrong (Failure) and what was left out on purpose (Dropped), each with its stage and reason."""
        for row in rows(self.folder / "failures.parquet"):
            kind = Failure if row.pop("kind") == "failed" else Dropped
            yield kind(**row)


def open_run(folder: str | Path) -> Run:
    """Open a finished run's folder. Raises UserError where it is none.

    >>> run = solon.open_run("runs/eggs")
    >>> len(list(run.pairs())) == run.manifest.counts.pairs
    True
    """
    path = Path(folder)
    found = manifest.read(path)
    if found is None:
        raise UserError(
            Problem(
                str(path), got="is no finished run", fix="run the command that began it again, or name another folder"
            )
        )
    return Run(path, found)


def _pair(row: Mapping[str, Any], split: str) -> Pair:
    kept = {name: row[name] for name in Pair._fields if name in row}
    (chosen,), (rejected,) = row["chosen"], row["rejected"]
    ids = (row["prompt_id"], row["chosen_id"], row["rejected_id"])
    votes = tuple(Vote(*ids, **vote) for vote in row["votes"])
    prompt = tuple(map(_message, row["prompt"]))
    return Pair(
        **{**kept, "prompt": prompt, "chosen": _message(chosen), "rejected": _message(rejected)}
        | {"votes": votes, "split": split}
    )


def _message(row: Mapping[str, Any]) -> Message:
    return Message.model_validate({key: value for key, value in row.items() if value is not None})
