"""Labelled rows in four parts without a common prompt, and one run's pairs under three kinds of labels."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from constitution.digest import fraction
from constitution.records import Message
from constitution.words import word_count
from generation.output import reading
from generation.output.files import write_atomically

Arm = Literal["judged", "shuffled", "longer"]
ARMS: Mapping[Arm, str] = {
    "judged": "labels of the judge",
    "shuffled": "the same pairs, random labels",
    "longer": "the same pairs, the longer response chosen",
}
GOLD_LAWS = {
    "name": "gold",
    "version": 1,
    "objectives": {"preferred": 1.0},
    "principles": [
        {"id": "preferred", "objective": "preferred", "text": "Reply as the people who labelled the pairs prefer it."}
    ],
}
"""One principle, under which a reward model votes once."""


TRUNCATED = ("chosen_truncated", "rejected_truncated")
"""Columns of a run that say whose response the limit cut."""
SWAPPED = {
    "chosen": "rejected",
    "rejected": "chosen",
    "chosen_truncated": "rejected_truncated",
    "rejected_truncated": "chosen_truncated",
}


class Part(NamedTuple):
    """What some of the rows are for."""

    name: str
    share: float
    """Of the rows."""
    most: int | None
    """Rows that are kept of it."""
    labels: bool
    """With both responses; else the prompts alone, each once."""


def split(source: Path, parts: Sequence[Part], tags: Sequence[str], folder: Path) -> dict[str, int]:
    """Write `NAME.jsonl` of each part; name -> rows.

    A row's part follows from the hash of how its conversation opens, so no opening is in two parts. Of a part's rows those with
    the lowest hashes are kept.
    """
    chosen: dict[str, list[tuple[str, dict[str, Any]]]] = {part.name: [] for part in parts}
    for number, line in enumerate(source.read_text(encoding="utf-8").split("\n"), 1):
        if not line:
            continue
        row = json.loads(line)
        whole = json.dumps(row["prompt"])
        if (part := _part(_place(_opening(row["prompt"])), parts)) is None:
            continue
        made = {"id": str(row.get("id") or f"row-{number}"), "prompt": row["prompt"], "tags": list(tags)}
        responses = {name: row[name] for name in ("chosen", "rejected")} if part.labels else {}
        chosen[part.name].append((f"{_place(whole):.17f} {whole}", {**made, **responses}))
    sizes = {}
    for part in parts:
        rows = sorted(chosen[part.name], key=lambda found: found[0])
        kept = [row for _, row in rows] if part.labels else list(dict(rows).values())
        write_rows(folder / f"{part.name}.jsonl", kept[: part.most])
        sizes[part.name] = len(kept[: part.most])
    return sizes


def _opening(prompt: str | Sequence[Mapping[str, str]]) -> str:
    first = prompt if isinstance(prompt, str) else prompt[0]["content"]
    return " ".join(first.lower().split())


def _place(text: str) -> float:
    """0 to 1, by a hash."""
    return fraction(text)


def _part(place: float, parts: Sequence[Part]) -> Part | None:
    for part in parts:
        place -= part.share
        if place < 0:
            return part
    return None


def pairs_of(run: Path) -> list[dict[str, Any]]:
    """A run's pairs whose responses differ in length, so that each kind of label has an answer; both splits, by prompt."""
    kept = []
    for split, file in reading.split_files(run, "preferences"):
        for pair in reading.read_training_pairs(file, split):
            texts = {"prompt": _plain(*pair.prompt), "chosen": _plain(pair.chosen), "rejected": _plain(pair.rejected)}
            if _words(texts, "chosen") != _words(texts, "rejected"):
                kept.append({name: getattr(pair, name) for name in ("prompt_id", "p_chosen", *TRUNCATED)} | texts)
    return sorted(kept, key=lambda row: str(row["prompt_id"]))


def _plain(*messages: Message) -> list[dict[str, Any]]:
    return [message.model_dump(mode="json", exclude_defaults=True) for message in messages]


def _words(row: Mapping[str, Any], side: str) -> int:
    return word_count(row[side][0].get("content", ""))


def labelled(rows: Sequence[Mapping[str, Any]], arm: Arm, seed: int) -> list[dict[str, Any]]:
    """The pairs with the labels of an arm. How sure a label is stays with the pair, so that all arms are trained as hard."""
    dice = random.Random(f"labels {seed}")
    made = []
    for row in rows:
        swapped = {
            "judged": False,
            "shuffled": dice.random() < 0.5,
            "longer": _words(row, "rejected") > _words(row, "chosen"),
        }[arm]
        made.append({**row, **{new: row[old] for new, old in SWAPPED.items()}} if swapped else dict(row))
    return made


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """A file of JSON lines, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))


def write_yaml(path: Path, value: object) -> Path:
    """A YAML file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, yaml.safe_dump(value, sort_keys=False))
    return path
