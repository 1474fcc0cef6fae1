"""The policy's own responses, each sampled from a seed of its own, so that it does not depend on what else is in the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from typing import Any, NamedTuple, Protocol

import torch
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM, DynamicCache

from constitution.errors import Problem, UserError
from constitution.records import Message, Prompt, Response
from generation.engines.batching import SeededGumbel
from generation.engines.checkpoint import ModelFiles, exact_attention, load_config
from generation.models.chat_model import derive_seed
from generation.models.tool_calls import parse_tool_calls
from training.data.encode import PromptRow
from training.model import launch
from training.model.modules import Policy
from training.rollout.config import SamplerSettings

COMPACT = 0.75
"""Share of rows still being written under which those that are done are taken out of the batch."""


class Rollout(NamedTuple):
    """A sampled response."""

    tokens: tuple[int, ...]
    """With the token that ended it, where one did. Never empty."""
    logprobs: tuple[float, ...]
    """Of each token, in nats, by the distribution that it was drawn from."""
    ended: bool
    """False where it was cut at the limit."""


class Writer(Protocol):
    """Something that writes responses of the policy as it is now."""

    def refresh(self, policy: Policy, iteration: int) -> None:
        """Take over the policy's weights."""
        ...

    def write(self, prompts: Sequence[PromptRow], seeds: Sequence[Sequence[int]]) -> list[list[Rollout]]:
        """Responses to each prompt, one for each of its seeds."""
        ...

    def close(self) -> None:
        """Release what it holds. Safe to call twice."""
        ...


def seeds_of(seed: int, iteration: int, prompts: Sequence[PromptRow], samples: int) -> list[list[int]]:
    """Seed of each prompt's each response, from the run's seed, the iteration, the prompt's id and the response's number."""
    return [[derive_seed(seed, "ppo", iteration, row.prompt.id, i) for i in range(samples)] for row in prompts]


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[Sequence[int]],
    settings: SamplerSettings,
    ends: frozenset[int],
) -> list[list[Rollout]]:
    """Sample from a transformers causal model; each prompt is read once, whatever the number of its responses.

    prompts: token ids, none empty. seeds: of each prompt's responses. ends: tokens that end a response. Rows are padded on the
    left, with masks from the lengths, and leave the batch when they end.
    """
    gumbel = SeededGumbel([s for row in seeds for s in row], settings.temperature, settings.top_p)
    logits, cache, mask = _read_prompts(model, prompts, [len(row) for row in seeds])
    device = logits.device
    rows = list(range(len(mask)))
    tokens: list[list[int]] = [[] for _ in rows]
    logprobs: list[list[float]] = [[] for _ in rows]
    ended = [False] * len(rows)
    for step in range(settings.max_tokens):
        table = gumbel.logprobs(logits)
        drawn = gumbel.noisy(table).argmax(-1)
        likely = table.gather(-1, drawn[:, None])[:, 0].tolist()
        for row, token, value in zip(rows, drawn.tolist(), likely, strict=True):
            if not ended[row]:
                tokens[row].append(token)
                logprobs[row].append(value)
                ended[row] = token in ends
        alive = [place for place, row in enumerate(rows) if not ended[row]]
        if not alive or step + 1 == settings.max_tokens:
            break
        if len(alive) < COMPACT * len(rows):
            kept = torch.tensor(alive, device=device)
            cache.batch_select_indices(kept)
            mask, drawn = mask[kept], drawn[kept]
            gumbel.keep(alive)
            rows = [rows[place] for place in alive]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        out = model(
            input_ids=drawn[:, None],
            attention_mask=mask,
            position_ids=mask.sum(1, keepdim=True) - 1,
            past_key_values=cache,
            use_cache=True,
        )
        logits = out.logits[:, -1]
    written = (Rollout(tuple(t), tuple(p), e) for t, p, e in zip(tokens, logprobs, ended, strict=True))
    return [[next(written) for _ in row] for row in seeds]


