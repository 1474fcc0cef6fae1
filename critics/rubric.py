"""Ask which of two responses follows each of several principles better, in one call, answered as JSON.

For servers that charge for a conversation each time it is sent: n principles cost one prompt and not n. The principles see each
other, so their answers are less independent than answers to one question each.
"""

from __future__ import annotations

from collections.abc import Sequence

from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics import answers
from critics.templating import render_once
from critics.transcript import ask, conversation, nonces, reference_answer, render_message


def render(
    prompt: Prompt, first: Response, second: Response, principles: Sequence[Principle], nonce: bool = True
) -> tuple[Message, ...]:
    """The judge's prompt. The principles are numbered from 1, in their order."""
    shown, a, b = conversation(prompt), render_message(first.message), render_message(second.message)
    reference = reference_answer(prompt)
    mark = nonces(nonce, shown, a, b, reference=reference)
    requests = tuple(one.compare_request for one in principles)
    head = render_once("pair.jinja", mark=mark, conversation=shown, reference=reference, a=a, b=b)
    question = render_once("rubric.jinja", requests=requests)
    return ask(f"{head}\n\n{question}")


def schema(principles: int) -> str:
    """JSON schema of the answer."""
    return answers.schema(**{str(number): answers.SIDES for number in range(1, principles + 1)})


def read(text: str, principles: int) -> list[float | None]:
    """For each principle 1 for the first response, 0 for the second, one half for a tie; None where the answer does not say.

    The last object that answers anything counts.
    """
    for one in reversed(answers.objects(text)):
        found = [answers.named_side(one.get(str(number))) for number in range(1, principles + 1)]
        if any(share is not None for share in found):
            return found
    return [None] * principles
