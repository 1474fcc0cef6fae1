"""A finished run whose responses are given, some of which call a tool, judged by rules alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import solon

LOOK = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}},
}


def call(at: str) -> dict[str, Any]:
    """Of the tool that every prompt offers."""
    return {"type": "function", "function": {"name": "look", "arguments": {"at": at}}}


def rule(name: str, weight: float = 1.0, **check: object) -> dict[str, Any]:
    """A principle that a rule judges."""
    return {"id": name, "objective": "good", "text": f"Be {name}.", "weight": weight, "check": check}


def calling_run(
    folder: Path,
    principles: Sequence[dict[str, Any]],
    responses: Sequence[Any],
    prompts: int = 3,
    name: str = "run",
    **columns: Any,
) -> Path:
    """All pairs of the same responses to every prompt. columns: of each prompt's row. The constitution is FOLDER/NAME.yaml."""
    laws = {"name": "laws", "version": 1, "objectives": {"good": 1.0}, "principles": [*principles]}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(laws))
    rows = [
        {"id": f"p{i}", "prompt": f"What is at {i}?", "tools": [LOOK], "responses": [*responses], **columns}
        for i in range(prompts)
    ]
    making = solon.generate_feedback(
        str(folder / f"{name}.yaml"), rows, folder / name, engine="replay", policy="m", report=False,
        plan={"rounds": 0, "controls": 0, "pairs": "all_pairs"},
    )  # fmt: skip
    solon.run_sync(making)
    return folder / name
