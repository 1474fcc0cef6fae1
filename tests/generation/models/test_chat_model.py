"""A model that is asked: what a row tells its chat template."""

import asyncio
from dataclasses import replace

from benchmarks.styles import STYLES
from constitution.records import Message
from generation.engines.base import Completion, Request, Sampling
from generation.models.chat_model import ChatModel
from generation.models.encoder import Encoder
from training.data.columns import RowPrompt
from training.data.encode import encode_prompts
from training.rollout.rollouts import as_prompt


def test_what_a_row_tells_the_template_is_told_where_it_is_sampled_and_scored() -> None:
    tokenizer = STYLES["chatml"]()
    tokenizer.chat_template = "{{ tone }}" + tokenizer.chat_template
    encoder = Encoder(tokenizer)
    asked = RowPrompt("p", (Message(role="user", content="hi"),), template_kwargs={"tone": "calm"})
    (row,) = encode_prompts([asked], encoder, 40).rows
    chat = [{"role": "user", "content": "hi"}]
    own = tokenizer.apply_chat_template(chat, tone="calm", tokenize=True, return_dict=False, add_generation_prompt=True)
    assert list(row.tokens) == own
    assert as_prompt(row).template_kwargs == {"tone": "calm"}
    seen: list[Request] = []

    class Watched:
        async def generate(self, request: Request) -> Completion:
            seen.append(request)
            return Completion("hello")

        async def close(self) -> None: ...

    async def ask(model: ChatModel) -> None:
        found = as_prompt(row)
        told = found.template_kwargs
        await model.ask(found.messages, stage="sample", sampling=Sampling(8), template_kwargs=told)
        await model.likelihood(found.messages, "yes", template_kwargs=told)
        await model.reward(found.messages, Message(role="assistant", content="yes"), template_kwargs=told)

    for own_encoder in (encoder, None):
        asyncio.run(ask(ChatModel("m", "d", Watched(), own_encoder, 0)))
    rendered, sent = seen[:3], seen[3:]
    assert {request.tokens for request in sent} == {()}
    assert all(list(request.tokens[: len(own)]) == own for request in rendered)
    assert {request.template_kwargs for request in seen} == {'{"tone": "calm"}'}
    assert sent[0].key() != replace(sent[0], template_kwargs="").key()
