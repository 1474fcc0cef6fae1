"""A row of any source -> a pair, a target or a prompt: a run's records as they are, other data as `columns` reads it."""

from __future__ import annotations

from collections.abc import Mapping

from critics.transcript import message_text
from generation.output import reading
from generation.output.reading import TrainingPair
from training.data import columns
from training.data.columns import Pair, RowPrompt, Target, answerable, checked
from training.data.sources import Row


def pair(row: Row) -> Pair:
    """Two responses to one prompt. Raises UserError where there are none, or they cannot be trained on."""
    if isinstance(row, Mapping):
        return columns.pair(row)
    assert isinstance(row, TrainingPair)
    chosen, rejected = message_text(row.chosen), message_text(row.rejected)
    truncated = (row.chosen_truncated, row.rejected_truncated)
    return checked(Pair(prompted(row), chosen, rejected, row.p_chosen, margin=0.0, weight=1.0, truncated=truncated))


def target(row: Row) -> Target:
    """A prompt and the response to learn. Raises UserError where there is none."""
    if isinstance(row, Mapping):
        return columns.target(row)
    assert isinstance(row, reading.Target)
    return Target(prompted(row), message_text(row.completion), weight=1.0)


def prompted(row: Row) -> RowPrompt:
    """What comes before the response. Raises UserError where no response may follow."""
    if isinstance(row, Mapping):
        return columns.prompted(row)
    return answerable(RowPrompt(row.prompt_id, row.prompt, row.tools, row.tags))
