"""The dataset card: what the data is, where it came from, what it is not."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from constitution.principles import Constitution
from generation.config import RunConfig
from generation.output.dataset import DATASETS, split_path
from generation.output.files import write_atomically
from generation.output.manifest import Manifest
from generation.output.pages import render_markdown
from generation.output.reading import split_files

TEMPLATE = Path(__file__).parent / "templates" / "card.md.jinja"


def write_card(folder: Path, manifest: Manifest, constitution: Constitution, config: RunConfig) -> None:
    """Write README.md, which also tells `datasets.load_dataset` where the two datasets are."""
    rows = {name: {split: rows_in(path) for split, path in split_files(folder, name)} for name in DATASETS}
    configs: list[dict[str, object]] = [
        {
            "config_name": name,
            "data_files": [{"split": split, "path": split_path(name, split)} for split in splits],
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
    page = render_markdown(
        TEMPLATE,
        front=yaml.safe_dump(front, sort_keys=False, allow_unicode=True),
        constitution=constitution,
        config=config,
        manifest=manifest,
        rows=rows,
        fenced=fenced,
    )
    write_atomically(folder / "README.md", page)


def rows_in(path: Path) -> int:
    """Rows of a parquet file."""
    return int(pq.read_metadata(path).num_rows)


def fenced(text: str) -> str:
    """Text in a code fence longer than any in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"
