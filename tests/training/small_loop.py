"""Settings of a small loop on the replay engine: made-up responses and votes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

LAWS = {
    "name": "small",
    "version": 1,
    "objectives": {"good": 1.0, "form": 1.0},
    "principles": [
        {"id": "kind", "objective": "good", "text": "Be kind."},
        {"id": "short", "objective": "form", "text": "Be short.", "check": {"max_words": 12}},
    ],
}
DPO = {
    "recipe": "dpo",
    "training": {"batch_size": 4, "micro_batch_size": 2, "precision": "fp32", "report_to": [], "learning_rate": 0.01},
}
OPEN = {"win": 0.0}
"""Gates that every round passes."""


def small_settings(folder: Path, *phases: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Settings of a loop whose prompts and constitution are made in the folder; its model is expected there."""
    if not (folder / "laws.yaml").exists():
        (folder / "laws.yaml").write_text(yaml.safe_dump(LAWS), encoding="utf-8")
        for name, count in (("prompts", 40), ("held_out", 8)):
            lines = [json.dumps({"prompt": f"Say something about {name} {i}."}) for i in range(count)]
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    replay = {"engine": "replay", "plan": {"controls": 4, "samples": 2, "rounds": 1}}
    return {
        "model": str(folder / "model"),
        "constitution": str(folder / "laws.yaml"),
        "prompts": str(folder / "prompts.jsonl"),
        "prompts_per_round": 12,
        "feedback": replay,
        "phases": list(phases or (DPO,)),
        "evaluation": {"prompts": str(folder / "held_out.jsonl"), "settings": replay, "probes": False},
        "gates": OPEN,
        "monitor": {"halts": []},
        **changes,
    }


def write_settings(folder: Path, settings: dict[str, Any], name: str = "loop.yaml") -> Path:
    """The same as a file."""
    path = folder / name
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path
