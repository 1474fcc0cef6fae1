"""What training will take: counted from headers, compared with what is free, and told with settings that would fit."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from constitution.errors import UserError
from generation.engines.checkpoint import ModelFiles
from generation.models.files import resolve
from training.config import Lora
from training.data.batches import Example
from training.model.memory import estimate as memory
from training.model.memory.estimate import available, check, estimate, largest, parameters
from training.recipes.config import DPO

EXAMPLES = [Example([1] * 60, [[2] * (10 * (i + 1)), [2] * 5]) for i in range(4)]
"""Of 75, 85, 95 and 105 tokens."""
ORDER = [0, 1, 2, 3]


def test_numbers_are_counted_from_headers(tiny_files: ModelFiles) -> None:
    weights = load_file(tiny_files.path / "model.safetensors")
    assert parameters(tiny_files) == sum(value.numel() for value in weights.values()) > 10_000


def test_numbers_of_several_files_are_added(tiny: Path, tiny_files: ModelFiles, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "shards")
    weights = load_file(tiny / "model.safetensors")
    (tmp_path / "shards" / "model.safetensors").unlink()
    names = sorted(weights)
    placed = {name: f"model-{int(i >= 3)}.safetensors" for i, name in enumerate(names)}
    for file in set(placed.values()):
        save_file({name: weights[name] for name in names if placed[name] == file}, tmp_path / "shards" / file)
    (tmp_path / "shards" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    assert parameters(resolve(str(tmp_path / "shards"))) == parameters(tiny_files)


@pytest.mark.parametrize(
    ("order", "rows", "packed", "padded"),
    [
        pytest.param(ORDER, 1, 105, 2 * 100, id="one"),
        pytest.param(ORDER, 2, 95 + 105, 4 * 100, id="two"),
        pytest.param([0, 3, 1, 2], 2, 85 + 95, 4 * 100, id="another-order"),
        pytest.param(ORDER, 4, 360, 8 * 100, id="all"),
    ],
)  # fmt: skip
def test_the_largest_micro_batch(order: list[int], rows: int, packed: int, padded: int) -> None:
    assert largest(EXAMPLES, order, rows, "packed") == packed
    assert largest(EXAMPLES, order, rows, "padded") == padded


@pytest.mark.parametrize(
    ("less", "more"),
    [
        pytest.param({"precision": "bf16"}, {"precision": "fp32"}, id="precision"),
        pytest.param({"gradient_checkpointing": True}, {}, id="checkpointing"),
        pytest.param({"lora": Lora(r=4)}, {"lora": Lora(r=8)}, id="rank"),
    ],
)
def test_what_takes_less(less: dict[str, Any], more: dict[str, Any], tiny_files: ModelFiles) -> None:
    few, many = (estimate(tiny_files, DPO(**changes), 100_000).total for changes in (less, more))
    assert few < many
    assert estimate(tiny_files, DPO(**less), 50_000).total < few


def told(files: ModelFiles, settings: DPO, free: int) -> str:
    with pytest.raises(UserError) as error:
        check(files, settings, EXAMPLES, ORDER, "packed", free)
    return str(error.value)


@pytest.fixture
def wide(tiny: Path, tmp_path: Path) -> ModelFiles:
    """The tiny model with a configuration under which activations are all that counts."""
    shutil.copytree(tiny, tmp_path / "wide")
    config = json.loads((tiny / "config.json").read_text())
    (tmp_path / "wide" / "config.json").write_text(json.dumps({**config, "intermediate_size": 10**6}))
    return resolve(str(tmp_path / "wide"))


def test_enough_memory_is_no_error(wide: ModelFiles) -> None:
    settings = DPO(batch_size=4, micro_batch_size=4)
    check(wide, settings, EXAMPLES, ORDER, "packed", estimate(wide, settings, 360).total)
    assert "360 tokens" in told(wide, settings, estimate(wide, settings, 360).total - 1)


def test_advice_fits(wide: ModelFiles) -> None:
    """Each setting that the message names, taken up alone, ends the trouble."""
    settings = DPO(batch_size=4, micro_batch_size=4, max_length=128)
    free = estimate(wide, settings, 220).total
    said = told(wide, settings, free)
    assert re.match(r"memory: a micro-batch has up to 360 tokens, for which training takes about \d+\.\d GiB ", said)
    assert (
        f"and {free / 2**30:.1f} GiB are free; set micro_batch_size: 2 (now 4; the result stays the same), or" in said
    )
    check(wide, settings.model_copy(update={"micro_batch_size": 2}), EXAMPLES, ORDER, "packed", free)
    assert "gradient_checkpointing: true" in said
    check(wide, settings.model_copy(update={"gradient_checkpointing": True}), EXAMPLES, ORDER, "packed", free)


def test_a_shorter_length_is_advised_where_it_fits(wide: ModelFiles) -> None:
    settings = DPO(batch_size=4, micro_batch_size=4, max_length=128)
    said = told(wide, settings, estimate(wide, settings, 300).total)
    assert "max_length: 64 (now 128; longer rows are cut or dropped)" in said
    assert "max_length" not in told(wide, settings, estimate(wide, settings, 100).total)


def test_a_micro_batch_that_processes_cannot_share_is_not_advised(
    wide: ModelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = DPO(batch_size=4, micro_batch_size=2)
    free = estimate(wide, settings, 110).total
    assert "micro_batch_size: 1" in told(wide, settings, free)
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert "micro_batch_size: 1 " not in told(wide, settings, free)


def test_adapters_are_advised_where_the_optimizer_is_too_large(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "large")
    save_file({"more": torch.zeros(1_000_000)}, tmp_path / "large" / "more.safetensors")
    files, settings = (
        resolve(str(tmp_path / "large")),
        DPO(batch_size=4, micro_batch_size=1, gradient_checkpointing=True),
    )
    adapted = settings.model_copy(update={"lora": Lora()})
    free = estimate(files, adapted, 105).total
    assert told(files, settings, free).endswith("set lora: {r: 16}")
    check(files, adapted, EXAMPLES, ORDER, "packed", free)
    assert told(files, settings, free - 1).endswith("lora: {r: 16} and quantize: 4bit, all four")
    few = adapted.model_copy(update={"quantize": "4bit"})
    assert estimate(files, few, 105).total < free
    check(files, few, EXAMPLES, ORDER, "packed", free - 1)


def test_a_model_that_is_too_large_in_any_case(wide: ModelFiles) -> None:
    said = told(wide, DPO(batch_size=4, micro_batch_size=4), 1 << 20)
    assert re.search(r"0\.0 GiB are free; set another model: this one takes \d+\.\d GiB with lora", said)


def cgroup(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> None:
    for name, text in files.items():
        (folder / f"memory.{name}").write_text(text)
    monkeypatch.setattr(memory, "_CGROUP", folder)


def test_a_containers_limit_counts_and_its_cached_files_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    cgroup(tmp_path, monkeypatch, max="100000000\n", current="70000000\n", stat="anon 1\ninactive_file 20000000\n")
    assert available() == 50_000_000
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert available() == 25_000_000
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    cgroup(tmp_path, monkeypatch, max="max\n")  # no limit: the machine's
    assert available() > 100_000_000


def test_spread_weights_are_counted_by_their_share(tiny_files: ModelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = memory.estimate(tiny_files, DPO(), 100)
    for name, value in {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    part = memory.estimate(tiny_files, DPO(), 100)
    gathered = 2 * 4 * 24 * 32  # embedding and head: 24 tokens of width 32
    assert part.weights == whole.weights // 4 + gathered
    assert part.activations == whole.activations


def test_processes_that_cannot_share_evenly_have_whole_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    cgroup(tmp_path, monkeypatch, max="100000000\n", current="0\n", stat="inactive_file 0\n")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert (available(), type(available())) == (33_333_333, int)
