"""What a run prints when it is done: counts, where the time and the rows went, and three pairs to read."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, islice
from pathlib import Path

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from constitution.records import STAGES, Stage
from constitution.terminal import printable
from critics.ranking.intervals import wilson
from generation.calls.prices import Spent, Tariff, total
from generation.output.dataset import DATASETS
from generation.output.manifest import Manifest, Probability
from generation.output.reading import Pair, read_pairs, split_files
from generation.output.records import Estimate, Forecast
from generation.reasons import told

EXAMPLES = 3
LOOKED_AT = 1000
"""Pairs among which they are looked for."""
CLIP = 600
"""Most characters of one response in an example."""
NOTHING = Estimate(Spent(), Spent())
_DECIDED = {
    "vetoed": "of the comparisons, decided by a veto",
    "rule_pairs": "of the pairs, decided by rules alone",
    "human_pairs": "of the pairs, decided by people",
}
_ASSUMED = (
    "Expected: every call that may follow is made, and takes what such calls took so far; before there are any, a text is half as "
    "long as it may be. Tokens of prompts that only a server counts are guessed from their characters."
)


def show(manifest: Manifest, folder: Path, console: Console) -> None:
    """Print the summary table, example pairs and the dataset's path."""
    console.print(_table(manifest))
    if manifest.accepted:
        console.print(Text(f"Stated error: {printable(manifest.accepted.promise)}"), soft_wrap=True)
    for index, pair in enumerate(_examples(folder)):
        console.print(_pair(index, pair))
    for name in DATASETS:
        if split_files(folder, name):
            load = f"datasets.load_dataset({str(folder)!r}, {name!r})"
            console.print(Text(f"Dataset: {printable(load)}"), soft_wrap=True)
    console.print(Text(f"Report:  {printable(str(folder / 'report.html'))}"), soft_wrap=True)


