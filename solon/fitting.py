"""Weights for a panel's votes, from pairs that people labelled."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from constitution.errors import Problem, Unavailable, UserError
from constitution.principles import Constitution
from critics.ranking.kinds import Method
from critics.ranking.weights import Weights
from evaluation.judge.asking import ask_about
from evaluation.judge.panels import fitted_panel, weights_file
from evaluation.judge.settings import JudgeSettings
from generation.pipeline.panel import unknown_principles
from generation.pipeline.scheduler import UNAVAILABLE
from solon.settings import constitution_of, settings_of


async def fit_weights(
    constitution: Constitution | str | Path,
    pairs: str | Path | Iterable[Mapping[str, Any]],
    *,
    method: Method = "logistic",
    config: str | Path | None = None,
    calls: str | Path | None = None,
    **settings: object,
) -> Weights:
    """Ask a panel about labelled pairs and learn what each voter's vote is worth: `solon evaluate judge --fit` as a function.

    pairs: rows with `prompt`, `chosen` and `rejected`, or a file, folder or hub id with them; at least ten different prompts, and
    some hundred pairs where there are many voters. method: `logistic` fits a weight for each voter, `temperature` only how sure
    their sum is; `agreement` and `agreement_by_judge` weigh by how voters agree, and use labels for `quality` alone.
    config, calls, settings: as for `Judge`.

    The result goes into `Judge` and `generate_feedback`; `quality` has the accuracy on pairs that were held out of the fit.
    Raises UserError for rows, settings and too few prompts; Unavailable when a judge could not be reached for some pairs.

    >>> rows = [{"prompt": f"Say {n}.", "chosen": f"{n}", "rejected": "No."} for n in range(12)]
    >>> weights = solon.run_sync(solon.fit_weights("hhh", rows, engine="replay", plan={"methods": ["score"]}))
    >>> len(weights.voters) > 10, weights.fitted_on.pairs
    (True, 12)
    """
    loaded = constitution_of(constitution)
    run = settings_of(config, settings)
    if problems := unknown_principles(run, loaded):
        raise UserError(problems)
    run = run.judge_alone()
    with TemporaryDirectory(prefix="solon-") as scratch:
        data = str(pairs) if isinstance(pairs, str | Path) else _kept(pairs, Path(scratch) / "pairs.jsonl")
        judging = JudgeSettings(data=data, method=method, out=Path(calls) if calls else Path(scratch))
        answers = await ask_about(data, loaded, run, judging, fits=True)
    if lost := sum(count for reason, count in answers.failures.items() if reason.endswith(f": {UNAVAILABLE}")):
        raise Unavailable(f"the judge was unavailable for {lost} pairs; call again with calls=FOLDER to resume")
    if not answers.matrix.voters:
        raise UserError(
            Problem("", got=f"no vote could be had ({answers.failures})", fix="choose other methods or another judge")
        )
    plain = np.array([answers.yaml_weights.get(voter, 0.0) for voter in answers.matrix.voters])
    panel, fitted = fitted_panel(answers.matrix, plain, judging)
    return weights_file(answers.matrix, fitted, panel.logits, method, answers.origin)


def _kept(rows: Iterable[Mapping[str, Any]], path: Path) -> str:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, default=str) + "\n" for row in rows)
    return str(path)
