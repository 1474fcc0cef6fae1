"""`python -m training sft | reward | dpo | ppo`: preference data in, an ordinary checkpoint out.

Alone, or on several processes under `accelerate launch -m training ...`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from evaluation.inputs import InputError
from generation import settings as reading
from generation.engine import ModelError
from generation.settings import ConfigError
from training import fit, job, launch
from training.config import DPO, SFT, Reward, Training
from training.summary import show

RECIPES: Mapping[str, tuple[type[Training], str]] = {
    "sft": (SFT, "imitate replies: the supervised phase, on a run's accepted revisions"),
    "reward": (Reward, "a reward model on a run's pairs, with the judge's probability as label"),
    "dpo": (DPO, "a policy on a run's pairs, without a reward model"),
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m training",
        description="Preference data in, an ordinary checkpoint out.",
        epilog="The same command again resumes. Exit code 0 done, 1 a bad sign ended the run, 2 bad arguments or files.",
    )
    commands = p.add_subparsers(dest="recipe", required=True)
    for name, (kind, purpose) in RECIPES.items():
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
        c.add_argument("--model", help=f"`embedded`, a local folder or a hub id (settings' default: {kind().model})")
        c.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the checkpoint goes")
        c.add_argument("--config", type=Path, metavar="FILE", help="settings, as YAML")
        c.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, as in lora.r=8")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    try:
        flags = {"model": options.model, "data": _sources(options.data) or None}
        settings = reading.load(RECIPES[options.recipe][0], options.config, options.set, flags, example="lora.r=8")
        return _train(settings, options.out, console)
    except (ConfigError, InputError, ModelError) as error:
        launch.tell(error)
        return 2


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


def _train(settings: Training, out: Path, console: Console) -> int:
    try:
        said = fit.run(job.prepare(settings, out), console)
    except fit.Stopped as stopped:
        launch.tell(stopped)
        return 1
    if launch.state().is_main_process:
        show(said, out, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
