"""Bad principles that `constitution test` finds among sound ones, and alarms on sound ones.

    python -m benchmarks.planted [--pairs 100] [--sound 100] [--seeds 2]

The judge is a function behind the ordinary interface of engines: replies have qualities by number, and it prefers the one with more
of what the question's words name, with noise and a bias towards the first. Ten kinds of bad principles are planted.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from benchmarks.common import show
from constitution.digest import fraction, integer
from constitution.principles import Constitution, Principle
from constitution.records import Message
from evaluation.judge.labelled import made_pair
from evaluation.principles.asking import Pairs, ask
from evaluation.principles.checks import Doubt, doubts
from evaluation.principles.settings import TestSettings
from solon.settings import settings_of

QUALITIES = 40
NOISE = 0.5
FIRST = 0.4
"""Log-odds by which the judge favours the first."""
_HELD = re.compile(r"q(\d+)=(-?\d+\.\d+)")
_NAMED = re.compile(r"(more|less) of quality (\d+)")


class Planted(NamedTuple):
    """A kind of bad principle."""

    check: str
    principles: tuple[Principle, ...]
    """The last of which is bad."""


def principle(name: str, text: str, antithesis: str | None = None, **fields: str) -> Principle:
    """A principle of the only objective."""
    return Principle(id=name, objective="good", text=text, antithesis=antithesis, **fields)  # type: ignore[arg-type]


def sound(number: int) -> Principle:
    """One that means one thing."""
    more, less = f"Show more of quality {number}.", f"Show less of quality {number}."
    return principle(f"sound-{number}", more, less if number % 2 else None)


PLANTED = (
    Planted("redundant", (sound(1), principle("copy", "A reply has more of quality 1.", "Show less of quality 1."))),
    Planted("contradicts", (sound(2), principle("contrary", "Show less of quality 2.", "Show more of quality 2."))),
    Planted("never_decides", (principle("idle", "Speak of unicorns in a fitting way.", "Speak of unicorns unfittingly."),)),
    Planted("position_decides", (principle("placed", "Let the former reply be fine.", "Let the latter reply be fine."),)),
    Planted("reads_reversed", (sound(3).model_copy(update={"id": "turned", "compare": "Which shows less of quality 3?"}),)),
    Planted("varies_with_wording", (principle("vague", "Be good.", "Be bad."),)),
    Planted("length_decides", (principle("lengthy", "Be impressive.", "Be unimpressive."),)),
    Planted(
        "two_in_one",
        (principle("double", "Show more of quality 4 and show more of quality 5.", "Show less of quality 4."),),
    ),
    Planted("ignores_its_text", (principle("deaf", "Be decent.", "Be indecent."),)),
    Planted("against_labels", (principle("adverse", "Show less of quality 0.", "Show more of quality 0."),)),
)  # fmt: skip


async def simulated(messages: list[dict[str, Any]]) -> str | float:
    """A judge that reads numbers, and writes principles in other words."""
    text = messages[-1]["content"]
    if "People prefer reply A" in text:
        return _contrast(text)
    if "<reply_a" not in text:
        return _write(text)
    head, question = text.rsplit("</reply_b", 1)
    a, b = ({int(k): float(v) for k, v in _HELD.findall(part)} for part in head.split("<reply_b"))
    sizes = [part.count("word") for part in head.split("<reply_b")]
    noise = NOISE * math.sqrt(12) * (fraction(text) - 0.5) * (0.1 if "unicorns" in question else 1)
    return 1 / (1 + math.exp(-max(-20.0, min(20.0, _wanted(question, a, b, sizes) + noise + FIRST))))


def _wanted(question: str, a: dict[int, float], b: dict[int, float], sizes: Sequence[int]) -> float:
    """Log-odds that the first keeps to what the question names."""
    if "unicorns" in question:
        return -FIRST
    if "former" in question or "latter" in question:
        return 6.0
    if "impressive" in question:
        return 3.0 * ((sizes[0] > sizes[1]) - (sizes[0] < sizes[1])) * (-1 if "unimpressive" in question else 1)
    if "decent" in question:
        return 2.0 * (a[6] - b[6])
    if named := _NAMED.findall(question):
        return sum((2.0 if way == "more" else -2.0) * (a[int(k)] - b[int(k)]) for way, k in named) / len(named)
    drawn = 20 + integer(question[:200]) % 20  # what it makes of vague words hangs on the words
    return 2.0 * (a[drawn] - b[drawn])


def _contrast(text: str) -> str:
    """Of qualities 0 to 9, the one of which the first has most more."""
    a, b = ({int(k): float(v) for k, v in _HELD.findall(part)} for part in text.split("<reply_b"))
    most = max(range(10), key=lambda k: a[k] - b[k])
    return f"1. Show more of quality {most}."


def _write(text: str) -> str:
    """A principle again, or its opposite."""
    given = next((line for line in text.splitlines()[1:] if line.strip()), "")
    opposite = "opposite" in text
    if named := _NAMED.findall(given):
        parts = []
        for way, k in named:
            turned = ("less" if way == "more" else "more") if opposite else way
            parts.append(f"there is {turned} of quality {k} in it")
        return f"A reply is fine where {' and '.join(parts)}."
    return f"One must not {given.lower()}" if opposite else f"It matters that a reply follows this: {given.lower()}"


def pairs(count: int, seed: int, wanted: Mapping[int, float] = MappingProxyType({0: 1.0})) -> Pairs:
    """Pairs of replies with qualities drawn at random. wanted: quality -> what it counts for the better one, beside noise."""
    draw = random.Random(seed)
    found = []
    for i in range(count):
        sides = []
        for _ in range(2):
            held = {k: draw.gauss(0, 1) for k in range(QUALITIES)}
            words = " ".join(["word"] * draw.randint(1, 60))
            sides.append((held, " ".join(f"q{k}={value:.2f}" for k, value in held.items()) + f" {words}"))
        worth = [sum(held[k] * weight for k, weight in wanted.items()) + draw.gauss(0, 0.3) for held, _ in sides]
        sides = sides if worth[0] >= worth[1] else sides[::-1]
        better, worse = (Message(role="assistant", content=text) for _, text in sides)
        found.append(made_pair(f"pair-{i}", (Message(role="user", content=f"Question {i}?"),), better, worse))
    return Pairs(tuple(found), True)


def tested(principles: Sequence[Principle], given: Pairs, folder: Path) -> list[Doubt]:
    """What is found of them, asked through the engine of functions."""
    constitution = Constitution(name="planted", version=1, objectives={"good": 1.0}, principles=tuple(principles))
    run = settings_of(None, {"judge": simulated}).judge_alone()
    settings = TestSettings(constitution=Path("none"), data="none", out=folder, paraphrases=1)
    answers = asyncio.run(ask(settings, constitution, run, given))
    return doubts(constitution.principles, answers.wordings, answers.said)


def main() -> None:
    """Plant, test and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--sound", type=int, default=100, help="sound principles, in constitutions of ten")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    found = {kind.check: 0 for kind in PLANTED}
    alarms = asked = 0
    with tempfile.TemporaryDirectory() as name:
        for seed in range(options.seeds):
            given = pairs(options.pairs, seed)
            planted = [one for kind in PLANTED for one in kind.principles]
            said = tested(planted, given, Path(name) / f"planted-{seed}")
            for kind in PLANTED:
                bad = kind.principles[-1].id
                found[kind.check] += any((one.principle, one.check) == (bad, kind.check) for one in said)
            bad_ones = {kind.principles[-1].id for kind in PLANTED}
            for one in said:
                if one.principle not in bad_ones:
                    print(f"alarm beside the planted: {one.principle} {one.check}: {one.what}", flush=True)
        for number in range(options.sound // 10):
            given = pairs(options.pairs, 1000 + number)
            said = tested([sound(10 + k) for k in range(10)], given, Path(name) / f"sound-{number}")
            asked += 10
            alarms += len({one.principle for one in said})
            for one in said:
                print(f"alarm: {one.principle} {one.check}: {one.what}", flush=True)
    for check, count in found.items():
        print(f"{check:24} {count} of {options.seeds}")
    show("kinds of bad principles found, every seed", sum(n == options.seeds for n in found.values()), "of 10", "10")
    show("sound principles with an alarm", alarms, f"of {asked}", "<= 1 of 100")


if __name__ == "__main__":
    main()
