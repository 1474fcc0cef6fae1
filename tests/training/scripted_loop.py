"""A loop over commands whose outcome is written down beforehand: no model, no process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from constitution.records import Message, Prompt
from generation.output.manifest import Calls, Digests, Seconds, Tally, Tokens
from tests.training.evaluations import evaluation, win
from tests.training.small_loop import small_settings
from training.loop.children import Runner
from training.loop.config import LoopConfig
from training.loop.inputs import Inputs
from training.loop.loop import Loop
from training.loop.page import write_page
from training.loop.record import Outcome
from training.run.folder import CHECKPOINTS

PROMPTS = tuple(Prompt(id=f"p{i}", messages=(Message(role="user", content=f"why {i}?"),)) for i in range(30))
HELD_OUT = tuple(Prompt(id=f"h{i}", messages=(Message(role="user", content=f"who {i}?"),)) for i in range(8))
MANIFEST = Tally().manifest(
    Calls(made=0, reused=0), Tokens(prompt=0, cached=0, completion=0), Seconds(wall=0, engine=0), {},
    Digests(constitution="c", templates="t", policy="p", judge="j", prompts="q", settings="s"),
)  # fmt: skip
REWARDED = {"recipe": "ppo", "reward": {}, "training": {}}


def written(command: Sequence[str]) -> Path:
    """The folder that a command writes."""
    if "--json" in command:
        return Path(command[command.index("--json") + 1]).parent
    return Path(command[command.index("--out") + 1])


class Killed(BaseException):
    """The loop is gone."""


class Script:
    """Runs no command, but writes what it would have written, and remembers which came."""

    def __init__(self, wins: Sequence[float] = (), ends: Sequence[str] = (), dies: bool = False, **found: Any) -> None:
        self.wins = list(wins)
        """Win rates of the evaluations, one after the other; 60% once they are out."""
        self.ends = list(ends)
        """What the trainings say that end early, one after the other; empty for one that does not."""
        self.dies = dies
        """Whether the loop is gone after each command."""
        self.found = found
        """What evaluations find beside."""
        self.commands: list[list[str]] = []

    @property
    def said(self) -> list[str]:
        """Module, recipe and folder of each command."""
        return [self._name(command) for command in self.commands]

    def _name(self, command: Sequence[str]) -> str:
        out = written(command)
        what = command[
            command.index("-m") + 1 : command.index("--out") if "training" in command else command.index("-m") + 2
        ]
        return f"{' '.join(what)} {'/'.join(out.parts[-3:]).removeprefix('loop/')}"

    def __call__(self, command: Sequence[str], log: Path) -> int:
        self.commands.append([*command])
        code = self._run(list(command))
        if self.dies:
            raise Killed
        return code

    def _run(self, command: list[str]) -> int:
        out = written(command)
        out.mkdir(parents=True, exist_ok=True)
        if "generate_feedback" in command:
            MANIFEST.write(out)
        elif "evaluation" in command:
            share = self.wins.pop(0) if self.wins else 0.6
            asked = Path(command[command.index("--prompts") + 1]).name
            prompts = {"source": asked, "digest": asked, "count": 9, "compared": 9, "failed": 0}
            found = evaluation(**{"win": win(share), "prompts": prompts, **self.found})
            (out / "policy.json").write_text(found.model_dump_json())
        else:
            return self._train(command, out)
        return 0

    def _train(self, command: list[str], out: Path) -> int:
        """Checkpoints are left, as by a training that is killed before it drops them."""
        (out / CHECKPOINTS).mkdir()
        (out / CHECKPOINTS / "optimizer.pt").touch()
        if "dpo" in command and self.ends and (said := self.ends.pop(0)):
            (out / "stopped.txt").write_text(f"{said}\n")
            return 1
        (out / "model.safetensors").touch()
        (out / "training.json").write_text(json.dumps({"results": {"eval_accuracy": 0.75}}))
        return 0


def run(folder: Path, script: Script, *phases: dict[str, Any], **changes: Any) -> Outcome:
    config = LoopConfig.model_validate(small_settings(folder, *phases, **changes))
    return Loop(config, folder / "loop", Inputs(PROMPTS, {}, {}, HELD_OUT), Console(quiet=True), script).go()


def paged(folder: Path, run: Runner, **changes: Any) -> str:
    """The page that a loop writes."""
    config = LoopConfig.model_validate(small_settings(folder, **changes))
    Loop(
        config,
        folder / "loop",
        Inputs(PROMPTS, {}, {}),
        Console(quiet=True),
        run,
        partial(write_page, monitor=config.monitor),
    ).go()
    return (folder / "loop" / "loop.html").read_text()


def settings(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "loop" / name).read_text())
    return found
