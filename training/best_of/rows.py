"""`best.jsonl`: the responses that are imitated, as rows; and the count of everything that did not become one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import Field, FiniteFloat, JsonValue

from constitution.errors import Problem, UserError
from constitution.records import Message, Response, Strict
from critics.text import thoughts
from generation.data.record import BadRow
from generation.data.source import source
from generation.output.dataset import SPLITS
from generation.output.files import write_atomically
from training.best_of.responses import Outcome
from training.data.columns import RowPrompt, Target

FILE = "best.jsonl"
FIXES: Mapping[str, str] = {
    "dropped_alike": "raise samples or sampler.temperature, lower min_gain, or set a reward that tells responses apart",
    "failed_truncated": "raise sampler.max_tokens, or set sampler.keep_truncated: true",
    "failed_no_principle": "set a constitution whose principles apply to these prompts",
}
"""What keeps prompts from teaching anything -> what to do about it."""


class BestRow(Strict):
    """A line of the file; its columns are those of sft, and more. Those at their defaults are left out."""

    prompt: tuple[Message, ...]
    """The conversation that the response answers."""
    completion: tuple[Message]
    """The response to imitate."""
    score: FiniteFloat
    """Its reward."""
    mean: FiniteFloat
    """Mean reward of the prompt's responses."""
    sample: int
    """Which of the prompt's samples it is, from 0."""
    responses: int
    """The prompt's responses that have a reward."""
    prompt_id: str
    """Id of the prompt."""
    split: str
    """`train` or `test`; no prompt is in both."""
    completion_truncated: bool = False
    """max_tokens ended the response, not its author."""
    tools: tuple[dict[str, JsonValue], ...] = ()
    """JSON-schema descriptions of the prompt's tools."""
    tags: tuple[str, ...] = ()
    """The prompt's."""
    chat_template_kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    """What the chat template is told of the row."""

    @property
    def target(self) -> Target:
        """As it is trained on."""
        prompt = RowPrompt(self.prompt_id, self.prompt, self.tools, self.tags, self.chat_template_kwargs)
        return Target(prompt, self.completion, 1.0, self.completion_truncated)


def write(path: Path, made: Mapping[str, Sequence[Outcome]]) -> None:
    """A line for each response that is imitated. made: split -> its prompts."""
    rows = (row for split in SPLITS for one in made[split] for row in _rows(one, split))
    lines = (json.dumps(row.model_dump(mode="json", exclude_defaults=True)) + "\n" for row in rows)
    write_atomically(path, "".join(lines))


def _rows(one: Outcome, split: str) -> Iterable[BestRow]:
    for number, response, score in one.choice.kept:
        yield BestRow(
            prompt=one.prompt.messages,
            completion=(_imitated(response),),
            score=score,
            mean=one.choice.mean,
            sample=number,
            responses=len(one.responses),
            prompt_id=one.prompt.id,
            split=split,
            completion_truncated=response.truncated,
            tools=one.prompt.tools,
            tags=one.prompt.tags,
            chat_template_kwargs=one.prompt.template_kwargs,
        )


def _imitated(response: Response) -> Message:
    """What was written, thoughts and all: an answer alone would be learnt where the policy has not thought yet."""
    thought = thoughts.split(response.raw).thoughts
    return response.message.model_copy(update={"reasoning_content": thought})


def read(path: Path) -> dict[str, list[Target]]:
    """Split -> what is imitated. Raises UserError where the file is damaged."""
    found: dict[str, list[Target]] = {split: [] for split in SPLITS}
    for record in source(str(path)).one()[0]():
        if isinstance(record.row, BadRow):
            raise UserError(record.row.at(record.place))
        row = BestRow.model_validate(record.row)
        found[row.split].append(row.target)
    return found


def counted(prompts: Mapping[str, int], made: Sequence[Outcome]) -> Counter[str]:
    """prompts_read = prompts_kept + all prompts_dropped_*; responses_asked = responses_graded + all responses_failed_*.

    prompts: counts of those that were read.
    """
    counts = Counter({f"prompts_{name}": n for name, n in prompts.items() if name != "kept"})
    counts["prompts_kept"] = sum(not one.choice.dropped for one in made)
    counts.update(f"prompts_dropped_{one.choice.dropped}" for one in made if one.choice.dropped)
    counts["responses_asked"] = sum(len(one.responses) + len(one.failures) for one in made)
    counts["responses_graded"] = sum(len(one.responses) for one in made)
    counts.update(f"responses_failed_{failure.reason}" for one in made for failure in one.failures)
    return counts


def lost(counts: Mapping[str, int]) -> dict[str, int]:
    """`dropped_REASON` of prompts, `failed_REASON` of responses -> how many."""
    return {
        name.partition("_")[2]: n
        for name, n in counts.items()
        if name.startswith(("prompts_dropped_", "responses_failed_"))
    }


def nothing(counts: Mapping[str, int]) -> Problem:
    """Why no response is left to imitate, and what to do."""
    reasons = lost(counts)
    listed = ", ".join(
        f"{name.replace('_', ' ')} {n}" for name, n in sorted(reasons.items(), key=lambda item: -item[1])
    )
    fixes = [fix for name, fix in FIXES.items() if name in reasons]
    got = f"no response is left to imitate of {counts['prompts_read']} prompts to train on ({listed})"
    return Problem("", got=got, fix=", or ".join(fixes) or "see why responses have no reward")
