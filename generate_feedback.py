"""Principles and prompts in, a preference dataset out.

    python generate_feedback.py --constitution principles/hhh.yaml --prompts prompts.jsonl --out runs/NAME

The same command again resumes. Exit code 0 done, 1 the run is incomplete, 2 bad arguments or files.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from constitution.errors import UserError
from constitution.terminal import complain
from evaluation.audit.command import write_report
from generation.config import ENGINES
from generation.output.push import push
from generation.output.summary import show, show_forecast
from generation.pipeline.job import Job, already_done, plan_ahead, prepare, produce


def parser(prog: str = "generate_feedback.py") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog=prog,
        description=__doc__.splitlines()[0],
        epilog="The same command again resumes a run. Exit code 0 done, 1 incomplete, 2 bad arguments or files.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    p.add_argument("--constitution", type=Path, required=True, metavar="FILE", help="principles, as YAML")
    p.add_argument(
        "--prompts", required=True, metavar="FILE", help="JSONL, CSV, parquet, a datasets folder or a hub id"
    )
    p.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the run folder, as in runs/NAME")
    p.add_argument(
        "--policy", metavar="MODEL", help="`embedded`, a local folder or a hub id (settings' default: embedded)"
    )
    p.add_argument("--judge", metavar="MODEL", help="likewise (settings' default: the policy itself)")
    p.add_argument(
        "--engine",
        choices=ENGINES,
        help="(settings' default: vllm where installed, else transformers)",
    )
    p.add_argument("--config", type=Path, metavar="FILE", help="settings, as YAML")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, as in plan.samples=4")
    p.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="fitted weights of votes, from `python -m evaluation judge --fit FILE`",
    )
    p.add_argument("--limit", type=int, metavar="N", help="read only the first N rows of the prompts")
    p.add_argument(
        "--reuse", type=Path, action="append", default=[], metavar="RUN", help="take calls that this run made"
    )
    p.add_argument("--plan", action="store_true", help="count the calls that would be made, and stop")
    p.add_argument(
        "--push", metavar="REPO_ID", help="upload the finished dataset to this dataset repository of the hub"
    )
    return p


def main(arguments: Sequence[str] | None = None, prog: str = "generate_feedback.py") -> int:
    """Run the command line; returns the exit code."""
    options = parser(prog).parse_args(arguments)
    console = Console(highlight=False)
    try:
        flags = {name: getattr(options, name) for name in ("policy", "judge", "engine")}
        job = prepare(
            options.constitution,
            options.prompts,
            options.out,
            options.config,
            options.set,
            flags,
            options.limit,
            options.reuse,
            options.weights,
        )
        if options.plan:
            show_forecast(asyncio.run(plan_ahead(job)), console)
            return 0
        return _run(job, options.push, console)
    except UserError as error:
        complain(error)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted; run the same command again to resume {options.out}", file=sys.stderr)
        return 1


def _run(job: Job, repository: str | None, console: Console) -> int:
    manifest = already_done(job)
    if manifest is None:
        manifest = asyncio.run(produce(job, write_report))
    else:
        console.print(f"{job.out} is finished: 0 calls made", markup=False, soft_wrap=True)
    if manifest is None:
        print(
            f"{job.out}: incomplete, the model was unavailable for some prompts; run the same command again to resume",
            file=sys.stderr,
        )
        return 1
    show(manifest, job.out, console)
    if repository:
        push(job.out, manifest, repository)
    return 0


if __name__ == "__main__":
    sys.exit(main())
