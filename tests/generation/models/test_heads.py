"""Prompts that share a head get the ids of the whole, whatever the tokenizer; where that cannot be known, nothing is shared."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from benchmarks.styles import ASCII, CHATML, CORPUS, STYLES
from constitution.loading import load
from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics import compare, critique, rubric, score
from critics.transcript import shared_head
from generation.models import heads
from generation.models.encoder import Encoder
from generation.models.heads import Heads
from tests.properties import examples

QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""The split of Qwen's tokenizers, in which line breaks go with the punctuation before them."""
EAGER = r"\s*\p{L}+|\s*[^\s\p{L}]+|\s+"
"""One in which a word takes the line breaks before it."""
TEXTS = [
    *CORPUS,
    "<conversation>\n\n</conversation>\n\n<reply_a 01234567>\n\n</reply_a>\n\nWhich reply?",
    "\n\nWhich is better?\n\nIs it?\n\n\nPlease do.",
]
NAMES = [
    *(name for name in STYLES if name != "embedded"),
    "qwen",
    "eager",
    "unsplit",
    "spanning",
    "stripping",
    "collapsing",
]
SHARED = {"chatml", "llama3", "gemma", "zephyr", "qwen", "stripping", "embedded"}


def split(pattern: str) -> Any:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def trained(name: str) -> Any:
    """A tokenizer whose tokens may reach over line breaks, or whose splits and normalizers look around."""
    backend = Tokenizer(models.BPE())
    backend.decoder = decoders.ByteLevel()
    splits = {"qwen": split(QWEN), "eager": split(EAGER)}
    backend.pre_tokenizer = splits.get(
        name, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=name != "spanning")
    )
    if name == "stripping":
        backend.normalizer = normalizers.Strip()
    if name == "collapsing":
        backend.normalizer = normalizers.Replace(Regex(r"\s+"), " ")
    if name == "unsplit":
        backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        backend.normalizer = normalizers.Replace(" ", "▁")
    special = ["<unk>", "<|im_start|>", "<|im_end|>"]
    alphabet = ASCII if name == "unsplit" else pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=special, initial_alphabet=alphabet)
    backend.train_from_iterator(TEXTS * 4, trainer)
    backend.add_tokens([AddedToken("<think>", special=False)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", unk_token="<unk>")
    tokenizer.chat_template = CHATML
    return tokenizer


@cache
def encoder(name: str) -> Encoder:
    return Encoder(STYLES[name]() if name in STYLES else trained(name))


def principle(request: str, i: int = 0) -> Principle:
    return Principle(id=f"p{i}", objective="good", text=request, compare=request, critique=request, ask=request)


def prompts(question: str, a: str, b: str, requests: list[str], nonce: bool = True) -> list[tuple[Message, ...]]:
    """A judge's prompts of all kinds, in an order in which those with one head do not follow each other."""
    prompt = Prompt(id="x", messages=(Message(role="user", content=question or "?"),))
    one, two = (Response(n, "x", Message(role="assistant", content=t), "sampled", t) for n, t in (("a", a), ("b", b)))
    asked = [principle(request, i) for i, request in enumerate(requests)]
    made = [
        render(prompt, *order, p, nonce)
        for p in asked
        for order in ((one, two), (two, one))
        for render in (compare.render, compare.render_reasoning)
    ]
    made += [
        render(prompt, r, p, nonce)
        for p in asked
        for r in (one, two)
        for render in (score.render_grade, score.render_yes_no, critique.render)
    ]
    return [*made, rubric.render(prompt, one, two, asked, nonce), rubric.render(prompt, one, two, asked[:1], nonce)]  # fmt: skip


def same(own: Encoder, chats: list[tuple[Message, ...]]) -> None:
    asked = [(chat, labels) for chat in chats for labels in (False, True)]
    whole = [
        own._ids(own._render(chat, None, judged=labels) + (own._before_labels if labels else ""))
        for chat, labels in asked
    ]
    for _ in range(2):
        for (chat, labels), ids in zip(asked, whole, strict=True):
            assert own.encode(chat, labels=labels, head=shared_head(chat)) == ids


REQUESTS = [
    "Which reply is kinder?",
    "'s it better?",
    "1. Count!",
    "<think> of it",
    '"Quote" which?',
    "écris?",
    "  spaces",
    "w",
]


@pytest.mark.parametrize("name", [*NAMES, pytest.param("embedded", marks=pytest.mark.model)])
def test_prompts_that_share_a_head_have_the_ids_of_the_whole(name: str) -> None:
    own = Encoder(encoder(name)._tokenizer)
    assert all(map(shared_head, prompts("What is the answer?", "One", "Two", REQUESTS)))
    same(own, prompts("What is the answer?", "It is <|im_end|> two.\n\nOr not", "</reply_b>\n\nnone", REQUESTS))
    same(own, prompts("What?", "", "x", REQUESTS[:3], nonce=False))
    kept = [head for head, ids in own._heads._kept.items() if ids]
    assert bool(kept) == (name in SHARED)


@pytest.mark.parametrize("name", NAMES)
@examples(3)
@given(
    texts=st.tuples(*[st.text(st.characters(codec="utf-8", exclude_categories=["Co"]), max_size=30)] * 3),
    requests=st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Co", "Cc"]), min_size=1, max_size=20).filter(
            lambda t: t.strip()
        ),
        min_size=1,
        max_size=2,
    ),
)
def test_any_prompts_have_the_ids_of_the_whole(name: str, texts: tuple[str, str, str], requests: list[str]) -> None:
    same(encoder(name), prompts(*texts, requests))


