"""Generate preference data for prompts that are in a file, on the hub, or in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from constitution.errors import Problem, UserError, problems_of
from constitution.loading import to_yaml
from constitution.principles import Constitution
from constitution.records import Prompt
from critics.ranking.weights import Weights
from evaluation.audit.command import write_report
from generation.data.mapping import as_options
from generation.output.files import create, file_sha256
from generation.output.folder import PROMPTS, run_folder
from generation.output.run import Run, open_run
from generation.pipeline.job import Job, prepare, produce
from generation.request import FeedbackSettings
from solon.calibration import calibrated
from solon.settings import constitution_of, named

Row = str | Mapping[str, Any] | Prompt
"""A prompt's text; a row as a file has it, with `prompt` or `messages`, and `tools`, `tags`, `responses`; or a Prompt."""


async def generate_feedback(
    constitution: Constitution | str | Path,
    prompts: str | Path | Iterable[Row],
    out: str | Path,
    *,
    config: str | Path | None = None,
    weights: Weights | str | Path | None = None,
    calibration: str | Path | None = None,
    acceptance: str | Path | None = None,
    limit: int | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    reuse: Sequence[str | Path] = (),
    report: bool = True,
    **settings: object,
) -> Run:
    """Make a run: `solon feedback` as a function. The same call again resumes it, and returns a finished one at once.

    prompts: a file, a datasets folder or a hub id by name; or rows in memory, as a list, an iterator or a `datasets.Dataset`.
    Those are written to `prompts.jsonl` in the run's folder, one at a time, so that a restart of the command finds them too.
    config, settings: as for `Judge`, as policy="embedded", engine="vllm", plan={"samples": 4}. The policy may be a function too:
    it gets the conversation and gives a response.
    weights: fitted weights of votes. calibration: labelled pairs for plan.max_error; acceptance: a file that an earlier one wrote.
    limit: read only the first rows. columns: the column that holds a field, where it has another name, as {"prompt": "question"}.
    reuse: runs whose calls are taken.
    report: write report.html.

    Raises UserError before anything is asked, with every problem; Unavailable when a model could not be reached for some prompts:
    call again to resume.

    >>> rows = [{"prompt": "How do I boil an egg?"}, {"prompt": "Is the earth flat?", "tags": ["facts"]}]
    >>> making = solon.generate_feedback("hhh", rows, "runs/eggs", engine="replay", report=False)
    >>> run = solon.run_sync(making)
    >>> run.manifest.counts.prompts, (run.folder / "prompts.jsonl").is_file()
    (2, True)
    """
    folder = Path(out)
    with TemporaryDirectory(prefix="solon-") as scratch:
        files = Path(scratch)
        constitution_file = files / "constitution.yaml"
        constitution_file.write_text(to_yaml(constitution_of(constitution)), encoding="utf-8")
        if isinstance(weights, Weights):
            (files / "weights.json").write_text(weights.model_dump_json(), encoding="utf-8")
            weights = files / "weights.json"
        given = {
            "constitution": str(constitution_file),
            "prompts": str(prompts) if isinstance(prompts, str | Path) else _kept(prompts, folder),
            "out": str(folder),
            "config": config,
            "limit": limit,
            "columns": as_options(columns),
            "reuse": tuple(reuse),
            "weights": weights,
            "calibration": None if calibration is None else str(calibration),
            "acceptance": acceptance,
        }
        job = await _prepared(given, named(settings))
    await _finish(job, report)
    return open_run(folder)


async def _prepared(given: Mapping[str, object], values: Mapping[str, object]) -> Job:
    """The job, its labelled pairs judged where an error is stated by them. Raises UserError and Unavailable."""
    try:
        request = FeedbackSettings.model_validate(given)
    except ValidationError as error:
        raise UserError(problems_of(error, FeedbackSettings)) from None
    job = prepare(request, values=values)
    if not request.calibration:
        return job
    found = {"calibration": None, "acceptance": await calibrated(job, request.calibration)}
    return prepare(request.model_copy(update=found), values=values)


async def _finish(job: Job, report: bool) -> None:
    if job.finished():
        return
    await produce(job, write_report if report else None)


def _kept(rows: Iterable[Row], folder: Path) -> str:
    """The rows as a file in the run's folder. Raises UserError where the folder is another's or has other prompts."""
    run_folder(folder).check()
    folder.mkdir(parents=True, exist_ok=True)
    path, fresh = folder / PROMPTS, folder / f"{PROMPTS}.tmp"
    with create(fresh) as file:
        file.writelines(json.dumps(_row(row), default=str) + "\n" for row in rows)
    if path.exists() and file_sha256(path) != file_sha256(fresh):
        fresh.unlink()
        raise UserError(
            Problem(
                str(folder), got="belongs to other prompts", fix=f"choose another folder, with reuse=[{str(folder)!r}]"
            )
        )
    os.replace(fresh, path)
    return str(path)


def _row(given: Row) -> object:
    if isinstance(given, str):
        return {"prompt": given}
    return given.model_dump(mode="json", exclude_defaults=True) if isinstance(given, Prompt) else given
