"""Prompts whose answers can be checked, in the manner of IFEval: each row brings the rules or the answer that it asks for.

    python -m benchmarks.tasks FOLDER [--prompts 640] [--held-out 96]

writes for `benchmarks.dose_response` `train.jsonl`, `held_out.jsonl` (other things, the same kinds of instructions) and
`other_kinds.jsonl` (kinds that no row of the others has), one instruction a row;
and with `--loop` what `make loop-as-asked` trains on and is measured by, two instructions a row:
`principles/prompts/as_asked*.jsonl`.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harmless_data import write_rows

THINGS = (
    "sleep", "coffee", "the moon", "running", "bread", "chess", "rain", "cats", "dogs", "trains", "music", "gardens", "tea",
    "the sea", "bicycles", "books", "paint", "apples", "winter", "summer", "maps", "bees", "clouds", "rivers", "letters",
    "mountains", "cheese", "dancing", "shoes", "windows", "bridges", "candles", "deserts", "eggs", "forests", "glass",
    "honey", "islands", "jackets", "kites", "ladders", "mirrors", "onions", "parks", "ropes", "salt", "towers", "wool",
    "yoga", "zebras", "lamps", "boats", "stairs", "pepper", "drums", "snow", "ferries", "hats", "nests", "wells", "ovens",
    "stamps", "roads", "soap",
)  # fmt: skip
HELD_THINGS = len(THINGS) // 4
"""So many of the first are in no row that is trained on."""
ASKED = (
    "Tell me about {}.",
    "What is good about {}?",
    "Give me one tip about {}.",
    "Why do people like {}?",
    "Say something about {}.",
)
LEAST_WORDS = 4
"""Of a response that can pass: saying nothing keeps many a rule."""


class Vocabulary(NamedTuple):
    """Words that instructions name."""

    words: tuple[str, ...]
    openings: tuple[str, ...]


TRAIN = Vocabulary(
    ("light", "water", "friend", "morning", "time", "hand", "market", "story", "color", "home"),
    ("Well", "Listen", "Today", "Indeed", "Friends"),
)
OTHERS = Vocabulary(
    ("button", "paper", "circle", "stone", "voice", "door", "corner", "child", "silver", "needle"),
    ("Look", "Often", "Perhaps", "Honestly", "Neighbors"),
)
"""Of rows that nothing is trained on."""
Instruction = Callable[[random.Random, Vocabulary], tuple[str, dict[str, Any]]]
"""What is added to a prompt, and the rule that checks it."""


def _includes(dice: random.Random, known: Vocabulary) -> tuple[str, dict[str, Any]]:
    word = dice.choice(known.words)
    return f" Use the word '{word}'.", {"must_match": rf"(?i)\b{word}\b"}


def _begins(dice: random.Random, known: Vocabulary) -> tuple[str, dict[str, Any]]:
    word = dice.choice(known.openings)
    return f" Begin with the word '{word}'.", {"starts_with": word}


def _two_words(dice: random.Random, known: Vocabulary) -> tuple[str, dict[str, Any]]:
    one, other = dice.sample(known.words, 2)
    return f" Use the words '{one}' and '{other}'.", {"must_match": rf"(?is)\A(?=.*\b{one}\b)(?=.*\b{other}\b)"}


TRAINED: Mapping[str, Instruction] = {
    "includes": _includes,
    "no_commas": lambda *_: (" Use no commas.", {"must_not_match": ","}),
    "avoids": lambda *_: (" Do not use the word 'the'.", {"must_not_match": r"(?i)\bthe\b"}),
    "begins": _begins,
    "asks": lambda *_: (" End with a question mark.", {"ends_with": "?"}),
}
HELD: Mapping[str, Instruction] = {
    "two_words": _two_words,
    "exclaims": lambda *_: (" End with an exclamation mark.", {"ends_with": "!"}),
    "digits": lambda *_: (" Mention a number in digits.", {"must_match": r"\d"}),
}
"""Kinds of instructions that nothing is trained on; `sum` is one more, which has an answer."""
SUM = "sum"
PARTS = {"content": ("includes", "begins"), "form": ("asks", "no_commas")}
"""Columns of the loop's rows -> kinds of instructions, of which a row has one each."""
OTHER_PARTS = {"content": ("two_words", "digits"), "form": ("exclaims", "avoids")}
"""The same of kinds that the loop does not train on."""


