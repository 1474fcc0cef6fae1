"""The registry of judging methods says of each what its prompts are made of, and that is so."""

from __future__ import annotations

import pytest

from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics.methods import METHODS, JudgingMethod, fields_read
from critics.templating import FOLDER

PROMPT = Prompt(id="p", messages=(Message(role="user", content="hi"),))
SHOWN = tuple(
    Response(name, "p", Message(role="assistant", content=f"reply {name}"), "sampled", f"reply {name}") for name in "ab"
)
OLD = Principle(
    id="kind", objective="good", text="Be kind.", antithesis="Be rude.", ask="Is it kind?", compare="Kinder?"
)
EDITS = {"text": "Be warm.", "antithesis": "Be cold.", "ask": "Is it warm?", "critique": "Warm?", "weight": 3.0}


def asked(method: JudgingMethod, principle: Principle) -> object:
    if method.conditions:
        return method.conditions(PROMPT, principle)
    assert method.render is not None
    return method.render(PROMPT, SHOWN, principle, False)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "reward"])
def test_the_fields_are_those_that_its_prompt_is_made_of(name: str) -> None:
    method = METHODS[name]
    changed = {
        field
        for field, value in EDITS.items()
        if asked(method, OLD) != asked(method, OLD.model_copy(update={field: value}))
    }
    assert changed <= method.fields
    assert changed == method.fields - ({"text"} if name == "yesno" else set())


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_a_method_is_whole(method: JudgingMethod) -> None:
    """Labels come with what renders the question and reads the answer; a question comes with its template."""
    assert bool(method.labels) == bool(method.render) == bool(method.read) == bool(method.template)
    assert not method.template or (FOLDER / method.template).is_file()
    assert method.calls % 2 == 0 or not method.pairwise, "a pairwise method asks in both orders"


def test_only_methods_with_fields_of_their_own_are_named() -> None:
    assert fields_read().keys() == {"contrast", "score", "yesno"}
