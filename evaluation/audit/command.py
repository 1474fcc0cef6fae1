"""`python -m evaluation audit RUN`: what a run's labels are worth, as report.html, as numbers, and as a gate."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from constitution.errors import InputError
from constitution.terminal import complain, printable
from evaluation.audit.clean import write_clean
from evaluation.audit.data import Audit, read_audit
from evaluation.audit.measures import verdicts
from evaluation.audit.overlap import MOST_GRAMS
from evaluation.audit.page import limit, measured, render
from evaluation.audit.thresholds import Thresholds, load
from evaluation.diff.runs import RunError
from evaluation.files import write, write_json
from generation.output.files import write_atomically
from generation.output.manifest import NAME, Manifest, read

PAGE = "report.html"


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"the page (default: RUN/{PAGE})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers, as JSON")
    parser.add_argument("--config", type=Path, metavar="FILE", help="thresholds, as YAML")
    fields = Thresholds.model_fields.items()
    limits = ", ".join(f"{name}={field.default}" for name, field in fields if not isinstance(field.default, tuple))
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help=f"one threshold (defaults: {limits})"
    )
    parser.add_argument("--gate", action="store_true", help="exit 1 when a threshold is crossed")
    parser.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="an evaluation set, as JSONL or .gz with `prompt`, that the prompts should not be in; repeatable",
    )
    parser.add_argument(
        "--clean",
        type=Path,
        metavar="FOLDER",
        help="copy the data there without near-duplicates and overlaps",
    )


def run(options: argparse.Namespace, console: Console) -> int:
    """Exit code 0 done, 1 a gate failed, 2 bad arguments or files."""
    try:
        thresholds = load(options.config, options.set)
        audit = read_audit(options.run, _manifest(options.run), thresholds, options.against)
        page = options.out or options.run / PAGE
        write(page, render(audit))
        if options.json:
            write_json(options.json, numbers(audit))
        left_out = write_clean(options.run, options.clean, why_left_out(audit)) if options.clean else {}
    except (InputError, RunError) as error:
        complain(error)
        return 2
    found = verdicts(audit)
    crossed = [verdict for verdict in found if verdict.crossed]
    for (name, what, estimate, n, advice), top, _ in crossed:
        value = f"{measured(name, estimate.value)}, {limit(name, top)} wanted"
        console.print(f"{name}: {value} ({what}, of {n}). {advice}", markup=False)
    console.print(f"{len(found)} measures, {len(crossed)} over their limits. {printable(str(page))}", markup=False)
    for path, rows in left_out.items():
        console.print(f"{options.clean / path}: {rows} rows left out", markup=False)
    return 1 if options.gate and crossed else 0


def write_report(folder: Path, manifest: Manifest) -> None:
    """Write report.html from the finished files of a run, with the thresholds' defaults. Raises RunError.

    Memory is bounded: near-duplicates among more than MOST_GRAMS 3-grams are left to the command.
    """
    write_atomically(folder / PAGE, render(read_audit(folder, manifest, Thresholds(), (), MOST_GRAMS)))


def numbers(audit: Audit) -> dict[str, object]:
    """What `--json` writes; null where there is nothing to count."""
    v = audit.voters
    return {
        "measures": {
            m.name: {**m.found.model_dump(), "of": m.n, "limit": top, "crossed": crossed}
            for m, top, crossed in verdicts(audit)
        },
        "voters": {
            name: {
                "votes": int(v.votes[i]),
                "mean_strength": v.strength[i] / v.votes[i],
                "mean_bias": v.bias[i] / v.votes[i],
                "flips": v.flips[i] / v.votes[i] if v.ordered[i] else None,
                "sides_with": {
                    lure: tally.hits / tally.n if tally.n else None
                    for lure, tally in audit.pairs.voters_lured[v.keys[i]].items()
                },
            }
            for i, name in enumerate(v.names)
        },
        "refusals": [
            {"prompts": asked, "replies": role, "of": tally.n, "refuse": tally.hits}
            for (asked, role), tally in sorted(audit.replies.refusals.items())
        ],
        "objectives": [
            {"objectives": pair, "of": tally.n, "one_wins_one_loses": tally.hits}
            for pair, tally in sorted(audit.pairs.trades.items())
        ],
        "near_duplicates": None if audit.near is None else [near._asdict() for near in audit.near],
        "overlaps": [found._asdict() for found in audit.found],
    }


def why_left_out(audit: Audit) -> dict[str, str]:
    """Prompt id -> why its rows are left out of a clean copy."""
    near = {near.prompt_id: f"nearly repeats {near.earlier} ({near.jaccard:.2f})" for near in audit.near or ()}
    return near | {found.prompt_id: f"is in {found.place} ({found.containment:.2f})" for found in audit.found}


def _manifest(folder: Path) -> Manifest:
    manifest = read(folder)
    if manifest is None:
        state = "was written by another version" if (folder / NAME).is_file() else f"is not a finished run (no {NAME})"
        raise RunError(f"{folder}: {state}; run generate_feedback.py --out {folder} to its end")
    return manifest
