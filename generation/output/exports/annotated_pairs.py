"""The annotated pairs format 2.0 of Inverse Constitutional AI (Findeis et al. 2024, arXiv:2406.06560). Feedback Forensics opens it.

One JSON object: `metadata`, `annotators` (the run's label and each principle), and `comparisons` with what each annotator prefers.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import md5
from typing import Any

from constitution.records import VIOLATION
from generation.output.exports.texts import conversation_text, pair_name, sided, source_row
from generation.output.manifest import NAME
from generation.output.reading import Pair
from generation.output.run import Run

VERSION = "2.0"
_DEFAULT = "Default annotator from original dataset (from column `preferred_text`)"
"""The format knows the annotator that others are held against by the digest of this text."""

_NEITHER: dict[str, str | None] = {"pref": None, "no_pref_reason": "neither"}


def annotator_id(text: str) -> str:
    """How the format names an annotator."""
    return md5(text.encode(), usedforsecurity=False).hexdigest()[:8]


def annotated_pairs(run: Run) -> Iterator[str]:
    """The file's text in pieces."""
    principles = {principle.id: principle.text for principle in run.constitution.principles}
    judges, asked = set[str](), set[str]()
    keys = {"prompt_id", "split", "p_chosen"}
    for pair in run.pairs():
        judges.add(pair.judge)
        asked.update(vote.principle for vote in pair.votes)
        keys.update(source_row(pair.metadata))
    label = {"name": "solon", "description": f"Label of the panel of {', '.join(sorted(judges))}", "type": "ai"}
    annotators = {annotator_id(_DEFAULT): label}
    for name in sorted(asked):
        annotators[annotator_id(principles[name])] = {
            "name": name,
            "description": principles[name],
            "type": "principle",
        }
    metadata = {
        "version": VERSION,
        "description": f"Preference pairs by the constitution {run.constitution.name}",
        "created_at": f"{datetime.fromtimestamp((run.folder / NAME).stat().st_mtime, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "dataset_name": run.folder.resolve().name,
        "default_annotator": annotator_id(_DEFAULT),
        "available_metadata_keys_per_comparison": sorted(keys),
    }
    yield f'{{"metadata": {_json(metadata)},\n"annotators": {_json(annotators)},\n"comparisons": ['
    for number, pair in enumerate(run.pairs()):
        yield ",\n" if number else "\n"
        yield _json(_comparison(pair, principles))
    yield "\n]}\n"


def _comparison(pair: Pair, principles: dict[str, str]) -> dict[str, Any]:
    shown = sided(pair)
    chosen, rejected = ("a", "b") if shown.chosen_first else ("b", "a")
    responses: dict[str, dict[str, str]] = {"a": {"text": shown.first}, "b": {"text": shown.second}}
    sides = ((chosen, pair.chosen_policy, pair.chosen_origin), (rejected, pair.rejected_policy, pair.rejected_origin))
    for side, policy, origin in sides:
        responses[side] |= {"model": policy or origin, "origin": origin}
    values: defaultdict[str, list[float]] = defaultdict(list)
    for vote in pair.votes:
        if vote.method != VIOLATION or (vote.logit_ab < 0) != (vote.logit_ba < 0):  # of two alike it prefers neither
            values[vote.principle].append(vote.value)
    annotations: dict[str, dict[str, str | None]] = {annotator_id(_DEFAULT): {"pref": chosen}}
    for name, found in values.items():
        value = math.fsum(found)
        side = chosen if value > 0 else rejected
        annotations[annotator_id(principles[name])] = {"pref": side} if value else {**_NEITHER}
    known = {"prompt_id": pair.prompt_id, "split": pair.split, "p_chosen": f"{pair.p_chosen:.6f}"}
    return {
        "id": pair_name(pair),
        "prompt": conversation_text(pair.prompt),
        "response_a": responses["a"],
        "response_b": responses["b"],
        "annotations": annotations,
        "metadata": {**{key: _word(value) for key, value in source_row(pair.metadata).items()}, **known},
    }


def _word(value: object) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
