"""Principles in other words: by fixed forms of the question, by their parts, and as a judge writes them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from constitution.principles import Constitution, Principle
from constitution.terminal import printable
from critics.transcript import ask, escape_delimiters
from generation.engines.base import Sampling, Subject
from generation.models.chat_model import ChatModel

Kind = Literal["own", "plain", "again", "antithesis", "part", "sharper"]
"""own: as it stands; plain: its text alone, where it has requests of its own; again: the same in other words; antithesis: its
opposite; part: one of two demands; sharper: proposed in its place."""
LONGEST = 300
"""Characters of a principle that a model writes."""
_FORMS = ("Judge the replies by this principle alone, and by nothing else: {} Which reply keeps to it better?",)
_ASKED = ("Judge the reply by this principle alone, and by nothing else: {} Does it keep to it?",)
_JOINED = re.compile(r" ?; ?|,? (?:and|but|while) ", re.IGNORECASE)
_SENTENCE = Sampling(max_tokens=80, temperature=0.0)
_FOLDER = Path(__file__).parent / "templates"
_LEAD = re.compile(
    r"^(?:[-*•\d.)\s\"“'‘]|(?:the )?(?:new |general |opposite |sharper |rewritten )*principle(?: is)?\s*:)+",
    re.IGNORECASE,
)
_environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)


class Wording(NamedTuple):
    """One way to put a principle to a judge."""

    of: str
    """The principle's id."""
    kind: Kind
    probe: Principle
    """As it is asked; its id is its own."""


@cache
def _template(name: str) -> Template:
    return _environment.from_string((_FOLDER / name).read_text(encoding="utf-8"))


def render(name: str, **texts: str) -> str:
    """A question to a model about texts, whose own delimiters are broken."""
    return _template(name).render(**{key: escape_delimiters(text) for key, text in texts.items()}).strip()


def fixed(principle: Principle, place: int) -> list[Wording]:
    """The wordings that need no model. place: the principle's, of which its probes have their ids."""
    found = [Wording(principle.id, "own", without_veto(principle))]
    bare = _bare(principle)
    if principle.compare or principle.ask:
        found.append(Wording(principle.id, "plain", _probe(bare, f"p{place}-plain")))
    for i, (compare, question) in enumerate(zip(_FORMS, _ASKED, strict=True)):
        probe = _probe(bare, f"p{place}-form{i}", compare=compare.format(bare.text), ask=question.format(bare.text))
        found.append(Wording(principle.id, "again", probe))
    if principle.antithesis:
        found.append(Wording(principle.id, "antithesis", _opposite(bare, principle.antithesis, f"p{place}-against")))
    parts = parts_of(principle.text)
    found += [
        Wording(principle.id, "part", _probe(bare, f"p{place}-part{i}", text=text, antithesis=None))
        for i, text in enumerate(parts)
    ]
    return found


def parts_of(text: str) -> tuple[str, ...]:
    """The two demands that a sentence joins; none where it joins none."""
    parts = [part.strip(" .") for part in _JOINED.split(" ".join(text.split()), maxsplit=1)]
    if len(parts) != 2 or any(len(part.split()) < 2 for part in parts):
        return ()
    return tuple(f"{part[0].upper()}{part[1:]}." for part in parts)


async def written(model: ChatModel, principle: Principle, place: int, count: int) -> list[Wording]:
    """The principle in other words, and its opposite where it has none, as a model writes them; what is no sentence is left out."""
    names = [("again.jinja", i) for i in range(count)]
    if not principle.antithesis:
        names.append(("opposite.jinja", 0))
    texts = await asyncio.gather(*(put(model, name, i, principle) for name, i in names))
    bare = _bare(principle)
    found = list[Wording]()
    for (name, i), text in zip(names, texts, strict=True):
        if not text or text == principle.text:
            continue
        if name == "again.jinja":
            found.append(Wording(principle.id, "again", _probe(bare, f"p{place}-again{i}", text=text)))
        else:
            found.append(Wording(principle.id, "antithesis", _opposite(bare, text, f"p{place}-against")))
    return found


async def sharper(model: ChatModel, principle: Principle, place: int) -> list[Wording]:
    """A sharper principle, as a model writes it, and the same by another form of the question; none where it writes none."""
    text = await put(model, "sharper.jinja", 0, principle)
    if not text or text == principle.text:
        return []
    bare = Principle(id=f"p{place}-sharp", objective=principle.objective, text=text, applies_to=principle.applies_to)
    other = _probe(bare, f"p{place}-sharp-form", compare=_FORMS[0].format(text), ask=_ASKED[0].format(text))
    return [Wording(principle.id, "sharper", probe) for probe in (bare, other)]


async def put(model: ChatModel, template: str, index: int, principle: Principle) -> str:
    """A sentence that a model writes about a principle; empty where it writes none. index: which of several."""
    sampling = _SENTENCE if not index else Sampling(max_tokens=80, temperature=0.7, seed=index)
    subject = Subject(voter=principle.id)
    completion = await model.ask(
        ask(render(template, text=principle.text)), stage="critique", sampling=sampling, index=index, subject=subject
    )
    return "" if completion.error else sentence(completion.text)


def sentence(text: str) -> str:
    """The first line of what a model wrote, as a principle: without list marks, quotes and a heading; empty where it is none."""
    line = next((line for line in text.strip().splitlines() if len(line.split()) >= 3), "")
    line = _LEAD.sub("", printable(line)).strip(" \"”'’*`")
    plain = not {"{", "}"} & set(line)  # the marks of variables, which no constitution has
    return line if plain and len(line.split()) >= 3 and len(line) <= LONGEST else ""


def probes(constitution: Constitution, wordings: Sequence[Wording]) -> Constitution:
    """A constitution of all wordings."""
    return constitution.model_copy(update={"principles": tuple(wording.probe for wording in wordings)})


def without_veto(principle: Principle) -> Principle:
    """As it votes: a veto is asked first, and would leave the votes of others out."""
    return principle.model_copy(update={"veto": False, "violation": None}) if principle.veto else principle


def _bare(principle: Principle) -> Principle:
    requests = ("compare", "ask", "critique", "revise")
    return without_veto(principle).model_copy(update=dict.fromkeys(requests) | {"good_answer": "yes", "examples": ()})


def _probe(principle: Principle, name: str, **fields: str | None) -> Principle:
    return principle.model_copy(update={"id": name, **fields})


def _opposite(principle: Principle, text: str, name: str) -> Principle:
    return _probe(principle, name, text=text, antithesis=principle.text)
