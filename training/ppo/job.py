"""Settings of PPO -> a job that is checked through before any weights load."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from constitution.errors import Problem, Problems, UserError
from constitution.loading import load
from critics.transcript import message_text
from evaluation.texts import grams
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.models.encoder import Encoder
from generation.models.files import resolve
from generation.output.folder import day_of
from training.config import RecipeName, Training
from training.data import encode as data
from training.data import rows
from training.data.batches import Example
from training.data.template import chat_encoder
from training.model import launch
from training.model.checkpoint.examine import check_tokens
from training.model.loading import choose_layout
from training.model.memory import estimate as memory
from training.model.quantized import reading
from training.ppo.config import PPO
from training.rollout.config import Rewards
from training.rollout.rewards import RewardSum, open_rewards
from training.rollout.rollouts import room_for_prompts
from training.run import folder as output
from training.run import rank
from training.run.job import tell_examined
from training.run.snapshot import settings_snapshot


@dataclass(frozen=True, slots=True)
class PPOJob:
    """Everything that is known before weights load."""

    settings: PPO
    out: Path
    files: ModelFiles
    critic: ModelFiles | None
    """What the critic starts from; None without a critic."""
    tokenizer: Any
    encoder: Encoder
    rewards: RewardSum
    gold: RewardSum | None
    """What the monitor holds the rewards against."""
    reference: frozenset[int]
    """n-grams of what the reward models were trained on; empty where nobody says what that was."""
    train: data.EncodedSplit
    test: data.EncodedSplit
    steps: int
    """Iterations."""
    run_record: dict[str, Any]
    """training.yaml."""
    sources: tuple[rows.Source, ...]
    recipe: RecipeName = "ppo"
    """What learns from the responses."""

    def prompts(self, iteration: int) -> list[data.PromptRow]:
        """Those of one iteration: a function of seed and iteration alone. In a pass over the prompts none comes twice."""
        s, count = self.settings, len(self.train.rows)
        epoch, turn = divmod(iteration, count // s.prompts)
        order = np.random.default_rng([s.seed, epoch]).permutation(count)
        return [self.train.rows[i] for i in order[turn * s.prompts : (turn + 1) * s.prompts]]

    def other_prompt(self, iteration: int, turn: int, place: int) -> data.PromptRow | None:
        """One to ask in place of that of a place, which differs for each place and turn; None where all were asked."""
        asked = {row.prompt.id for row in self.prompts(iteration)}
        rest = [row for row in self.train.rows if row.prompt.id not in asked]
        order = np.random.default_rng([self.settings.seed, iteration, 1]).permutation(len(rest))
        number = turn * self.settings.prompts + place
        return rest[order[number]] if number < len(rest) else None

    def held_out(self) -> list[data.PromptRow]:
        """Prompts of an evaluation."""
        return self.test.rows[: self.settings.evaluated]

    @property
    def counts(self) -> output.Counts:
        """What became of the rows that were read."""
        return {"train": self.train.counts, "test": self.test.counts}


def prepare(settings: PPO, out: Path) -> PPOJob:
    """Read, render and check everything before any weights load. Raises UserError with every problem that is found."""
    problems, day = Problems(), day_of(out)
    with problems.collect():
        launch.sharded()
        launch.refuse_zero("distributed_type", "got DEEPSPEED, and PPO's models are spread by FSDP2 alone")
    with problems.collect():
        output.check(out)
    with problems.collect():
        reading.check(settings)
    _check_engines(settings, problems)
    rewards = gold = None
    with problems.collect():
        rewards = open_rewards(settings.reward, settings.seed, day=day)
    if settings.monitor.gold:
        with problems.collect():
            gold = open_rewards(settings.monitor.gold, settings.seed, key="monitor.gold", day=day)
    reference: frozenset[int] = frozenset()
    with problems.collect():
        reference = _reference(settings)
    with problems.collect():
        files = resolve(settings.model)
        tokenizer, encoder = chat_encoder(files, settings, day)
        settings = settings.model_copy(update={"max_length": min(settings.max_length, files.context)})
        room = room_for_prompts(settings.max_length, settings.sampler.max_tokens)
    problems.check()
    assert rewards is not None
    if settings.monitor.gold and gold:
        _apart(_items(settings.reward, rewards), _items(settings.monitor.gold, gold))
    split = rows.prompts(settings, rewards.columns | (gold.columns if gold else frozenset()))
    train, test = (data.encode_prompts(part, encoder, room) for part in split)
    split.tell(train.counts, test.counts)
    data.check_some(train, settings)
    _check_counts(settings, len(train.rows), len(test.rows))
    examined = tell_examined(files, tokenizer, settings, "policy")
    check_tokens((row.tokens for part in (train, test) for row in part.rows), examined.vocabulary, tokenizer, files)
    critic = _critic(settings, files, tokenizer)
    if critic:
        tell_examined(critic, tokenizer, settings, "critic")
    _check_memory(settings, files, critic, train)
    count = len(train.rows)
    steps = settings.steps or max(1, round(settings.epochs * (count // settings.prompts)))
    digests = {"model": files.digest, "train": train.digest, "test": test.digest, **rewards.digests}
    if critic:
        digests["critic"] = critic.digest
    if gold:
        digests |= {f"gold/{name.removeprefix('reward/')}": digest for name, digest in gold.digests.items()}
    run_record = settings_snapshot("ppo", settings, digests, day)
    return PPOJob(
        settings, out, files, critic, tokenizer, encoder, rewards, gold, reference, train, test, steps, run_record,
        split.sources,
    )  # fmt: skip


def _check_engines(settings: PPO, problems: Problems) -> None:
    """Note engines that cannot start where several processes train."""
    for key, rewards in (("reward", settings.reward), ("monitor.gold", settings.monitor.gold)):
        for place, judge in (("judge", rewards.judge), ("compare", rewards.compare)) if rewards else ():
            if judge:
                with problems.collect():
                    launch.check_judges(f"{key}.{place}", judge.run())


def _check_counts(settings: PPO, train: int, test: int) -> None:
    """train, test: numbers of prompts. Raises UserError where there are too few of either."""
    problems = Problems()
    if settings.monitor.gold and not test:
        fix = f"raise test_fraction (now {settings.test_fraction})"
        problems.add("", "monitor.gold", "there is no held-out prompt to ask it about", fix=fix)
    if settings.prompts > train:
        got = f"got {settings.prompts}, and there are {train} to train on"
        problems.add("", "prompts", got, fix="lower prompts, or add data")
    problems.check()


def _items(settings: Rewards, opened: RewardSum) -> dict[str, dict[Hashable, str]]:
    """What tells one reward from another, by kind: each with its place in the settings.

    rules: what they check, whatever they are called. models: reward models, a judge's panel's among them. judge: each other judge
    under each principle, so that one model under two constitutions is two.
    """
    found: dict[str, dict[Hashable, str]] = {"rules": {}, "models": {}, "judge": {}}
    digests = {name.removeprefix("reward/"): digest for name, digest in opened.digests.items()}
    found["models"] = {digest: name for name, digest in digests.items() if name.startswith("models.")}
    if settings.rules:
        found["rules"] = _checks(settings.rules.constitution, "rules")
    if settings.compare:
        found["rules"] |= _checks(settings.compare.constitution, "compare")
    for kind, judge in (("judge", settings.judge), ("compare", settings.compare)):
        if judge is None:
            continue
        judged = [principle for principle in load(judge.constitution).principles if principle.judged]
        members = {member.name: member for member in judge.panel}
        for place, digest in digests.items():
            member = members.get(place.removeprefix(f"{kind}."))
            if member and member.rewards:
                found["models"][digest] = place
            elif place.startswith(f"{kind}."):
                own = member.principles if member else ()
                found["judge"] |= {(digest, p.text): kind for p in judged if not own or p.id in own}
    return found


def _checks(constitution: str, place: str) -> dict[Hashable, str]:
    """What the rules of a constitution check."""
    checks = (principle.check for principle in load(constitution).principles)
    return {check.model_dump_json(): place for check in checks if check}


def _apart(reward: Mapping[str, Mapping[Hashable, str]], gold: Mapping[str, Mapping[Hashable, str]]) -> None:
    """Raises UserError for gold of which a part is trained on: that part would rise whatever the policy is worth. A part that is
    trained on to some extent is told.
    """
    for kind, held in gold.items():
        trained = reward[kind]
        shared = [name for item, name in held.items() if item in trained]
        whole = {"rules": held.keys() == trained.keys(), "models": True, "judge": held.keys() <= trained.keys()}
        if shared and whole[kind]:
            got = f"{shared[0]} is the same as the reward's, and gold must be independent of what is trained on"
            raise UserError(Problem("", "monitor.gold", got, fix="name another"))
        if shared and rank.first():
            what = {"rules": "rules", "judge": "judges' principles"}[kind]
            rank.tell(
                f"monitor.gold: {len(shared)} of its {len(held)} {what} are the reward's too; by these it rises even if the "
                "policy does not improve"
            )


def _reference(settings: PPO) -> frozenset[int]:
    """n-grams of what the reward models were trained on. Raises UserError for data that cannot be read."""
    if not settings.monitor.reference:
        return frozenset()
    try:
        found = rows.pairs(Training(data=dict.fromkeys(settings.monitor.reference, 1.0), test_fraction=0))
    except UserError as error:
        raise UserError(problem.named_by("monitor.reference") for problem in error.problems) from None
    said = (message for part in found for pair in part for message in (*pair.chosen, *pair.rejected))
    return grams(message_text(message) for message in said if message.role == "assistant")


def _critic(settings: PPO, files: ModelFiles, tokenizer: Any) -> ModelFiles | None:
    """The model that the critic starts from. Raises UserError for one with other tokens than the policy's."""
    if settings.baseline == "group":
        return None
    models = settings.reward.models
    spec = settings.critic or (models.paths[0] if models else None)
    if spec is None:
        return files
    found = resolve(spec)
    if load_tokenizer(found).get_vocab() == tokenizer.get_vocab():
        return found
    if settings.critic:
        got = f"{spec} has other tokens than the policy {files.name}, whose responses it must read token by token"
        raise UserError(Problem("", "critic", got, fix="name a model of the same family, or leave critic out"))
    return files


def held_beside(files: ModelFiles, critic: ModelFiles | None, settings: PPO) -> int:
    """Bytes that PPO's other models take beside the policy that is trained."""
    held = memory.estimate(critic, settings, 0).weights if critic else 0
    # the reference and the sampler's copy, in bfloat16; with an adapter both are the policy's own weights
    return held + (4 * memory.parameters(files) if settings.lora is None else 0)


def _check_memory(settings: PPO, files: ModelFiles, critic: ModelFiles | None, train: data.EncodedSplit) -> None:
    """Raises UserError where the largest micro-batch will not fit beside all the models that PPO holds."""
    prompts = sorted((row.tokens for row in train.rows), key=len, reverse=True)
    response = range(settings.sampler.max_tokens)
    examples = [Example(tokens, (response,)) for tokens in prompts[: settings.micro_batch_size]]
    order = [i % len(examples) for i in range(settings.micro_batch_size)]
    free = max(0, memory.available() - held_beside(files, critic, settings))
    memory.check(files, settings, examples, order, choose_layout(files, settings), free)
