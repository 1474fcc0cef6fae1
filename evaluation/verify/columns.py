"""Which columns of a dataset say what: by `--map`, or by the names that makers of preference data give them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from constitution.errors import Problem, UserError
from critics.verdict import stated
from generation.data.mapping import LIKELY, OPTION, columns

FIELDS = (
    "prompt", "messages", "conversations", "chosen", "rejected", "first", "second", "winner", "responses", "scores", "verdict",
    "question", "swapped", "position", "split",
)  # fmt: skip
"""What a row may say. first, second: the two responses as they are listed, and winner which is better; verdict: what the judge
wrote; question: what it was asked; swapped: whether it saw them the other way round; position: where the chosen one is listed."""
_STEMS = (
    "response",
    "answer",
    "output",
    "completion",
    "conversation",
    "candidate",
    "reply",
    "generation",
    "summary",
    "human_ref",
)
_ENDS = (("a", "b"), ("0", "1"), ("1", "2"))
_NAMES: Mapping[str, Sequence[str]] = {
    "prompt": ("prompt", *LIKELY, "user_prompt", "context", "post", "history"),
    "winner": (
        "winner", "preference", "preferred", "better_response_id", "overall_preference", "human_preference", "choice",
        "preferred_response", "chosen", "label", "labels",
    ),
    "responses": ("responses", "completions", "answers", "outputs", "candidates", "generations", "pair", "comparison_pair"),
    "scores": ("scores", "ratings", "rating", "rewards", "ranks", "rank"),
    "verdict": (
        "verdict", "judgement", "judgment", "judge_output", "judge_response", "judge_text", "judge_answer", "judge_completion",
        "raw_verdict", "raw_judgement", "raw_judgment", "judge_raw", "raw_output", "whole_conversation", "judge_messages",
        "judge_verdict", "verdict_text", "judge", "evaluation",
    ),
    "question": ("judge_prompt", "judge_question", "judge_input", "judge_messages"),
    "swapped": ("swapped", "swap", "flipped", "is_swapped", "shuffled", "shuffled_index", "reversed", "order"),
    "position": ("chosen_position", "chosen_index", "chosen_idx", "chosen_pos", "chosen_first", "position"),
    "split": ("split", "subset_split"),
}  # fmt: skip
_SIDES = (
    ("chosen", "rejected"), ("chosen_response", "rejected_response"), ("response_chosen", "response_rejected"),
    ("preferred", "dispreferred"), ("preferred", "rejected"), ("accepted", "rejected"), ("better", "worse"), ("win", "lose"),
    ("response_j", "response_k"),
)  # fmt: skip
_CODE = re.compile(r"[A-Za-z_ (\[]([012])[)\]]?$")
_SCORE = re.compile(r"score|rating|reward|grade|quality|elo\b|likert|judge|points", re.IGNORECASE)
_MARGINS = ("margin", "log_odds", "score_diff", "score_difference", "reward_margin", "score_margin", "delta")
_CHANCES = ("p_chosen", "prob_chosen", "chosen_prob", "soft_label", "p")
_CUT = ("truncated", "cut", "finish_reason", "stop_reason")


READ = 40
"""Texts of a column that are read to find out whether they are verdicts."""
FEWEST = 5


class Layout(NamedTuple):
    """The columns of a dataset by what they say."""

    fields: Mapping[str, str]
    """Field -> column."""
    scores: tuple[tuple[str, str, str], ...]
    """(name, column of the chosen or first response, column of the other): numbers that say how good a response is."""
    margins: tuple[tuple[str, float], ...]
    """(column that says by how much the chosen one is better, the value that says not at all)."""
    cut: tuple[str, str] | None
    """Columns that say whether each response was cut off."""
    asked: tuple[tuple[str, str], ...]
    """(field, column) of what may hold the prompt."""
    bare: bool
    """There is nothing but prompts and responses."""
    base: int | None
    """Number by which `winner` means the first response; -1 where its sign says it, None where it is a word."""


def recognize(spec: str, given: Collection[str], head: Sequence[Mapping[str, Any]]) -> Layout:
    """The columns of the first rows. given: `FIELD=COLUMN`. Raises UserError where no responses are found."""
    names = dict.fromkeys(name for row in head for name in row)
    found = columns(FIELDS, given)
    if names:
        found.check(spec, names, ())
    fields = dict(found.mapped)
    by_lower = {name.lower(): name for name in names}
    taken = set(fields.values())

    def have(field: str, column: str) -> bool:
        if field not in fields and column.lower() in by_lower and by_lower[column.lower()] not in taken:
            fields[field] = by_lower[column.lower()]
            taken.add(fields[field])
        return field in fields

    for field in ("prompt", "messages", "conversations"):
        have(field, field)
    if not {"chosen", "rejected"} & fields.keys():
        for one, other in _SIDES:
            if {one, other} <= by_lower.keys() and _spoken(head, by_lower[one]) and _spoken(head, by_lower[other]):
                have("chosen", one), have("rejected", other)
                break
    if not {"first", "second"} & fields.keys():
        for one, other in _listed_names():
            if {one, other} <= by_lower.keys():
                have("first", one), have("second", other)
                break
    for field, likely in _NAMES.items():
        if field == "winner" and not {"first", "second"} <= fields.keys():
            likely = likely[:1]  # the other names may mean anything
        candidates = [name for name in likely if name in by_lower and _fits(field, head, by_lower[name])]
        for name in candidates:
            if have(field, name):
                break
    if "verdict" not in fields and (column := _stating(head, [name for name in names if name not in taken])):
        fields["verdict"] = column
    if not ({"chosen", "rejected"} <= fields.keys() or {"first", "second"} <= fields.keys() or "responses" in fields):
        got = f"got columns {', '.join(sorted(names)) or 'none'}"
        allowed = "chosen and rejected, two responses and a winner, or responses and scores"
        raise UserError(Problem(spec, "", got, allowed, f"say which they are: {OPTION} chosen=COLUMN,rejected=COLUMN"))
    asked = tuple((field, fields[field]) for field in ("prompt", "messages", "conversations") if field in fields)
    scores, margins, cut = tuple(_scores(names, head, fields)), tuple(_margins(names, head)), _cut(names)
    bare = not (scores or margins or cut or fields.keys() - {"chosen", "rejected", "split", *dict(asked)})
    return Layout(fields, scores, margins, cut, asked, bare, _base(fields, head))


def _listed_names() -> Iterator[tuple[str, str]]:
    for stem in _STEMS:
        for one, other in _ENDS:
            for join in ("_", ""):
                yield f"{stem}{join}{one}", f"{stem}{join}{other}"
    yield "a", "b"


def _values(head: Sequence[Mapping[str, Any]], column: str) -> list[Any]:
    return [value for row in head if (value := row.get(column)) is not None]


def _spoken(head: Sequence[Mapping[str, Any]], column: str) -> bool:
    return any(isinstance(value, str | list | tuple | dict) for value in _values(head, column))


def _fits(field: str, head: Sequence[Mapping[str, Any]], column: str) -> bool:
    """Whether the column's values are of the field's kind: a score is no text, and a model's name no verdict."""
    values = _values(head, column)
    match field:
        case "responses" | "scores":
            return any(isinstance(value, list | tuple) or _is_list(value) for value in values)
        case "winner" | "swapped" | "position":
            return any(
                isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) < 40)
                for value in values
            )
        case "verdict":
            texts = [value for value in values if isinstance(value, str | list | tuple | dict)]
            return column.lower() != "judge" or len({str(text) for text in texts}) > max(3, len(texts) // 20)
        case _:
            return bool(values)


def _stating(head: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str | None:
    """The column most of whose texts say which of two responses is better."""
    for name in names:
        texts = [value for value in _values(head, name) if isinstance(value, str) and value.strip()][:READ]
        if len(texts) >= FEWEST and sum(stated(text) is not None for text in texts) >= 0.6 * len(texts):
            return name
    return None


def _is_list(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip().startswith("[")


def number(value: Any) -> float:
    """A number, also one that is kept as text; NaN for anything else."""
    if isinstance(value, bool | int | float):
        return float(value)
    try:
        return float(value) if isinstance(value, str) else float("nan")
    except ValueError:
        return float("nan")


def coded(value: Any) -> float:
    """A number that names a response, also at the end of a word, as in response_1; NaN for anything else."""
    found = _CODE.search(value) if isinstance(value, str) else None
    return float(found[1]) if found else number(value)


def _numeric(head: Sequence[Mapping[str, Any]], column: str) -> bool:
    values = _values(head, column)
    return bool(values) and sum(number(value) == number(value) for value in values) >= len(values) / 2


def _scores(
    names: Collection[str], head: Sequence[Mapping[str, Any]], fields: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Columns of numbers whose names differ by the side alone."""
    for name in names:
        lower = name.lower()
        if name in fields.values() or not _SCORE.search(lower):
            continue
        if "chosen" in lower and "chosen" in fields:
            other = next((n for n in names if n.lower() == lower.replace("chosen", "rejected")), None)
        elif "first" in fields and (end := re.search(r"(?:_|(?<=[a-z]))([a01])$", lower)):
            ends = [
                other
                for one, other in _ENDS
                if one == end[1] and (one != "1" or f"{lower[:-1]}0" not in map(str.lower, names))
            ]
            other = next((n for n in names if ends and n.lower() == f"{lower[:-1]}{ends[-1]}"), None)
        else:
            continue
        if other and _numeric(head, name) and _numeric(head, other):
            yield re.sub(r"_?(chosen|[ab012]$)_?", "", name, flags=re.IGNORECASE) or name, name, other


def _margins(names: Collection[str], head: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    for name in names:
        if name.lower() in (*_MARGINS, *_CHANCES) and _numeric(head, name):
            yield name, 0.5 if name.lower() in _CHANCES else 0.0


def _cut(names: Collection[str]) -> tuple[str, str] | None:
    for what in _CUT:
        for one, other in ((f"chosen_{what}", f"rejected_{what}"), (f"{what}_chosen", f"{what}_rejected")):
            if {one, other} <= set(names):
                return one, other
    return None


def _base(fields: Mapping[str, str], head: Sequence[Mapping[str, Any]]) -> int | None:
    """How `winner`, or `position`, is coded in numbers."""
    column = fields.get("winner") or fields.get("position")
    values = {coded(value) for value in _values(head, column)} if column else set()
    values = {value for value in values if value == value}
    if not values:
        return None
    if min(values) < 0:
        return -1
    if "winner" not in fields:
        return 1 if max(values) > 1 else 0
    first = fields.get("first", "").lower()
    if first == "human_ref_a":
        return 1
    return 1 if max(values) > 1 or (min(values) == 1 and first.endswith("1")) else 0
