"""Control tokens that the texts of labelled pairs make in a judge's prompt; there must be none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from constitution.principles import Principle
from constitution.records import Message
from critics import compare
from evaluation.judge.labelled import LabelledPair, made_pair
from generation.models.encoder import Encoder

_HARMLESS = made_pair(
    "harmless",
    (Message(role="user", content="Why?"),),
    Message(role="assistant", content="So."),
    Message(role="assistant", content="No."),
)


def injected(tokenizer: Any, pairs: Iterable[LabelledPair], principle: Principle, safely: bool = True) -> int:
    """Control ids by which the pairs' prompts differ from that of a harmless pair, in both orders, with the nonce and without.

    safely: by our encoding; else by the tokenizer's own chat template, for comparison.
    """
    encoder = Encoder(tokenizer)
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    # as benchmarks/styles.py has it: not white space, nor what stands for characters the tokenizer has not seen
    control = {i for i, t in added.items() if (t.special or not t.content.isspace()) and t.content != "<unk>"}

    def ids(messages: tuple[Message, ...]) -> list[int]:
        if safely:
            return encoder.encode(messages)
        chat = [{"role": message.role, "content": message.content} for message in messages]
        return list(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True)["input_ids"])

    def counted(pair: LabelledPair) -> Counter[int]:
        orders = ((pair.better, pair.worse), (pair.worse, pair.better))
        prompts = [compare.render(pair.prompt, *order, principle, nonce) for order in orders for nonce in (True, False)]
        return Counter(i for prompt in prompts for i in ids(prompt) if i in control)

    expected = counted(_HARMLESS)
    return sum(((found := counted(pair)) - expected).total() + (expected - found).total() for pair in pairs)