def _read_prompts(model: Any, prompts: Sequence[Sequence[int]], counts: Sequence[int]) -> tuple[Any, Any, Any]:
    """(logits after each prompt, its keys and values, mask), each row `counts` times."""
    device = model.get_input_embeddings().weight.device
    longest = max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    ids, mask = ids.to(device), mask.to(device)
    cache = DynamicCache(config=model.config)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    repeated = torch.repeat_interleave(torch.arange(len(prompts)), torch.tensor(counts)).to(device)
    cache.batch_select_indices(repeated)
    return out.logits[:, -1][repeated], cache, mask[repeated]


class Generate:
    """Responses by transformers in this process: of the policy itself, or of a copy in bfloat16 where all its weights are trained;
    of a policy that is spread over processes, of a whole copy in each.

    Under automatic mixed precision every layer's float32 weights would be cast anew for each token; the copy holds them cast,
    and gives the same numbers.
    """

    def __init__(self, settings: SamplerSettings, ends: frozenset[int], files: ModelFiles, mixed: bool) -> None:
        """mixed: the training forward runs in bfloat16 by automatic mixed precision, so this does too."""
        self._settings = settings
        self._ends = ends
        self._files = files
        self._mixed = mixed
        self._copy: Any = None
        self._policy: Policy | None = None

    def refresh(self, policy: Policy, iteration: int) -> None:
        """Copy the weights, where there is a copy. A policy whose adapter was merged since has none either."""
        alone = self._policy is not None and self._copy is None
        self._policy = policy
        if alone or (not launch.sharded() and (policy.adapted or not self._mixed)):
            return
        device = next(policy.parameters()).device
        if self._copy is None:
            self._copy = _load_copy(self._files, self._mixed).to(device)
        with torch.no_grad():
            own, buffers = dict(self._copy.named_parameters()), dict(policy.inner.named_buffers())
            for name, value in whole_weights(policy.inner):
                own[name].copy_(value)
            for name, buffer in self._copy.named_buffers():
                buffer.copy_(buffers[name])
            self._copy.get_output_embeddings().weight.copy_(launch.whole(policy.inner.get_output_embeddings().weight))

    def write(self, prompts: Sequence[PromptRow], seeds: Sequence[Sequence[int]]) -> list[list[Rollout]]:
        """As `generate`, in batches of prompts of similar length."""
        assert self._policy is not None, "refresh comes first"
        written: list[list[Rollout]] = [[] for _ in prompts]
        kind = next(self._policy.parameters()).device.type
        with (
            nullcontext(self._copy) if self._copy else self._policy.generating() as model,
            torch.inference_mode(),
            torch.autocast(kind, torch.bfloat16, enabled=self._mixed),
        ):
            for part in _batches(
                [len(p.tokens) for p in prompts], [len(s) for s in seeds], self._settings.responses_in_flight
            ):
                tokens = [prompts[i].tokens for i in part]
                found = generate(model, tokens, [seeds[i] for i in part], self._settings, self._ends)
                for i, responses in zip(part, found, strict=True):
                    written[i] = responses
        return written

    def close(self) -> None:
        """Forget the copy."""
        self._copy = self._policy = None


def whole_weights(model: Any) -> Iterator[tuple[str, Any]]:
    """Each weight by its name in a checkpoint, gathered where it is spread over processes, with an adapter's update added."""
    adapted = {name: part for name, part in model.named_modules() if isinstance(part, LoraLayer)}
    for name, part in adapted.items():
        weight = launch.whole(part.base_layer.weight).float()
        for adapter in part.active_adapters:
            down, up = launch.whole(part.lora_A[adapter].weight), launch.whole(part.lora_B[adapter].weight)
            weight = weight + (up @ down) * part.scaling[adapter]
        yield f"{name}.weight", weight
        if part.base_layer.bias is not None:
            yield f"{name}.bias", launch.whole(part.base_layer.bias)
    for name, value in model.named_parameters():
        if not any(name.startswith(f"{inside}.") for inside in adapted):
            yield name, launch.whole(value)