def task(kind: str, thing: str, dice: random.Random, known: Vocabulary = TRAIN) -> dict[str, Any]:
    """A row of one instruction: prompt, its kind, and `rules` or `answer`."""
    if kind == SUM:
        one, other = dice.randint(2, 20), dice.randint(2, 20)
        return {"prompt": f"What is {one} + {other}? Give the number.", "answer": one + other, "kind": kind}
    asked, rules = {**TRAINED, **HELD}[kind](dice, known)
    rules = {"min_words": LEAST_WORDS, **rules}
    return {"prompt": dice.choice(ASKED).format(thing) + asked, "rules": rules, "kind": kind}


def double(
    parts: Mapping[str, Sequence[str]], thing: str, dice: random.Random, known: Vocabulary, gold: bool
) -> dict[str, Any]:
    """A row of the loop: an instruction of each part, whose rule is in the part's column.

    gold: there are `gold_content` and so on too, and `topic` has what the thing that was asked about must be named by.
    """
    row: dict[str, Any] = {"prompt": dice.choice(ASKED).format(thing)}
    kinds = [dice.choice(kinds) for kinds in parts.values()]
    for part, kind in zip(parts, kinds, strict=True):
        asked, rules = {**TRAINED, **HELD}[kind](dice, known)
        row["prompt"] += asked
        row |= {part: rules, f"gold_{part}": rules} if gold else {part: rules}
    return {**row, **({"topic": {"must_match": named(thing)}} if gold else {}), "kind": "+".join(kinds)}


def named(thing: str) -> str:
    """A pattern of a thing's name, as one or as many.

    >>> re.search(named("the sea"), "Seas are wide") is not None
    True
    """
    word = thing.split()[-1]
    stem = re.sub("(ies|(?<!s)s)$", "", word)
    return rf"(?i)\b{stem}(s|y|ies)?\b"


def different(make: Callable[[int], dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Rows of different prompts. make: a row from the number of its try. Raises ValueError where there are not so many."""
    found = dict[str, dict[str, Any]]()
    for turn in range(50 * count):
        row = make(turn)
        found.setdefault(row["prompt"], row)
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"only {len(found)} different rows of {count}")


def singles(
    kinds: Sequence[str], things: Sequence[str], count: int, seed: int, known: Vocabulary
) -> list[dict[str, Any]]:
    """Different rows of one instruction, the kinds in turn."""
    dice = random.Random(seed)
    return different(lambda turn: task(kinds[turn % len(kinds)], dice.choice(things), dice, known), count)


def doubles(
    parts: Mapping[str, Sequence[str]], things: Sequence[str], count: int, seed: int, known: Vocabulary, gold: bool
) -> list[dict[str, Any]]:
    """Different rows of two instructions."""
    dice = random.Random(seed)
    return different(lambda _: double(parts, dice.choice(things), dice, known, gold), count)


def write(folder: Path, prompts: int, held_out: int, seed: int = 0) -> None:
    """The three files of the dose-response. No thing or word of `train.jsonl` is in the others."""
    held, kinds = THINGS[:HELD_THINGS], [*TRAINED]
    write_rows(folder / "train.jsonl", singles(kinds, THINGS[HELD_THINGS:], prompts, seed, TRAIN))
    write_rows(folder / "held_out.jsonl", singles(kinds, held, held_out, seed + 1, OTHERS))
    write_rows(folder / "other_kinds.jsonl", singles([*HELD, SUM], held, held_out, seed + 2, OTHERS))


def write_loop(folder: Path, seed: int = 0) -> None:
    """What `make loop-as-asked` reads: rows to train on, rows for its gold, and rows of other kinds of instructions."""
    held = THINGS[:HELD_THINGS]
    write_rows(folder / "as_asked.jsonl", doubles(PARTS, THINGS[HELD_THINGS:], 320, seed, TRAIN, gold=False))
    write_rows(folder / "as_asked_held_out.jsonl", doubles(PARTS, held, 256, seed + 1, OTHERS, gold=True))
    write_rows(folder / "as_asked_other_kinds.jsonl", doubles(OTHER_PARTS, held, 128, seed + 2, OTHERS, gold=True))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tasks", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", type=int, default=640)
    parser.add_argument("--held-out", type=int, default=96)
    parser.add_argument("--loop", action="store_true", help="those of `make loop-as-asked`")
    options = parser.parse_args(arguments)
    if options.loop:
        write_loop(options.folder)
    else:
        write(options.folder, options.prompts, options.held_out)


if __name__ == "__main__":
    main()
