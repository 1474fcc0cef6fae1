"""Several principles in one call: what is asked, and what is read of the answer."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics import rubric

PROMPT = Prompt(id="p", messages=(Message(role="user", content="hi"),))
A, B = (Response(name, "p", Message(role="assistant", content=f"reply {name}"), "sampled", "") for name in "ab")
PRINCIPLES = [
    Principle(id=f"p{i}", objective="good", text=f"Be {word}.") for i, word in enumerate(("kind", "true", "short"))
]


def test_every_principle_is_a_numbered_question_after_both_replies() -> None:
    (message,) = rubric.render(PROMPT, A, B, PRINCIPLES, nonce=False)
    assert message.content.index("reply b") < message.content.index("1. ")
    asked = re.findall(r"^(\d)\. (.*)$", message.content, re.MULTILINE)
    assert asked == [(str(i), one.compare_request) for i, one in enumerate(PRINCIPLES, 1)]
    assert '"1", "2", "3".' in message.content


def test_the_schema_has_a_key_for_each() -> None:
    found = json.loads(rubric.schema(2))
    assert found["required"] == ["1", "2"]
    assert found["properties"]["2"]["enum"] == ["A", "B", "tie"]


def test_each_answer_is_read_by_itself() -> None:
    assert rubric.read('{"1": "A", "2": "b", "3": "tie"}', 3) == [1, 0, 0.5]
    assert rubric.read('```json\n{"1": "A", "3": 7}\n```', 3) == [1, None, None]
    assert rubric.read('Say {"1": "B"} {"x": 1}', 1) == [0]
    assert rubric.read("1. A 2. B", 2) == [None, None]
    assert rubric.read('{"1": ["A"], "2": null}', 2) == [None, None]


@given(st.text(alphabet='{}[]":,AB123tie \n', max_size=80))
def test_any_text_is_read(text: str) -> None:
    assert len(rubric.read(text, 3)) == 3
