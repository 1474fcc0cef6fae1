"""Rows of all sources -> those to train on and those held out. Rows that are none are left out, told and counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from constitution.digest import hasher
from constitution.errors import Problem, Problems, UserError
from constitution.records import Prompt
from constitution.terminal import complain
from generation.data.message import Told
from generation.output.dataset import split_of
from training.config import Training
from training.data import stepwise as steps
from training.data import unpaired
from training.data.columns import (
    OF_JUDGED,
    OF_PAIR,
    OF_PROMPT,
    OF_RANKED,
    OF_STEPS,
    OF_TARGET,
    Pair,
    RowPrompt,
    Target,
    TrainOn,
    bad,
)
from training.data.parsing import pair, prompted_with, target
from training.data.ranked import Ranked, of_run, ranked
from training.data.sources import Kind, Raw, Row, is_run, read
from training.data.stepwise import Stepwise
from training.data.unpaired import Judged
from training.data.unusable import LISTED, Unusable


class Source(NamedTuple):
    """What one source gave."""

    name: str
    digest: str
    """32 hex characters over its rows in their order, without the source's weight."""
    rows: int
    """Of both splits."""
    weight: float
    constitutions: tuple[str, ...]
    """Digests of the constitutions that labelled its rows, where it says so."""


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to train on and rows held out. No prompt is in both."""

    train: list[Any]
    test: list[Any]
    sources: tuple[Source, ...] = ()
    repeated: tuple[int, int] = (0, 0)
    """Rows of each part that were left out, being another's again."""
    moved: int = 0
    """Held-out rows that would be in the first part, were their prompts not held out elsewhere."""
    untested: int = 0
    """Held-out rows in neither part, being of no source that is tested."""
    unusable: tuple[int, int] = (0, 0)
    """Rows of each part that cannot be trained on."""

    def tell(self, train: Counter[str], test: Counter[str]) -> None:
        """Add this to what is counted of the two parts, as `dropped_unusable`, `_repeated`, `_untested` and `moved_to_test`."""
        for name, found in (("dropped_unusable", self.unusable), ("dropped_repeated", self.repeated)):
            for counts, n in zip((train, test), found, strict=True):
                if n:
                    counts.update({"read": n, name: n})
        if self.untested:
            test.update(read=self.untested, dropped_untested=self.untested)
        if self.moved:
            test["moved_to_test"] = self.moved

    def __iter__(self) -> Iterator[list[Any]]:
        """The two parts."""
        yield self.train
        yield self.test


Kept = Pair | Target | Judged | Ranked | Stepwise
Made = TypeVar("Made", Pair, Target, RowPrompt, Judged, Ranked, Stepwise)


def pairs(settings: Training, margins: bool = False) -> Split:
    """Preference pairs of every source. margins: each says how far apart its responses are.

    Raises UserError where too few rows of one are such, with the first problems of them.
    """
    if margins:
        used = (*OF_PAIR, "margin")
        return _collect(settings, "preferences", _apart, "prompt, chosen, rejected and margin", used)
    return _collect(settings, "preferences", pair, "prompt, chosen and rejected", OF_PAIR)


def _apart(row: Row, told: Told) -> Pair:
    """A pair that says how far apart its responses are; a run's do not. Raises UserError."""
    found = pair(row, told)
    if not isinstance(row, Mapping) or row.get("margin") is None:
        raise bad("margin", "is missing, and margins: true subtracts it", fix="add the column, or set margins: false")
    return found


def targets(settings: Training, train_on: TrainOn = "last") -> Split:
    """Responses to imitate: columns prompt and completion, or messages that end with the assistant's. Raises UserError.

    train_on: see columns.target.
    """
    make = partial(target, train_on=train_on)
    return _collect(settings, "sft", make, "prompt and completion, or messages", OF_TARGET)


def judged(settings: Training) -> Split:
    """Single responses, each good or bad: columns prompt, completion and label; of pairs both. Raises UserError."""
    needed = "prompt, completion and label, or prompt, chosen and rejected"
    return _collect(settings, "preferences", unpaired.judged, needed, OF_JUDGED)


def rankings(settings: Training) -> Split:
    """Several responses to a prompt with their ranks; of a run, all that were compared. Raises UserError."""

    def reading(spec: str, seen: dict[str, None]) -> Iterator[Raw]:
        path = Path(spec).expanduser()
        if is_run(path):
            return of_run(path, settings.limit)
        return read(spec, "preferences", settings.limit, settings.columns, seen)

    return _collect(settings, "preferences", ranked, "prompt, responses and ranks", OF_RANKED, reading)


def stepwise(settings: Training) -> Split:
    """Responses in steps that are labelled: columns prompt, completions and labels. Raises UserError."""
    return _collect(settings, "preferences", steps.stepwise, "prompt, completions and labels", OF_STEPS)


