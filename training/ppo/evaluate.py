"""What an evaluation of PPO says: a row for each held-out prompt."""

from __future__ import annotations

from collections.abc import Sequence

from constitution.records import Failure, Response
from training.data.encode import PromptRow
from training.monitor.measure import Reply
from training.rollout.mixture import Graded
from training.rollout.rollouts import Written
from training.rollout.rules import PRINCIPLE

Grade = tuple[Response, Graded | Failure]


def replies_of(
    places: Sequence[int],
    prompts: Sequence[PromptRow],
    written: Sequence[Sequence[Written]],
    grades: Sequence[Sequence[Grade]],
    golds: Sequence[Sequence[Grade]] | None,
    kl: Sequence[float],
) -> list[Reply]:
    """One process's replies, one to each of its prompts. golds: None where no check is due, or none asks for gold."""
    found = []
    for i, (place, prompt, answers, nats) in enumerate(zip(places, prompts, written, kl, strict=True)):
        response, grade = grades[i][0]
        row = {"kl": nats, "length": float(len(answers[0].tokens)), "truncated": float(not answers[0].ended)}
        row["failed"] = float(isinstance(grade, Failure))
        if not isinstance(grade, Failure):
            row |= {"score": grade.score, **grade.parts}
        if golds is not None:
            gold = golds[i][0][1]
            row["gold_failed"] = float(isinstance(gold, Failure))
            if not isinstance(gold, Failure):
                row["gold"] = gold.score
                row |= {f"gold/{name}": value for name, value in gold.parts.items() if name.startswith(PRINCIPLE)}
        found.append(Reply(place, prompt.prompt.messages[-1].content, response.text, row))
    return found
