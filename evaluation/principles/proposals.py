"""Principles that a judge writes by contrast: what the better response of a labelled pair does better."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from constitution.digest import digest
from constitution.lint import near_duplicates
from constitution.principles import Principle, slug
from constitution.words import words_of
from critics.transcript import ask, conversation, message_text
from evaluation.judge.labelled import LabelledPair
from evaluation.principles.wording import put, render, sentence
from generation.engines.base import Sampling, Subject
from generation.models.chat_model import ChatModel

ALIKE = 0.7
"""Share of words (Jaccard index) from which two proposals are one."""
SENTENCE = Sampling(max_tokens=80)
SHOWN = 4000
"""Characters of each text that the judge is shown."""
_WORDS = "a an and as be by for in is it its not of on or that the their this to with which should must reply replies response"
_SMALL = frozenset(_WORDS.split())


async def by_contrast(model: ChatModel, pairs: Sequence[LabelledPair], count: int, seed: int) -> list[str]:
    """A sentence for each of some pairs, drawn by their ids; what is no sentence is left out."""
    drawn = sorted(pairs, key=lambda pair: digest(f"{seed} {pair.id}", 8))[:count]
    found = await asyncio.gather(*(_contrast(model, pair) for pair in drawn))
    return [text for text in found if text]


async def _contrast(model: ChatModel, pair: LabelledPair) -> str:
    texts = {
        "conversation": conversation(pair.prompt)[-SHOWN:],
        "a": message_text(pair.better.message)[:SHOWN],
        "b": message_text(pair.worse.message)[:SHOWN],
    }
    subject = Subject(pair.prompt.id, (pair.better.id, pair.worse.id), "contrast")
    completion = await model.ask(
        ask(render("contrast.jinja", **texts)), stage="critique", sampling=SENTENCE, subject=subject
    )
    return "" if completion.error else sentence(completion.text)


def merged(texts: Sequence[str], most: int) -> list[str]:
    """One of each group of sentences that say nearly the same, those of the largest groups first."""
    groups: list[list[str]] = []
    for text in texts:
        near = next((group for group in groups if _alike(text, group[0])), None)
        if near is None:
            groups.append([text])
        else:
            near.append(text)
    groups.sort(key=len, reverse=True)
    return [min(group, key=len) for group in groups[:most]]


async def as_principles(
    model: ChatModel, texts: Sequence[str], objective: str, others: Sequence[Principle]
) -> list[Principle]:
    """Principles of sentences, each with an antithesis that the model writes, but for those that nearly repeat others."""
    names = {one.id for one in others}
    found = []
    for number, text in enumerate(texts, 1):
        name = slug(" ".join(words_of(text, 5)))[:48] or "principle"
        name = name if name not in names else f"{name}-{number}"
        names.add(name)
        found.append(Principle(id=name, objective=objective, text=text))
    repeated = {second.id for _, second, _ in near_duplicates([*others, *found])}
    kept = [one for one in found if one.id not in repeated]
    opposites = await asyncio.gather(*(put(model, "opposite.jinja", 0, one) for one in kept))
    return [one.model_copy(update={"antithesis": text or None}) for one, text in zip(kept, opposites, strict=True)]


def _alike(one: str, other: str) -> bool:
    a, b = (frozenset(words_of(text)) - _SMALL for text in (one, other))
    return len(a & b) >= ALIKE * len(a | b)
