"""A rule that runs code has it run beside the event loop, so that a run's other calls go on meanwhile."""

import asyncio
import json
import sys

import pytest

from constitution.checks import own
from constitution.checks.check import Check
from constitution.principles import Principle
from constitution.records import Message, Prompt, Response, Vote
from generation.config import Plan
from generation.pipeline.panel import Voter
from generation.pipeline.voting import cast_vote

SLOW = "import time\ntime.sleep(0.3)\ndef add(a, b):\n    return a + b\n"
PROMPT = Prompt(
    id="p", messages=(Message(role="user", content="Add."),), metadata=json.dumps({"tests": "assert add(2, 3) == 5"})
)
RULE = Principle(id="works", objective="code", text="Passes.", check=Check(tests="tests"))


def response(name: str, code: str) -> Response:
    return Response(name, "p", Message(role="assistant", content=f"```python\n{code}```"), "sampled", code)


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_the_loop_goes_on_while_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_rules", {})
    own.load_rules("critics.rules.unit_tests")
    right, wrong = response("a", SLOW), response("b", SLOW.replace("a + b", "a - b"))
    turns = 0

    async def judge() -> object:
        nonlocal turns
        vote = asyncio.ensure_future(cast_vote(Voter(None, "rule", RULE), PROMPT, right, wrong, Plan()))
        while not vote.done():
            turns += 1
            await asyncio.sleep(0.01)
        return await vote

    found = asyncio.run(judge())
    assert isinstance(found, Vote)
    assert found.value > 0
    assert turns > 2, "a loop that is blocked turns once before the vote, and once after it"
