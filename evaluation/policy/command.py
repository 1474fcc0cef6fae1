"""`python -m evaluation policy`: one policy against another, and whether it got better or learnt to please its judge."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from constitution.errors import InputError
from constitution.terminal import complain
from evaluation.files import write
from evaluation.judge import asking
from evaluation.policy.figures import decided, figures
from evaluation.policy.job import prepare
from evaluation.policy.page import page
from evaluation.policy.replies import gather
from evaluation.policy.table import show
from generation.models.files import EMBEDDED


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    model = "`embedded`, a local folder or a hub id"
    add("--a", required=True, metavar="MODEL", help=f"the policy that is evaluated: {model}")
    add("--b", default=EMBEDDED, metavar="MODEL", help="what it is compared with (default: %(default)s)")
    add("--base", metavar="MODEL", help="what its KL is measured from (default: --b)")
    add("--prompts", required=True, metavar="FILE", help="JSONL, CSV, parquet, a datasets folder or a hub id")
    asking.add_arguments(parser, "runs/policy", "prompts")
    add("--weights", type=Path, metavar="FILE", help="fitted weights of the votes (default: the YAML's)")
    add(
        "--gold",
        type=Path,
        metavar="FILE",
        help="a second constitution, by which nothing was trained: its win rate is beside",
    )
    add(
        "--held-out",
        action="append",
        default=[],
        metavar="NAMES",
        help="principles and judges that are not to judge, with commas between; `trained`: all that a policy was trained against",
    )
    add(
        "--trained",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="a run or checkpoint that A or B learnt from (beside what their own folders say)",
    )
    add(
        "--refusals",
        type=Path,
        metavar="FILE",
        help="JSONL with `prompt` and `label` (safe, unsafe), in place of our own",
    )
    add(
        "--no-probes",
        action="store_true",
        help="ask neither about refusals nor the probes of sycophancy and confidence",
    )
    add("--seed", type=int, metavar="N", help="of replies and of intervals (default: plan.seed of the settings)")
    add("--json", type=Path, metavar="FILE", help="write every figure")
    add("--page", type=Path, metavar="FILE", help="write a page with plots and examples side by side")


def run(options: argparse.Namespace, console: Console) -> int:
    """Evaluate, write, print. Exit code 0 done, 1 a model stayed unavailable, 2 bad arguments or files."""
    try:
        job = prepare(options)
        for warning in job.warnings:
            complain(f"warning: {warning}")
        evidence = gather(job)
        if evidence.unavailable:
            complain(
                f"incomplete: a model was unavailable for {evidence.unavailable} answers; nothing is written; "
                "run the same command again to resume"
            )
            return 1
        found = figures(job, evidence)
        if options.page:
            write(options.page, page(found, decided(job, evidence), evidence.pairs))
        if options.json:  # last: its presence means that the evaluation is whole
            write(options.json, found.model_dump_json(indent=1) + "\n")
    except InputError as error:
        complain(error)
        return 2
    show(found, console, job.warnings)
    return 0