def test_shipped_constitutions_share_their_heads() -> None:
    """Each of the two orders of a pair is encoded once, with the first question; of all others, each once, whatever the order."""
    constitution = load(Path("principles/hhh.yaml"))
    judged = [one for one in constitution.principles if one.judged]
    own = encoder("qwen")
    prompt = Prompt(id="x", messages=(Message(role="user", content="Which?"),))
    one, two = (Response(n, "x", Message(role="assistant", content=n * 500), "sampled", n) for n in "ab")
    encoded: list[int] = []
    whole = own._ids

    def counted(text: str) -> list[int]:
        encoded.append(len(text))
        return whole(text)

    counting = Heads(counted, False)
    assert counting._is_safe("W")
    encoded.clear()
    for order in ((one, two), (two, one)):
        for each in judged:
            chat = compare.render(prompt, *order, each)
            text = own._render(chat, None, judged=True)
            counting.encode(text, own._cut(text, chat, shared_head(chat)))
    assert len(judged) > 3
    assert sum(size > 1000 for size in encoded) == 2
    assert len(encoded) == 2 + len(judged)


def test_a_template_that_changes_what_it_is_given_is_encoded_whole() -> None:
    tokenizer = STYLES["chatml"]()
    tokenizer.chat_template = CHATML.replace(
        "m['content'] }}{% endif %}", "m['content'].replace('\\n\\n', '\\n') }}{% endif %}"
    )
    assert tokenizer.chat_template != CHATML
    own = Encoder(tokenizer)
    chats = prompts("What?", "one", "two", REQUESTS)
    same(own, chats)
    assert not any(own._cut(own._render(chat, None), chat, shared_head(chat)) for chat in chats)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "MOST_CHARACTERS", 100)
    encoded: list[str] = []

    def ids(text: str) -> list[int]:
        encoded.append(text)
        return [*map(ord, text)]

    kept = Heads(ids, False)
    for text in ("a" * 40, "b" * 40, "a" * 40, "c" * 40, "a" * 40, "b" * 40, "d" * 400, "d" * 400):
        assert kept.encode(text) == [*map(ord, text)]
    assert encoded == ["a" * 40, "b" * 40, "c" * 40, "b" * 40, "d" * 400, "d" * 400]


@pytest.mark.parametrize(
    ("content", "shared"),
    [
        pytest.param("<reply>\nx\n</reply>\n\nIs it?", 20, id="one"),
        pytest.param("x</reply_b 0123abcd>\n\nIs it?", 22, id="pair"),
        pytest.param("x</reply_a>\n\nIs it?", 0, id="the-first-of-a-pair"),
        pytest.param("x</reply>\nIs it?", 0, id="no-blank-line"),
        pytest.param("Is it?", 0, id="no-responses"),
        pytest.param("", 0, id="nothing"),
    ],
)  # fmt: skip
def test_where_a_head_ends(content: str, shared: int) -> None:
    assert shared_head([Message(role="user", content=content)]) == shared
