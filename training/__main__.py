"""`python -m training sft | reward | dpo | ppo`: preference data in, an ordinary checkpoint out.

Alone, or on several processes under `accelerate launch -m training ...`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from evaluation.inputs import InputError
from generation import settings as reading
from generation.engine import ModelError
from generation.settings import ConfigError
from training import fit, job, launch, ppo, ppo_job
from training.config import DPO, SFT, Reward, Training
from training.metrics import MetricsError
from training.ppo_config import PPO
from training.summary import show


class Command(NamedTuple):
    """A recipe on the command line."""

    kind: type[Training]
    """Its settings."""
    purpose: str
    train: Callable[[Any, Path, Console], dict[str, Any]]
    """Checks everything, then trains; returns what training.json says."""


def _on_rows(settings: Training, out: Path, console: Console) -> dict[str, Any]:
    return fit.run(job.prepare(settings, out), console)


def _on_prompts(settings: PPO, out: Path, console: Console) -> dict[str, Any]:
    return ppo.run(ppo_job.prepare(settings, out), console)


RECIPES: Mapping[str, Command] = {
    "sft": Command(SFT, "imitate replies: the supervised phase, on a run's accepted revisions", _on_rows),
    "reward": Command(Reward, "a reward model on a run's pairs, with the judge's probability as label", _on_rows),
    "dpo": Command(DPO, "a policy on a run's pairs, without a reward model", _on_rows),
    "ppo": Command(PPO, "a policy on its own replies, rewarded by rules, reward models or a judge", _on_prompts),
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m training",
        description="Preference data in, an ordinary checkpoint out.",
        epilog="The same command again resumes. Exit code 0 done, 1 a bad sign ended the run, 2 bad arguments or files.",
    )
    commands = p.add_subparsers(dest="recipe", required=True)
    for name, (kind, purpose, _) in RECIPES.items():
        c = commands.add_parser(
            name, help=purpose, description=purpose, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        c.add_argument(
            "--data",
            action="append",
            default=[],
            metavar="DATA[=WEIGHT]",
            help="a run folder, a datasets folder, JSONL, parquet or a hub id; several are mixed by weight",
        )
        model = kind.model_fields["model"].default
        c.add_argument("--model", help=f"`embedded`, a local folder or a hub id (settings' default: {model})")
        c.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the checkpoint goes")
        c.add_argument("--config", type=Path, metavar="FILE", help="settings, as YAML")
        c.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, as in lora.r=8")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    try:
        said = RECIPES[options.recipe].train(settings_of(options), options.out, console)
    except fit.Stopped as stopped:
        launch.tell(stopped)
        return 1
    except (ConfigError, InputError, ModelError, MetricsError) as error:
        launch.tell(error)
        return 2
    if launch.state().is_main_process:
        show(said, options.out, console)
    return 0


def settings_of(options: argparse.Namespace) -> Training:
    """The settings that a command line gives. Raises ConfigError or InputError with every problem at once."""
    flags = {"model": options.model, "data": _sources(options.data) or None}
    return reading.load(RECIPES[options.recipe].kind, options.config, options.set, flags, example="lora.r=8")


def _sources(given: Sequence[str]) -> dict[str, float]:
    """Name -> weight. Raises InputError for a name that is given twice."""
    sources: dict[str, float] = {}
    for text in given:
        name, weight = _source(text)
        if name in sources:
            raise InputError(f"--data {name}: is given twice; give it once, with the sum of the weights")
        sources[name] = weight
    return sources


def _source(text: str) -> tuple[str, float]:
    name, _, weight = text.rpartition("=")
    if not name or Path(text).exists():
        return text, 1.0
    try:
        return name, float(weight)
    except ValueError:
        return text, 1.0


if __name__ == "__main__":
    sys.exit(main())