def _table(manifest: Manifest) -> Table:
    table = Table(title="What came out", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, count in manifest.counts.model_dump().items():
        if name in _DECIDED:
            if count:
                table.add_row(_DECIDED[name], f"{count:,}")
        elif name != "censored_votes":
            table.add_row(name, f"{count:,}")
        elif count:
            table.add_row("of the votes, bounds (a server's list did not hold both labels)", f"{count:,}")
    table.add_row("p_chosen", _probability(manifest.probability))
    if manifest.accepted:
        accepted, judged = manifest.accepted.accepted, manifest.accepted.judged
        table.add_row("labels accepted under the stated error", f"{accepted:,} of {judged:,}")
        if len(manifest.accepted.ended) > 1:
            steps = " / ".join(f"{count:,}" for count in manifest.accepted.ended)
            table.add_row("comparisons that ended at each step of the cascade", steps)
    if manifest.controls.asked:
        right, asked = manifest.controls.right, manifest.controls.asked
        low, high = wilson(right, asked)
        table.add_row("control pairs right (95% interval)", f"{right} of {asked} ({low:.0%} to {high:.0%})")
    table.add_row("calls made / reused", f"{manifest.calls.made:,} / {manifest.calls.reused:,}")
    tokens = manifest.tokens
    table.add_row(
        "tokens prompt (cached) / completion", f"{tokens.prompt:,} ({tokens.cached:,}) / {tokens.completion:,}"
    )
    if manifest.calls.unkept:
        table.add_row("paid calls beside those: probes, and answers that were lost", f"{manifest.calls.unkept:,}")
    if tokens.estimated:
        table.add_row("of the tokens, estimated, as nobody reported them", f"{tokens.estimated:,}")
    if manifest.cost:
        table.add_row("cost of the calls made", f"{manifest.cost.amount:,.4f} {printable(manifest.cost.currency)}")
        if manifest.cost.batched:
            table.add_row(
                "of it, by the batch API", f"{manifest.cost.batched:,.4f} {printable(manifest.cost.currency)}"
            )
        for name in manifest.cost.unpriced:
            table.add_row(f"without a price: {printable(name)}", "not counted")
    table.add_row("seconds", f"{manifest.seconds.wall:,.1f}")
    for kind, reasons in (("dropped", manifest.dropped), ("failed", manifest.failed)):
        for reason, count in sorted(reasons.items()):
            table.add_row(printable(f"{kind}: {told(reason)}"), f"{count:,}")
    return table


def _probability(found: Probability) -> str:
    if found.how != "pooled" or found.voters is None or found.voters_effective is None:
        return "fitted on labelled pairs" if found.how == "fitted" else "of the mean vote"
    return f"pooled: {found.voters:.1f} voters worth {found.voters_effective:.1f}"


def _examples(folder: Path) -> list[Pair]:
    """The most decided of the first LOOKED_AT pairs, of different prompts."""
    pairs_of = (read_pairs(path, split) for split, path in split_files(folder, "preferences"))
    found = islice(chain.from_iterable(pairs_of), LOOKED_AT)
    pairs = sorted(found, key=lambda pair: -pair.log_odds)
    first_of_prompt = {pair.prompt_id: pair for pair in reversed(pairs)}
    return sorted(first_of_prompt.values(), key=lambda pair: -pair.log_odds)[:EXAMPLES]


def _pair(index: int, pair: Pair) -> Panel:
    """One pair, as text only: nothing in it is read as markup."""
    lines = []
    texts = {"prompt": pair.prompt[-1].content, "chosen": pair.chosen.content, "rejected": pair.rejected.content}
    for (name, text), style in zip(texts.items(), ("cyan", "green", "red"), strict=True):
        clipped = text if len(text) <= CLIP else text[:CLIP] + " …"
        seen = "\n".join(map(printable, clipped.split("\n")))
        lines.append(Text.assemble((f"{name:9}", f"bold {style}"), seen))
    asked = ", ".join(dict.fromkeys(vote.principle for vote in pair.votes))
    origins = f"{pair.chosen_origin} over {pair.rejected_origin}"
    title = Text(f"example {index + 1}: p_chosen {pair.p_chosen:.3f}, {origins}")
    return Panel(Group(*lines, Text(f"votes    {asked}", style="dim")), title=title, title_align="left")


def show_forecast(
    result: Forecast, takes: Mapping[Stage, Estimate], spent: Spent, tariff: Tariff, console: Console
) -> None:
    """Print what `--plan` found. takes: tokens and money of the calls to come, by stage. spent: what earlier starts took."""
    table = Table(title="Calls this run would make")
    priced = bool(tariff.prices)
    money = [f"{tariff.currency} expected", f"{tariff.currency} at most"] if priced else []
    names = ("stage", "reused", "certain", "at most", "tokens expected", "tokens at most", *money)
    for name in names:
        table.add_column(name, justify="left" if name == "stage" else "right")

    def row(name: str, reused: int, certain: int, most: int, estimate: Estimate, style: str = "") -> None:
        tokens = [f"{part.tokens:,}" for part in estimate]
        amounts = [f"{part.cost:,.4f}" for part in estimate] if priced else []
        table.add_row(name, f"{reused:,}", f"{certain:,}", f"{most:,}", *tokens, *amounts, style=style)

    for stage in STAGES:
        most = result.certain[stage] + result.following[stage]
        row(stage, result.reused[stage], result.certain[stage], most, takes.get(stage, NOTHING))
    whole = Estimate(total(one.expected for one in takes.values()), total(one.most for one in takes.values()))
    row("all", result.reused.total(), result.certain.total(), result.most(), whole, "bold")
    console.print(table)
    if result.control_calls:
        told_of = f"At most {result.control_calls:,} of the calls are about {result.control_pairs} control pairs"
        console.print(f"{told_of} (plan.controls), which measure the judge.", soft_wrap=True)
    if spent.calls:
        money_spent = f" and {tariff.money(spent.cost)}" if priced else ""
        console.print(f"Spent so far: {spent.calls:,} calls, {spent.tokens:,} tokens{money_spent}", soft_wrap=True)
    console.print(_ASSUMED, soft_wrap=True, style="dim")
