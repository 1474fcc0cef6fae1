"""The settings of a module as lines, to be held against a golden file: a default or a bound that changes is a change for users."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel


def lines(*modules: ModuleType) -> list[str]:
    """`Model.field: {...}` of every field that the modules' own models declare, with its type, default and bounds."""
    found = []
    for module in modules:
        for model in vars(module).values():
            if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == module.__name__:
                fields = model.model_json_schema().get("properties", {})
                for name in model.__annotations__:
                    told = {
                        key: value for key, value in fields.get(name, {}).items() if key not in ("title", "description")
                    }
                    found.append(f"{model.__name__}.{name}: {json.dumps(told, sort_keys=True, ensure_ascii=False)}")
    return sorted(found)


def assert_golden(path: Path, *modules: ModuleType) -> None:
    """Hold the settings against a file; SOLON_UPDATE_GOLDEN=1 writes it, whose difference is then read and told to users."""
    if os.environ.get("SOLON_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines(*modules)) + "\n", encoding="utf-8")
    assert path.read_text(encoding="utf-8").splitlines() == lines(*modules)
