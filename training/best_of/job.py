"""Settings of best-of-N -> a job that is checked through before a response is written or any weights load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.errors import Problems
from generation.calls.reading import StoredCalls
from generation.engines.checkpoint import ModelFiles
from generation.models.encoder import Encoder
from generation.models.files import resolve
from generation.output.folder import day_of
from generation.pipeline.session import CALLS
from training.best_of.config import BestOf
from training.data import encode as data
from training.data import rows
from training.data.batches import Example
from training.data.template import chat_encoder, examine_rows
from training.model import launch
from training.model.checkpoint.examine import check_tokens
from training.model.quantized import reading
from training.rollout.rewards import CONSTITUTIONS, open_rewards
from training.rollout.rollouts import room_for_prompts
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
    train: data.EncodedSplit
    """Prompts."""
    test: data.EncodedSplit
    run_record: dict[str, Any]
    """training.yaml."""
    sources: tuple[rows.Source, ...]


def prepare(settings: BestOf, out: Path) -> BestOfJob:
    """Read, render and check everything before any model loads. Raises UserError with every problem that is found."""
    launch.sharded()
    problems, day = Problems(), day_of(out)
    with problems.collect():
        output.check(out)
    with problems.collect():
        reading.check(settings)
    with problems.collect():
        launch.check_engine("sampler.engine", settings.sampler.engine, launch.ENGINES)
    for place, judge in (("judge", settings.reward.judge), ("compare", settings.reward.compare)):
        if judge:
            with problems.collect():
                launch.check_judges(f"reward.{place}", judge.run())
    rewards = None
    with problems.collect():
        rewards = open_rewards(settings.reward, settings.seed, day=day)
    with problems.collect(setting="reuse"):
        StoredCalls([Path(folder) / CALLS for folder in settings.reuse]).close()
    with problems.collect():
        files = resolve(settings.model)
        tokenizer, encoder = chat_encoder(files, settings, day)
        settings = settings.model_copy(update={"max_length": min(settings.max_length, files.context)})
        room = room_for_prompts(settings.max_length, settings.sampler.max_tokens)
    problems.check()
    assert rewards is not None
    split = rows.prompts(settings, rewards.columns)
    examine_rows(files, encoder, (row for part in split for row in part), thinks=encoder.thinks)
    train, test = (data.encode_prompts(part, encoder, room) for part in split)
    split.tell(train.counts, test.counts)
    examined = job.tell_examined(files, tokenizer, settings, "policy")
    check_tokens((row.tokens for part in (train, test) for row in part.rows), examined.vocabulary, tokenizer, files)
    data.check_some(train, settings)
    job.check_eval_rows(settings, test)
    # the most and the longest rows that can come of the prompts
    response = range(settings.sampler.max_tokens)
    most = [data.TargetRow(row.prompt.id, Example(row.tokens, (response,)), 1.0) for row in train.rows] * settings.keep
    job.order_of_rows(settings, files, most)
    digests = {"model": files.digest, "train": train.digest, "test": test.digest, **rewards.digests}
    constitutions = tuple(digest for name, digest in rewards.digests.items() if name in CONSTITUTIONS)
    sources = tuple(source._replace(constitutions=constitutions) for source in split.sources)
    run_record = settings_snapshot("best_of", settings, digests, day)
    return BestOfJob(settings, out, files, tokenizer, encoder, train, test, run_record, sources)
