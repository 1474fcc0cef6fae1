"""The dataset card: what the data is, where it came from, what it is not."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from constitution.principles import Constitution
from generation.config import RunConfig
from generation.output.dataset import SPLITS
from generation.output.files import write_atomically
from generation.output.manifest import Manifest
from generation.output.pages import render_markdown

TEMPLATE = Path(__file__).parent / "templates" / "card.md.jinja"


def write_card(folder: Path, manifest: Manifest, constitution: Constitution, config: RunConfig) -> None:
    """Write README.md, which also tells `datasets.load_dataset` where the two datasets are."""
    configs = [
        {
            "config_name": name,
            "default": name == "preferences",
            "data_files": [{"split": split, "path": f"data/{name}/{split}.parquet"} for split in SPLITS],
        }
        for name in ("preferences", "sft")
    ]
    rows = {
        name: {s: rows_in(folder / "data" / name / f"{s}.parquet") for s in SPLITS} for name in ("preferences", "sft")
    }
    front = {
        "license": config.license,
        "pretty_name": f"Preferences by the constitution {constitution.name}",
        "tags": ["preference", "constitutional-ai", "rlaif", "synthetic"],
        "configs": configs,
    }
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
