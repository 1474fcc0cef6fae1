"""A policy's response in an evaluation, which asks no prompt again in the same run."""

from __future__ import annotations

from constitution.records import Failure, Prompt, Response
from generation.config import Plan
from generation.engines.base import Completion, TransientError
from generation.models.chat_model import ChatModel
from generation.pipeline.feedback import draw
from generation.pipeline.scheduler import UNAVAILABLE


async def draw_or_fail(
    policy: ChatModel, prompt: Prompt, index: int, plan: Plan
) -> tuple[Response, Completion] | Failure:
    """As `draw`; that the model is unavailable is a Failure, too."""
    try:
        return await draw(policy, prompt, index, plan)
    except TransientError as error:
        return Failure(prompt.id, "sample", UNAVAILABLE, str(error))
