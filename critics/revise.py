"""Ask for a better response in the light of its critiques, and cut what the reviser wrote down to that response."""

from __future__ import annotations

import re
from collections.abc import Sequence

from constitution.principles import Principle
from constitution.records import Critique, Message, Prompt, Response, Revision
from critics.critique import turn as critique_turn
from critics.templating import render as render_template
from critics.text.remarks import echoes, without_remarks
from critics.text.thoughts import split
from critics.transcript import AskedIn, ask, conversation, escape_delimiters, nonces, render_message

_THING = r"(?:reply|response|answer|version|revision|rewrite|message|text)"
_BETTER = r"(?:better|revised|improved|rewritten|updated|new|corrected|edited|final)"
_PREAMBLE = re.compile(
    rf"""\A(?:
        (?:(?:sure|certainly|of\s+course|absolutely|okay|ok|yes)\b[^\n:]{{0,40}}?[,.!:]?\s*+)?
        (?:here(?:'s|’s|\s+is|\s+are)|this\s+is|below\s+is|i(?:'ve|’ve|\s+have)\s+(?:revised|rewritten))\b
            [^\n:]{{0,80}}\b{_THING}\b[^\n:]{{0,80}}:
      | [*#_\s]*+(?:(?:the|a|my)\s+)?{_BETTER}\s+{_THING}[*_\s]*+:[*_]*
      | (?:sure|certainly|of\s+course|absolutely)[!,.]?[^\S\n]*+\n
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_TAGS = re.compile(r"\A<(reply|critique|example)>|</(reply|critique|example)>\Z", re.IGNORECASE)
_QUOTES = (('"', '"'), ("“", "”"))
_ABOUT_THE_TASK = re.compile(
    rf"""\b(?:the|this|my|your|our)\s+(?:{_BETTER}|original|previous|above|first)\s+(?:reply|response|answer|revision)\b
        | \bthe\s+critique\b | \b(?:the|this)\s+(?:reply|response)\s+(?:could|should|can)\s+be\s+(?:improved|changed|revised)
        | \b(?:revise|improve|rewrite)\s+(?:the|this|my)\s+(?:reply|response)\b | <\s*+/?\s*+(?:reply|critique)\s*+>""",
    re.IGNORECASE | re.VERBOSE,
)


def render(
    prompt: Prompt,
    response: Response,
    critiques: Sequence[Critique],
    principles: Sequence[Principle],
    nonce: bool = True,
    asked_in: AskedIn = "quotes",
) -> tuple[Message, ...]:
    """The reviser's prompt; `principles` are those the critiques were made under, in the same order."""
    if asked_in == "turns":
        return _as_turns(prompt, response, critiques, principles)
    shown, text = conversation(prompt), render_message(response.message)
    found = [escape_delimiters(critique.text) for critique in critiques]
    return ask(
        render_template(
            "revise.jinja",
            mark=nonces(nonce, shown, text, *found),
            conversation=shown,
            reply=text,
            critiques=found,
            requests=[principle.revise_request for principle in principles],
            examples=[example for principle in principles for example in principle.examples],
        )
    )


def _as_turns(
    prompt: Prompt, response: Response, critiques: Sequence[Critique], principles: Sequence[Principle]
) -> tuple[Message, ...]:
    """The conversation, each of the judge's critiques as it was asked for and given, and the request for the revision.

    A rule's critique is left out: its principle's request says what to do, and a small model repeats the rest.
    """
    turns = [*prompt.messages, response.message]
    for critique, principle in zip(critiques, principles, strict=True):
        if principle.judged:
            turns += [*ask(critique_turn(principle)), Message(role="assistant", content=critique.text)]
    requests = dict.fromkeys(principle.revise_request for principle in principles)
    return (*turns, *ask("\n".join(requests)))


def cut(text: str) -> str:
    """The response inside what the model wrote: without preamble ("Sure, here is the revised response:"), tags and quotes."""
    text = _TAGS.sub("", _PREAMBLE.sub("", text.lstrip(), count=1).strip()).strip()
    for left, right in _QUOTES:
        if len(text) > 1 and text.startswith(left) and text.endswith(right) and right not in text[1:-1]:
            text = text[1:-1].strip()
    return text


def parse(
    text: str,
    truncated: bool,
    response: Response,
    thinks: bool | None = None,
    prompt: Prompt | None = None,
    told: Sequence[str] = (),
) -> Revision | str:
    """Read a revision, after the thoughts before it, or say in one word why it is left out.

    Reasons: truncated, thoughts_only, empty, unchanged, about_the_task (it speaks about the response, or is left out of a text that
    does), echo (it is the question, or what the reviser was told). thinks: as for `thoughts.split`. prompt: what the response
    answers. told: critiques, and requests of the reviser.
    """
    if truncated:
        return "truncated"
    answer, thoughts = split(text, thinks)
    revised = cut(answer)
    if not revised:
        return "thoughts_only" if thoughts and not answer else "empty"
    if _folded(revised) == _folded(response.text):
        return "unchanged"
    asked = prompt.messages[-1].content if prompt and prompt.messages else ""
    if any(echoes(revised, one) for one in (asked, *told)):
        return "echo"
    before = "\n".join((*(message.content for message in prompt.messages), response.text)) if prompt else response.text
    kept = without_remarks(revised, before)
    if kept is None or (_ABOUT_THE_TASK.search(kept) and not _ABOUT_THE_TASK.search(before)):
        return "about_the_task"
    return "unchanged" if _folded(kept) == _folded(response.text) else Revision(kept, text)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
