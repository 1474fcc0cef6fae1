"""What came of a prompt that was tried: its responses, and how the judges voted on them."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from constitution.records import Critique, Vote
from generation.output.reading import Candidate, Pair
from generation.output.run import open_run


class Compared(NamedTuple):
    """Two of its responses, by their numbers, which count from 1."""

    a: int
    b: int
    votes: list[Vote]
    """In the constitution's order of principles."""


class Tried(NamedTuple):
    """A run of one prompt."""

    responses: list[Candidate]
    critiques: dict[str, list[Critique]]
    """Response -> its critiques."""
    compared: list[Compared]
    pairs: list[Pair]
    failures: list[str]
    """What failed or was dropped, and why."""


def tried(folder: Path) -> Tried:
    """A finished run, read. Raises UserError."""
    run = open_run(folder)
    responses = [*run.responses()]
    numbers = {one.id: i for i, one in enumerate(responses, 1)}
    order = {one.id: i for i, one in enumerate(run.constitution.principles)}
    compared = [
        Compared(numbers[a], numbers[b], sorted(votes, key=lambda vote: order.get(vote.principle, -1)))
        for (a, b), votes in groupby(run.votes(), lambda vote: (vote.a, vote.b))
    ]
    critiques: dict[str, list[Critique]] = {}
    for one in run.critiques():
        critiques.setdefault(one.response_id, []).append(one)
    failures = [f"{one.stage}: {one.reason} ({one.subject}) {one.detail}" for one in run.failures()]
    return Tried(responses, critiques, compared, [*run.pairs()], failures)
