"""The model card: README.md of a checkpoint, with what it was made from, its figures, and how it is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from generation.output.card import fenced
from generation.output.files import write_atomically
from generation.output.pages import render_markdown
from training.config import RecipeName
from training.model.saving import ADAPTER
from training.run.metrics import describe

TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.jinja"
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM takes for `max_lora_rank`."""

_WHAT: Mapping[RecipeName, str] = {
    "sft": "A policy, fine-tuned on responses that a model revised under the principles of a constitution (the supervised phase of "
    "[Constitutional AI](https://arxiv.org/abs/2212.08073)). The loss is on the response alone.",
    "best_of": "A policy, fine-tuned on the best of several of its own responses by a reward: rejection sampling, or "
    "[best of N](https://arxiv.org/abs/2009.01325).",
    "reward": "A reward model: a whole conversation in, one number out. Trained on preference pairs whose labels are a judge's "
    "probabilities, with the [Bradley-Terry](https://arxiv.org/abs/2203.02155) loss.",
    "dpo": "A policy, trained on preference pairs whose labels are a judge's probabilities, with "
    "[DPO](https://arxiv.org/abs/2305.18290).",
    "simpo": "A policy, trained on preference pairs whose labels are a judge's probabilities, with "
    "[SimPO](https://arxiv.org/abs/2405.14734): without a reference, on log-probabilities per token.",
    "orpo": "A policy, fine-tuned on the better responses of preference pairs whose labels are a judge's probabilities, and on "
    "their odds, with [ORPO](https://arxiv.org/abs/2403.07691).",
    "kto": "A policy, trained on responses that are good or bad by a judge's probabilities, with "
    "[KTO](https://arxiv.org/abs/2402.01306).",
    "process": "A [process reward model](https://arxiv.org/abs/2305.20050): a response in steps in, one number for each step out, "
    "the log-odds that the step is right.",
    "ppo": "A policy, trained on its own responses against a reward, with [PPO](https://arxiv.org/abs/1707.06347) and a KL to its "
    "reference.",
}


class Base(NamedTuple):
    """The model that training began from."""

    name: str
    digest: str


class Data(NamedTuple):
    """One source of rows."""

    name: str
    digest: str
    rows: int
    weight: float
    """Of the source in the mixture."""


def write_card(
    folder: Path,
    *,
    recipe: RecipeName,
    base: Base,
    data: Sequence[Data],
    constitutions: Sequence[str],
    settings: Mapping[str, object],
    results: Mapping[str, float],
    license: str,
) -> None:
    """Write README.md into the folder of a checkpoint, which is told apart from a LoRA adapter by its files.

    constitutions: digests of those that labelled the data. settings: what YAML can write. results: figures by the names of
    `training.run.metrics.METRICS`, with `eval_` before those of held-out rows. Of absolute paths only the last name is told.
    """
    adapter = folder / ADAPTER
    rank = int(json.loads(adapter.read_text(encoding="utf-8"))["r"]) if adapter.exists() else 0
    front = {
        "base_model": _short_name(base.name),
        "license": license,
        "library_name": "transformers",
        "pipeline_tag": "text-classification" if recipe in ("reward", "process") else "text-generation",
        "tags": ["constitutional-ai", "rlaif", recipe, *(["lora"] if rank else [])],
    }
    page = render_markdown(
        TEMPLATE,
        front=yaml.safe_dump(front, sort_keys=False, allow_unicode=True),
        title=code(folder.resolve().name),
        what=_WHAT[recipe],
        recipe=recipe,
        quantized=settings.get("quantize"),
        rank=next((most for most in RANKS if most >= rank), rank) if rank else 0,
        base=base._replace(name=_short_name(base.name)),
        data=[one._replace(name=_short_name(one.name)) for one in data],
        constitutions=constitutions,
        results=[_figure(name, value) for name, value in results.items()],
        settings=fenced(yaml.safe_dump(_short_names(settings), sort_keys=False, allow_unicode=True).rstrip()),
        code=code,
    )
    write_atomically(folder / "README.md", page)


def code(text: str) -> str:
    """Text as inline code on one line, whatever is in it; also in a table's cell."""
    line = " ".join(text.split()).replace("|", "\\|")
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    room = " " if "`" in line or not line else ""
    return f"{ticks}{room}{line}{room}{ticks}"


def _short_name(name: str) -> str:
    return Path(name).name if Path(name).is_absolute() else name


def _short_names(value: object) -> object:
    """Settings, of whose absolute paths only the last name is told: of keys, of values, and at any depth."""
    if isinstance(value, str):
        return _short_name(value)
    if isinstance(value, Mapping):
        shortened: dict[object, object] = {}
        for key, inner in value.items():
            name = short = _short_names(key)
            while name in shortened:  # folders of one name
                name = f"{short} ({len(shortened) + 1})"
            shortened[name] = _short_names(inner)
        return shortened
    return [_short_names(inner) for inner in value] if isinstance(value, list | tuple) else value


def _figure(name: str, value: float) -> tuple[str, str, str, str]:
    metric = describe(name.removeprefix("eval_"))
    where = " On held-out rows." if name.startswith("eval_") else ""
    return code(name), f"{metric.meaning}{where}".strip(), metric.unit, f"{value:.4g}"
