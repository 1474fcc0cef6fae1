"""A row of any source -> a pair, a target or a prompt: a run's records as they are, other data as `columns` reads it.

`told` counts what was left alone of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from constitution.errors import UserError
from generation.data.message import Told
from generation.data.record import BadRow
from generation.data.values import picked
from generation.output import reading
from generation.output.reading import TrainingPair
from training.data import columns
from training.data.columns import Pair, RowPrompt, Target, TrainOn, answerable, checked
from training.data.sources import Row


def _read(row: Row) -> Mapping[str, Any] | TrainingPair | reading.Target:
    """The row, if it could be read. Raises UserError."""
    if isinstance(row, BadRow):
        raise UserError(row.at(""))
    return row


def pair(row: Row, told: Told) -> Pair:
    """Two responses to one prompt. Raises UserError where there are none, or they cannot be trained on."""
    row = _read(row)
    if isinstance(row, Mapping):
        return columns.pair(row, told)
    assert isinstance(row, TrainingPair)
    sides = (row.chosen,), (row.rejected,)
    truncated = (row.chosen_truncated, row.rejected_truncated)
    return checked(Pair(prompted(row, told), *sides, row.p_chosen, margin=0.0, weight=1.0, truncated=truncated))


def target(row: Row, told: Told, train_on: TrainOn = "last") -> Target:
    """A prompt and the response to learn. train_on: see columns.target. Raises UserError where there is none."""
    row = _read(row)
    if isinstance(row, Mapping):
        return columns.target(row, told, train_on)
    assert isinstance(row, reading.Target)
    return Target(prompted(row, told), (row.completion,), weight=1.0)


def prompted_with(row: Row, told: Told, columns: Sequence[str]) -> RowPrompt:
    """As `prompted`, with these columns of the row as its metadata; a run's rows have them in theirs. Raises UserError."""
    read = _read(row)
    given = read if isinstance(read, Mapping) else {"metadata": read.metadata}
    return prompted(row, told)._replace(metadata=picked(given, columns, told))


def prompted(row: Row, told: Told) -> RowPrompt:
    """What comes before the response. Raises UserError where no response may follow."""
    row = _read(row)
    if isinstance(row, Mapping):
        return columns.prompted(row, told)
    return answerable(RowPrompt(row.prompt_id, row.prompt, row.tools, row.tags))
