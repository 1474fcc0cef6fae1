"""Made pairs have the lengths that were asked for, and their arithmetic is counted as by hand."""

import json
from pathlib import Path

import pytest
from transformers import LlamaConfig

from benchmarks.shapes import Shape, flops, parse, write_pairs
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.models.encoder import Encoder


@pytest.mark.model
def test_prompts_and_responses_have_so_many_tokens(embedded: ModelFiles, encoder: Encoder, tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "pairs.jsonl", load_tokenizer(embedded), Shape(64, 20), 5)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        chat = [{"role": "user", "content": row["prompt"]}]
        sides = [[{"role": "assistant", "content": row[name]}] for name in ("chosen", "rejected")]
        written = encoder.written(chat, sides)
        assert (len(written.before), [len(side.tokens) for side in written.sides]) == (64, [20, 20])
    assert len({row[name] for row in rows for name in row}) == 15


@pytest.mark.model
def test_no_room_for_a_word_is_told(embedded: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lengths 5/20: the template alone takes \d+ and 1; ask for more"):
        write_pairs(tmp_path / "pairs.jsonl", load_tokenizer(embedded), Shape(5, 20), 1)


def test_a_shape_is_read_with_its_batch_or_without() -> None:
    assert parse("256/64x16") == (Shape(256, 64), 16)
    assert parse("256/64") == (Shape(256, 64), None)
    assert str(Shape(256, 64)) == "256/64"


def test_arithmetic_by_hand(tmp_path: Path) -> None:
    """Width 8, 2 layers, 2 heads of 4 with as many of keys, inner width 16, 10 words.

    A layer has 4 * 8 * 8 + 3 * 8 * 16 + 2 * 8 = 656 weights; two of them and the last norm have 1,320, the head 80. A response of 2 after
    a prompt of 3 takes 2 * 1,320 * 5 forward in the layers and 2 * 80 * 2 in the head. Attention takes 2 * 5 * 5 * 8 for scores and as
    much for values in each layer, of which half is hidden from sight. There are two responses, and backward takes twice that.
    """
    LlamaConfig(
        vocab_size=10,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    ).save_pretrained(tmp_path)
    files = ModelFiles("tiny", tmp_path, "0" * 32, 64)
    inside, head = 2 * 1320 * 5 + 2 * 16 * 25, 2 * 80 * 2
    assert flops(files, Shape(3, 2), "reward") == 2 * 3 * inside
    assert flops(files, Shape(3, 2), "dpo") == 2 * 4 * (inside + head)
