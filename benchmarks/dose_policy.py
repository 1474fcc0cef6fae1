"""A policy whose adapters are many and cheap: what the dose-response benchmark trains and samples, all in one process.

The layers below the adapted ones never change, so their results for a text are computed once and serve every arm. A prompt and
its responses are one row: each response sees the prompt and itself, so that prompts are computed once, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from generation.models.files import resolve
from training.recipes.losses import dpo

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Reply(NamedTuple):
    """A sampled response."""

    tokens: tuple[int, ...]
    """With the end of the turn, unless it was cut."""
    text: str


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch of prompts with their responses, packed."""

    ids: Tensor
    """[rows, tokens], padded on the right."""
    positions: Tensor
    """[rows, tokens]; each response continues its prompt."""
    mask: Tensor
    """[rows, 1, tokens, tokens]; True where a token is seen."""
    source: Tensor
    """[predicted] index into rows x tokens of what predicts each token of a response."""
    target: Tensor
    """[predicted] those tokens."""
    owner: Tensor
    """[predicted] which response a token is of: row times responses a row, plus its number."""
    responses: int
    """In all rows."""


class Policy:
    """A causal language model of Llama's form, with LoRA on its upper layers."""

    def __init__(self, spec: str, upper: int, rank: int) -> None:
        path = str(resolve(spec).path)
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16).eval().requires_grad_(False)
        self.lower = max(0, len(self.model.model.layers) - upper)
        layers = list(range(self.lower, len(self.model.model.layers)))
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS, layers_to_transform=layers)
        inject_adapter_in_model(config, self.model)
        self.adapters = [module for module in self.model.modules() if isinstance(module, LoraLayer)]
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Adapters that change nothing, drawn anew."""
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self._weights():
            weight.data = weight.data.float()
            if "lora_B" in name:
                weight.data.zero_()
            else:
                bound = 1 / math.sqrt(weight.shape[1])
                weight.data.uniform_(-bound, bound, generator=generator)
            weight.requires_grad_()

    def switch(self, on: bool) -> None:
        """The policy, or the base that it started from."""
        for adapter in self.adapters:
            adapter.enable_adapters(on)

    def weights(self) -> list[torch.nn.Parameter]:
        """What is trained."""
        return [weight for _, weight in self._weights()]

    def _weights(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        yield from ((name, weight) for name, weight in self.model.named_parameters() if "lora_" in name)

    def prompt(self, text: str) -> list[int]:
        """Tokens of a user's message and the header of the answer."""
        asked = [{"role": "user", "content": text}]
        found = self.tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)
        return [*found["input_ids"]]

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def sample(self, prompts: Sequence[str], each: int, tokens: int, seed: int, batch: int = 96) -> list[list[Reply]]:
        """`each` responses to every prompt at temperature 1, of at most so many tokens."""
        generator = torch.Generator().manual_seed(seed)
        found: list[list[Reply]] = []
        size = max(1, batch // each)
        for start in range(0, len(prompts), size):
            asked = [self.prompt(text) for text in prompts[start : start + size]]
            drawn = self._sampled(asked, each, tokens, generator)
            replies = [self._reply(row) for row in drawn.tolist()]
            found += [replies[i : i + each] for i in range(0, len(replies), each)]
        return found

    def _sampled(self, asked: Sequence[Sequence[int]], each: int, tokens: int, generator: torch.Generator) -> Tensor:
        """[prompts x each, tokens] sampled; whatever follows an end is noise."""
        width = max(map(len, asked))
        ids = torch.tensor([[0] * (width - len(one)) + [*one] for one in asked])
        seen = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in asked])
        cache, drawn = DynamicCache(config=self.model.config), []
        positions = (seen.cumsum(1) - 1).clamp(min=0)
        end = self.tokenizer.eos_token_id
        done = torch.zeros(len(asked) * each, dtype=torch.bool)
        for step in range(tokens):
            given: dict[str, Any] = {"attention_mask": seen, "position_ids": positions, "past_key_values": cache}
            last = self.model.model(ids, **given).last_hidden_state[:, -1].contiguous()
            logits = self.model.lm_head(last).float()
            if not step and each > 1:
                cache.batch_repeat_interleave(each)
                logits, seen, positions = (x.repeat_interleave(each, 0) for x in (logits, seen, positions))
            # by the inverse of the distribution function, which takes a fifth of torch.multinomial's time
            cumulative = logits.softmax(-1).cumsum(-1)
            point = torch.rand(len(logits), 1, generator=generator) * cumulative[:, -1:]
            ids = torch.searchsorted(cumulative, point).clamp(max=logits.shape[1] - 1)
            drawn.append(ids)
            done |= ids[:, 0] == end
            if done.all():
                break
            seen = torch.cat([seen, torch.ones_like(ids)], 1)
            positions = positions[:, -1:] + 1
        return torch.cat(drawn, 1)

    def _reply(self, tokens: Sequence[int]) -> Reply:
        end = self.tokenizer.eos_token_id
        kept = tuple(tokens[: tokens.index(end) + 1] if end in tokens else tokens)
        return Reply(kept, self.tokenizer.decode(kept, skip_special_tokens=True))

    def rows(self, prompts: Sequence[str], responses: Sequence[Sequence[Reply]]) -> Rows:
        """Pack prompts with as many responses each."""
        packed = [
            _packed(self.prompt(text), [one.tokens for one in found])
            for text, found in zip(prompts, responses, strict=True)
        ]
        width = max(len(one.ids) for one in packed)
        count, each = len(packed), len(responses[0])
        ids, positions = torch.zeros(count, width, dtype=torch.long), torch.zeros(count, width, dtype=torch.long)
        mask = torch.eye(width, dtype=torch.bool).repeat(count, 1, 1)  # a padding token sees itself: no row is empty
        source, target, owner = list[int](), list[int](), list[int]()
        for i, one in enumerate(packed):
            size = len(one.ids)
            ids[i, :size], positions[i, :size] = torch.tensor(one.ids), torch.tensor(one.positions)
            part = torch.tensor(one.parts)
            visible = (part[None] == part[:, None]) | (part[None] < 0)
            mask[i, :size, :size] = visible & torch.ones(size, size, dtype=torch.bool).tril()
            source += [i * width + at for at in one.source]
            target += one.target
            owner += [i * each + number for number in one.owner]
        return Rows(
            ids, positions, mask[:, None], torch.tensor(source), torch.tensor(target), torch.tensor(owner), count * each
        )

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def below(self, rows: Rows) -> Tensor:
        """[rows, tokens, hidden] out of the layers that never change."""
        return self._through(self.model.model.embed_tokens(rows.ids), rows, 0, self.lower)

    def above(self, hidden: Tensor, rows: Rows) -> Tensor:
        """[responses] log-probabilities, from what `below` gives."""
        model = self.model.model
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model.norm(self._through(hidden, rows, self.lower, len(model.layers)))
            logits = self.model.lm_head(hidden.flatten(0, 1)[rows.source]).float()
        found = -torch.nn.functional.cross_entropy(logits, rows.target, reduction="none")
        return torch.zeros(rows.responses).index_add(0, rows.owner, found)

    def _through(self, hidden: Tensor, rows: Rows, first: int, last: int) -> Tensor:
        rotary = self.model.model.rotary_emb(hidden, rows.positions)
        for layer in self.model.model.layers[first:last]:
            hidden = layer(hidden, attention_mask=rows.mask, position_ids=rows.positions, position_embeddings=rotary)
        return hidden


