"""From which certainty on a run accepts labels: its judges are asked about labelled pairs first, as they will be in the run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from constitution.errors import Problem, Unavailable, UserError
from constitution.records import Failure, Prompt, Vote
from constitution.terminal import complain
from constitution.words import word_count
from critics.ranking.accept import Acceptance, optimistic
from evaluation.judge.labelled import LabelledPair, labelled_digest, read_labelled
from evaluation.risk.accepting import Flags, accepting
from generation.engines.base import TransientError
from generation.fitted import digest_of, origin
from generation.models.factory import chat_models, model_registry
from generation.output.files import write_atomically
from generation.output.folder import ACCEPTANCE
from generation.pipeline.feedback import comparison_principles
from generation.pipeline.job import Job
from generation.pipeline.panel import Panel, check_forms, panel_of, steps
from generation.pipeline.session import CALLS, Session
from generation.pipeline.voting import votes_on

BESIDE = ".calibration"
"""What the folder of a calibration ends in, beside that of its run."""


async def calibrated(job: Job, data: str) -> Path:
    """Ask about the labelled pairs and write what may be accepted; returns the file. What was asked before is not asked again.

    Raises UserError for labels that cannot be used, and Unavailable when a judge could not be reached for some pairs.
    """
    if optimistic(job.weights, labelled_digest(data)):
        fix = "take other labelled pairs, or `solon evaluate judge --max-error` on these, which cross-validates"
        raise UserError(Problem("--calibration", got=f"{data} is what the weights were fitted on", fix=fix))
    pairs, _ = read_labelled(data, tell=complain, rules=job.constitution.columns)
    folder = job.out.with_name(job.out.name + BESIDE)
    folder.mkdir(parents=True, exist_ok=True)
    found = await _asked(job, data, pairs, folder)
    path = folder / ACCEPTANCE
    write_atomically(path, found.model_dump_json(indent=1) + "\n")
    return path


async def _asked(job: Job, data: str, pairs: list[LabelledPair], folder: Path) -> Acceptance:
    run = job.config.judge_alone()
    plan = run.plan
    assert plan.max_error is not None
    rows = asyncio.Semaphore(run.prompts_in_flight)
    async with Session(folder / CALLS, reuse=job.reuse, prompts=len(pairs), tariff=job.tariff) as session:
        run = session.dated(run)
        _, judges = chat_models(run, model_registry(run), session.wrap)
        await session.preflight(*judges.values(), structured=plan.batch_principles > 1)
        panel = panel_of(run, judges, job.weights)
        check_forms(panel, job.constitution, plan, job.weights_file)

        async def one(pair: LabelledPair) -> list[float]:
            async with rows:
                said = await _said(panel, job, pair)
            session.prompt_done(pair.prompt.id, failed=not any(said))
            return said

        try:
            found = await asyncio.gather(*(one(pair) for pair in pairs))
        except TransientError as error:
            raise Unavailable(
                f"{folder}: a judge was unavailable ({error}); run the same command again to resume"
            ) from error
    here = origin(job.constitution, job.config, job.registry, labelled_digest(data), len(pairs))
    here = here.model_copy(update={"forms": panel.forms(job.constitution, plan)})
    return accepting(
        np.array(found),
        job.config.cascade,
        [pair.group for pair in pairs],
        here,
        (plan.max_error, plan.error_confidence, plan.error_test),
        (digest_of(job.weights), job.config.voting()),
        _kinds(pairs),
    )


async def _said(panel: Panel, job: Job, pair: LabelledPair) -> list[float]:
    """Log-odds for the better response after each step of the cascade, all of which are asked; 0 where there is no label, or a vote
    is missing."""
    plan, prompt, constitution = job.config.plan, pair.prompt, job.constitution
    voters = panel.voters(comparison_principles(prompt, constitution, panel, plan))
    vetoes = panel.vetoes(constitution.applicable(prompt.tags))
    records: list[Vote | Failure] = []
    logits: list[float] = []
    for number, some in enumerate(steps(voters, job.config.cascade)):
        records += await votes_on(panel, some, prompt, pair.better, pair.worse, plan, () if number else vetoes)
        score = panel.score(records, constitution, plan)
        whole = not any(isinstance(record, Failure) for record in records)
        logits.append(score.logit if score and whole and not score.undecided else 0.0)
        if score and score.veto:
            break
    return logits + logits[-1:] * (max(1, len(job.config.cascade)) - len(logits))


def _kinds(pairs: list[LabelledPair]) -> dict[str, Flags]:
    """Kind of labelled pair -> [pairs] whether each is one."""
    longer = np.array([np.sign(word_count(pair.better.text) - word_count(pair.worse.text)) for pair in pairs])
    named = {
        f"tag {tag}": np.array([tag in pair.prompt.tags for pair in pairs]) for tag in _tags([p.prompt for p in pairs])
    }
    return {"the better response is the longer": longer > 0, "the better response is the shorter": longer < 0, **named}


def _tags(prompts: list[Prompt]) -> list[str]:
    return sorted({tag for prompt in prompts for tag in prompt.tags})
