"""Policies that say what a test wants, through the whole command: their answers are stored before it runs."""

import asyncio
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from constitution.errors import UserError
from constitution.options import parse
from constitution.terminal import complain
from evaluation.policy import command as policy
from evaluation.policy.job import Job, prepare
from evaluation.policy.responses import ask
from evaluation.policy.settings import PolicySettings
from generation.engines.base import Completion, Engine, Request, Usage
from generation.engines.replay import Replay, pseudo_completion
from generation.pipeline.session import CALLS, Session

Script = Callable[[str, Request], Completion | None]
"""(which model: a, b, base or judge; the request) -> its answer; None for what the pseudo-model says."""
QUESTIONS = [{"id": f"q{i}", "prompt": f"Question {i}?"} for i in range(12)]
LAWS = """
name: laws
version: 1
objectives: {brevity: 1.0, kindness: 1.0}
principles:
  - {id: short, objective: brevity, text: Be short., check: {max_words: 5}}
  - {id: kind, objective: kindness, text: Be kind.}
"""


def options(folder: Path, *arguments: object, a: str = "model-a", laws: str = LAWS) -> PolicySettings:
    """Of an evaluation on the replay engine in this folder, which gets its prompts and its constitution.

    Without `--probes` among them no probe is asked: they take longer than all the rest.
    """
    prompts, constitution = folder / "prompts.jsonl", folder / "laws.yaml"
    if not prompts.exists():
        prompts.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    constitution.write_text(laws)
    given = [
        "--a",
        a,
        "--prompts",
        prompts,
        "--constitution",
        constitution,
        "--engine",
        "replay",
        "--out",
        folder / "calls",
    ]
    if "--judge" not in arguments:
        given += ["--judge", "the-judge"]
    if "--refusals" not in arguments and "--probes" not in arguments:
        given += ["--probes", "none"]
    return parse(PolicySettings, [str(argument) for argument in [*given, *arguments]])


def run(found: PolicySettings) -> tuple[int, str]:
    """(exit code, what was printed)."""
    console = Console(width=160, file=io.StringIO(), soft_wrap=True)
    try:
        code = policy.run(found, console)
    except UserError as error:
        complain(error)
        code = 2
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


def store(job: Job, script: Script) -> None:
    """Ask everything of scripted models, and keep their answers where the command looks for them."""
    names = {part.digest: name for name, part in {"base": job.base, "b": job.b, "a": job.a}.items()}

    def answer(request: Request) -> Completion:
        return script(names.get(request.model, "judge"), request) or pseudo_completion(request)

    async def open_engine() -> Engine:
        return Replay(answer)

    async def whole() -> None:
        async with Session(job.out / CALLS) as session:
            await ask(job, job.models(lambda _: session.wrap(open_engine)), session)

    job.out.mkdir(parents=True, exist_ok=True)
    asyncio.run(whole())


def evaluated(folder: Path, script: Script, *arguments: object, **named: str) -> dict[str, Any]:
    """The JSON of the whole command on scripted models. Nothing else is asked."""
    file = folder / "found.json"
    found = options(folder, *arguments, "--json", file, **named)
    store(prepare(found), script)
    code, _ = run(found)
    assert code == 0
    figures: dict[str, Any] = json.loads(file.read_text())
    assert figures["calls"]["made"] == 0, "a call was made that the script was not asked"
    return figures


def said(text: str, finish: str = "stop") -> Completion:
    """A response, whole or cut at the limit."""
    return Completion(text, "length" if finish == "length" else "stop", usage=Usage(1, 0, len(text.split())))


def verdict(first: float) -> Completion:
    """A judge's, with this probability for the first-listed response."""
    return Completion("A", logprobs={"A": math.log(first), "B": math.log(1 - first)})
