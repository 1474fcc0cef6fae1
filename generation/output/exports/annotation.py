"""Pairs for people to judge: records of Argilla, tasks of Label Studio. The run's label stands beside them as a suggestion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from generation.output.exports.texts import conversation_text, pair_name, sided
from generation.output.reading import Pair
from generation.output.run import Run

QUESTION = "preference"
"""Name of the question, in both tools."""


def argilla_records(run: Run) -> Iterator[dict[str, Any]]:
    """Records as `dataset.records.from_json` reads them: fields `prompt`, `response_a`, `response_b`, a question `preference` with
    the labels `a` and `b`.
    """
    for pair in run.pairs():
        shown = sided(pair)
        better = "a" if shown.chosen_first else "b"
        yield {
            "id": pair_name(pair),
            "fields": {
                "prompt": conversation_text(pair.prompt),
                "response_a": shown.first,
                "response_b": shown.second,
            },
            "suggestions": {QUESTION: {"value": better, "score": pair.p_chosen, "agent": pair.judge}},
            "responses": {},
            "metadata": _known(pair),
            "vectors": {},
            "status": "pending",
        }


def label_studio_tasks(run: Run) -> Iterator[dict[str, Any]]:
    """Tasks for a configuration with the tags Text `prompt`, `response_a` and `response_b`, each of the data of its name, and
    Pairwise `preference` of the two responses.
    """
    for pair in run.pairs():
        shown = sided(pair)
        selected = "left" if shown.chosen_first else "right"
        result = {"from_name": QUESTION, "to_name": "response_a", "type": "pairwise", "value": {"selected": selected}}
        yield {
            "data": {
                "prompt": conversation_text(pair.prompt),
                "response_a": shown.first,
                "response_b": shown.second,
                "id": pair_name(pair),
                **_known(pair),
            },
            "predictions": [{"model_version": pair.judge, "score": pair.p_chosen, "result": [result]}],
        }


def _known(pair: Pair) -> dict[str, Any]:
    """What is known of a pair but which response is better."""
    known: dict[str, Any] = {"prompt_id": pair.prompt_id, "split": pair.split}
    if pair.tags:
        known["tags"] = list(pair.tags)
    if pair.metadata:
        known["metadata"] = pair.metadata
    return known
