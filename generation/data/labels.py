"""What people said of a run's pairs: its `review.jsonl`, whose lines are added one by one and never rewritten.

A line names the prompt, two of its responses and what was said: `{"prompt_id": "p7", "a": "p7/s0", "b": "p7/s1", "label": "a"}`.
Of one person's lines on a pair the last counts; of several people the majority does. A line may bring a better response, rewritten
from one of the two: it is a candidate of its own then, and better than the one it was rewritten from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from constitution.digest import hasher
from constitution.errors import Problem, invalid, problems_of
from constitution.records import Strict

Answer = Literal["a", "b", "tie", "both_bad", "skip"]
"""The better of the two; `both_bad`: neither should be learnt from; `skip`: takes back what the same person said before."""
Said = Literal["a", "b", "human_tie", "both_bad", "people_disagree"]
"""What people say of a pair together; but for `a` and `b` the reason why it has no label."""
Side = Literal["a", "b"]
_SAID: dict[Answer, Said] = {"a": "a", "b": "b", "tie": "human_tie", "both_bad": "both_bad"}
_TURNED: dict[str, Answer] = {"a": "b", "b": "a"}


class Label(Strict):
    """One line."""

    prompt_id: str
    a: str = Field(min_length=1)
    """Id of a response, as in `chosen_id` and `rejected_id`."""
    b: str = Field(min_length=1)
    label: Answer
    by: str = ""
    """Who says so."""
    note: str = ""
    time: str = ""
    """When it was said."""
    left: Side | None = None
    """The response that was shown first, where that is known."""
    edited: Side | None = None
    """The response that `text` rewrites."""
    text: str = ""
    """A better response."""
    id: str = ""
    """Of the answer: what is sent again after a fault is told from what is said again."""

    @model_validator(mode="after")
    def _edit(self) -> Self:
        if bool(self.edited) != bool(self.text.strip()):
            raise invalid("has one of edited and text", "both or none", "name the response that the text rewrites")
        return self


class Edit(NamedTuple):
    """A better response that a person wrote."""

    of: str
    """Id of the response that it rewrites."""
    text: str


class _Word(NamedTuple):
    """One person's last word on a pair."""

    answer: Answer
    edit: Edit | None


class Labels:
    """All lines of a file, by prompt."""

    def __init__(self, body: bytes, place: str = "review.jsonl") -> None:
        """body: of the file. What is no label is no label's loss: see `problems`."""
        self.problems: list[Problem] = []
        """Lines that are none."""
        self._said: dict[str, dict[tuple[str, str], dict[str, _Word]]] = {}
        """Prompt -> (a, b), in one order -> who -> what."""
        for number, line in enumerate(body.splitlines(), 1):
            if line.strip():
                self._add(line, f"{place}:{number}")
        h = hasher()
        h.update(json.dumps({name: [*self.of(name)] for name in sorted(self._said)}).encode())
        if edits := {name: found for name in sorted(self._said) if (found := [*self.edits(name)])}:
            h.update(json.dumps(edits).encode())
        self.digest = h.hexdigest() if self._said else ""
        """Of what is said; empty where nothing is."""

    def of(self, prompt_id: str) -> Iterator[tuple[str, str, Said]]:
        """(a, b, what is said) of each pair of a prompt that people said something of."""
        for (a, b), said in sorted(self._said.get(prompt_id, {}).items()):
            if answers := [_SAID[word.answer] for word in said.values() if word.answer != "skip"]:
                yield a, b, _together(answers)

    def edits(self, prompt_id: str) -> Iterator[Edit]:
        """The better responses that people wrote, each once."""
        words = (word for _, said in sorted(self._said.get(prompt_id, {}).items()) for word in said.values())
        yield from dict.fromkeys(word.edit for word in words if word.edit and word.answer != "skip")

    def people(self) -> Iterator[tuple[tuple[str, str, str], dict[str, Answer]]]:
        """((prompt, a, b), who said what) of each pair that anybody was shown, the skipped ones among them."""
        for prompt, pairs in self._said.items():
            for (a, b), said in pairs.items():
                yield (prompt, a, b), {by: word.answer for by, word in said.items()}

    def besides(self, prompt_ids: set[str]) -> list[str]:
        """The prompts of labels that are not among these."""
        return sorted(self._said.keys() - prompt_ids)

    def _add(self, line: bytes, place: str) -> None:
        try:
            label = Label.model_validate_json(line)
        except ValidationError as error:
            self.problems.append(problems_of(error, Label, place)[0])
            return
        if label.a == label.b:
            self.problems.append(Problem(place, "b", f"got {label.b!r}, as a", "another response"))
            return
        turned = label.b < label.a
        pair = (label.b, label.a) if turned else (label.a, label.b)
        answer = _TURNED.get(label.label, label.label) if turned else label.label
        edit = Edit(label.a if label.edited == "a" else label.b, label.text) if label.edited else None
        said = self._said.setdefault(label.prompt_id, {}).setdefault(pair, {})
        said.pop(label.by, None)  # the order is that of people's last words
        said[label.by] = _Word(answer, edit)


def _together(answers: list[Said]) -> Said:
    """What most say; where as many say another thing, that they disagree."""
    counts = Counter(answers).most_common(2)
    return "people_disagree" if len(counts) == 2 and counts[0][1] == counts[1][1] else counts[0][0]
