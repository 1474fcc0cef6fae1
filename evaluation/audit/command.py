"""`python -m evaluation audit RUN`: what a run's labels are worth, as report.html, as numbers, and as a gate."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from constitution.terminal import printable
from critics.text.language import forget
from evaluation.audit.clean import NOTE, write_clean
from evaluation.audit.data import Audit, read_audit
from evaluation.audit.measures import verdicts
from evaluation.audit.overlap import MOST_GRAMS
from evaluation.audit.page import limit, measured, render
from evaluation.audit.settings import AuditSettings
from evaluation.audit.thresholds import Thresholds, load
from evaluation.files import write, write_json
from generation.output.files import write_atomically
from generation.output.manifest import BESIDE, REPORT, Manifest, seal, whole

SAMPLE = 50_000
"""Prompts of which the report that a run writes of itself reads pairs, responses and critiques."""


def run(settings: AuditSettings, console: Console) -> int:
    """Audit, write, print. Exit code 0 done, 1 a gate failed. Raises UserError."""
    thresholds = load(settings.config, settings.overrides)
    manifest = whole(settings.run)
    audit = read_audit(settings.run, manifest, thresholds, settings.against, columns=settings.columns)
    page = settings.out or settings.run / REPORT
    write(page, render(audit))
    if os.path.realpath(page) == os.path.realpath(settings.run / REPORT):
        seal(settings.run, manifest, [REPORT])
    if settings.json_file:
        write_json(settings.json_file, numbers(audit))
    cleaned = _clean(settings.run, settings.clean, audit, manifest) if settings.clean else ""
    found = verdicts(audit)
    crossed = [verdict for verdict in found if verdict.crossed]
    for (name, what, estimate, n, advice), top, _ in crossed:
        value = f"{measured(name, estimate.value)}, {limit(name, top)} wanted"
        console.print(f"{name}: {value} ({what}, of {n}). {advice}", markup=False)
    console.print(f"{len(found)} measures, {len(crossed)} over their limits. {printable(str(page))}", markup=False)
    if cleaned:
        console.print(cleaned, markup=False)
    return 1 if settings.gate and crossed else 0


def _clean(run: Path, folder: Path, audit: Audit, manifest: Manifest) -> str:
    """Write a run folder without doubtful prompts, the report of it included; returns what to say."""
    cleaned = write_clean(run, folder, why_left_out(audit), manifest)
    write_report(folder, cleaned)
    seal(folder, cleaned, [*BESIDE, NOTE])
    gone = cleaned.source.prompts_left_out if cleaned.source else 0
    counts = cleaned.counts
    return printable(
        f"{folder}: a run without {gone:,} of {manifest.counts.prompts:,} prompts, with {counts.pairs:,} of "
        f"{manifest.counts.pairs:,} pairs and {counts.targets:,} of {manifest.counts.targets:,} targets; {NOTE} says why"
    )


def write_report(folder: Path, manifest: Manifest) -> None:
    """Write report.html from the finished files of a run, with the thresholds' defaults. Raises UserError.

    Memory is bounded, but for 100 bytes of each prompt: near-duplicates among more than MOST_GRAMS 3-grams are estimated, of more
    than SAMPLE prompts that many are read, and what the run itself needed is given back first.
    """
    forget()
    pa.default_memory_pool().release_unused()
    audit = read_audit(folder, manifest, Thresholds(), (), MOST_GRAMS, sample=SAMPLE)
    write_atomically(folder / REPORT, render(audit))


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
                "position_inconsistent": v.position_inconsistent[i] / v.votes[i] if v.ordered[i] else None,
                "sides_with": {
                    name: tally.hits / tally.n if tally.n else None
                    for name, tally in audit.pairs.voter_biases[v.keys[i]].items()
                },
            }
            for i, name in enumerate(v.names)
        },
        "refusals": [
            {"prompts": asked, "responses": role, "of": tally.n, "refuse": tally.hits}
            for (asked, role), tally in sorted(audit.responses.refusals.items())
        ],
        "objectives": [
            {"objectives": pair, "of": tally.n, "one_wins_one_loses": tally.hits}
            for pair, tally in sorted(audit.pairs.trades.items())
        ],
        "near_duplicates": [near._asdict() for near in audit.near.found],
        "overlaps": [found._asdict() for found in audit.overlaps],
    }


def why_left_out(audit: Audit) -> dict[str, str]:
    """Prompt id -> why its rows are left out of a clean copy."""
    near = {near.prompt_id: f"nearly repeats {near.earlier} ({near.jaccard:.2f})" for near in audit.near.found}
    return near | {found.prompt_id: f"is in {found.place} ({found.containment:.2f})" for found in audit.overlaps}
