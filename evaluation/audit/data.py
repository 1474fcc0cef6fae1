"""Everything an audit knows of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.audit.heading import Heading, read_heading
from evaluation.audit.overlap import NearDuplicate, Overlap, count_prompts, near_duplicates, overlaps, prompts_of
from evaluation.audit.pairs import Pairs, Tally, read_pairs
from evaluation.audit.responses import Responses, read_responses
from evaluation.audit.thresholds import Thresholds
from evaluation.audit.votes import Voter, Voters, read_voters
from evaluation.pages.section import LISTED
from generation.output.manifest import Manifest
from generation.output.reading import rows


@dataclass(slots=True)
class Controls:
    """Pairs with a known answer that were judged along."""

    kinds: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    """Kind -> controls, and those with the right label."""
    voters: defaultdict[Voter, Tally] = field(default_factory=lambda: defaultdict(Tally))
    """Voter -> its votes that take a side, and those that take the right one."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything an audit knows of a run."""

    heading: Heading
    manifest: Manifest
    thresholds: Thresholds
    voters: Voters
    pairs: Pairs
    responses: Responses
    failures: dict[str, list[tuple[dict[str, Any], str]]]
    """failed or dropped -> the first records, each with the text of the response that it is about."""
    critiques: dict[str, list[dict[str, Any]]]
    """Response id -> critiques of it, for the pairs to read."""
    controls: Controls
    prompts: int
    """Distinct prompts in the data."""
    near: list[NearDuplicate] | None
    """None where the prompts are too many to count."""
    overlaps: list[Overlap]
    """Overlaps with evaluation sets."""
    against: int
    """Evaluation sets that were looked at."""

    def name(self, voter: Voter) -> str:
        """A voter as it is shown."""
        return self.voters.names[self.voters.keys.index(voter)]


def read_audit(
    run: Path, manifest: Manifest, thresholds: Thresholds, against: Sequence[Path], most: int | None = None
) -> Audit:
    """Read a run whose files are written; the manifest need not be. Raises UserError.

    most: near-duplicates are not looked for where the prompts have more 3-grams.
    """
    overlapping = overlaps(prompts_of(run), against, thresholds.ngram, thresholds.containment) if against else []
    pairs = read_pairs(run, thresholds.examples, thresholds.seed)
    wanted = {row["prompt_id"] for read in pairs.read.values() for row in read}
    failures = _failures(run / "failures.parquet")
    wanted |= {row["prompt_id"] for found in failures.values() for row in found}
    responses = read_responses(run, pairs.chosen, pairs.rejected, wanted, thresholds)
    critiques: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows(run / "critiques.parquet"):
        if row["prompt_id"] in wanted:
            critiques[row["response_id"]].append(row)
    near = near_duplicates(prompts_of(run), thresholds.near, most)
    controls = _controls(run / "controls.parquet")
    voters = read_voters(run)
    failed = {
        kind: [(row, str(responses.texts.get(row["subject"], {}).get("text", ""))) for row in records]
        for kind, records in failures.items()
    }
    return Audit(
        read_heading(run), manifest, thresholds, voters, pairs, responses, failed, critiques, controls, count_prompts(run), near,
        overlapping, len(against),
    )  # fmt: skip


def _failures(path: Path) -> dict[str, list[dict[str, Any]]]:
    """failed, dropped -> the first LISTED records."""
    found: dict[str, list[dict[str, Any]]] = {"failed": [], "dropped": []}
    for row in rows(path):
        if len(found[row["kind"]]) < LISTED:
            found[row["kind"]].append(row)
    return found


def _controls(path: Path) -> Controls:
    controls = Controls()
    seen: set[str] = set()
    for row in rows(path) if path.is_file() else ():
        if row["prompt_id"] not in seen:
            seen.add(row["prompt_id"])
            controls.kinds[row["kind"]].add(row["right"])
        if row["vote"]:
            controls.voters[row["judge"], row["method"], row["principle"]].add(row["vote"] > 0)
    return controls
