"""A row of preference data -> its labelled pairs, as fast as plain texts and messages allow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import combinations, islice
from typing import Any, NamedTuple

from constitution.errors import shown
from evaluation.verify.columns import Layout, coded, number
from generation.data import conversation as shapes
from generation.data.message import Told
from generation.data.record import BadRow, Record
from generation.data.text import turns_in

NAN = float("nan")
MOST_PAIRS = 10
"""Pairs of one row with a list of responses."""
_OPENS = ("[", "{", '"', "(", "'", "array(", "\n\nHuman:", "Human:", " ", "\n", "\t")
_TEXT_KEYS = (
    "response",
    "text",
    "content",
    "answer",
    "completion",
    "output",
    "generated_text",
    "value",
    "model_response",
)
_SCORE_KEYS = ("overall_score", "score", "rating", "reward", "rank", "fine-grained_score", "preference_score")
_FIRST = re.compile(r"(?:.*[\s_(\[])?(?:a|1|first|left)[)\]]?", re.IGNORECASE)
_SECOND = re.compile(r"(?:.*[\s_(\[])?(?:b|2|second|right)[)\]]?", re.IGNORECASE)
_SIDES = ("chosen", "rejected")
_BEGINNING = 80
"""Characters of a response by which it is found in what the judge was asked."""


class Pair(NamedTuple):
    """Two responses of which a dataset calls one better."""

    number: int
    """Row, from 1."""
    split: int
    prompt: str
    """What both answer, without system messages; empty where the row does not say."""
    chosen: str
    rejected: str
    given: str = ""
    """The text of the column `prompt`."""
    twice: bool = False
    """The prompt is given by itself, and in the conversations of both responses again, where a trainer does not look for it."""
    listed_first: bool | None = None
    """Whether the chosen one is the first of the pair as the dataset lists it; None where nobody knows."""
    asked_first: bool | None = None
    """The same of what the judge was asked."""
    verdict: str | None = None
    """What the judge wrote."""
    scores: tuple[tuple[float, float], ...] = ()
    """(score of the chosen, of the rejected) by each measure of the dataset."""
    margins: tuple[float, ...] = ()
    cut: tuple[bool, bool] | None = None
    """Whether the dataset says that each was cut off."""


class Unlabelled(Exception):
    """A row that calls neither response better."""


def read(record: Record, layout: Layout, split: int, number: int, told: Told) -> Iterator[Pair]:
    """The pairs of a row. Raises BadRow where there is none, and Unlabelled where none is better."""
    if isinstance(record.row, BadRow):
        raise record.row
    row, fields = record.row, layout.fields
    if "chosen" in fields and "rejected" in fields:
        yield _labelled(row, layout, split, number, told)
    elif "first" in fields and "second" in fields and "winner" in fields:
        yield _won(row, layout, split, number, told)
    else:
        yield from _ranked(row, layout, split, number, told)


def spoken(key: str, value: Any, told: Told) -> tuple[str, str]:
    """(what stands before the last message, the last message): of a text, a message or a list of them. Raises BadRow."""
    if type(value) is str:
        if not value.startswith(_OPENS):
            return "", value
        found = turns_in(value)
        if found is None:
            return "", value
        value = found
    if value is None:
        return "", ""
    if plain := _plain(key, value):
        return plain
    messages = [m for m in shapes.spoken(key, shapes.unpadded(value), told) if m.role != "system"]
    if not messages:
        return "", ""
    if key in _SIDES and messages[-1].role != "assistant":
        raise BadRow("bad_response", f"got role {messages[-1].role!r}", "a response of the assistant", key=key)
    calls = "".join(f"\n{call.model_dump_json()}" for call in messages[-1].tool_calls)
    return "\n".join(m.content for m in messages[:-1]), messages[-1].content + calls


def _plain(key: str, value: Any) -> tuple[str, str] | None:
    """As `spoken`, of messages of texts alone, which are nearly all; None for any other form, which takes a closer look."""
    if type(value) is not list:
        return None
    try:
        texts = [turn["content"] for turn in value if turn["role"] != "system"]
        if texts and "tool_calls" in value[-1] and value[-1]["tool_calls"]:
            return None  # what is called is a part of what is said
    except (KeyError, TypeError):
        return None
    if not texts or type(texts[-1]) is not str or (key in _SIDES and value[-1]["role"] != "assistant"):
        return None
    return "\n".join(texts[:-1]), texts[-1]


def _prompt(row: Mapping[str, Any], layout: Layout, told: Told) -> tuple[str, bool]:
    """(the text of what is asked, whether it is a conversation). Raises BadRow."""
    for field, column in layout.asked:
        value = row.get(column)
        if value is None:
            continue
        before, last = spoken(field, value, told)
        return (f"{before}\n{last}" if before else last), not isinstance(value, str)
    return "", False


def _made(
    row: Mapping[str, Any], layout: Layout, split: int, number: int, told: Told, chosen: Any, rejected: Any
) -> Pair:
    """A pair with what any form of row says of it."""
    given, conversation = _prompt(row, layout, told)
    before, one = spoken("chosen", chosen, told)
    also, other = spoken("rejected", rejected, told)
    prompt = before if len(before) > len(given) else given
    twice = bool(before and also and given) and (conversation or isinstance(chosen, str)) and given.strip() in before
    return Pair(number, split, prompt, one, other, given, twice)


def _labelled(row: Mapping[str, Any], layout: Layout, split: int, number: int, told: Told) -> Pair:
    fields = layout.fields
    pair = _made(row, layout, split, number, told, row.get(fields["chosen"]), row.get(fields["rejected"]))
    if layout.bare:
        return pair
    more = _order(row, layout, pair, told)
    if layout.scores:
        more["scores"] = tuple((_number(row, a), _number(row, b)) for _, a, b in layout.scores)
    if layout.margins:
        more["margins"] = tuple(_number(row, name) - zero for name, zero in layout.margins)
    if layout.cut:
        more["cut"] = (_is_cut(row.get(layout.cut[0])), _is_cut(row.get(layout.cut[1])))
    return pair._replace(**more)


def _won(row: Mapping[str, Any], layout: Layout, split: int, number: int, told: Told) -> Pair:
    fields = layout.fields
    a, b = row.get(fields["first"]), row.get(fields["second"])
    first = _winner(row, layout, a, b)
    if first is None:
        raise Unlabelled
    pair = _made(row, layout, split, number, told, *((a, b) if first else (b, a)))
    scores = tuple((_number(row, x), _number(row, y)) for _, x, y in layout.scores)
    pair = pair._replace(listed_first=first, scores=scores if first else tuple((y, x) for x, y in scores))
    return pair._replace(**_judged(row, layout, pair, told, first)) if "verdict" in fields else pair


def _winner(row: Mapping[str, Any], layout: Layout, a: Any, b: Any) -> bool | None:
    """Whether the first is better; it may be named by its column, its text or its model."""
    value = row.get(layout.fields["winner"])
    if isinstance(value, str):
        for one, other in (
            (layout.fields["first"], layout.fields["second"]),
            (a, b),
            (row.get("model_a"), row.get("model_b")),
        ):
            if value in (one, other) and one != other:
                return value == one
    return won_first(value, layout.base)


def _ranked(row: Mapping[str, Any], layout: Layout, split: int, number: int, told: Told) -> Iterator[Pair]:
    """Pairs of a list of responses, by their scores."""
    responses, scores = _listed(row, layout)
    if len(responses) < 2 or len(scores) != len(responses):
        raise Unlabelled
    tied = True
    for i, j in islice(combinations(range(len(responses)), 2), MOST_PAIRS):
        if scores[i] == scores[j] or scores[i] != scores[i] or scores[j] != scores[j]:
            continue
        tied = False
        best, rest = (i, j) if scores[i] > scores[j] else (j, i)
        pair = _made(row, layout, split, number, told, responses[best], responses[rest])
        yield pair._replace(scores=((scores[best], scores[rest]),))
    if tied:
        raise Unlabelled


def _listed(row: Mapping[str, Any], layout: Layout) -> tuple[list[Any], list[float]]:
    """(responses, scores) of lists side by side, or of a list of objects; a lower rank is a higher score."""
    responses = shapes.listed("responses", row.get(layout.fields["responses"]) or [])
    column = layout.fields.get("scores")
    if column:
        scores = [number(score) for score in shapes.listed("scores", row.get(column) or [])]
        return responses, [-score for score in scores] if "rank" in column.lower() else scores
    texts, scores = list[Any](), list[float]()
    for one in responses:
        if not isinstance(one, Mapping):
            raise BadRow("bad_row", f"got {shown(one)}", "objects with a response and its score, or a column of scores")
        text = next((one[key] for key in _TEXT_KEYS if key in one), None)
        key = next((key for key in _SCORE_KEYS if key in one), "")
        texts.append(text)
        scores.append(number(one.get(key)) * (-1 if key == "rank" else 1))
    return texts, scores


def _order(row: Mapping[str, Any], layout: Layout, pair: Pair, told: Told) -> dict[str, Any]:
    """Where the chosen one was listed and asked about, of a row that names chosen and rejected."""
    fields = layout.fields
    first = None
    more: dict[str, Any] = {}
    if "first" in fields and "second" in fields:
        a, b = spoken("first", row.get(fields["first"]), told)[1], spoken("second", row.get(fields["second"]), told)[1]
        first = None if a == b else True if a == pair.chosen else False if b == pair.chosen else None
    elif "winner" in fields or "position" in fields:
        first = won_first(row.get(fields.get("winner") or fields["position"]), layout.base)
    elif "responses" in fields:
        places = _places(row, layout, pair, told)
        if places and "scores" in fields:
            scores = [number(score) for score in shapes.listed("scores", row.get(fields["scores"]) or [])]
            if len(scores) > max(places):
                sign = -1 if "rank" in fields["scores"].lower() else 1
                more["scores"] = ((sign * scores[places[0]], sign * scores[places[1]]),)
        elif places:
            first = places[0] < places[1]
    if first is not None:
        more["listed_first"] = first
    return more | (_judged(row, layout, pair, told, first) if "verdict" in fields else {})


def _places(row: Mapping[str, Any], layout: Layout, pair: Pair, told: Told) -> tuple[int, int] | None:
    """Places of chosen and rejected in the row's list of responses."""
    listed = row.get(layout.fields["responses"])
    if not isinstance(listed, list | tuple) or pair.chosen == pair.rejected:
        return None
    texts = [spoken("responses", one, told)[1] for one in listed]
    return (texts.index(pair.chosen), texts.index(pair.rejected)) if {pair.chosen, pair.rejected} <= {*texts} else None


