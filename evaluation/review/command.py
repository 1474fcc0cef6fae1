"""`solon review RUN`: label pairs on a terminal, or hand pairs out and take labels in as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from constitution.errors import Problems, UserError, problems_of
from constitution.records import Message
from constitution.terminal import printable
from critics.transcript import message_text
from evaluation.review.keys import read_key
from evaluation.review.session import Review, Shown
from evaluation.review.settings import ReviewSettings
from generation.data.labels import Label

ANSWERS: Mapping[str, str] = {"a": "a", "b": "b", "=": "tie", "x": "both_bad", " ": "skip"}
HELP = "a, b: the better one   = tie   x both bad   space skip   n a note, then a key   q ends"
HEALED = "review.jsonl ended within a line, which a program that was killed left behind; a new line was begun"


def run(settings: ReviewSettings, console: Console, key: Callable[[], str] = read_key) -> int:
    """Do what is asked; returns 0. Raises UserError."""
    review = Review(settings.run)
    by = settings.annotator
    if settings.add:
        _add(review, settings.add, by, console)
    elif settings.next_pairs:
        for number in review.next(by, settings.next_pairs):
            shown = review.show(number, by)
            if settings.as_json:
                print(json.dumps(as_json(shown), ensure_ascii=True))
            else:
                _print(shown, console)
    elif settings.as_json:
        print(json.dumps(numbers(review), allow_nan=False, indent=2))
    elif settings.progress:
        _tell(review, console)
    else:
        _ask(review, by, console, key)
    return 0


def as_json(shown: Shown) -> dict[str, Any]:
    """A pair as another program gets it: `line` becomes a label when `label` is put into it."""
    prompt = [
        message.model_dump(mode="json", exclude_defaults=True) | {"role": message.role} for message in shown.prompt
    ]
    return {"line": dict(shown.line), "prompt": prompt, "a": message_text(shown.a), "b": message_text(shown.b)}


def numbers(review: Review) -> dict[str, Any]:
    """What the answers say, as JSON has it: null for what is not known."""

    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return None if value != value else value
        if isinstance(value, Mapping):
            return {str(name): plain(item) for name, item in value.items()}
        if hasattr(value, "_asdict"):
            return plain(value._asdict())
        if hasattr(value, "model_dump"):
            return plain(value.model_dump())
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    found: dict[str, Any] = plain(review.progress())
    return found


def _add(review: Review, given: tuple[str, ...], by: str, console: Console) -> None:
    problems, labels = Problems(), list[Label]()
    for place, line in _lines(given):
        with problems.collect():
            labels.append(read_line(line, by, place))
    problems.check()
    new = 0
    for label in labels:
        added = review.add(label)
        new += added.new
        if added.healed:
            console.print(HEALED, markup=False)
    console.print(
        f"{new} labels added" + (f", {len(labels) - new} were there" if new < len(labels) else ""), markup=False
    )


def read_line(line: str, by: str, place: str = "") -> Label:
    """A label from a line of JSON; of this person where it names none. Raises UserError."""
    try:
        label = Label.model_validate_json(line)
    except ValidationError as error:
        raise UserError(problems_of(error, Label, place)) from None
    return label if label.by else label.model_copy(update={"by": by})


def _lines(given: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(given, 1):
        if line != "-":
            yield f"--add {number}", line
            continue
        for i, one in enumerate(sys.stdin, 1):
            if one.strip():
                yield f"line {i}", one


def _ask(review: Review, by: str, console: Console, key: Callable[[], str]) -> None:
    """Pair after pair, until there is none or `q`."""
    while numbers := review.next(by):
        shown = review.show(numbers[0], by)
        _print(shown, console)
        console.print(HELP, style="dim", markup=False)
        note = ""
        while (pressed := key()) not in (*ANSWERS, "q"):
            if pressed == "n":
                console.print("note, then Enter: ", end="", markup=False)
                note = printable(sys.stdin.readline().strip())
        if pressed == "q":
            break
        label = Label.model_validate({**shown.line, "label": ANSWERS[pressed], "note": note})
        if review.add(label).healed:
            console.print(HEALED, markup=False)
        if (verdict := review.verdict(label)) and pressed != " ":
            console.print(f"panel: A is better with probability {verdict.p_a:.2f}", markup=False)
    _tell(review, console)


def _tell(review: Review, console: Console) -> None:
    for line in review.progress().lines():
        console.print(printable(line), markup=False)


def _print(shown: Shown, console: Console) -> None:
    for message in shown.prompt:
        _said(message.role, message, console)
    _said("A", shown.a, console)
    _said("B", shown.b, console)


def _said(who: str, message: Message, console: Console) -> None:
    console.print(Rule(who, align="left"))
    console.print(Text(message_text(message)))
