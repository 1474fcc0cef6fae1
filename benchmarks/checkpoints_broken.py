"""Broken checkpoints and configurations, made from a sound tiny model's folder, with what must be said of each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

Change = Callable[[Path], object]
WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
INDEX, GENERATION = "model.safetensors.index.json", "generation_config.json"
LAYER, NORM = "model.layers.1.mlp.down_proj.weight", "model.norm.weight"


class Broken(NamedTuple):
    """One way in which a checkpoint is not what it should be."""

    name: str
    change: Change
    says: str
    """Part of what the command must say."""
    recipe: str = "sft"
    settings: Mapping[str, object] = {}
    trains: bool = False
    """True where training is right all the same, and the sentence is for the user to know."""


def config(**values: object) -> Change:
    """Other values in config.json."""

    def change(folder: Path) -> None:
        path = folder / CONFIG
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def without(*keys: str) -> Change:
    """Keys taken out of config.json."""

    def change(folder: Path) -> None:
        kept = {key: value for key, value in json.loads((folder / CONFIG).read_text()).items() if key not in keys}
        (folder / CONFIG).write_text(json.dumps(kept))

    return change


def tensors(change: Callable[[dict[str, Any]], object]) -> Change:
    """Other weights."""

    def changed(folder: Path) -> None:
        found = load_file(folder / WEIGHTS)
        change(found)
        save_file(found, folder / WEIGHTS, {"format": "pt"})

    return changed


def text(name: str, body: str) -> Change:
    """Another text in a file."""
    return lambda folder: (folder / name).write_text(body)


def body(name: str, change: Callable[[bytes], bytes]) -> Change:
    """Other bytes in a file."""
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def gone(*names: str) -> Change:
    """Without files."""

    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def both(*changes: Change) -> Change:
    """One change after another."""
    return lambda folder: [change(folder) for change in changes]


def renamed(name: str, other: str) -> Change:
    """A file under another name."""
    return lambda folder: (folder / name).rename(folder / other)


def in_place(name: str, make: Callable[[Path], object]) -> Change:
    """Something else where a file was."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return change


def shards(index: Callable[[dict[str, str]], dict[str, Any]], drop: Sequence[str] = (), twice: str = "") -> Change:
    """Weights in two files. index: tensor -> file, as it is right, to the index that is written. drop: tensors left out of their
    file. twice: a tensor that both files hold.
    """

    def change(folder: Path) -> None:
        found = load_file(folder / WEIGHTS)
        (folder / WEIGHTS).unlink()
        placed = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(sorted(found))}
        for file in sorted({*placed.values()}):
            held = {n: t for n, t in found.items() if (placed[n] == file or n == twice) and n not in drop}
            save_file(held, folder / file, {"format": "pt"})
        (folder / INDEX).write_text(json.dumps(index(placed)))

    return change


def header(change: Callable[[dict[str, Any]], object]) -> Change:
    """Another header before the same numbers."""

    def changed(data: bytes) -> bytes:
        size = int.from_bytes(data[:8], "little")
        found = json.loads(data[8 : 8 + size])
        change(found)
        written = json.dumps(found).encode()
        return len(written).to_bytes(8, "little") + written + data[8 + size :]

    return body(WEIGHTS, changed)


def quantized(method: object) -> Change:
    """A configuration that says that weights are of few bits."""
    return config(quantization_config={"quant_method": method, "bits": 4})


def fill(name: str, value: float) -> Change:
    """One number of a tensor."""
    return tensors(lambda w: w[name].view(-1)[3:4].fill_(value))


def cast(dtype: torch.dtype) -> Change:
    """A weight of another type."""
    return tensors(lambda w: w.update({LAYER: w[LAYER].to(dtype)}))


def small_vocabulary(folder: Path) -> None:
    """An embedding that ends before the tokens that rows are made of."""
    tensors(lambda w: w.update({"model.embed_tokens.weight": w["model.embed_tokens.weight"][:12].clone()}))(folder)
    config(vocab_size=12)(folder)


