"""What wins by the gold of `make loop-as-asked` without any training, and what the trained policy wins beside it.

    python -m benchmarks.loop_baselines --loop runs/loop-as-asked [--config configs/loop_as_asked.yaml] [--samples 4]

The base answers the loop's held-out prompts, those of a first attempt, several times. Its first response stands for the base;
against it are held, by the same gold: its second one cut to its first sentence, the shortest and the longest of the others, one
under a system hint that asks for what is trained, and the best of the others by gold, which only gold can choose. The policy of
the loop's last kept round is held against the base on the same prompts with several draws, and on other kinds of instructions,
which no training has seen.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import common
from constitution.loading import load as load_constitution
from constitution.principles import Constitution
from constitution.records import Message, Prompt
from critics.ranking.weights import Estimate
from critics.rules.check import violates
from evaluation.policy.winrate import win_rate
from generation.config import RunConfig
from generation.data import prompts as reading
from generation.models.factory import chat_model, model_spec
from generation.pipeline.feedback import draw, with_system_hint
from generation.pipeline.session import CALLS, Session
from generation.roles import POLICY
from training.loop.inputs import load
from training.loop.record import DONE, Outcome, read

HINT = (
    "Do exactly what the user asks. Use every word that is asked for, begin and end as asked, keep to the form, and name the thing "
    "that is asked about."
)
OTHER_KINDS = "principles/prompts/as_asked_other_kinds.jsonl"
SEEDS = 3
"""Of the policy's and the base's responses."""


class Drawn(NamedTuple):
    """Responses of the base to one prompt."""

    prompt: Prompt
    base: str
    others: Sequence[str]
    hinted: str


BASELINES: Mapping[str, Callable[[Drawn, Constitution], str]] = {
    "the base's text, cut to its first sentence": lambda drawn, _: first_sentence(drawn.others[0]),
    "the shortest of the base's responses": lambda drawn, _: min(drawn.others, key=len),
    "the longest of the base's responses": lambda drawn, _: max(drawn.others, key=len),
    "the base under a system hint": lambda drawn, _: drawn.hinted,
    "the best of the base's responses, by gold itself": lambda drawn, gold: max(
        drawn.others, key=lambda text: score(gold, drawn.prompt, text)
    ),
}


def main(given: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loop", type=Path, required=True, metavar="FOLDER", help="a loop that has ended")
    parser.add_argument(
        "--config", type=Path, default=common.ROOT / "configs" / "loop_as_asked.yaml", help="its settings"
    )
    parser.add_argument("--samples", type=int, default=4, help="responses of the base beside the first")
    parser.add_argument("--engine", default="", help="in place of the settings'")
    options = parser.parse_args(given)
    config = load(options.config, [f"evaluation.settings.engine={options.engine}"] if options.engine else [])
    evaluation = config.evaluation
    gold = load_constitution(Path(evaluation.gold))
    asked = read_prompts(evaluation.prompts)[: evaluation.prompts_per_attempt]
    outcome = read(options.loop / DONE, Outcome)
    run, out = evaluation.settings, options.loop / "baselines"
    out.mkdir(parents=True, exist_ok=True)
    others = read_prompts(OTHER_KINDS)
    hinted = [hint(prompt) for prompt in asked]
    wanted = [(asked, 1 + options.samples), (hinted, 1), (others, SEEDS)]
    plain, under_hint, plain_others = asyncio.run(sampled(run, config.model, wanted, out))
    drawn = [Drawn(p, texts[0], texts[1:], other[0]) for p, texts, other in zip(asked, plain, under_hint, strict=True)]
    for name, choose in BASELINES.items():
        tell(name, wins(gold, [(one.prompt, choose(one, gold), one.base) for one in drawn]))
    if outcome is None or not outcome.accepted:
        print("the loop kept no round")
        return
    policy = str(options.loop / outcome.policy)
    own, own_others = asyncio.run(sampled(run, policy, [(asked, SEEDS), (others, SEEDS)], out))
    for title, rows, ours, base in (
        ("the policy", asked, own, plain),
        ("the policy, other kinds of instructions", others, own_others, plain_others),
    ):
        each = [
            wins(gold, [(row, x[seed], y[seed]) for row, x, y in zip(rows, ours, base, strict=True)])
            for seed in range(SEEDS)
        ]
        tell(title, each[0])
        shares = [100 * one.value for one in each]
        note = ", ".join(f"{share:.1f}" for share in shares)
        common.show(title, float(np.mean(shares)), "%", "-", f"mean of {SEEDS} draws", note=note)


def tell(name: str, found: Estimate) -> None:
    """One row of the table."""
    interval = (100 * found.low, 100 * found.high)
    common.show(name, 100 * found.value, "%", "-", "gold win rate over the base", interval)
    print(f"{'':62} [{interval[0]:.1f}, {interval[1]:.1f}]")


def read_prompts(path: str) -> list[Prompt]:
    """Rows that are prompts."""
    return [row for row in reading.read(path) if isinstance(row, Prompt)]


def hint(prompt: Prompt) -> Prompt:
    """The same under the system hint."""
    messages = with_system_hint(prompt.messages, HINT)
    return prompt.model_copy(update={"id": f"{prompt.id}-hinted", "messages": messages})


def first_sentence(text: str) -> str:
    """As a text is cut that knows nothing of what was asked."""
    return re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0]


def score(gold: Constitution, prompt: Prompt, text: str) -> float:
    """Weight of gold's rules that a response keeps; one that breaks a veto is worse than any other."""
    message, found = Message(role="assistant", content=text), 0.0
    for principle in gold.principles:
        kept = violates(principle.check, prompt, message) is None if principle.check else True
        found += (0.0 if kept else -100.0) if principle.veto else principle.weight * kept
    return found


def wins(gold: Constitution, compared: Sequence[tuple[Prompt, str, str]]) -> Estimate:
    """How often the first text beats the second, a tie being half, with the interval over prompts."""
    differences = [score(gold, prompt, one) - score(gold, prompt, other) for prompt, one, other in compared]
    return win_rate(0.5 + 0.5 * np.sign(differences))


async def sampled(
    run: RunConfig, model: str, wanted: Sequence[tuple[Sequence[Prompt], int]], out: Path
) -> list[list[list[str]]]:
    """A model's responses as the loop's evaluations draw them, an empty text where there is none; their calls are kept in `out`.

    wanted: prompts, and how many responses to each. Gives for each of these [prompts][responses].
    """
    async with Session(out / CALLS, prompts=sum(len(asked) for asked, _ in wanted)) as session:
        policy = chat_model(run, model_spec(run.roles()[POLICY]._replace(model=model, vllm=run.vllm)), session.wrap)

        async def one(prompt: Prompt, index: int) -> str:
            found = await draw(policy, prompt, index, run.plan)
            return found[0].text if isinstance(found, tuple) else ""

        async def each(prompt: Prompt, count: int) -> list[str]:
            texts = await asyncio.gather(*(one(prompt, i) for i in range(count)))
            session.prompt_done(prompt.id, failed=False)
            return [*texts]

        await session.preflight(policy)
        return [[*await asyncio.gather(*(each(prompt, count) for prompt in asked))] for asked, count in wanted]


if __name__ == "__main__":
    main()