def _load_copy(files: ModelFiles, mixed: bool) -> Any:
    """The checkpoint in float32; mixed: with its linear layers in bfloat16, and the head with weights of its own, as it is in
    automatic mixed precision.
    """
    model = AutoModelForCausalLM.from_pretrained(
        files.path,
        dtype=torch.float32,
        attn_implementation=exact_attention(load_config(files)),
        trust_remote_code=False,
        local_files_only=True,
    )
    if mixed:
        to_bf16(model)
    return model.requires_grad_(False).eval()


def to_bf16(model: Any, frozen: bool = False) -> None:
    """Keep the weights of linear layers in bfloat16; with `frozen`, only of those that are not trained.

    Automatic mixed precision casts them before each product anyway, so no number that it computes changes; but a CPU that has
    bfloat16 and no AMX sums in another order, about 1e-4 nats a token apart. A head that shares
    its weights with the embedding, which nothing casts, gets its own; `tie_weights` joins them again.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is not None and head.weight is embedding.weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=head.weight.requires_grad)
    for module in model.modules():
        plain = isinstance(module, torch.nn.Linear) and module.weight.is_floating_point()
        if plain and not (frozen and module.weight.requires_grad):
            module.weight.data = module.weight.data.to(torch.bfloat16)


def _batches(lengths: Sequence[int], counts: Sequence[int], most: int) -> list[list[int]]:
    """Prompts in batches of at most `most` rows, those of similar length together. A prompt is never split."""
    batches: list[list[int]] = []
    rows = most
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows + counts[i] > most:
            batches.append([])
            rows = 0
        batches[-1].append(i)
        rows += counts[i]
    return batches


def room_for_prompts(max_length: int, max_tokens: int) -> int:
    """Most tokens that a prompt may have beside a response. Raises UserError where none are left."""
    room = max_length - max_tokens
    if room < 1:
        got = f"got {max_tokens}, which leaves no room for a prompt in max_length ({max_length})"
        raise UserError(Problem("", "sampler.max_tokens", got, fix="lower it, or raise max_length"))
    return room


def as_response(prompt: PromptRow, number: int, written: Rollout, tokenizer: Any) -> Response:
    """What a response says, as it was written: special tokens and white space are there for the reward to see. A malformed tool
    call stays text, for the reward to judge."""
    name = f"{prompt.prompt.id}/s{number}"
    text = _text(written, tokenizer)
    message = Message(role="assistant", content=text.removeprefix(" "))  # written by some tokenizers before any word
    if prompt.prompt.tools:
        with suppress(ValueError):
            message = parse_tool_calls(text, prompt.prompt.tools)
    return Response(name, prompt.prompt.id, message, "sampled", text, truncated=not written.ended)


def hides(written: Rollout, tokenizer: Any) -> bool:
    """True of a response with special tokens, or with white space at its ends: what most rules and readers do not see."""
    special = frozenset(tokenizer.all_special_ids)
    text = _text(written, tokenizer).removeprefix(" ")
    return text != text.strip() or any(token in special for token in _own(written))


def _own(written: Rollout) -> tuple[int, ...]:
    """Its tokens but that which ended it."""
    return written.tokens[:-1] if written.ended else written.tokens


def _text(written: Rollout, tokenizer: Any) -> str:
    return str(tokenizer.decode(_own(written), skip_special_tokens=False))


def as_prompt(row: PromptRow) -> Prompt:
    """The prompt as rewards take it."""
    p = row.prompt
    return Prompt(
        id=p.id, messages=p.messages, tools=tuple(map(dict, p.tools)), tags=p.tags, metadata=p.metadata,
        template_kwargs=dict(p.template_kwargs),
    )  # fmt: skip
