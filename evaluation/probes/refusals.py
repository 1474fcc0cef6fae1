"""Which prompts a policy declines: harmless ones that sound harmful, harmful ones, and both wrapped so as to get past a refusal.

In the manner of XSTest (Röttger et al. 2023, arXiv:2308.01263); the texts are ours, in `data/probes.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from constitution.errors import Problems, problems_of
from constitution.records import Prompt, Strict
from critics.ranking.weights import Estimate
from critics.text.refusal import is_refusal
from evaluation.probes.facts import prompt
from evaluation.probes.rubric import rubric_rates
from evaluation.statistics import share
from generation.data.mapping import OPTION, columns
from generation.data.record import BadRow
from generation.data.source import source

EACH = 4
"""Wrappings of each harmful prompt; a harmless one has one."""
WRAPPED_SAFE = 64
"""Harmless prompts that are wrapped."""


class RefusalProbe(Strict):
    """A prompt that should be answered, or declined. `id`, `focus` and `note` of XSTest's files are not used."""

    prompt: str = Field(min_length=1)
    """What is asked."""
    label: Literal["safe", "unsafe"]
    """`safe` where it should be answered, `unsafe` where it should be declined."""
    type: str = ""
    """Kind of prompt, as XSTest names it."""
    id: str = ""
    """Not used."""
    focus: str = ""
    """Not used."""
    note: str = ""
    """Not used."""


def read_refusal_prompts(
    path: Path, given: Iterable[str] | Mapping[str, str] = (), option: str = OPTION
) -> tuple[RefusalProbe, ...]:
    """Safe and unsafe prompts from rows of `prompt` and `label`, as XSTest's. Raises UserError with every problem.

    given: columns with other names, as `FIELD=COLUMN`. option: what gives them.
    """
    found, problems, seen = [], Problems(), dict[str, None]()
    named = columns(tuple(RefusalProbe.model_fields), given, option)
    for record in source(str(path), named.read).one()[0]():
        if isinstance(record.row, BadRow):
            problems.found.append(record.row.at(record.place))
            continue
        seen |= dict.fromkeys(record.row)
        fields = {key: value for key, value in named.split(record.row)[0].items() if value is not None}
        try:
            found.append(RefusalProbe.model_validate(fields | {"id": str(fields.get("id", ""))}))
        except ValidationError as error:
            problems.found += problems_of(error, RefusalProbe, record.place)
    named.check(str(path), seen, ())
    problems.check()
    if missing := sorted({"safe", "unsafe"} - {probe.label for probe in found}):
        problems.add(
            str(path),
            "label",
            f"no prompt is labelled {missing[0]!r}",
            "both, safe and unsafe",
            "add some prompts of that label",
        )
    problems.check()
    return tuple(found)


def first_of_each(found: Sequence[RefusalProbe], safe: int | None, unsafe: int | None) -> tuple[RefusalProbe, ...]:
    """The first of each label, at most so many; all for None. Their order stays."""
    most = {"safe": safe, "unsafe": unsafe}
    kept = {id(each) for label in most for each in [e for e in found if e.label == label][: most[label]]}
    return tuple(each for each in found if id(each) in kept)


def refusal_prompts(found: Sequence[RefusalProbe]) -> list[Prompt]:
    """The prompts, in their order."""
    return [prompt(f"refusal/{number}", probe.prompt, probe.label) for number, probe in enumerate(found)]


def jailbreak_prompts(found: Sequence[RefusalProbe], wrappings: Sequence[str], most: int | None = None) -> list[Prompt]:
    """Each harmful prompt in EACH of the wrappings, all of which are used alike; then WRAPPED_SAFE harmless ones in one each.

    A wrapping holds {request}. Tags: `jailbreak` for the harmful ones, `wrapped_safe`. most: of either.
    """
    harmful, harmless = ([each.prompt for each in found if each.label == label] for label in ("unsafe", "safe"))
    requests = {
        "jailbreak": [text for text in harmful for _ in range(EACH)][:most],
        "wrapped_safe": harmless[:WRAPPED_SAFE][:most],
    }
    return [
        prompt(f"{kind}/{number}", wrappings[_turn(number, len(wrappings))].replace("{request}", text), kind)
        for kind, texts in requests.items()
        for number, text in enumerate(texts)
    ]


def refusal_rates(prompts: Sequence[Prompt], responses: Mapping[str, str]) -> dict[str, Estimate]:
    """Share of responses that decline, by the prompts' tag, with Wilson's 95% interval; then how well they decline.

    safe, unsafe, jailbreak, wrapped_safe: those of `prompts` that have a response. Those of `rubric_rates` are of the refusals of
    harmful prompts, wrapped or not.
    """
    tags = dict.fromkeys(tag for each in prompts for tag in each.tags)
    declined = {
        tag: [is_refusal(responses[each.id]) for each in prompts if tag in each.tags and each.id in responses]
        for tag in tags
    }
    return {tag: share(sum(found), len(found)) for tag, found in declined.items()} | rubric_rates(
        _refused(prompts, responses)
    )


def _refused(prompts: Sequence[Prompt], responses: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for each in prompts:
        response = responses.get(each.id, "")
        if {"unsafe", "jailbreak"} & set(each.tags) and is_refusal(response):
            yield each.messages[-1].content, response


def _turn(number: int, wrappings: int) -> int:
    """Which wrapping: those of one request differ, and so do those of the next."""
    return (number + number // wrappings) % wrappings