def prompts(settings: Training, columns: Collection[str] = ()) -> Split:
    """Different prompts, whatever came after; with other tools, tags, chat_template_kwargs or columns it is another.

    columns: those that rules read beside what every prompt is made of. Raises UserError, also where no row has one of them.
    """
    names = tuple(columns)
    make = partial(prompted_with, columns=names)
    split = _collect(settings, "preferences", make, "prompt, or messages", (*OF_PROMPT, *names))
    found = {name for part in split for row in part for name in (json.loads(row.metadata) if row.metadata else ())}
    if missing := sorted(set(names) - found):
        got, fix = f"no row has column {', '.join(missing)}, which a rule reads", "add it, or correct the rule"
        raise UserError(Problem(f"--data {', '.join(settings.data)}", got=got, fix=fix))
    train, test = (list({_whole(prompt): prompt for prompt in part}.values()) for part in split)
    left_out = (len(split.train) - len(train), len(split.test) - len(test))
    return Split(train, test, split.sources, left_out, split.moved, split.untested, split.unusable)


def _collect(
    settings: Training,
    kind: Kind,
    make: Callable[[Row, Told], Made],
    needed: str,
    used: Collection[str],
    reading: Callable[[str, dict[str, None]], Iterator[Raw]] | None = None,
) -> Split:
    """needed: columns, in words. used: names of all that are read. reading: what reads a source, where it is not the one reader."""
    if not settings.data:
        raise UserError(Problem("--data", got="got none", fix="name a run folder, as in --data runs/NAME"))
    problems = Problems()
    train: list[tuple[str, Made]] = []  # source and row
    test: list[tuple[str, Made]] = []
    sources, lost = [], [0, 0]
    for spec, weight in settings.data.items():
        digest, constitutions, count = hasher(), set[str](), 0
        told, unusable, seen = Told(), Unusable(spec), dict[str, None]()
        raws = reading(spec, seen) if reading else read(spec, kind, settings.limit, settings.columns, seen)
        with problems.collect():
            for raw, row in _made(raws, make, told, unusable):
                digest.update(repr(row).encode())
                count += 1
                if raw.constitution:
                    constitutions.add(raw.constitution)
                part = test if _held_out(raw, row, settings.test_fraction) else train
                part.append((spec, _weighed(row, weight)))
            unusable.check(count, settings.max_failed, needed)
            unusable.tell(count)
        lost = [lost[0] + unusable.train, lost[1] + unusable.test]
        for what, count in told.items():
            complain(f"--data {spec}: {what} ({count:,} times)")
        unread = seen.keys() - {settings.columns.get(name, name) for name in used}
        if count and unread:
            complain(f"--data {spec}: columns not read: {', '.join(sorted(unread))}")
        sources.append(Source(spec, digest.hexdigest(), count, weight, tuple(sorted(constitutions))))
    problems.check()
    # what one source holds out, another may have among its rows to train on
    held = {words(_asked(row)) for _, row in test}
    moved = [(spec, row) for spec, row in train if words(_asked(row)) in held]
    test += moved
    remaining = [row for _, row in train if words(_asked(row)) not in held]
    if not remaining:
        got = f"holds no row to train on; all {len(test)} are held out" if test else "holds no row to train on"
        fix = "lower test_fraction" if test else f"each row needs {needed}"
        raise UserError(Problem(f"--data {', '.join(settings.data)}", got=got, fix=fix))
    looked_at = [row for spec, row in test if spec in (settings.eval_sources or settings.data)]
    return Split(
        remaining,
        looked_at,
        tuple(sources),
        moved=len(moved),
        untested=len(test) - len(looked_at),
        unusable=(lost[0], lost[1]),
    )


def _made(
    raws: Iterable[Raw], make: Callable[[Row, Told], Made], told: Told, unusable: Unusable
) -> Iterator[tuple[Raw, Made]]:
    """A source's rows. Those that cannot be used go to `unusable`; reading ends once many are read and none can be."""
    usable = False
    for raw in raws:
        try:
            row = make(raw.row, told)
        except Exception as error:  # nobody knows what a row can hold; whatever it is, its place is told
            unusable.add(raw, error)
            if unusable.total == LISTED and not usable:
                return
        else:
            usable = True
            yield raw, row


def _asked(row: Kept | RowPrompt) -> RowPrompt:
    return row if isinstance(row, RowPrompt) else row.prompt


def _weighed(row: Made, weight: float) -> Made:
    """The row, counting that much more. Prompts have no weight."""
    return row if isinstance(row, RowPrompt) else row._replace(weight=row.weight * weight)


def _held_out(raw: Raw, row: Kept | RowPrompt, fraction: float) -> bool:
    """As the source says; else by the words of the prompt, as a run does it."""
    if raw.split:
        return raw.split == "test"
    prompt = _asked(row)
    return split_of(Prompt(id=prompt.id, messages=prompt.messages), fraction) == "test"


def words(prompt: RowPrompt | Prompt) -> str:
    """By which prompts are told apart; `split_of` goes by the same."""
    return json.dumps([(message.role, message.content.strip()) for message in prompt.messages])


def _whole(prompt: RowPrompt) -> str:
    """By which what a policy is asked is told apart."""
    whole = [words(prompt), prompt.tools, prompt.tags, dict(prompt.template_kwargs)]
    return json.dumps(whole, sort_keys=True, default=str)
