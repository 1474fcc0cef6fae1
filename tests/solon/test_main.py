"""The console command: a dispatcher that hands each command its own arguments."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import solon
from solon.__main__ import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]
HHH = str(ROOT / "principles" / "hhh.yaml")


def exit_code(arguments: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_help_under_its_own_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: solon {name} ")


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown and command.purpose in shown for name, command in COMMANDS.items())


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out == f"solon {solon.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["lint"], ["--constitution", HHH]])
def test_what_is_no_command_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: solon [-h] [--version] COMMAND ...\n")


def test_what_follows_a_command_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["constitution", "lint", HHH]) == 0
    assert capsys.readouterr().out == f"{HHH}: ok\n"


def test_exit_codes_are_the_commands_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["constitution", "show", str(tmp_path / "none.yaml")]) == 2
    assert exit_code(["train", "dpo"]) == 2
    assert "solon train dpo: error: the following arguments are required: --out" in capsys.readouterr().err


def test_options_can_be_abbreviated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    arguments = ["--const", HHH, "--prom", str(ROOT / "principles/prompts/demo.jsonl"), "--out", out, "--eng", "replay"]
    assert main(["feedback", *arguments, "--plan"]) == 0


def test_the_installed_script_is_this_function() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, function = scripts["solon"].partition(":")
    assert getattr(import_module(module), function) is main


def test_help_imports_no_command() -> None:
    """A command's modules wait until it is called."""
    probe = "import sys; from solon.__main__ import parser; parser().format_help(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"constitution", "critics", "generation", "evaluation", "training", "pydantic", "numpy"})


def test_no_help_waits_for_what_computes_or_talks_to_servers() -> None:
    heavy = "{'numpy', 'scipy', 'pyarrow', 'asyncio', 'jsonschema', 'torch', 'transformers', 'datasets', 'matplotlib', 'vllm', 'ray'}"
    probe = f"""
import sys
from importlib import import_module
from solon.__main__ import COMMANDS
for name, command in COMMANDS.items():
    try:
        import_module(command.module).main(["--help"], name)
    except SystemExit:
        print("loaded for", name, {heavy} & {{*sys.modules}})
"""
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    told = [line for line in done.stdout.splitlines() if line.startswith("loaded for")]
    assert told == [f"loaded for {name} set()" for name in COMMANDS]


@pytest.mark.model
def test_a_run_in_a_folder_with_modules_of_the_same_names(tmp_path: Path) -> None:
    """The user's own `training.py` and `evaluation.py` are neither imported nor in the way."""
    for name in ("training", "evaluation", "generation", "critics", "constitution"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    shutil.copy(ROOT / "principles" / "prompts" / "demo.jsonl", tmp_path / "prompts.jsonl")
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from solon.__main__ import main; sys.exit(main())"
    arguments = ["feedback", "--constitution", HHH, "--prompts", "prompts.jsonl", "--engine", "replay", "--limit", "2"]
    command = [sys.executable, "-P", "-c", script, *arguments, "--out", "runs/x"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "x" / "manifest.json").is_file()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_as_all_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(*_: object) -> int:
        raise RuntimeError("\x1b[31mred")

    monkeypatch.setattr(import_module(COMMANDS[name].module), "main", broken)
    assert main([name]) == 3
    said = capsys.readouterr().err
    assert "red" in said
    assert "\x1b" not in said
    (log,) = tmp_path.iterdir()
    assert str(log) in said
