"""Settings of best-of-N -> a job that is checked through before a response is written or any weights load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.errors import InputError, UserError
from generation.calls.store import StoredCalls, StoreError
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.models.encoder import Encoder
from generation.models.files import resolve
from generation.pipeline.session import CALLS
from training.best_of.config import BestOf
from training.data import encode as data
from training.data import rows
from training.data.batches import Example
from training.model import launch
from training.rollout.rewards import open_rewards
from training.rollout.rules import RewardError
from training.run import folder as output
from training.run import job
from training.run.snapshot import settings_snapshot


@dataclass(frozen=True, slots=True)
class BestOfJob:
    """Everything that is known before a response is written."""

    settings: BestOf
    out: Path
    files: ModelFiles
    tokenizer: Any
    encoder: Encoder
    train: data.Encoded
    """Prompts."""
    test: data.Encoded
    run_record: dict[str, Any]
    """training.yaml."""
    sources: tuple[rows.Source, ...]


def prepare(settings: BestOf, out: Path) -> BestOfJob:
    """Read, render and check everything. Raises InputError and ModelError before any model loads."""
    launch.sharded()
    output.check(out)
    files = resolve(settings.model)
    tokenizer = load_tokenizer(files)
    encoder = Encoder(tokenizer)
    _ = encoder.end_of_turn  # a template without one is told now
    settings = settings.model_copy(update={"max_length": min(settings.max_length, files.context)})
    room = _room(settings)
    try:
        rewards = open_rewards(settings.reward, settings.seed)
        StoredCalls([Path(folder) / CALLS for folder in settings.reuse]).close()
    except (RewardError, UserError, StoreError) as error:
        raise InputError(str(error)) from None
    split = rows.prompts(settings)
    train, test = (data.encode_prompts(part, encoder, room) for part in split)
    split.tell(train.counts, test.counts)
    data.check_some(train, settings)
    job.check_eval_rows(settings, test)
    # the most and the longest rows that can come of the prompts
    response = range(settings.sampler.max_tokens)
    most = [data.TargetRow(row.prompt.id, Example(row.tokens, (response,)), 1.0) for row in train.rows] * settings.keep
    job.order_of_rows(settings, files, most)
    digests = {"model": files.digest, "train": train.digest, "test": test.digest, **rewards.digests}
    laws = tuple(digest for name, digest in rewards.digests.items() if name in ("reward/rules", "reward/judge"))
    sources = tuple(source._replace(constitutions=laws) for source in split.sources)
    run_record = settings_snapshot("best_of", settings, digests)
    return BestOfJob(settings, out, files, tokenizer, encoder, train, test, run_record, sources)


def _room(settings: BestOf) -> int:
    """Tokens that a prompt may have. Raises InputError where there are none, and where nobody could write."""
    room = settings.max_length - settings.sampler.max_tokens
    if room < 1:
        raise InputError(
            f"sampler.max_tokens: got {settings.sampler.max_tokens}, which leaves no room for a prompt in max_length "
            f"({settings.max_length}); lower it, or raise max_length"
        )
    launch.check_engine("sampler.engine", settings.sampler.engine, launch.ENGINES)
    if settings.reward.judge:
        launch.check_engine("reward.judge.engine", settings.reward.judge.engine, launch.ENGINES)
    return room
