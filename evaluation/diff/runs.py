"""Two runs side by side: which pairs flipped, appeared or disappeared, and which voters moved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from sys import intern
from typing import NamedTuple

from constitution.digest import digest
from constitution.records import Message
from generation.output import reading
from generation.output.manifest import whole
from generation.output.reading import Pair, split_files


class PairKey(NamedTuple):
    """A pair is the same in two runs when its prompt and both responses' texts are."""

    prompt_id: str
    responses: frozenset[str]
    """Digests of both."""


class PairSide(NamedTuple):
    """How one run labelled a pair."""

    prompt_id: str
    chosen: str
    """Digest of the response."""
    chosen_id: str
    rejected_id: str
    p_chosen: float
    votes: Mapping[str, float]
    """Voter -> log-odds for the chosen response."""


@dataclass(slots=True)
class VoterShift:
    """What became of one voter's votes on the pairs that both runs have."""

    both: int = 0
    """Votes cast in both runs."""
    turned: int = 0
    """Of those, how many changed sides."""
    moved: float = 0.0
    """Sum of the absolute changes, in log-odds."""
    only_a: int = 0
    only_b: int = 0
    flips: int = 0
    """Flipped pairs in which this vote changed sides or is asked in one run only."""

    @property
    def mean_move(self) -> float:
        """Mean absolute change, in log-odds."""
        return self.moved / self.both if self.both else 0.0


@dataclass(slots=True)
class RunDiff:
    """What changed from run A to run B."""

    kept: int = 0
    flipped: list[tuple[PairSide, PairSide]] = field(default_factory=list)
    appeared: list[PairSide] = field(default_factory=list)
    disappeared: list[PairSide] = field(default_factory=list)
    voters: dict[str, VoterShift] = field(default_factory=dict)


def read_pairs(run: Path) -> Iterator[tuple[PairKey, PairSide]]:
    """All labelled pairs of a finished run, one after the other. Raises UserError, for an unfinished run at once."""
    whole(run)
    files = split_files(run, "preferences")
    return ((_key(pair), _side(pair)) for split, path in files for pair in reading.read_pairs(path, split))


def compare_runs(a: Iterable[tuple[PairKey, PairSide]], b: Iterable[tuple[PairKey, PairSide]]) -> RunDiff:
    """Pairs by what became of them, and per voter how its votes moved on the pairs both runs have.

    Both are read side by side, and a pair is held until the other run has it too. Runs over the same prompts have their pairs in
    one order, so that memory grows with what changed, not with the runs.
    """
    diff = RunDiff()
    old: dict[PairKey, PairSide] = {}
    new: dict[PairKey, PairSide] = {}
    for one, other in zip_longest(a, b):
        for found, own, others in ((one, old, new), (other, new, old)):
            if found is None:
                continue
            key, side = found
            if key in others:
                match = others.pop(key)
                _compare(diff, *((side, match) if own is old else (match, side)))
            else:
                own[key] = side
    diff.disappeared += old.values()
    diff.appeared += new.values()
    return diff


def _compare(diff: RunDiff, old: PairSide, new: PairSide) -> None:
    flipped = old.chosen != new.chosen
    if flipped:
        diff.flipped.append((old, new))
    else:
        diff.kept += 1
    _shift(diff.voters, old, new, flipped)


def _shift(voters: dict[str, VoterShift], old: PairSide, new: PairSide, flipped: bool) -> None:
    sign = -1.0 if flipped else 1.0
    for name in sorted({*old.votes, *new.votes}):
        shift = voters.setdefault(name, VoterShift())
        before, after = old.votes.get(name), new.votes.get(name)
        if before is None or after is None:
            shift.only_a += after is None
            shift.only_b += before is None
            shift.flips += flipped
            continue
        after *= sign
        turned = before * after < 0
        shift.both += 1
        shift.turned += turned
        shift.moved += abs(after - before)
        shift.flips += flipped and turned


def _key(pair: Pair) -> PairKey:
    return PairKey(pair.prompt_id, frozenset((_text(pair.chosen), _text(pair.rejected))))


def _side(pair: Pair) -> PairSide:
    votes = {intern(vote.voter): vote.value for vote in pair.votes}  # names are held once, however many pairs are held
    return PairSide(pair.prompt_id, _text(pair.chosen), pair.chosen_id, pair.rejected_id, pair.p_chosen, votes)


def _text(message: Message) -> str:
    """By which responses are told apart: what it says and the calls it makes."""
    return digest(message.model_dump_json(exclude_defaults=True))
