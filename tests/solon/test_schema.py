"""JSON Schemas: they take what the programs take, and refuse what an author mistypes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from solon.schema import main, schemas
from training.catalogue import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [
    *((path, "constitution") for path in sorted((ROOT / "principles").rglob("*.yaml"))),
    *((path, "loop" if path.stem.startswith("loop") else "run") for path in sorted((ROOT / "configs").glob("*.yaml"))),
]


@cache
def known() -> dict[str, Any]:
    """The schemas, made once."""
    return dict(schemas())


def complaints(kind: str, data: object) -> list[str]:
    return [error.message for error in Draft202012Validator(known()[kind]).iter_errors(data)]


@pytest.mark.parametrize(("path", "kind"), SHIPPED, ids=[path.name for path, _ in SHIPPED])
def test_every_shipped_file_fits_its_schema(path: Path, kind: str) -> None:
    assert complaints(kind, yaml.safe_load(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("kind", ["run", "sft", "reward", "dpo", "loop", "constitution"])
def test_an_unknown_key_is_refused(kind: str) -> None:
    assert any("'nonsense' was unexpected" in message for message in complaints(kind, {"nonsense": 1}))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("run", {"plan": {"sample": {"temperature": 0.5}}}),
        ("constitution", {"name": "x", "version": 1, "extends": "hhh.yaml", "remove": ["short"]}),
        ("dpo", {"lora": {"r": 8}}),
    ],
)
def test_what_is_laid_over_something_need_not_be_whole(kind: str, data: dict[str, Any]) -> None:
    assert complaints(kind, data) == []


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("run", {"plan": {"samples": 0}}),
        ("run", {"plan": {"methods": ["vote"]}}),
        ("constitution", {"name": "x", "version": 1, "objectives": {"a": 1}}),
        ("constitution", {"name": "x", "extends": "hhh.yaml"}),
    ],
)
def test_a_wrong_value_is_refused(kind: str, data: dict[str, Any]) -> None:
    assert complaints(kind, data)


@pytest.mark.parametrize("kind", ["constitution", "run", *COMMANDS])
def test_every_setting_says_what_it_means(kind: str) -> None:
    schema = known()[kind]
    owners = {"": schema, **schema["$defs"]}
    silent = [
        f"{owner}.{key}"
        for owner, one in owners.items()
        for key, field in one.get("properties", {}).items()
        if "description" not in field
    ]
    assert silent == []
    assert ">>>" not in json.dumps(schema)


def test_the_command_writes_one_file_a_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "made" / "schemas"
    assert main([str(folder)]) == 0
    written = {path.name.removesuffix(".schema.json"): json.loads(path.read_text()) for path in folder.iterdir()}
    assert written == schemas()
    assert sorted(capsys.readouterr().out.split()) == sorted(map(str, folder.iterdir()))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "file" / "schemas")]) == 2
    assert "cannot be written (Not a directory); name another folder" in capsys.readouterr().err
