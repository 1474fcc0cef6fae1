"""The dataset card: what the data is, where it came from, what it is not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import yaml
from pydantic import ValidationError

from constitution.errors import UserError, problems_of
from constitution.principles import Constitution
from constitution.terminal import printable
from critics.ranking.intervals import wilson
from generation.config import RunConfig
from generation.output.dataset import DATASETS, split_path
from generation.output.files import write_atomically
from generation.output.folder import MACHINE, SETTINGS, run_folder
from generation.output.manifest import Manifest
from generation.output.pages import render_markdown
from generation.output.reading import rows_in, schema_of, split_files
from generation.reasons import told

TOOLS = "tools"
"""Column that a run with tools has."""
JSON = ("arguments",)
"""Names of fields that hold JSON: a struct of all calls' arguments would give each call those of the others."""
TEMPLATE = Path(__file__).parent / "templates" / "card.md.jinja"


def write_card(folder: Path, manifest: Manifest, constitution: Constitution, config: RunConfig) -> None:
    """Write README.md, which also tells `datasets.load_dataset` where the two datasets are."""
    rows = {name: {split: rows_in(path) for split, path in split_files(folder, name)} for name in DATASETS}
    configs: list[dict[str, object]] = [
        {
            "config_name": name,
            "description": contents(manifest, name, splits),
            "data_files": [{"split": split, "path": _path(manifest, name, split)} for split in splits],
        }
        for name, splits in rows.items()
        if splits
    ]
    if configs:
        configs[0]["default"] = True
    front: dict[str, object] = {
        "license": config.license,
        "pretty_name": f"Preferences by the constitution {constitution.name}",
        "tags": ["preference", "constitutional-ai", "rlaif", "synthetic"],
    } | ({"configs": configs} if configs else {})
    schemas = {
        name: schema_of(folder / split_path(name, next(iter(splits)))) for name, splits in rows.items() if splits
    }
    if told_types := [
        {"config_name": name, "features": features(schema)} for name, schema in schemas.items() if TOOLS in schema.names
    ]:
        front["dataset_info"] = told_types
    page = render_markdown(
        TEMPLATE,
        front=yaml.safe_dump(front, sort_keys=False, allow_unicode=True),
        constitution=constitution,
        config=config,
        manifest=manifest,
        rows=rows,
        fenced=fenced,
        code=code,
        told=told,
        controls=_interval(manifest),
    )
    write_atomically(folder / "README.md", page)


def contents(manifest: Manifest, name: str, splits: Iterable[str]) -> str:
    """What tells a dataset from any other, in words that `datasets` hashes.

    Its cache knows a local folder by its name and its card alone: of two runs that are both called `demo` it would give the rows
    of the first for the second, and the old rows of a folder that was made again.
    """
    files = ((split, manifest.files[one]) for split in splits for one in manifest.parts(split_path(name, split)))
    return f"sha256 of its files: {', '.join(f'{split} {digest}' for split, digest in files)}"


def _path(manifest: Manifest, name: str, split: str) -> str | list[str]:
    """The files of a split, as a card tells them to `datasets`."""
    parts = manifest.parts(split_path(name, split))
    return parts[0] if len(parts) == 1 else parts


def _interval(manifest: Manifest) -> str:
    """The share of control pairs that were labelled rightly, with its 95% interval."""
    right, asked = manifest.controls.right, manifest.controls.asked
    low, high = wilson(right, asked)
    return f"{right / max(1, asked):.0%}, 95% interval {low:.0%} to {high:.0%}"


def features(schema: pa.Schema) -> list[dict[str, object]]:
    """Column types as a card tells them to `datasets`, which then gives what JSON says: chat templates want it so."""
    return [_named(field) for field in schema]


def _named(field: pa.Field) -> dict[str, object]:
    is_json = field.name in JSON and pa.types.is_string(field.type)
    return {"name": field.name, **({"dtype": "json"} if is_json else _type(field.type))}


def _type(kind: pa.DataType) -> dict[str, object]:
    if pa.types.is_list(kind):
        inner = _type(kind.value_type)
        return {"list": inner.get("struct", inner.get("dtype"))}
    if pa.types.is_struct(kind):
        return {"struct": [_named(field) for field in kind]}
    return {"dtype": "float64" if pa.types.is_float64(kind) else str(kind)}


def recorded(folder: Path) -> RunConfig:
    """The settings that a run's folder keeps. Raises UserError where there are none, or none of this version."""
    snapshot = run_folder(folder).snapshot() or {}
    machine = dict(snapshot.get(MACHINE) or {})
    several = {}
    for key in ("panel", "policies"):
        own = {member["name"]: member for member in machine.pop(key, [])}
        several[key] = [{**member, **own.get(member["name"], {})} for member in snapshot.get(key, [])]
    given = {name: value for name, value in {**snapshot, **machine}.items() if name in RunConfig.model_fields}
    try:
        return RunConfig.model_validate({**given, **several})
    except ValidationError as error:
        raise UserError(problems_of(error, RunConfig, str(folder / SETTINGS))) from None


def fenced(text: str) -> str:
    """Text in a code fence longer than any in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def code(text: object) -> str:
    """A text as code within a line of a table, whatever is in it."""
    line = printable(str(text)).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " if len(fence) > 1 else ""
    return f"{fence}{pad}{line or ' '}{pad}{fence}"
