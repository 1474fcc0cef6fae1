"""The pairs of a finished run as people look at them: what comes next, what is shown, and what they said."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from constitution.digest import fraction, integer
from constitution.errors import Problem, UserError
from constitution.records import VIOLATION, Message
from evaluation.review.adding import Added, add_label
from evaluation.review.order import DRAWN, majority, next_pairs, scaled
from evaluation.review.panel import panel_logit
from evaluation.review.progress import Labelled, Progress, progress
from evaluation.statistics import Floats
from generation.data.labels import Label, Labels
from generation.output.dataset import REVIEW
from generation.output.files import parts_of
from generation.output.reading import Pair, read_candidates, read_pair, split_files, tables
from generation.output.run import open_run
from generation.pipeline.outcome import labels_of

COLUMNS = ("prompt_id", "chosen_id", "rejected_id", "log_odds", "label_source", "votes")


class Key(NamedTuple):
    """A pair by its ids, the smaller one first, so that the order says nothing."""

    prompt_id: str
    a: str
    b: str


class Place(NamedTuple):
    """Where a pair is read."""

    split: str
    path: Path
    row: int


class Shown(NamedTuple):
    """A pair as it is put before one person: the sides are drawn, and nothing of the judges is told."""

    line: Mapping[str, str]
    """A label without its answer; its `a` is the response that is shown first, or on the left."""
    prompt: tuple[Message, ...]
    a: Message
    b: Message
    left: int
    """Pairs that the person did not answer yet, this one among them."""


class Verdict(NamedTuple):
    """What the panel says of a pair that was shown."""

    p_a: float
    """Probability that the response that was shown first is better."""
    votes: tuple[tuple[str, float, bool], ...]
    """(voter, log-odds for that response, whether it chose a position twice)"""
    drawn: bool
    """The pair is of the random sample."""


class Review:
    """The pairs of one run, and all that people said of them so far."""

    def __init__(self, run: Path) -> None:
        """Reads ids and votes, no texts. Raises UserError where it is no finished run, or has no pairs."""
        self.run = run
        open_run(run)
        found = [*_read(run)]
        self.keys = [key for part in found for key in part.keys]
        if not self.keys:
            raise UserError(Problem(str(run), got="has no pair to look at"))
        self._at = [place for part in found for place in part.places]
        self._place = {key: i for i, key in enumerate(self.keys)}
        voters = sorted({name for part in found for name in part.votes})
        columns = [np.concatenate([part.votes.get(name, part.nothing) for part in found]) for name in voters]
        self.rows = scaled(np.stack(columns, axis=1) if columns else np.zeros((len(self.keys), 0)))
        self.logits = np.concatenate([part.logits for part in found])
        self.drawn = np.array([fraction("\0".join(key)) for key in self.keys])
        self._labels: tuple[object, Labels] | None = None

    def next(self, by: str, count: int = 1) -> list[int]:
        """Numbers of the pairs that this person looks at next."""
        labels: dict[int, int] = {}
        anybody: set[int] = set()
        for i, said in self._said():
            given = [answer for answer in said.values() if answer != "skip"]
            if given:
                anybody.add(i)
            if side := majority(given):
                labels[i] = side
        return next_pairs(self.rows, labels, self.drawn, self.answered(by), anybody, count)

    def answered(self, by: str) -> set[int]:
        """Numbers of the pairs that this person answered or skipped."""
        return {i for i, said in self._said() if by in said}

    def show(self, number: int, by: str) -> Shown:
        """A pair as this person sees it."""
        key, pair = self.keys[number], self.pair(number)
        left, right = sides(key, by)
        line = {"prompt_id": key.prompt_id, "a": left, "b": right, "by": by, "left": "a", "id": secrets.token_hex(8)}
        messages = {pair.chosen_id: pair.chosen, pair.rejected_id: pair.rejected}
        return Shown(line, pair.prompt, messages[left], messages[right], len(self.keys) - len(self.answered(by)))

    def number(self, label: Label) -> int | None:
        """The pair that a label is of; None where it is none of the queue's."""
        return self._place.get(key_of(label))

    def responses(self, number: int, label: Label) -> tuple[Message, Message]:
        """The two that the label speaks of, its a first."""
        pair = self.pair(number)
        return (pair.chosen, pair.rejected) if pair.chosen_id == label.a else (pair.rejected, pair.chosen)

    def verdict(self, label: Label) -> Verdict | None:
        """What the panel says of the pair of a label; None where it is none of the queue's."""
        number = self.number(label)
        if number is None:
            return None
        pair, sign = self.pair(number), 1 if label.a == self.keys[number].a else -1
        votes = [vote if vote.a == label.a else vote.swapped() for vote in pair.votes]
        told = tuple((vote.voter, vote.value, vote.position_inconsistent) for vote in votes)
        return Verdict(float(1 / (1 + np.exp(-sign * self.logits[number]))), told, bool(self.is_drawn(number)))

    def pair(self, number: int) -> Pair:
        """All that the run has of a pair."""
        place = self._at[number]
        return read_pair(place.path, place.row, place.split)

    def is_drawn(self, number: int) -> bool:
        """Whether the pair is of the random sample."""
        return bool(self.drawn[number] < DRAWN)

    def add(self, label: Label) -> Added:
        """Add a label. Raises UserError where it is of no two responses of the run, or cannot be written."""
        if key_of(label) not in self._place:
            known = {
                one.id for one in read_candidates(self.run / "responses.parquet") if one.prompt_id == label.prompt_id
            }
            if not {label.a, label.b} <= known or label.a == label.b:
                got = f"{label.a!r} and {label.b!r} are not two responses to {label.prompt_id!r}"
                raise UserError(Problem("", "a, b", got, "ids of two responses to the prompt, as in responses.parquet"))
        return add_label(self.run, label)

    def progress(self) -> Progress:
        """What the answers so far say."""
        pairs = []
        for i, said in self._said():
            if given := {by: answer for by, answer in said.items() if answer != "skip"}:
                pairs.append(Labelled(given, float(self.logits[i]), self.rows[i], self.is_drawn(i)))
        return progress(pairs)

    def _said(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        """(number, person -> answer for the key's a) of the queue's pairs that anybody was shown."""
        for key, said in self._read_labels().people():
            number = self._place.get(Key(*key))
            if number is not None:
                yield number, said

    def _read_labels(self) -> Labels:
        """As the file is now; read once for each state of it."""
        try:
            status = (self.run / "review.jsonl").stat()
            state: object = (status.st_ino, status.st_size, status.st_mtime_ns)
        except OSError:
            state = None
        if self._labels is None or self._labels[0] != state:
            self._labels = (state, labels_of(self.run))
        return self._labels[1]


def key_of(label: Label) -> Key:
    """The pair that a label is of."""
    return Key(label.prompt_id, *sorted((label.a, label.b)))


def sides(key: Key, by: str) -> tuple[str, str]:
    """(the response that this person is shown first, the other): drawn, and the same each time."""
    return (key.a, key.b) if integer("\0".join((by, *key))) % 2 else (key.b, key.a)


class _Part(NamedTuple):
    """Pairs of one piece of a file."""

    keys: list[Key]
    places: list[Place]
    logits: Floats
    """[pairs] the panel's, for the key's a."""
    votes: dict[str, Floats]
    """Voter -> [pairs] log-odds for the key's a, NaN for none."""

    @property
    def nothing(self) -> Floats:
        return np.full(len(self.keys), np.nan)


def _read(run: Path) -> Iterator[_Part]:
    files = split_files(run, "preferences")
    files += [("", path)] if parts_of(path := run / REVIEW) else []
    for split, path in files:
        row = 0
        for table in tables(path, COLUMNS):
            yield _part(run, table, Place(split, path, row))
            row += table.num_rows


def _part(run: Path, table: pa.Table, at: Place) -> _Part:
    ids = zip(*(table[name].to_pylist() for name in COLUMNS[:3]), strict=True)
    keys = [Key(prompt, *sorted((chosen, rejected))) for prompt, chosen, rejected in ids]
    sign = np.where(pc.less(table["chosen_id"], table["rejected_id"]).to_numpy(), 1.0, -1.0)
    logits = table["log_odds"].to_numpy() * sign
    column = table["votes"].combine_chunks()
    own = pc.list_parent_indices(column).to_numpy()
    votes = pc.list_flatten(column)
    method, judge, principle = (votes.field(votes.type.get_field_index(n)) for n in ("method", "judge", "principle"))
    values = (votes.field("logit_ab").to_numpy() - votes.field("logit_ba").to_numpy()) / 2 * sign[own]
    names = pc.dictionary_encode(pc.binary_join_element_wise(judge, method, principle, "/"))
    counts = pc.not_equal(method, VIOLATION).to_numpy(zero_copy_only=False)
    number = names.indices.to_numpy()
    found = {}
    for k, name in enumerate(names.dictionary.to_pylist()):
        mine = counts & (number == k)
        if mine.any():
            found[name] = np.full(len(keys), np.nan)
            found[name][own[mine]] = values[mine]
    human = np.flatnonzero(pc.equal(table["label_source"], "human").to_numpy(zero_copy_only=False))
    for i in human.tolist():
        pair = read_pair(at.path, at.row + i, at.split)
        logits[i] = panel_logit(run, pair) * sign[i]
    kept = np.ones(len(keys), dtype=bool)
    kept[[i for i in human.tolist() if not len(column[i])]] = False  # nobody judged what a person wrote
    return _Part(
        [key for key, keep in zip(keys, kept, strict=True) if keep],
        [at._replace(row=at.row + i) for i in np.flatnonzero(kept).tolist()],
        logits[kept],
        {name: value[kept] for name, value in found.items()},
    )
