"""A policy in an episode: it is asked, its calls are answered from the table, and so on until it answers in words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from constitution.records import Failure, Message, Prompt
from critics.rules.tool_calls import invalid_call
from evaluation.episodes.table import Episode, Episodes
from evaluation.sampling import draw_or_fail
from generation.config import Plan
from generation.models.chat_model import ChatModel

TURNS = 6
"""Most turns of a policy; one that still calls then has not finished."""
OWN = ("empty", "malformed_tool_call", "thoughts_only", "truncated")
"""Reasons of a failure that are the policy's own: the episode is lost. Others say nothing of it."""


class Played(NamedTuple):
    """What became of an episode."""

    episode: Episode
    messages: tuple[Message, ...]
    """From the question on."""
    calls: int = 0
    valid: int = 0
    """Of the calls, those of tools on offer with arguments that fit."""
    needed: int = 0
    """Of the calls, the first of each that the episode needs."""
    final: str | None = None
    """The answer in words; None where there is none."""

    @property
    def success(self) -> bool:
        """The answer is right, and where calls were needed, it rests on them all."""
        grounded = self.needed == len(self.episode.calls)
        return grounded and self.final is not None and self.episode.answered(self.final)

    @property
    def needless(self) -> int:
        """Calls that served nothing."""
        return self.calls - self.needed


async def play(
    policy: ChatModel,
    found: Episodes,
    chosen: Sequence[Episode],
    plan: Plan,
    done: Callable[[str, bool], object] = lambda *_: None,
) -> list[Played | Failure]:
    """All episodes. A Failure says nothing of the policy: the model could not be asked.

    done: is told the id of each episode's prompt as it ends, and whether it failed.
    """
    rows = asyncio.Semaphore(64)

    async def one(episode: Episode) -> Played | Failure:
        async with rows:
            played = await _play(policy, found.prompt(episode), episode, plan)
            done(f"episode/{episode.id}", isinstance(played, Failure))
            return played

    return [*await asyncio.gather(*map(one, chosen))]


async def _play(policy: ChatModel, first: Prompt, episode: Episode, plan: Plan) -> Played | Failure:
    messages = [*first.messages]
    calls = valid = 0
    met = set[int]()
    for turn in range(TURNS):
        prompt = first.model_copy(update={"id": f"{first.id}/{turn}", "messages": tuple(messages)})
        drawn = await draw_or_fail(policy, prompt, 0, plan)
        if isinstance(drawn, Failure):
            if drawn.reason not in OWN:
                return drawn
            return Played(episode, tuple(messages), calls, valid, len(met))
        message = _named(drawn[0].message, turn)
        messages.append(message)
        if not message.tool_calls:
            return Played(episode, tuple(messages), calls, valid, len(met), message.content)
        for call in message.tool_calls:
            alone = message.model_copy(update={"tool_calls": (call,)})
            calls += 1
            valid += invalid_call(first, alone) is None
            met |= {number for number in (episode.needed(call.function),) if number is not None}
            said = episode.result(call.function)
            messages.append(Message(role="tool", content=said, tool_call_id=call.id, name=call.function.name))
    return Played(episode, tuple(messages), calls, valid, len(met))


def _named(message: Message, turn: int) -> Message:
    """With an id for each call that has none, by which its result answers it."""
    calls = [
        call if call.id else call.model_copy(update={"id": f"call{turn:04d}{k:01d}"})
        for k, call in enumerate(message.tool_calls)
    ]
    return message.model_copy(update={"tool_calls": tuple(calls)})
