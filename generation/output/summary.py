"""What a run prints when it is done: counts, where the time and the rows went, and three pairs to read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from constitution.records import STAGES
from constitution.terminal import printable
from generation.output.manifest import Manifest
from generation.output.records import Forecast

EXAMPLES = 3
CLIP = 600
"""Most characters of one response in an example."""


def show(manifest: Manifest, folder: Path, console: Console) -> None:
    """Print the summary table, example pairs and the dataset's path."""
    console.print(_table(manifest))
    for index, row in enumerate(_examples(folder)):
        console.print(_pair(index, row))
    console.print(Text(f"Dataset: {folder}  (datasets.load_dataset({str(folder)!r}, 'preferences'))"), soft_wrap=True)
    console.print(Text(f"Report:  {folder / 'report.html'}"), soft_wrap=True)


def _table(manifest: Manifest) -> Table:
    table = Table(title="What came out", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, count in manifest.counts.model_dump().items():
        if name != "censored_votes":
            table.add_row(name, f"{count:,}")
        elif count:
            table.add_row("of the votes, bounds (a server's list did not hold both labels)", f"{count:,}")
    if manifest.controls.asked:
        table.add_row("control pairs right", f"{manifest.controls.right} of {manifest.controls.asked}")
    table.add_row("calls made / reused", f"{manifest.calls.made:,} / {manifest.calls.reused:,}")
    tokens = manifest.tokens
    table.add_row(
        "tokens prompt (cached) / completion", f"{tokens.prompt:,} ({tokens.cached:,}) / {tokens.completion:,}"
    )
    table.add_row("seconds", f"{manifest.seconds.wall:,.1f}")
    for kind, reasons in (("dropped", manifest.dropped), ("failed", manifest.failed)):
        for reason, count in sorted(reasons.items()):
            table.add_row(f"{kind}: {reason}", f"{count:,}")
    return table


def _examples(folder: Path) -> list[Mapping[str, object]]:
    """The most decided pairs of the first row group, of different prompts."""
    with pq.ParquetFile(folder / "data" / "preferences" / "train.parquet") as file:
        rows = next(file.iter_batches(batch_size=1000), None)
    pairs = [] if rows is None else sorted(rows.to_pylist(), key=lambda row: -row["log_odds"])
    first_of_prompt = {row["prompt_id"]: row for row in reversed(pairs)}
    return sorted(first_of_prompt.values(), key=lambda row: -row["log_odds"])[:EXAMPLES]


def _pair(index: int, row: Mapping[str, object]) -> Panel:
    """One pair, as text only: nothing in it is read as markup."""
    lines = []
    for name, style in (("prompt", "cyan"), ("chosen", "green"), ("rejected", "red")):
        messages = row[name]
        assert isinstance(messages, list)
        text = messages[-1]["content"]
        clipped = text if len(text) <= CLIP else text[:CLIP] + " …"
        seen = "\n".join(map(printable, clipped.split("\n")))
        lines.append(Text.assemble((f"{name:9}", f"bold {style}"), seen))
    votes = row["votes"]
    assert isinstance(votes, list)
    asked = ", ".join(dict.fromkeys(vote["principle"] for vote in votes))
    origins = f"{row['chosen_origin']} over {row['rejected_origin']}"
    title = Text(f"example {index + 1}: p_chosen {row['p_chosen']:.3f}, {origins}")
    return Panel(Group(*lines, Text(f"votes    {asked}", style="dim")), title=title, title_align="left")


def show_forecast(result: Forecast, console: Console) -> None:
    """Print what `--plan` found."""
    table = Table(title="Calls this run would make")
    for name in ("stage", "reused", "certain", "at most"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in STAGES:
        most = result.certain[stage] + result.following[stage]
        table.add_row(stage, f"{result.reused[stage]:,}", f"{result.certain[stage]:,}", f"{most:,}")
    table.add_row(
        "all", f"{result.reused.total():,}", f"{result.certain.total():,}", f"{result.most():,}", style="bold"
    )
    console.print(table)