def _judged(row: Mapping[str, Any], layout: Layout, pair: Pair, told: Told, first: bool | None) -> dict[str, Any]:
    """What the judge wrote, and whether it saw the chosen one first."""
    fields = layout.fields
    value = row.get(fields["verdict"])
    question = row.get(fields["question"]) if "question" in fields else None
    if isinstance(value, list | tuple):
        try:
            asked, value = spoken("verdict", value, told)
            question = question or asked
        except BadRow:
            value = json.dumps(value, default=str)
    elif isinstance(value, Mapping):
        value = json.dumps(value, ensure_ascii=False, default=str)
    found: dict[str, Any] = {"verdict": "" if value is None else str(value)}
    seen = asked_first(question if isinstance(question, str) else _text(question, told), pair)
    if seen is None and first is not None:
        seen = first != _is_swapped(row.get(fields["swapped"])) if "swapped" in fields else first
    return found if seen is None else found | {"asked_first": seen}


def _text(question: Any, told: Told) -> str:
    return "" if question is None else "\n".join(spoken("question", question, told))


def asked_first(question: str, pair: Pair) -> bool | None:
    """Whether the chosen response comes first in what the judge was asked; None where one of them is not found."""
    if not question:
        return None
    places = [question.rfind(part) for part in _beginnings(pair.chosen, pair.rejected)]
    return None if -1 in places or places[0] == places[1] else places[0] < places[1]


