"""Open a finished run: its pairs, votes, failures and responses as typed records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from constitution.loading import load
from constitution.principles import Constitution
from constitution.records import Critique, Dropped, Failure, Vote
from generation.output import manifest, reading
from generation.output.folder import CONSTITUTION
from generation.output.manifest import Manifest
from generation.output.reading import Candidate, Pair, Target


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
        return load(self.folder / CONSTITUTION)

    def pairs(self) -> Iterator[Pair]:
        """Every preference pair, those of the train split first."""
        for split, path in reading.split_files(self.folder, "preferences"):
            yield from reading.read_pairs(path, split)

    def targets(self) -> Iterator[Target]:
        """Every response to imitate, those of the train split first."""
        for split, path in reading.split_files(self.folder, "sft"):
            yield from reading.read_targets(path, split)

    def responses(self) -> Iterator[Candidate]:
        """Every response that could be compared."""
        return reading.read_candidates(self.folder / "responses.parquet")

    def critiques(self) -> Iterator[Critique]:
        """Every critique."""
        return reading.read_critiques(self.folder / "critiques.parquet")

    def votes(self) -> Iterator[Vote]:
        """Every vote on every pair of candidates that was compared, those that came to no pair of the dataset too."""
        return reading.read_votes(self.folder / "votes.parquet")

    def failures(self) -> Iterator[Failure | Dropped]:
        """What went wrong (Failure) and what was left out on purpose (Dropped), each with its stage and reason."""
        return reading.read_failures(self.folder / "failures.parquet")


def open_run(folder: str | Path) -> Run:
    """Open a finished run's folder. Raises UserError where it is none, and with every file that is damaged or missing.

    >>> run = solon.open_run("runs/eggs")
    >>> len(list(run.pairs())) == run.manifest.counts.pairs
    True
    """
    path = Path(folder)
    return Run(path, manifest.whole(path))
