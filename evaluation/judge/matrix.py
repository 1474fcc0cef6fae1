"""Votes of several voters on labelled pairs, as arrays."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from constitution.records import Vote
from evaluation.statistics import Floats


@dataclass(frozen=True, slots=True)
class VoteMatrix:
    """What each voter said of each pair, with the better response listed first and listed second.

    Arrays are [pairs, voters] of log-odds of the first-listed response; NaN where there is no vote. Recorded verdicts without a
    probability stand as +1 and -1: a fit finds their scale.
    """

    pairs: tuple[str, ...]
    voters: tuple[str, ...]
    better_first: Floats
    better_second: Floats
    groups: tuple[str, ...]
    """Pairs of one group (one prompt) are never on both sides of a cross-validation's cut."""
    subsets: tuple[str, ...]
    recorded_first: Floats
    """[pairs] 1 where the better response is the first of the file, 0 where it is the second, 0.5 where the file names no order."""
    longer: Floats
    """[pairs] 1 where the better response is the longer, -1 where the shorter, 0 where equal, NaN where the texts are not known."""
    judges: tuple[str, ...] = ()
    """Who gave each voter's votes: a judge may be asked in several ways. Empty where each voter is a judge of its own."""
    inconsistent_counts: float = 1.0
    """What a vote counts whose voter chose the same position twice (plan.position_inconsistent)."""

    @property
    def votes(self) -> Floats:
        """[pairs, voters] what each vote counts: log-odds for the better response, free of position bias."""
        votes: Floats = (self.better_first - self.better_second) / 2
        flipped = np.nan_to_num(self.inconsistent) > 0
        return np.where(flipped, votes * self.inconsistent_counts, votes)

    @property
    def biases(self) -> Floats:
        """[pairs, voters] log-odds by which the first place is favoured."""
        biases: Floats = (self.better_first + self.better_second) / 2
        return biases

    @property
    def inconsistent(self) -> Floats:
        """[pairs, voters] 1 where the voter chose the same position twice, 0 where not, NaN where it did not vote."""
        product = self.better_first * self.better_second
        found: Floats = np.where(np.isnan(product), np.nan, (product > 0).astype(float))
        return found

    def only(self, keep: Sequence[bool]) -> VoteMatrix:
        """The same pairs with the voters that are kept."""
        mask = np.asarray(keep, dtype=bool)
        names, judges = (
            tuple(name for name, kept in zip(all_of, keep, strict=True) if kept)
            for all_of in (self.voters, self.judges or self.voters)
        )
        return replace(
            self,
            voters=names,
            judges=judges,
            better_first=self.better_first[:, mask],
            better_second=self.better_second[:, mask],
        )

    def without(self, pattern: str) -> VoteMatrix:
        """The same without the voters whose name the regular expression finds."""
        return self.only([not re.search(pattern, name) for name in self.voters])


def from_votes(
    votes: Sequence[Vote],
    pairs: Sequence[str],
    groups: Sequence[str],
    subsets: Sequence[str],
    longer: Sequence[float],
) -> VoteMatrix:
    """VoteMatrix from votes in which a is the better response; each vote's prompt_id is the pair's name."""
    place = {name: i for i, name in enumerate(pairs)}
    columns: defaultdict[str, dict[int, Vote]] = defaultdict(dict)
    judge: dict[str, str] = {}
    for vote in votes:
        columns[vote.voter][place[vote.prompt_id]] = vote
        judge[vote.voter] = vote.judge or vote.voter
    voters = tuple(sorted(columns))
    first, second = (np.full((len(pairs), len(voters)), np.nan) for _ in range(2))
    for k, voter in enumerate(voters):
        for i, vote in columns[voter].items():
            first[i, k], second[i, k] = vote.logit_ab, vote.logit_ba
    unordered = np.full(len(pairs), 0.5)
    judges = tuple(judge[voter] for voter in voters)
    lengths = np.asarray(longer, dtype=float)
    return VoteMatrix(tuple(pairs), voters, first, second, tuple(groups), tuple(subsets), unordered, lengths, judges)
