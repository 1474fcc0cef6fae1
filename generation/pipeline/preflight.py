"""Before a run: what its models' servers take and give, asked once, told in a line a model, and kept in the run's folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from constitution.errors import Problem, UserError
from constitution.principles import Principle
from constitution.records import Prompt, Response, Strict
from critics import answers, compare
from critics.controls import load
from critics.labels import Reading
from generation.engines.base import Meter, Request, Sampling, Unkept, Usage
from generation.engines.capabilities import EXACT, Capabilities
from generation.models.chat_model import ONE_TOKEN, ChatModel
from generation.output.files import contents, write_atomically
from generation.servers.probe import Questions

FILE = "capabilities.json"
"""What the probes of a folder's models found, by the models' digests."""
WRITTEN = Sampling(max_tokens=256, temperature=0.7, top_p=0.9, seed=1)
"""Every parameter that a run may send, with a value that is not the default."""
_PRINCIPLE = Principle(id="probe", objective="probe", text="Answer what was asked.")


class Found(Strict):
    """What a probe found of a model at some servers."""

    model: str
    """Its digest."""
    servers: list[str]
    capabilities: Capabilities


class _File(Strict):
    """The file."""

    found: list[Found]
    seal: str
    """sha256 of what was found, by which a file that was damaged or changed by hand is known."""


async def preflight(
    models: Collection[ChatModel],
    folder: Path | None = None,
    reuse: Iterable[Path] = (),
    *,
    tools: bool = False,
    structured: bool = False,
    meter: Meter | None = None,
) -> dict[str, Capabilities]:
    """Probe the models that are behind servers, unless a folder knows them: name -> what is known of it now.

    folder: where it is kept. reuse: folders of other runs, which may know it too. tools: the run's prompts have tools. structured:
    whether answers follow a schema is asked in any case, not only of a model without log-probabilities. meter: is told what that
    takes. Raises ModelError, TransientError, what the meter raises, and UserError where the servers of a run that is begun judge in
    another form than before.
    """
    behind = {id(model.served): model for model in models if model.served}.values()
    own = read(folder) if folder else []
    known = {(one.model, *one.servers): one for one in [*(one for path in reuse for one in read(path)), *own]}
    here = {_place(model) for model in behind}
    for model in behind:
        assert model.served is not None
        if _place(model) in known:
            model.served.found = known[_place(model)].capabilities
            continue
        takes = _Takes(meter)
        found = await model.served.probe(questions(model, tools, structured), takes)
        earlier = [one for one in own if one.model == model.digest and (one.model, *one.servers) not in here]
        if folder and any(one.capabilities.has_labels != found.has_labels for one in earlier):
            raise _another_form(folder, model, found)
        known[_place(model)] = Found(model=model.digest, servers=model.served.addresses, capabilities=found)
        print(f"{told(model.name, found)}; {takes}", file=sys.stderr)
    if folder and here:
        write(folder, [*own, *(known[place] for place in here if known[place] not in own)])
    return {model.name: model.capabilities for model in behind}


class _Takes:
    """Counts the calls of one probe."""

    def __init__(self, meter: Meter | None) -> None:
        self._meter = meter
        self._calls = self._tokens = 0

    def before_probe(self, request: Request) -> None:
        if self._meter:
            self._meter.before_probe(request)

    def paid(self, request: Request, usage: Usage, why: Unkept) -> None:
        self._calls += 1
        self._tokens += usage.prompt + usage.completion
        if self._meter:
            self._meter.paid(request, usage, why)

    def __str__(self) -> str:
        return f"{self._calls} calls, {self._tokens:,} tokens"


def read(folder: Path) -> list[Found]:
    """What the folder's probes found; nothing where there were none. Raises UserError."""
    try:
        file = _File.model_validate_json(contents(folder / FILE))
    except FileNotFoundError:
        return []
    except (OSError, ValidationError):
        file = None
    if file is None or file.seal != _seal(file.found):
        got, fix = "is damaged, or was changed by hand", "delete it, and the servers are asked again"
        raise UserError(Problem(str(folder / FILE), got=got, fix=fix))
    return file.found


def write(folder: Path, found: Iterable[Found]) -> None:
    """Keep what probes found."""
    kept = [*found]
    text = json.dumps(_File(found=kept, seal=_seal(kept)).model_dump(mode="json"), indent=1, sort_keys=True)
    write_atomically(folder / FILE, text + "\n")


def _seal(found: Iterable[Found]) -> str:
    return sha256(json.dumps([one.model_dump(mode="json") for one in found], sort_keys=True).encode()).hexdigest()


def remember(models: Collection[ChatModel], *folders: Path) -> None:
    """Take what the folders' probes found, the first one's before others', and ask nobody. Raises UserError."""
    found = [one for folder in reversed(folders) for one in read(folder)]
    known = {(one.model, *one.servers): one.capabilities for one in found}
    for model in models:
        if model.served:
            model.served.found = known.get(_place(model))


def told(name: str, capabilities: Capabilities) -> str:
    """One line for people."""
    listed = capabilities.top_logprobs
    parts = [
        "exact log-probabilities"
        if listed == EXACT
        else f"{listed} log-probabilities a token"
        if listed
        else "no log-probabilities of an answer, so it judges by what it writes"
        + (" as JSON" if capabilities.structured else " in words")
    ]
    parts += ["thinks before it answers"] if capabilities.thinks else []
    refused = capabilities.refused
    parts += [f"left out, since it refuses them: {', '.join(sorted(refused))}"] if refused else []
    return f"probe: {name}: {'; '.join(parts)}"


def questions(model: ChatModel, tools: bool = False, structured: bool = False) -> Questions:
    """A judge's own prompt about a pair whose better response is known, in every form in which an answer can be asked for."""
    control = load()[0]
    prompt = Prompt(id="probe", messages=control.prompt)
    better, worse = (
        Response(name, "probe", message, "given", message.content)
        for name, message in zip("ab", (*control.chosen, *control.rejected), strict=True)
    )
    # a server of token ids has exact labels; it only has to answer
    labels = () if model.encoder else tuple((label, -1) for label in compare.LABELS)

    def request(form: answers.Form, sampling: Sampling) -> Request:
        messages = compare.render(prompt, better, worse, _PRINCIPLE, nonce=False, form=form)
        tokens = tuple(model.encoder.encode(messages)) if model.encoder else ()
        return Request(model.digest, "compare", tokens, sampling, messages=messages)

    text = request("text", WRITTEN)
    return Questions(
        replace(request("labels", ONE_TOKEN), labels=labels),
        text,
        replace(request("json", WRITTEN), schema=answers.VERDICT),
        replace(text, tools=json.dumps([_TOOL])) if tools else None,
        structured,
        lambda completion: isinstance(compare.log_odds(completion.logprobs, completion.floor), Reading),
        lambda answer: bool(answers.objects(answer)) and answers.side(answer) is not None,
    )


_TOOL = {
    "type": "function",
    "function": {"name": "probe", "description": "Does nothing.", "parameters": {"type": "object", "properties": {}}},
}


def _place(model: ChatModel) -> tuple[str, ...]:
    return (model.digest, *(model.served.addresses if model.served else ()))


def _another_form(folder: Path, model: ChatModel, found: Capabilities) -> UserError:
    now, before = ("log-probabilities", "texts") if found.has_labels else ("texts", "log-probabilities")
    got = f"{model.name} judged by {before} in this folder, and the servers of now make it judge by {now}"
    return UserError(Problem(str(folder), got=got, fix="name the servers as they were, or choose another --out"))
