"""Rejection sampling: responses are written and graded, the best of each prompt become rows, and those are fine-tuned on.

Every call is kept in the folder's `calls.sqlite`, so that a killed run resumes where it was and makes no call twice; what is
imitated is in `best.jsonl`, which is also ordinary data for sft.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from constitution.errors import Problem, UserError
from generation.output.dataset import SPLITS
from training.best_of import rows as best_of_rows
from training.best_of.choice import figures
from training.best_of.job import BestOfJob
from training.best_of.responses import outcomes
from training.data import encode as data
from training.model import launch
from training.recipes.sft import SFTRecipe
from training.rollout.rollouts import as_prompt
from training.run import fit
from training.run import folder as output
from training.run.job import Job, check_eval_rows, order_of_rows


def run(best: BestOfJob, console: Console) -> dict[str, Any]:
    """Sample, grade, choose and train, or resume; returns what training.json says.

    Raises UserError for a folder that cannot be used and where nothing is left to imitate, Unavailable for an engine that stayed
    unavailable, Stopped for a run that a health check ended.
    """
    lower = fit.memory_advice(best.settings)
    return output.run_exclusively(
        best.out, best.run_record, lower, lambda: fit.train(_imitating(best, console), console)
    )


def _imitating(best: BestOfJob, console: Console) -> Job:
    """The job of fine-tuning on the best responses. One process has them written, the others wait for its file."""
    path, state = best.out / best_of_rows.FILE, launch.state()
    counts: dict[str, Counter[str]] = {}
    found: dict[str, float] = {}
    if state.is_main_process:
        path.unlink(missing_ok=True)
    state.wait_for_everyone()  # so that nobody takes an older file for the one that comes
    if state.is_main_process:
        counts, found = _written(best, path, console)
    while not path.exists():
        time.sleep(1)
    imitated = best_of_rows.read(path)
    train, test = (data.encode_targets(imitated[split], best.encoder, best.settings) for split in SPLITS)
    try:
        data.check_some(train, best.settings)
        check_eval_rows(best.settings, test)
        order = order_of_rows(best.settings, best.files, train.rows)
    except UserError as error:
        raise _again(error.problems, best) from None
    for encoded, split in zip((train, test), SPLITS, strict=True):
        encoded.counts.update(counts.get(split, {}))
    run_record = {**best.run_record, "digests": {**best.run_record["digests"], "best": train.digest}}
    return Job(
        settings=best.settings,
        out=best.out,
        files=best.files,
        tokenizer=best.tokenizer,
        encoder=best.encoder,
        recipe=SFTRecipe("best_of"),
        train=train,
        test=test,
        order=order,
        run_record=run_record,
        sources=best.sources,
        figures=found,
    )


def _written(best: BestOfJob, path: Path, console: Console) -> tuple[dict[str, Counter[str]], dict[str, float]]:
    """Write the file; what became of prompts and responses by split, and what choosing came to."""
    prompts = {"train": best.train, "test": best.test}
    made = outcomes(best.settings, [as_prompt(row) for split in SPLITS for row in prompts[split].rows], best.out)
    cut = len(best.train.rows)
    parts = {"train": made[:cut], "test": made[cut:]}
    counts = {split: best_of_rows.counted(prompts[split].counts, parts[split]) for split in SPLITS}
    found = figures([(one.responses, one.choice) for one in made], best.settings.samples)
    _tell(counts["train"] + counts["test"], found, console)
    if not counts["train"]["prompts_kept"]:
        raise _again([best_of_rows.nothing(counts["train"])], best)
    best_of_rows.write(path, parts)
    return counts, found


def _tell(total: Counter[str], found: dict[str, float], console: Console) -> None:
    """What choosing came to, in a line."""
    numbers = {name.partition("/")[2]: f"{value:.4g}" for name, value in found.items()}
    shown = {**numbers, **best_of_rows.lost(total)}
    rest = "".join(f"  {name.replace('_', ' ')} {value}" for name, value in shown.items())
    console.print(
        f"best of {total['responses_graded']} responses to {total['prompts_kept']} prompts{rest}", markup=False
    )


def _again(problems: Iterable[Problem], best: BestOfJob) -> UserError:
    """The problems, and that the folder may be used again with other settings, unless training began in it.

    Only the responses tell which settings it allows.
    """
    if output.last_checkpoint(best.out):
        return UserError(problems)
    if launch.state().is_main_process:
        output.release_claim(best.out)
    got = "its responses are kept, and nothing is trained yet"
    return UserError([*problems, Problem(str(best.out), got=got, fix="fix this and run the command again")])
