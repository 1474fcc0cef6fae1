"""What the policy wrote to held-out prompts before training: a reward by comparison measures later policies against it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from accelerate.utils import gather_object

from constitution.records import Message, Response
from generation.output.files import write_atomically
from training.data.encode import PromptRow
from training.ppo.sampling import Sampling
from training.rollout.rollouts import seeds_of

FILE = "baseline.jsonl"

Baseline = dict[str, Response]
"""Prompt -> its response."""


def baseline(out: Path, sampling: Sampling, mine: Sequence[PromptRow], seed: int, main: bool) -> Baseline:
    """Responses of the policy as it is, or those of the folder. Every process gives its own prompts and gets all responses.

    They are sampled from the seeds of every evaluation: the same policy would write them again, and be exactly as good.
    """
    path = out / FILE
    known = gather_object([path.is_file()])
    if all(known):
        return _read(path)
    written = sampling.write(mine, seeds_of(seed, -1, mine, 1)) if mine else []
    found: list[Response] = gather_object([responses[0] for responses in sampling.said(mine, written)])
    responses = [
        Response(f"{one.prompt_id}/baseline", one.prompt_id, one.message, "sampled", one.raw, truncated=one.truncated)
        for one in found
    ]
    if main:
        write_atomically(path, "".join(json.dumps(_row(response)) + "\n" for response in responses))
    return {response.prompt_id: response for response in responses}


def _row(response: Response) -> dict[str, object]:
    return {
        "prompt_id": response.prompt_id,
        "message": response.message.model_dump(mode="json"),
        "raw": response.raw,
        "truncated": response.truncated,
    }


def _read(path: Path) -> Baseline:
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        name, message = row["prompt_id"], Message.model_validate(row["message"])
        found[name] = Response(f"{name}/baseline", name, message, "sampled", row["raw"], truncated=row["truncated"])
    return found
