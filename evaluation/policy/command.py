"""`python -m evaluation policy`: one policy against another, and whether it got better or learnt to please its judge."""

from __future__ import annotations

from rich.console import Console

from constitution.terminal import complain
from evaluation.files import write
from evaluation.policy.figures import decided, figures
from evaluation.policy.human import write_sheet
from evaluation.policy.job import prepare
from evaluation.policy.page import page
from evaluation.policy.responses import gather
from evaluation.policy.settings import PolicySettings
from evaluation.policy.table import show


def run(settings: PolicySettings, console: Console) -> int:
    """Evaluate, write, print. Exit code 0 done, 1 a model was unavailable. Raises UserError."""
    job = prepare(settings)
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
    if settings.to_label:
        write_sheet(decided(job, evidence), settings.to_label, job.run.plan.seed)
    if settings.page:
        write(settings.page, page(found, decided(job, evidence), evidence.pairs))
    if settings.json_file:  # last: its presence means that the evaluation is whole
        write(settings.json_file, found.model_dump_json(indent=1) + "\n")
    show(found, console, job.warnings)
    return 0
