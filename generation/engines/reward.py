"""A reward model in transformers: a whole conversation in, one number out for each of its heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from generation.engines.base import Completion, ModelError, Request, Usage, validate_request
from generation.engines.batching import Batcher, padded
from generation.engines.checkpoint import ModelFiles, load_config, trunk
from generation.engines.quiet import quiet
from generation.engines.transformers import TransformersSettings, load_model, unknown_tokens

REWARD = "reward"
"""Label under which a reward model answers."""
HEADS = "reward_heads"
"""Where a model's configuration says that its labels are so many heads of one ensemble, each a reward of its own."""


class Reward:
    """A sequence classifier of one label, or of several that its configuration says are heads of an ensemble, in batches.

    Requests hold the ids of a conversation with the response and the token that ends it; nothing is generated.
    """

    def __init__(self, files: ModelFiles, settings: TransformersSettings) -> None:
        """Load the model. Raises ModelError for a checkpoint that is no such classifier."""
        quiet()
        from transformers import AutoModelForSequenceClassification

        check(load_config(files), files)
        self._context = files.context
        self._model = load_model(AutoModelForSequenceClassification, files, settings)
        if not hasattr(self._model, "score"):
            raise _none(type(self._model).__name__, self._model.config, files)
        self._batcher = Batcher(self._answer, settings.batch_size, lambda _: None)

    async def generate(self, request: Request) -> Completion:
        """No text; the reward, the mean of the heads, is in `logprobs[REWARD]`, and each head's beside it (`head_rewards`)."""
        return (
            validate_request(request, self._context)
            or unknown_tokens(request, self._model)
            or await self._batcher.ask(request)
        )

    async def close(self) -> None:
        """Stop the worker thread when its batch is done. Requests still waiting raise TransientError."""
        await self._batcher.close()

    def _answer(self, requests: Sequence[Request]) -> list[Completion]:
        """One batch. The hidden state is taken at each row's last token by its length.

        The model's own forward takes the last token that is not the padding token, and so the wrong one where padding
        equals the token that ends a turn.
        """
        import torch

        ids, mask = padded(requests)
        device = self._model.device
        last = torch.tensor([len(r.tokens) - 1 for r in requests], device=device)
        with torch.inference_mode():
            hidden = trunk(self._model)[1](
                ids.to(device), attention_mask=mask.to(device), use_cache=False
            ).last_hidden_state
            rewards = self._model.score(hidden[torch.arange(len(requests), device=device), last]).tolist()
        return [
            Completion("", logprobs=_named(heads), usage=Usage(len(r.tokens)))
            for r, heads in zip(requests, rewards, strict=True)
        ]


def head_rewards(logprobs: Mapping[str, float]) -> list[float]:
    """The reward by each head, in order, from what a reward model answered; one number where it has one head."""
    heads = [logprobs[name] for name in (f"{REWARD}/{i}" for i in range(len(logprobs))) if name in logprobs]
    return heads or [logprobs[REWARD]]


def _named(heads: Sequence[float]) -> dict[str, float]:
    if len(heads) == 1:
        return {REWARD: heads[0]}
    return {REWARD: sum(heads) / len(heads), **{f"{REWARD}/{i}": value for i, value in enumerate(heads)}}


def check(config: Any, files: ModelFiles) -> None:
    """Refuse the configuration of another kind of checkpoint, for which transformers would invent a head. Raises ModelError."""
    kind = ", ".join(config.architectures or ["unknown"])
    if not kind.endswith("ForSequenceClassification") or config.num_labels != getattr(config, HEADS, 1):
        raise _none(kind, config, files)


def _none(kind: str, config: Any, files: ModelFiles) -> ModelError:
    return ModelError(
        f"model {files.path}: is no reward model (got {kind} with {config.num_labels} labels); allowed: a causal "
        "model with a head on its last token, saved as AutoModelForSequenceClassification with num_labels=1 "
        f"(or as many as {HEADS} says, for an ensemble)"
    )
