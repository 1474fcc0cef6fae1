"""The registry of judging methods says of each what its prompts are made of, and that is so."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics.answers import Form
from critics.methods import METHODS, JudgingMethod, fields_read
from critics.templating import FOLDER

PROMPT = Prompt(id="p", messages=(Message(role="user", content="hi"),))
SHOWN = tuple(
    Response(name, "p", Message(role="assistant", content=f"reply {name}"), "sampled", f"reply {name}") for name in "ab"
)
OLD = Principle(
    id="kind",
    objective="good",
    text="Be kind.",
    antithesis="Be rude.",
    ask="Is it kind?",
    compare="Kinder?",
    veto=True,
    violation="Is it rude?",
)
EDITS = {
    "text": "Be warm.",
    "antithesis": "Be cold.",
    "ask": "Is it warm?",
    "violation": "Is it cold?",
    "critique": "Warm?",
    "weight": 3.0,
}


def asked(method: JudgingMethod, principle: Principle, form: Form = "labels") -> object:
    if method.conditions:
        return method.conditions(PROMPT, principle)
    assert method.render is not None
    return method.render(PROMPT, SHOWN, principle, False, form)


@pytest.mark.parametrize("form", get_args(Form))
@pytest.mark.parametrize("name", [name for name in METHODS if name != "reward"])
def test_the_fields_are_those_that_its_prompt_is_made_of(name: str, form: Form) -> None:
    method = METHODS[name]
    changed = {
        field
        for field, value in EDITS.items()
        if asked(method, OLD, form) != asked(method, OLD.model_copy(update={field: value}), form)
    }
    assert changed <= method.fields
    assert changed == method.fields - ({"text"} if name in ("yesno", "violation") else set())


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_a_method_is_whole(method: JudgingMethod) -> None:
    """Labels come with what renders the question and reads the answer; a question comes with its template."""
    assert bool(method.labels) == bool(method.render) == bool(method.read) == bool(method.template)
    assert bool(method.labels) == bool(method.read_text) == bool(method.schema), "what reads labels reads texts too"
    assert not method.template or (FOLDER / method.template).is_file()
    assert method.calls % 2 == 0 or not method.pairwise, "a pairwise method asks in both orders"


@pytest.mark.parametrize("method", [m for m in METHODS.values() if m.schema], ids=lambda method: method.name)
def test_what_the_schema_allows_is_read(method: JudgingMethod) -> None:
    """Each answer that the schema allows, also as words of it alone; the best first."""
    assert method.read_text is not None
    properties = json.loads(method.schema)["properties"]
    *before, name = properties
    shares = []
    for value in properties[name]["enum"]:
        text = json.dumps({**dict.fromkeys(before, "Reply B is better."), name: value})
        shares.append(method.read_text(text, OLD))
        assert method.read_text(str(value), OLD) == shares[-1]
        assert method.read_text(f"```json\n{text}\n```", OLD) == shares[-1]
    best = [0, 1] if method.vetoes else [1, 0]
    assert shares == {"verdict": [1, 0, 0.5], "answer": best, "grade": [n / 9 for n in range(10)]}[name]


@pytest.mark.parametrize(
    ("name", "calls"), [("compare", 8), ("reasoned", 8), ("debate", 10), ("score", 4), ("yesno", 4)]
)
def test_answers_in_words_are_asked_for_several_times(name: str, calls: int) -> None:
    assert METHODS[name].text_calls(4) == calls


def test_only_methods_with_fields_of_their_own_are_named() -> None:
    assert fields_read().keys() == {"contrast", "likelihood", "relevance", "score", "yesno", "violation"}
