"""`solon schema`: JSON Schemas of every YAML file a user writes, made from the models that read them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from constitution.command import run_command
from constitution.terminal import complain
from training.catalogue import COMMANDS, settings_model

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = Path("schemas")


def main(arguments: Sequence[str] | None = None, prog: str = "python -m solon.schema") -> int:
    """Write the schemas; returns the exit code."""
    p = argparse.ArgumentParser(
        prog=prog,
        description="Write a JSON Schema for each kind of YAML file: constitutions, settings of runs, training recipes, loops.",
        epilog="An editor with the YAML language server, as VS Code's YAML extension, completes and checks a file that starts with "
        "`# yaml-language-server: $schema=schemas/run.schema.json` (a path relative to the file).",
    )
    p.add_argument(
        "folder", nargs="?", type=Path, default=FOLDER, metavar="DIR", help="where to (default: %(default)s)"
    )
    return run_command(lambda: _write(p.parse_args(arguments).folder))


def _write(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, schema in schemas().items():
            path = folder / f"{name}.schema.json"
            path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            print(path)
    except OSError as error:
        complain(f"{error.filename or folder}: cannot be written ({error.strerror}); name another folder")
        return 2
    return 0


def schemas() -> dict[str, dict[str, Any]]:
    """Kind of file -> its JSON Schema: `constitution`, `run`, each training recipe by its name, `loop`."""
    run = import_module("generation.config").RunConfig  # by name, so that help does not wait for it
    models: dict[str, type[BaseModel]] = {"run": run, **{name: settings_model(name) for name in COMMANDS}}
    return {"constitution": of_constitutions(), **{name: _schema(name, model) for name, model in models.items()}}


def of_constitutions() -> dict[str, Any]:
    """A constitution's file: objectives and principles may be left out where it extends another."""
    whole = [{"required": ["objectives", "principles"]}, {"required": ["extends"]}]
    return {**_schema("constitution", import_module("constitution.loading").ConstitutionFile), "anyOf": whole}


def _schema(name: str, model: type[BaseModel]) -> dict[str, Any]:
    schema = {"$schema": DIALECT, **model.model_json_schema(), "title": f"Solon: {name}"}
    groups = schema.get("$defs", {})
    for owner in (schema, *groups.values()):
        # an example in Python says nothing to who writes YAML
        owner["description"] = owner.get("description", "").partition("\n\n>>> ")[0]
        for field in owner.get("properties", {}).values():
            if "$ref" in field and "default" in field:  # what is given of a group is laid over its default
                groups[field["$ref"].rpartition("/")[2]].pop("required", None)
    return schema


if __name__ == "__main__":
    sys.exit(main())
