"""Everything an audit knows of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from constitution.digest import fraction
from constitution.records import Critique, Dropped, Failure
from critics.transcript import message_text
from evaluation.audit.heading import Heading, read_heading
from evaluation.audit.overlap import Overlap, Repeats, count_prompts, near_duplicates, overlaps, prompts_of
from evaluation.audit.pairs import Pairs, Tally, read_pairs
from evaluation.audit.responses import Responses, read_responses
from evaluation.audit.thresholds import Thresholds
from evaluation.audit.votes import Voters, read_voters
from evaluation.pages.section import LISTED
from generation.output.manifest import Manifest
from generation.output.reading import Voter, read_controls, read_critiques, read_failures


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
    failures: dict[str, list[tuple[Failure | Dropped, str]]]
    """failed or dropped -> the first records, each with the text of the response that it is about."""
    critiques: dict[str, list[Critique]]
    """Response id -> critiques of it, for the pairs to read."""
    controls: Controls
    prompts: int
    """Distinct prompts in the data."""
    near: Repeats
    overlaps: list[Overlap]
    """Overlaps with evaluation sets."""
    against: int
    """Evaluation sets that were looked at."""
    sampled: int | None = None
    """Pairs, responses and critiques of about so many prompts were read, whoever voted on all; of all where None."""

    def name(self, voter: Voter) -> str:
        """A voter as it is shown."""
        return self.voters.names[self.voters.keys.index(voter)]


def read_audit(
    run: Path,
    manifest: Manifest,
    thresholds: Thresholds,
    against: Sequence[Path],
    most: int | None = None,
    columns: Sequence[str] = (),
    sample: int | None = None,
) -> Audit:
    """Read a run whose files are written; the manifest need not be. Raises UserError.

    most: near-duplicates are estimated where the prompts have more 3-grams, and the most similar are named. sample: of a run over
    more prompts, pairs, responses and critiques of about so many are read.
    """
    asked = manifest.counts.prompts
    of = partial(_is_sampled, sample / asked) if sample is not None and asked > sample else None
    overlapping = overlaps(prompts_of(run), against, thresholds.ngram, thresholds.containment, columns)
    pairs = read_pairs(run, thresholds.examples, thresholds.seed, of)
    wanted = {pair.prompt_id for read in pairs.read.values() for pair in read}
    failures = _failures(run / "failures.parquet")
    wanted |= {record.prompt_id for found in failures.values() for record in found}
    responses = read_responses(run, pairs.chosen, pairs.rejected, wanted, thresholds, of)
    critiques: defaultdict[str, list[Critique]] = defaultdict(list)
    for critique in read_critiques(run / "critiques.parquet", of=of):
        if critique.prompt_id in wanted:
            critiques[critique.response_id].append(critique)
    near = near_duplicates(prompts_of(run), thresholds.near, most, LISTED if most else None)
    controls = _controls(run / "controls.parquet")
    voters = read_voters(run)
    texts = {name: message_text(candidate.message) for name, candidate in responses.kept.items()}
    failed = {kind: [(record, texts.get(record.subject, "")) for record in found] for kind, found in failures.items()}
    return Audit(
        read_heading(run), manifest, thresholds, voters, pairs, responses, failed, critiques, controls, count_prompts(run), near,
        overlapping, len(against), sample if of else None,
    )  # fmt: skip


def _is_sampled(share: float, prompt_id: str) -> bool:
    """The same prompts at each time, and independent of the split."""
    return fraction(f"sample {prompt_id}") < share


def _failures(path: Path) -> dict[str, list[Failure | Dropped]]:
    """failed, dropped -> the first LISTED records."""
    found: dict[str, list[Failure | Dropped]] = {"failed": [], "dropped": []}
    for record in read_failures(path):
        kind = "failed" if isinstance(record, Failure) else "dropped"
        if len(found[kind]) < LISTED:
            found[kind].append(record)
    return found


def _controls(path: Path) -> Controls:
    controls = Controls()
    seen: set[str] = set()
    for vote, kind, right in read_controls(path) if path.is_file() else ():
        if vote.prompt_id not in seen:
            seen.add(vote.prompt_id)
            controls.kinds[kind].add(right)
        if vote.value:
            controls.voters[vote.judge, vote.method, vote.principle].add(vote.value > 0)
    return controls
