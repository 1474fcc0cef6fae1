"""All responses of a prompt and how strong they are: the whole ranking, or a rating each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from constitution.records import Message, Vote
from critics.ranking.aggregate import Score, pooled, score
from critics.ranking.select import strengths
from critics.ranking.weights import read_weights
from generation.output.card import recorded
from generation.output.folder import WEIGHTS
from generation.output.reading import Candidate, Target, TrainingPair, read_targets, read_training_pairs, split_files
from generation.output.run import Run


class Ranked(NamedTuple):
    """A prompt's responses, the strongest first."""

    prompt_id: str
    prompt: tuple[Message, ...] | None
    """None where no row of the dataset has the prompt."""
    responses: list[tuple[Candidate, float | None]]
    """With its strength in log-odds by a Bradley-Terry fit of the votes, 0 on average; None, and last, if it was not compared."""
    objectives: dict[str, dict[str, float]]
    """Response -> objective -> its mean log-odds over the responses that it was compared with."""


def ranking_rows(run: Run) -> Iterator[dict[str, Any]]:
    """A row for each prompt: its responses from the strongest to the weakest, with rank, strength and text."""
    for found in ranked(run):
        known = [strength for _, strength in found.responses if strength is not None]
        yield {
            "prompt_id": found.prompt_id,
            "prompt": _messages(found.prompt),
            "responses": [
                {
                    "response_id": response.id,
                    "rank": None if strength is None else 1 + sum(other > strength for other in known),
                    "strength": strength,
                    "text": response.text,
                    **_calls(response),
                    "origin": response.origin,
                    "policy": response.policy,
                }
                for response, strength in found.responses
            ],
        }


def rating_rows(run: Run) -> Iterator[dict[str, Any]]:
    """A row for each response that was compared: its strength, and what each objective says of it."""
    for found in ranked(run):
        for response, strength in found.responses:
            if strength is not None:
                yield {
                    "prompt_id": found.prompt_id,
                    "prompt": _messages(found.prompt),
                    "response_id": response.id,
                    "response": response.text,
                    **_calls(response),
                    "strength": strength,
                    "objectives": found.objectives.get(response.id, {}),
                    "origin": response.origin,
                    "policy": response.policy,
                    "truncated": response.truncated,
                    "tags": list(response.tags),
                }


def ranked(run: Run) -> Iterator[Ranked]:
    """Every prompt that has a response, in the run's order. Raises UserError."""
    votes = groupby(run.votes(), key=lambda vote: vote.prompt_id)
    scores = _Scores(run)
    prompts = _Prompts(run)
    ahead = next(votes, None)
    for name, group in groupby(run.responses(), key=lambda response: response.prompt_id):
        candidates = list(group)
        of_prompt: list[Vote] = []
        if ahead and ahead[0] == name:
            of_prompt = list(ahead[1])
            ahead = next(votes, None)
        yield _ranked(name, prompts.find(name), candidates, scores.of(of_prompt))


class _Scores:
    """Votes -> what each pair comes to, as the run combined them."""

    def __init__(self, run: Run) -> None:
        self._plan = recorded(run.folder).plan
        self._constitution = run.constitution
        path = run.folder / WEIGHTS
        self._weights = read_weights(path) if path.is_file() else None
        self._pooling = run.manifest.probability.pooling

    def of(self, votes: Sequence[Vote]) -> dict[tuple[str, str], Score]:
        """Pair of ids -> its score."""
        found = {}
        for pair, group in groupby(votes, key=lambda vote: (vote.a, vote.b)):
            combined = score(
                list(group),
                self._constitution,
                self._weights,
                self._plan.position_inconsistent,
                self._plan.early_stop_error,
                self._plan.min_log_odds,
            )
            found[pair] = pooled(combined, self._pooling) if self._pooling else combined
        return found


class _Prompts:
    """The prompts' messages, which only rows of the dataset have; they are in the run's order in each of its files."""

    def __init__(self, run: Run) -> None:
        pairs = (read_training_pairs(path, split) for split, path in split_files(run.folder, "preferences"))
        targets = (read_targets(path, split) for split, path in split_files(run.folder, "sft"))
        self._files = [*map(_prompts_of, pairs), *map(_prompts_of, targets)]
        self._heads = [next(file, None) for file in self._files]

    def find(self, name: str) -> tuple[Message, ...] | None:
        """A prompt's messages. Ask for them in the run's order."""
        found = None
        for number, head in enumerate(self._heads):
            if head and head[0] == name:
                found = head[1]
                self._heads[number] = next(self._files[number], None)
        return found


def _prompts_of(rows: Iterator[TrainingPair | Target]) -> Iterator[tuple[str, tuple[Message, ...]]]:
    for name, of_prompt in groupby(rows, key=lambda row: row.prompt_id):
        yield name, next(of_prompt).prompt


def _ranked(
    name: str,
    prompt: tuple[Message, ...] | None,
    candidates: list[Candidate],
    scores: dict[tuple[str, str], Score],
) -> Ranked:
    found_of = strengths(candidates, scores)
    order = sorted(candidates, key=lambda one: (one.id not in found_of, -found_of.get(one.id, 0.0)))
    gathered: dict[str, dict[str, list[float]]] = {}
    for (a, b), found in scores.items():
        for one, view in ((a, found), (b, found.swapped())):
            for objective, value in view.objectives.items():
                gathered.setdefault(one, {}).setdefault(objective, []).append(value)
    objectives = {
        one: {name: round(sum(values) / len(values), 6) for name, values in found.items()}
        for one, found in gathered.items()
    }
    return Ranked(name, prompt, [(one, found_of.get(one.id)) for one in order], objectives)


def _calls(response: Candidate) -> dict[str, Any]:
    """The tools that a response calls, where it calls any."""
    calls = [call.model_dump(mode="json") for call in response.tool_calls]
    return {"tool_calls": calls} if calls else {}


def _messages(prompt: tuple[Message, ...] | None) -> list[dict[str, Any]] | None:
    return [message.model_dump(mode="json", exclude_defaults=True) for message in prompt] if prompt else None
