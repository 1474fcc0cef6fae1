"""Prompts whose answers can be checked, in the manner of IFEval: each row brings the rules or the answer that it asks for.

    python -m benchmarks.tasks FOLDER [--prompts 440] [--held-out 96]

writes `train.jsonl`, `held_out.jsonl` (other things, the same kinds of instructions) and `other_kinds.jsonl` (kinds that no row
of the others has), and the constitution `checked.yaml` that judges them.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harmless_data import write_rows, write_yaml

THINGS = (
    "sleep", "coffee", "the moon", "running", "bread", "chess", "rain", "cats", "dogs", "trains", "music", "gardens", "tea",
    "the sea", "bicycles", "books", "paint", "apples", "winter", "summer", "maps", "bees", "clouds", "rivers", "letters",
    "mountains", "cheese", "dancing", "shoes", "windows", "bridges", "candles", "deserts", "eggs", "forests", "glass",
    "honey", "islands", "jackets", "kites", "ladders", "mirrors", "onions", "parks", "ropes", "salt", "towers", "wool",
    "yoga", "zebras", "lamps", "boats", "stairs", "pepper", "drums", "snow", "ferries", "hats", "nests", "wells", "ovens",
    "stamps", "roads", "soap",
)  # fmt: skip
ASKED = (
    "Tell me about {}.",
    "What is good about {}?",
    "Give me one tip about {}.",
    "Why do people like {}?",
    "Say something about {}.",
)
WORDS = ("light", "water", "friend", "morning", "time", "hand", "garden", "story", "color", "home")
OPENINGS = ("Well", "Listen", "Today", "Indeed", "Friends")
TRAINED: Mapping[str, Callable[[random.Random], tuple[str, dict[str, Any]]]] = {
    "includes": lambda dice: _including(dice.choice(WORDS)),
    "no_commas": lambda dice: (" Use no commas.", {"must_not_match": ","}),
    "begins": lambda dice: _beginning(dice.choice(OPENINGS)),
    "asks": lambda dice: (" End with a question mark.", {"ends_with": "?"}),
    "one_sentence": lambda dice: (" Answer in one sentence.", {"max_sentences": 1}),
}
HELD: Mapping[str, Callable[[random.Random], tuple[str, dict[str, Any]]]] = {
    "avoids": lambda dice: (" Do not use the word 'the'.", {"must_not_match": r"(?i)\bthe\b"}),
    "short": lambda dice: (" Use at most ten words.", {"max_words": 10}),
    "exclaims": lambda dice: (" End with an exclamation mark.", {"ends_with": "!"}),
}
"""Kind of instruction -> what is added to the prompt, and the rule that checks it. `sum`, a kind of its own, has an answer."""
SUM = "sum"
CHECKED = {
    "name": "checked",
    "version": 1,
    "objectives": {"as-asked": 1.0},
    "principles": [
        {"id": "form", "objective": "as-asked", "text": "Keep to what is asked for.", "check": {"of_row": "rules"}},
        {"id": "answer", "objective": "as-asked", "text": "Give the right answer.", "check": {"answer": "answer"}},
    ],
}


def _including(word: str) -> tuple[str, dict[str, Any]]:
    return f" Use the word '{word}'.", {"must_match": rf"(?i)\b{word}\b"}


def _beginning(word: str) -> tuple[str, dict[str, Any]]:
    return f" Begin with the word '{word}'.", {"starts_with": word}


def task(kind: str, thing: str, dice: random.Random) -> dict[str, Any]:
    """One row: prompt, tags (its kind), and `rules` or `answer`."""
    if kind == SUM:
        one, other = dice.randint(2, 20), dice.randint(2, 20)
        return {"prompt": f"What is {one} + {other}? Give the number.", "answer": one + other, "kind": kind}
    asked, rules = {**TRAINED, **HELD}[kind](dice)
    return {"prompt": dice.choice(ASKED).format(thing) + asked, "rules": rules, "kind": kind}


def tasks(kinds: Sequence[str], things: Sequence[str], count: int, seed: int) -> list[dict[str, Any]]:
    """Different rows, the kinds in turn. Raises ValueError where there are not so many."""
    dice, found = random.Random(seed), dict[str, dict[str, Any]]()
    for turn in range(50 * count):
        row = task(kinds[turn % len(kinds)], dice.choice(things), dice)
        found.setdefault(row["prompt"], row)
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"only {len(found)} different rows of {count}")


def write(folder: Path, prompts: int, held_out: int, seed: int = 0) -> None:
    """The three files and the constitution. No thing of `train.jsonl` is in the others."""
    held = len(THINGS) // 4
    kinds = [*TRAINED, SUM]
    write_rows(folder / "train.jsonl", tasks(kinds, THINGS[held:], prompts, seed))
    train = {row["prompt"] for row in tasks(kinds, THINGS[held:], prompts, seed)}
    others = [row for row in tasks(kinds, THINGS[:held], held_out + 40, seed + 1) if row["prompt"] not in train]
    write_rows(folder / "held_out.jsonl", others[:held_out])
    write_rows(folder / "other_kinds.jsonl", tasks([*HELD], THINGS[:held], held_out, seed + 2))
    write_yaml(folder / "checked.yaml", CHECKED)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tasks", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", type=int, default=440)
    parser.add_argument("--held-out", type=int, default=96)
    options = parser.parse_args(arguments)
    write(options.folder, options.prompts, options.held_out)


if __name__ == "__main__":
    main()
