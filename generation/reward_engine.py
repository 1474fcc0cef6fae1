"""A reward model in transformers: a whole conversation in, one number out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from generation.batching import Batcher, padded
from generation.chat_model import REWARD
from generation.engine import Completion, ModelError, Request, Usage, unfit
from generation.models import ModelFiles
from generation.quiet import quiet
from generation.transformers_engine import TransformersSettings, load_model, unknown_tokens


class Reward:
    """A sequence classifier of one label, in batches.

    Requests hold the ids of a conversation with the reply and the token that ends it; nothing is generated.
    """

    def __init__(self, files: ModelFiles, settings: TransformersSettings) -> None:
        """Load the model. Raises ModelError for a checkpoint that is no such classifier."""
        quiet()
        from transformers import AutoModelForSequenceClassification

        self._context = files.context
        self._model = load_model(AutoModelForSequenceClassification, files, settings)
        _check(self._model, files)
        self._batcher = Batcher(self._answer, settings.batch_size, lambda _: None)

    async def generate(self, request: Request) -> Completion:
        """No text; the reward, a plain number, is in `logprobs[REWARD]`."""
        return unfit(request, self._context) or unknown_tokens(request, self._model) or await self._batcher.ask(request)

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
            hidden = self._model.base_model(
                ids.to(device), attention_mask=mask.to(device), use_cache=False
            ).last_hidden_state
            rewards = self._model.score(hidden[torch.arange(len(requests), device=device), last])[:, 0].tolist()
        return [
            Completion("", logprobs={REWARD: reward}, usage=Usage(len(r.tokens)))
            for r, reward in zip(requests, rewards, strict=True)
        ]


def _check(model: Any, files: ModelFiles) -> None:
    """Refuse checkpoints of other kinds, for which transformers has invented a head. Raises ModelError."""
    kind = ", ".join(model.config.architectures or ["unknown"])
    if not kind.endswith("ForSequenceClassification") or model.config.num_labels != 1 or not hasattr(model, "score"):
        raise ModelError(
            f"model {files.path}: is no reward model (got {kind} with {model.config.num_labels} labels); allowed is a causal "
            "model with a head on its last token, saved as AutoModelForSequenceClassification with num_labels=1"
        )