class _Packed(NamedTuple):
    ids: list[int]
    positions: list[int]
    parts: list[int]
    """-1 for the prompt, else the number of the response."""
    source: list[int]
    target: list[int]
    owner: list[int]


def _packed(prompt: Sequence[int], responses: Sequence[Sequence[int]]) -> _Packed:
    found = _Packed([*prompt], [*range(len(prompt))], [-1] * len(prompt), [], [], [])
    for number, tokens in enumerate(responses):
        start = len(found.ids)
        found.source.extend([len(prompt) - 1, *range(start, start + len(tokens) - 1)])
        found.target.extend(tokens)
        found.owner.extend([number] * len(tokens))
        # nothing follows the last token, so it is predicted and not read
        found.ids.extend(tokens[:-1])
        found.positions.extend(range(len(prompt), len(prompt) + len(tokens) - 1))
        found.parts.extend([number] * (len(tokens) - 1))
    return found


class Batch(NamedTuple):
    """Pairs as they are trained on: what no arm changes."""

    rows: Rows
    hidden: Tensor
    reference: Tensor
    """[pairs, 2] log-probabilities under the base."""


def batches(policy: Policy, prompts: Sequence[str], pairs: Sequence[Sequence[Reply]], size: int) -> list[Batch]:
    """Pairs in batches of similar length."""
    order = sorted(
        range(len(pairs)), key=lambda i: len(policy.prompt(prompts[i])) + sum(len(x.tokens) for x in pairs[i])
    )
    found = []
    policy.switch(False)
    for start in range(0, len(order), size):
        part = order[start : start + size]
        rows = policy.rows([prompts[i] for i in part], [pairs[i] for i in part])
        hidden = policy.below(rows)
        with torch.no_grad():
            found.append(Batch(rows, hidden, policy.above(hidden, rows).view(-1, 2)))
    policy.switch(True)
    return found


def learn(
    policy: Policy,
    given: Sequence[Batch],
    signs: Tensor,
    p: float,
    rate: float,
    beta: float,
    seed: int,
    epochs: int = 1,
) -> None:
    """DPO from fresh adapters. signs: [pairs] in the order of the batches; -1 where the judge prefers the second."""
    policy.reset(seed)
    weights = policy.weights()
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    order = [i for _ in range(epochs) for i in torch.randperm(len(given), generator=generator).tolist()]
    starts = [0]
    for batch in given:
        starts.append(starts[-1] + len(batch.reference))
    for step, i in enumerate(order):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / len(order))
        ratios = policy.above(given[i].hidden, given[i].rows).view(-1, 2) - given[i].reference
        sign = signs[starts[i] : starts[i + 1]]
        first, second = ratios.unbind(1)
        chosen, rejected = torch.where(sign > 0, first, second), torch.where(sign > 0, second, first)
        optimizer.zero_grad()
        dpo(chosen, rejected, p, beta).mean().backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()


@torch.no_grad()  # type: ignore[untyped-decorator]
def divergence(policy: Policy, prompts: Sequence[str], responses: Sequence[Sequence[Reply]], size: int = 32) -> float:
    """KL from the base in nats of a response, on the policy's own samples."""
    found = []
    for start in range(0, len(prompts), size):
        rows = policy.rows(prompts[start : start + size], responses[start : start + size])
        hidden = policy.below(rows)
        own = policy.above(hidden, rows)
        policy.switch(False)
        found.append(own - policy.above(hidden, rows))
        policy.switch(True)
    return float(torch.cat(found).mean())