def _beginnings(one: str, other: str) -> tuple[str, str]:
    """The parts of both by which they are told apart: their beginnings, or, where these are alike, their ends."""
    heads = [_line(text[:_BEGINNING]) for text in (one, other)]
    if heads[0] != heads[1] and not heads[0].startswith(heads[1]) and not heads[1].startswith(heads[0]):
        return heads[0], heads[1]
    return _line(one[-_BEGINNING:][::-1])[::-1], _line(other[-_BEGINNING:][::-1])[::-1]


def _line(text: str) -> str:
    """Up to what Python and JSON write in another way inside quotes."""
    return re.split(r"[\n\t\"'\\]", text, maxsplit=1)[0] or text


def won_first(value: Any, base: int | None) -> bool | None:
    """Whether a row's winner, or the chosen one's place, is the first; None for a tie and what nobody understands."""
    figure = coded(value)
    if figure == figure and base is not None:
        if base == -1:
            return None if figure == 0 else figure < 0
        return (
            True
            if figure == base
            else False
            if figure == (2 if base == 1 else 1) or (base == 1 and figure == 0)
            else None
        )
    if not isinstance(value, str):
        return None
    word = value.strip()
    return True if _FIRST.fullmatch(word) else False if _SECOND.fullmatch(word) else None


def _is_swapped(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in ("true", "yes", "1", "ba", "b,a", "swapped", "reversed")
    return bool(value)


def _is_cut(value: Any) -> bool:
    return value.strip().lower() in ("length", "true", "max_tokens", "1") if isinstance(value, str) else bool(value)


def _number(row: Mapping[str, Any], column: str) -> float:
    return number(row.get(column))
