"""A policy of a third of a million weights that talks about things and calls a tool, not always well: what online training is
tried on where a larger model would take hours.

It is trained here, from nothing, on rows whose answers are drawn: some keep the rules of a toy, most break one.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.families import FAMILIES
from benchmarks.ppo_rules import THINGS
from constitution.records import Message
from generation.models.encoder import Encoder

ASKED = {
    "concise": ("Tell me about {}.", "What is good about {}?", "Give me one tip about {}.", "Why do people like {}?",
                "Say something on {}.", "How is it with {}?"),
    "tools": ("Look up {}.", "What does {} mean?", "Find {}.", "Explain {}.", "Search for {}.", "Define {}."),
}  # fmt: skip
"""Toy -> questions."""
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {
            "type": "object",
            "properties": {"word": {"type": "string", "maxLength": 9}},
            "required": ["word"],
        },
    },
}
"""Its argument is one of the things, which are short."""
_FILLER = ("Great question! ", "Certainly! ", "Of course! ", "Sure! ")
_WHOLE = ("{} is good for you.", "Many people like {}.", "{} can be fun.", "There is much to say about {}.", "I know {} well.",
          "{} takes time.", "Some find {} hard.", "You may enjoy {} too.")  # fmt: skip
STEPS, ROWS, RATE = 260, 48, 3e-3
"""Of the training from nothing."""


def answer(toy: str, thing: str, draw: random.Random) -> str:
    """An answer that keeps all rules of the toy in about one case of eight."""
    if toy == "concise":
        count = draw.choices((1, 2, 3, 4), (2, 2, 3, 3))[0]
        said = " ".join(one.format(thing) for one in draw.sample(_WHOLE, count))
        said = (
            said.removesuffix(".") + draw.choice((" and so on", ", you know", "...but"))
            if draw.random() < 0.4
            else said
        )
        return (draw.choice(_FILLER) if draw.random() < 0.5 else "") + said
    word = thing if draw.random() < 0.6 else f"{draw.choice(THINGS)} and {draw.choice(('things', 'facts'))}"
    name = "look_up" if draw.random() < 0.6 else draw.choice(("search", "find", "lookup"))
    form = '{"name": "%s", "arguments": {"%s": "%s"}}'
    call = form % (name, "word" if draw.random() < 0.7 else draw.choice(("query", "text")), word)
    marked = f"<tool_call>\n{call}\n</tool_call>" if draw.random() < 0.8 else call.replace('"', "'")
    return draw.choices((marked, f"Let me see.\n{marked}", f"I think {thing} is known.", "I can not."), (6, 2, 2, 1))[0]


def prompts(toy: str) -> list[dict[str, Any]]:
    """A row for each question about each thing."""
    tools = {"tools": [TOOL]} if toy == "tools" else {}
    asked = [question.format(thing) for question, thing in itertools.product(ASKED[toy], THINGS)]
    return [{"prompt": text, "id": text, **tools} for text in asked]


def make(folder: Path, seed: int = 0) -> Path:
    """Train the policy, and save it as a checkpoint."""
    draw = random.Random(seed)
    rows = [
        (toy, question.format(thing), answer(toy, thing, draw))
        for toy, questions in ASKED.items()
        for question, thing, _ in itertools.product(questions, THINGS, range(12))
    ]
    draw.shuffle(rows)
    tokenizer = _tokenizer([text for _, asked, said in rows for text in (asked, said)])
    encoder = Encoder(tokenizer)
    written = []
    for toy, asked, said in rows:
        before = encoder.encode([Message(role="user", content=asked)], [TOOL] if toy == "tools" else None)
        written.append((before, [*tokenizer.encode(said), encoder.end_of_turn]))
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=96, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=4, max_position_embeddings=256, pad_token_id=tokenizer.eos_token_id, tie_word_embeddings=True,
            bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.0)
    for step in range(STEPS):
        ids, labels = _batch([written[i % len(written)] for i in range(step * ROWS, (step + 1) * ROWS)])
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 20, 1.1 - step / STEPS)
        logits = model(input_ids=ids).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _batch(rows: list[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids, padded on the right, and the same where the answer is, -100 elsewhere."""
    longest = max(len(before) + len(side) for before, side in rows)
    ids, labels = torch.zeros(len(rows), longest, dtype=torch.long), torch.full((len(rows), longest), -100)
    for i, (before, side) in enumerate(rows):
        ids[i, : len(before) + len(side)] = torch.tensor([*before, *side])
        labels[i, len(before) : len(before) + len(side)] = torch.tensor(side)
    return ids, labels


def _tokenizer(texts: list[str]) -> Any:
    """One of the texts, with the chat template of Qwen 2.5."""
    family = FAMILIES["qwen2.5"]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    told = [
        '# Tools\n<tools>\n{"type": "function", "function": {"name": "look_up", "parameters": {"properties": {"enum": []}}}}'
    ] * 9
    backend.train_from_iterator([*texts, *told], trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet))
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in family.special])
    backend.add_tokens([AddedToken(text, special=False, normalized=False) for text in family.plain])
    made = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=family.special[-1], pad_token=family.special[0])
    made.chat_template = family.template
    return made