def rewards(heads: int) -> Change:
    """A reward model."""
    labels = {str(i): str(i) for i in range(heads)}
    named = config(architectures=["LlamaForSequenceClassification"], id2label=labels)
    return both(named, tensors(lambda w: w.update({"score.weight": torch.ones(heads, 32)})))


JSON: tuple[Broken, ...] = (
    Broken("no config.json", gone(CONFIG), "has no config.json"),
    Broken("config.json cut", body(CONFIG, lambda b: b[: len(b) // 2]), "config.json cannot be read as JSON"),
    Broken("config.json empty", text(CONFIG, ""), "config.json cannot be read as JSON"),
    Broken("config.json zeros", body(CONFIG, lambda b: bytes(len(b))), "config.json cannot be read as JSON"),
    Broken("config.json a list", text(CONFIG, "[]"), "holds a list, not a JSON object"),
    Broken("config.json null", text(CONFIG, "null"), "holds a NoneType"),
    Broken("config.json deep", text(CONFIG, "[" * 100_000), "config.json cannot be read as JSON"),
    Broken("config.json in UTF-16", body(CONFIG, lambda b: b.decode().encode("utf-16")), "cannot be read as JSON"),
    Broken("config.json a folder", in_place(CONFIG, lambda p: p.mkdir()), "config.json is a folder"),
    Broken("config.json a pipe", in_place(CONFIG, os.mkfifo), "is no regular file: config.json"),
    Broken("config.json a loop", in_place(CONFIG, lambda p: p.symlink_to(p)), "is no regular file: config.json"),
    Broken(
        "config.json a dead link", in_place(CONFIG, lambda p: p.symlink_to("gone")), "is no regular file: config.json"
    ),
    Broken("no model type", without("model_type"), "transformers cannot read its config.json"),
    Broken("unknown model type", config(model_type="novel"), "transformers cannot read its config.json"),
    Broken("model type a number", config(model_type=3), "model_type: got 3"),
    Broken(
        "code of its own", config(model_type="novel", auto_map={"AutoModelForCausalLM": "m.M"}), "needs code of its own"
    ),
    Broken("an encoder", config(model_type="vit"), "model"),
    Broken("another architecture", config(model_type="gpt_neox"), "missing tensors"),
    Broken("no context length", without("max_position_embeddings"), "names no context length"),
    Broken("context length negative", config(max_position_embeddings=-1), "max_position_embeddings: got -1"),
    Broken("context length true", config(max_position_embeddings=True), "max_position_embeddings: got True"),
    Broken("width a text", config(hidden_size="32"), "hidden_size: got '32'"),
    Broken("width zero", config(hidden_size=0), "hidden_size: got 0"),
    Broken("width a fraction", config(hidden_size=32.5), "hidden_size: got 32.5"),
    Broken("another width", config(hidden_size=64), "tensors of another size"),
    Broken("heads that do not divide", config(num_attention_heads=5), "cannot"),
    Broken("no heads", config(num_attention_heads=0), "num_attention_heads: got 0"),
    Broken("more layers", config(num_hidden_layers=3), "missing tensors"),
    Broken("fewer layers", config(num_hidden_layers=1), "tensors without a place in the model"),
    Broken("a thousand million layers", config(num_hidden_layers=10**9), "num_hidden_layers: got 1000000000"),
    Broken("a thousand layers", config(num_hidden_layers=1000), "describes 1000 layers"),
    Broken("larger vocabulary", config(vocab_size=1000), "tensors of another size"),
    Broken("vocabulary without end", config(vocab_size=10**15), "vocab_size: got"),
    Broken("unknown activation", config(hidden_act="novel"), "cannot"),
    Broken("unknown rotary positions", config(rope_parameters={"rope_type": "novel"}), "cannot"),
    Broken("rotary positions a list", config(rope_parameters=[1]), "cannot"),
    Broken("unknown type of weights", config(dtype="novel"), "cannot"),
    Broken("text model a list", config(text_config=[1]), "text_config: is no mapping"),
    Broken("layer types for another number", config(layer_types=["full_attention"] * 5), "cannot"),
    Broken("quantization without a method", config(quantization_config={"bits": 4}), "names no quant_method"),
    Broken("quantization a text", config(quantization_config="fp8"), "names no quant_method"),
    *(
        Broken(f"quantized by {method}", quantized(method), f"its weights are quantized ({method})")
        for method in ("gptq", "awq", "bitsandbytes", "compressed-tensors", "torchao", "aqlm", "novel")
    ),
)
TENSORS: tuple[Broken, ...] = (
    Broken("no weights", gone(WEIGHTS), "has no weights"),
    Broken("pickled weights", renamed(WEIGHTS, "pytorch_model.bin"), "pickled weights only"),
    Broken("weights under another name", renamed(WEIGHTS, "weights.safetensors"), "neither model.safetensors nor"),
    Broken("weights empty", body(WEIGHTS, lambda b: b""), "model.safetensors is damaged"),
    Broken("weights cut", body(WEIGHTS, lambda b: b[:-9]), "model.safetensors is damaged"),
    Broken("weights cut in the header", body(WEIGHTS, lambda b: b[:100]), "model.safetensors is damaged"),
    Broken("weights longer", body(WEIGHTS, lambda b: b + b"more"), "model.safetensors is damaged"),
    Broken("weights zeros", body(WEIGHTS, lambda b: bytes(len(b))), "model.safetensors is damaged"),
    Broken("a pointer", text(WEIGHTS, "version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"),
    Broken("a huge header", body(WEIGHTS, lambda b: (1 << 60).to_bytes(8, "little") + b[8:]), "is damaged"),
    Broken("a header that is no JSON", body(WEIGHTS, lambda b: b[:8] + b"x" + b[9:]), "is damaged"),
    Broken("a wrong shape in the header", header(lambda h: h[NORM].update(shape=[31])), "is damaged"),
    Broken("tensors that overlap", header(lambda h: h[NORM].update(data_offsets=[0, 128])), "is damaged"),
    Broken("an unknown type in the header", header(lambda h: h[NORM].update(dtype="X9")), "is damaged"),
    Broken("weights a folder", in_place(WEIGHTS, lambda p: p.mkdir()), "it is a folder"),
    Broken("weights a pipe", in_place(WEIGHTS, os.mkfifo), "is no regular file"),
    Broken("weights a loop", in_place(WEIGHTS, lambda p: p.symlink_to(p)), "is no regular file"),
    Broken("no tensors", tensors(lambda w: w.clear()), "no tensors"),
    Broken("a layer missing", tensors(lambda w: w.pop(LAYER)), LAYER),
    Broken("a layer missing, for rewards", tensors(lambda w: w.pop(LAYER)), LAYER, "reward"),
    Broken("the embedding missing", tensors(lambda w: w.pop("model.embed_tokens.weight")), "model.embed_tokens.weight"),
    Broken("the last norm missing", tensors(lambda w: w.pop(NORM)), NORM, "dpo"),
    Broken("no head, and none shared", config(tie_word_embeddings=False), "lm_head.weight"),
    Broken("a layer renamed", tensors(lambda w: w.update({LAYER + "x": w.pop(LAYER)})), LAYER),
    Broken(
        "all names with another prefix", tensors(lambda w: [w.update({f"x.{n}": w.pop(n)}) for n in list(w)]), "missing"
    ),
    Broken("another size", tensors(lambda w: w.update({NORM: torch.ones(3)})), NORM),
    Broken("turned around", tensors(lambda w: w.update({LAYER: w[LAYER].t().contiguous()})), LAYER),
    Broken("without numbers", tensors(lambda w: w.update({NORM: torch.ones(0)})), "without a number in them"),
    Broken("not a number", fill(LAYER, float("nan")), f"not finite: {LAYER}"),
    Broken("infinite", fill(NORM, float("inf")), f"not finite: {NORM}", "dpo"),
    Broken("integers", cast(torch.int8), "no plain floating-point numbers"),
    Broken("fp8 without scales", cast(torch.float8_e4m3fn), "no plain floating-point numbers"),
    Broken("truth values", cast(torch.bool), "no plain floating-point numbers"),
    Broken(
        "a file of two missing", both(shards(lambda p: {"weight_map": p}), gone("part-1.safetensors")), "has no part-1"
    ),
    Broken("a tensor that the index alone has", shards(lambda p: {"weight_map": p}, [NORM]), f"do not hold: {NORM}"),
    Broken("a tensor in both files", shards(lambda p: {"weight_map": p}, twice=LAYER), f"in two files each: {LAYER}"),
    Broken("an index of nothing", shards(lambda _: {"weight_map": {}}), "lists no weights"),
    Broken("an index without a map", shards(lambda _: {"metadata": {}}), "lists no weights"),
    Broken(
        "an index that is cut",
        both(shards(lambda p: {"weight_map": p}), text(INDEX, '{"wei')),
        "cannot be read as JSON",
    ),
    Broken(
        "an index that leads out", shards(lambda p: {"weight_map": dict.fromkeys(p, "../w.safetensors")}), "has no ../w"
    ),
    Broken(
        "an older index",
        text(INDEX, json.dumps({"weight_map": {"w": "other.safetensors"}})),
        "has no other.safetensors",
    ),
)
OTHERS: tuple[Broken, ...] = (
    Broken("no tokenizer", gone(TOKENIZER), "has no tokenizer.json"),
    Broken("tokenizer cut", body(TOKENIZER, lambda b: b[:200]), "tokenizer cannot be loaded"),
    Broken("tokenizer empty", text(TOKENIZER, "{}"), "tokenizer cannot be loaded"),
    Broken("tokenizer settings cut", text("tokenizer_config.json", '{"a'), "tokenizer_config.json cannot be read"),
    Broken(
        "no chat template",
        both(gone("chat_template.jinja"), text("tokenizer_config.json", "{}")),
        "has no chat template",
    ),
    Broken("chat template with a mistake", text("chat_template.jinja", "{% for"), "template"),
    Broken("tokens beyond the embedding", small_vocabulary, "its embedding has 12 rows"),
    Broken("tokens beyond it, for rewards", small_vocabulary, "its embedding has 12 rows", "reward"),
    Broken("generation settings cut", text(GENERATION, '{"do'), "generation_config.json cannot be read"),
    Broken("generation settings that are not written", text(GENERATION, '{"temperature": 0.9}'), "", trains=True),
    Broken("an adapter", text("adapter_config.json", "{}"), "is a LoRA adapter"),
    Broken(
        "heads of another kind",
        tensors(lambda w: w.update({"v_head.weight": torch.ones(1, 32)})),
        "v_head",
        trains=True,
    ),
    Broken("three heads for one", rewards(3), "has 3 heads and 1 are asked for", "reward", trains=True),
    Broken(
        "a reward model without head",
        both(rewards(1), tensors(lambda w: w.pop("score.weight"))),
        "without its head",
        "reward",
    ),
    Broken("a reward model as policy", both(rewards(1), config(tie_word_embeddings=False)), "lm_head.weight", "dpo"),
    Broken(
        "targets of an adapter",
        lambda _: None,
        "no layer of the model is named w1",
        "sft",
        {"lora": {"targets": ["w1"]}},
    ),
    Broken("one target of two", lambda _: None, "named w1", "dpo", {"lora": {"targets": ["q_proj", "w1"]}}),
)
BROKEN = (*JSON, *TENSORS, *OTHERS)
