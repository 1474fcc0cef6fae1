"""Small tokenizers in the styles of common chat models, trained here on a few sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from generation.engines.checkpoint import load_tokenizer
from generation.engines.quiet import quiet
from generation.models.files import resolve

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and then it rests under an old tree.",
    "What is the answer? system user assistant tool model start end turn think call",
    "def add(a, b):\n    return a + b\n\n\tfor i in range(10): print(i)  # 0 1 2 3 4 5 6 7 8 9",
    "Ein Satz mit Umlauten: äöüß. Une phrase accentuée. 漢字とかな。 <b>bold</b> [x] {y} |z|",
]

ASCII = [chr(code) for code in range(33, 127)]

CHATML = (
    "{% if tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if m['role'] == 'assistant' and '</think>' in m['content'] %}{{ m['content'].split('</think>')[-1].lstrip('\\n') }}"
    "{% else %}{{ m['content'] }}{% endif %}"
    "{% for c in m.get('tool_calls') or [] %}{{ '<tool_call>' + (c.function | tojson) + '</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
INST = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}"
    "{% else %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n' }}"
    "{{ m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + eos_token + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


def _byte_level(special: list[str], more: list[AddedToken]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    tokenizer.add_tokens(more)
    return tokenizer


def _sentencepiece_bpe(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=800, special_tokens=["<unk>", *special], initial_alphabet=ASCII)
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    return tokenizer


def _unigram(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=["<unk>", *special], unk_token="<unk>", initial_alphabet=ASCII
    )
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    return tokenizer


def _finish(tokenizer: Tokenizer, template: str, bos: str | None, eos: str, special: list[str]) -> Any:
    quiet()
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, additional_special_tokens=special
    )
    made.chat_template = template
    return made


def chatml() -> Any:
    """ChatML with added tokens that are not special, as Qwen has them, and runs of spaces, as GPT-NeoX has them."""
    special = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    plain = [
        AddedToken(t, special=False, normalized=False)
        for t in ("<think>", "</think>", "<tool_call>", "</tool_call>", "    ")
    ]
    return _finish(_byte_level(special, plain), CHATML, None, "<|im_end|>", special)


def llama3() -> Any:
    """Header ids, a trimmed content, a beginning-of-text token."""
    special = ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>"]
    return _finish(_byte_level(special, []), LLAMA3, special[0], special[1], special)


def inst() -> Any:
    """[INST] in the style of Llama 2 and Mistral, sentencepiece-like with a prefix space."""
    special = ["<s>", "</s>", "[INST]", "[/INST]"]
    return _finish(_sentencepiece_bpe(special), INST, "<s>", "</s>", special)


def gemma() -> Any:
    """Turns with a model role; no system role."""
    special = ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"]
    return _finish(_byte_level(special, []), GEMMA, "<bos>", "<eos>", special)


def zephyr() -> Any:
    """Role tokens that swallow the white space after them."""
    special = ["<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "</s>"]
    tokenizer = _byte_level(["</s>"], [])
    tokenizer.add_special_tokens([AddedToken(t, rstrip=True, normalized=False, special=True) for t in special[:4]])
    return _finish(tokenizer, ZEPHYR, None, "</s>", [])


def unigram() -> Any:
    """A unigram model, whose vocabulary holds the control tokens as pieces, behind NFKC normalisation."""
    special = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    return _finish(_unigram(special), CHATML, "<s>", "<|im_end|>", special)


def embedded() -> Any:
    """The embedded model's own."""
    return load_tokenizer(resolve("embedded"))


STYLES: dict[str, Callable[[], Any]] = {
    "chatml": chatml,
    "llama3": llama3,
    "inst": inst,
    "gemma": gemma,
    "zephyr": zephyr,
    "unigram": unigram,
    "embedded": embedded,
}


def control_tokens(tokenizer: Any) -> dict[str, int]:
    """Text -> id of every special or added token that is more than white space.

    The unknown token is not one: any tokenizer without it in reach of all bytes gives it for characters it has not seen.
    """
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    return {
        token.content: index
        for index, token in added.items()
        if (token.special or not token.content.isspace()) and token.content != "<unk>"
    }
