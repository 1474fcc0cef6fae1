"""Ask for a critique of one response under one principle, and read it."""

from __future__ import annotations

import re

from constitution.principles import Principle
from constitution.records import Critique, Failure, Message, Prompt, Response
from critics.templating import render as render_template
from critics.templating import render_once
from critics.text.thoughts import split
from critics.transcript import AskedIn, Nonces, ask, conversation, nonces, reference_answer, render_message

_UNMARKED = Nonces()
_NOTHING = re.compile(
    r"""^["'*\s]*(?:no\s+(?:issues?|problems?|changes?)(?:\s+(?:found|needed|at\s+all))?
        |nothing\s+to\s+(?:change|fix|improve)|none)["'*\s]*(?:[.!\n]|$)""",
    re.IGNORECASE | re.VERBOSE,
)


def render(
    prompt: Prompt, response: Response, principle: Principle, nonce: bool = True, asked_in: AskedIn = "quotes"
) -> tuple[Message, ...]:
    """The critic's prompt. The response comes before the principle, so principles share the cached prefix."""
    shown, text, reference = conversation(prompt), render_message(response.message), reference_answer(prompt)
    mark = nonces(nonce, shown, text, reference=reference)
    if asked_in == "turns":
        return (*prompt.messages, response.message, *ask(turn(principle, reference, mark)))
    head = render_once("reply.jinja", mark=mark, conversation=shown, reference=reference, reply=text)
    asked = {"request": principle.critique_request, "examples": principle.examples}
    question = render_template("critique.jinja", **asked)
    return ask(f"{head}\n\n{question}")


def turn(principle: Principle, reference: str = "", mark: Nonces = _UNMARKED) -> str:
    """How the next turn of a conversation asks what is wrong with the last one. mark: of the reference answer's delimiters."""
    variables = {"mark": mark, "reference": reference, "request": principle.critique_request}
    return render_template("critique_turn.jinja", **variables)


def parse(
    text: str, truncated: bool, response: Response, principle: Principle, thinks: bool | None = None
) -> Critique | Failure:
    """Read a critique, after the thoughts before it. One that opens with "No issues" found nothing.

    An empty or truncated one, and thoughts alone, are a Failure. thinks: as for `thoughts.split`.
    """
    answer, thoughts = split(text, thinks)
    if not answer or truncated:
        reason = "truncated" if truncated else "thoughts_only" if thoughts else "empty"
        return Failure(response.prompt_id, "critique", reason, f"critique by {principle.id}", response.id)
    return Critique(response.prompt_id, response.id, principle.id, answer, not _NOTHING.match(answer), text)
