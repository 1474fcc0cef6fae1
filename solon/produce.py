"""`solon feedback` once its command line is read: prepare, produce, report, show, push."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from rich.console import Console

from constitution.errors import Problem, Unavailable, UserError
from constitution.terminal import complain
from evaluation.audit.command import write_report
from generation.cluster.driver import ClusterRun
from generation.output.push import push
from generation.output.summary import show, show_forecast
from generation.pipeline.job import plan_ahead, prepare, produce
from generation.pipeline.outcome import shortfall
from generation.request import FeedbackSettings
from solon.calibration import calibrated


def run(settings: FeedbackSettings, console: Console) -> int:
    """Make the run, or resume it; returns the exit code. Raises UserError."""
    if settings.public and not settings.push:
        raise UserError(Problem("--public", got="is for --push, which is not given", fix="add it, or leave both out"))
    job = prepare(settings)
    if settings.calibration and not settings.plan:
        try:
            file = asyncio.run(calibrated(job, settings.calibration))
        except Unavailable as error:
            complain(error)
            return 1
        settings = settings.model_copy(update={"calibration": None, "acceptance": file})
        job = prepare(settings)
    elif settings.calibration:
        complain(
            f"calls about {settings.calibration} come first, and are not counted here; no label is accepted before"
        )
    cluster = ClusterRun(settings, job) if settings.ray else None
    if settings.plan:
        known = replace(job, reuse=tuple(cluster.parts())) if cluster else job
        try:
            ahead = asyncio.run(plan_ahead(known, settings.probe))
        except Unavailable as error:
            complain(error)
            return 1
        show_forecast(ahead.calls, ahead.takes, ahead.spent, job.tariff, console)
        return 0
    manifest = cluster.finished() if cluster else job.finished()
    if manifest is None:
        try:
            manifest = cluster.make(write_report) if cluster else asyncio.run(produce(job, write_report))
        except Unavailable as error:
            complain(error)
            return 1
    else:
        console.print(f"{job.out} is finished: 0 calls made", markup=False, soft_wrap=True)
    show(manifest, job.out, console)
    if problem := shortfall(job.out, manifest, job.config.max_failed):
        complain(problem)
        return 1
    if settings.push:
        push(job.out, settings.push, settings.public)
    return 0
