"""Who writes which of a prompt's samples."""

from collections import Counter

import pytest

from constitution.records import Message, Prompt
from generation.engines.replay import Replay
from generation.models.chat_model import ChatModel
from generation.models.policies import Policy, draws

MODEL = ChatModel("m", "digest", Replay.pseudo(), None, 0)


def prompt(name: int) -> Prompt:
    return Prompt(id=f"p{name}", messages=(Message(role="user", content="hi"),))


def policies(**shares: float) -> list[Policy]:
    return [Policy(MODEL, name, share) for name, share in shares.items()]


def counts(found: list[Policy], samples: int, name: int = 0) -> Counter[str]:
    return Counter(one.policy.name for one in draws(found, prompt(name), samples, 0))


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 7])
def test_every_prompt_has_the_shares_rounded_and_all_prompts_have_them_exactly(samples: int) -> None:
    found = policies(a=2, b=1, c=0.5)
    prompts = [counts(found, samples, i) for i in range(600)]
    for policy in found:
        expected = samples * policy.share / 3.5
        seen = [one[policy.name] for one in prompts]
        assert set(seen) <= {int(expected), int(expected) + 1}
        assert sum(seen) / len(seen) == pytest.approx(expected, abs=0.08)
    assert {one.total() for one in prompts} == {samples}


def test_any_two_policies_meet() -> None:
    met = {tuple(sorted(counts(policies(a=1, b=1, c=1, d=1), 2, i))) for i in range(200)}
    assert met == {("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")}


def test_each_policy_counts_its_own_samples() -> None:
    (alone,) = draws([Policy(MODEL)], prompt(0), 1, 0)
    assert alone == (Policy(MODEL), 0)
    found = draws(policies(a=1, b=1), prompt(0), 4, 0)
    assert [(one.policy.name, one.number) for one in found] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_the_seed_draws_others() -> None:
    one, other = ([draws(policies(a=1, b=1), prompt(i), 1, seed)[0].policy.name for i in range(50)] for seed in (0, 1))
    assert one != other
