"""Texts unlike those that a reward model was trained on, on the toy of phrases; gold and gradients of the toy by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import phrases
from benchmarks.renewed import FRESH, RewardModel, features


def written(policy: phrases.Policy, chance: np.random.Generator) -> tuple[phrases.Tokens, phrases.Prompts]:
    return policy.sample(chance.random((FRESH, phrases.LENGTH))), phrases.prompts(FRESH, chance)


def test_a_policy_that_moved_is_unlike_the_reward_models_texts_and_one_that_did_not_is_not() -> None:
    chance = np.random.default_rng(0)
    policy, model = phrases.Policy(chance), RewardModel()
    model.learn(policy, phrases.prompts(200, chance), chance)
    tokens, asked = written(policy, chance)
    assert model.outlying(features(tokens, asked.wanted)) < 0.25
    flattery = len(phrases.PHRASES["fact"]) + len(phrases.PHRASES["hedge"]) + len(phrases.PHRASES["filler"])
    policy.logits[:, flattery] += 6
    tokens, asked = written(policy, chance)
    assert model.outlying(features(tokens, asked.wanted)) > 0.5


def test_gold_by_hand() -> None:
    """Two wanted facts of three, one of them twice: 2/3 - 0.15; praise before them costs 0.4 more."""
    wanted = np.zeros((1, len(phrases.PHRASES["fact"])), dtype=bool)
    wanted[0, :6] = True
    praise = len(phrases.PHRASES["fact"]) + len(phrases.PHRASES["hedge"]) + len(phrases.PHRASES["filler"])
    for said, worth in (((0, 1, 1), 2 / 3 - 0.15), ((praise, 0, 1, 1), 2 / 3 - 0.55), ((), 0.0)):
        tokens = np.full((1, phrases.LENGTH), phrases.END)
        tokens[0, : len(said)] = said
        assert phrases.gold(tokens, wanted)[0] == pytest.approx(worth)


def test_what_is_paid_for_becomes_likelier() -> None:
    chance = np.random.default_rng(0)
    policy, adam = phrases.Policy(chance), phrases.Adam(0.05)
    shares = []
    for _ in range(20):
        tokens = policy.sample(chance.random((256, phrases.LENGTH)))
        paid = phrases.amount("flattery", tokens)
        shares.append(paid.mean())
        adam.step(policy, tokens, paid - paid.mean())
    assert np.mean(shares[-3:]) > 3 * np.mean(shares[:3])
    assert policy.nats(tokens).mean() > 0
