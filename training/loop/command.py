"""`python -m training loop`: checks everything, then runs the loop or says what it would do."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from constitution.errors import Unavailable, UserError
from training.loop import inputs as loop_inputs
from training.loop.children import runner
from training.loop.config import LoopConfig
from training.loop.folder import claim, owned
from training.loop.loop import Loop
from training.loop.page import PAGE, write_page
from training.loop.record import POLICY, Outcome
from training.loop.steps import planned
from training.run import rank


def run(config_path: Path, overrides: Sequence[str], out: Path, plan: bool, console: Console) -> int:
    """Exit code 0 done, 1 not done or stopped, 2 bad arguments or files, 3 a fault of Solon."""
    try:
        config = loop_inputs.load(config_path, overrides)
        inputs = loop_inputs.read(config, out)
        if plan:
            _show_plan(config, out, console)
            return 0
        for reason, count in sorted(inputs.unread.items()):
            console.print(f"{config.prompts}: {count} rows are no prompts and left out ({reason})", markup=False)
        with owned(out).locked():
            claim(out, config, inputs.digests)
            report = partial(write_page, monitor=config.monitor)
            outcome = Loop(config, out, inputs, console, runner(out), report).go()
    except UserError as error:
        rank.tell(error)
        return 2
    except Unavailable as error:
        rank.tell(f"{error}\nrun the same command again to resume")
        return 1
    except KeyboardInterrupt:
        rank.tell(f"interrupted; run the same command again to resume {out}")
        return 1
    return _show(outcome, out, console)


def _show(outcome: Outcome, out: Path, console: Console) -> int:
    policy = out / POLICY if outcome.accepted else outcome.policy
    rounds = "1 round" if outcome.accepted == 1 else f"{outcome.accepted} rounds"
    console.print(f"{rounds} kept   policy: {policy}   page: {out / PAGE}", markup=False)
    if outcome.stopped:
        rank.tell(f"stopped: {outcome.stopped}")
        return 1
    return 0


def _show_plan(config: LoopConfig, out: Path, console: Console) -> None:
    """Every step, and whether it is done."""
    table = Table(title="Steps, if every round is kept at the first attempt", title_justify="left")
    for column in ("round", "recipe", "step", "done"):
        table.add_column(column)
    for one, name, done in planned(config, out):
        table.add_row(str(one.number), one.phase.recipe, name, "yes" if done.exists() else "")
    console.print(table)
