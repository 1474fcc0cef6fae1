"""What the demo shows, from its run folder: whether its labels are right, what failed, what revision changed.

python -m benchmarks.demo [runs/demo]    prints the figures, and the revisions beside what they revise, for a person to read
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import show
from constitution.records import Vote
from critics.ranking.aggregate import score
from critics.ranking.weights import Weights, read_weights
from evaluation.audit.data import read_audit
from evaluation.audit.measures import verdicts
from evaluation.audit.thresholds import Thresholds
from evaluation.statistics import share
from generation.output.folder import WEIGHTS
from generation.output.run import Run, open_run

BROKEN = frozenset({"controls", "failed", "dropped", "position_inconsistent", "bias"})
"""Measures of the audit that a reader would take for a fault of the tool where they are over their limit."""


class Revised(NamedTuple):
    """A revision, what it revises, and the log-odds by the votes that it is better."""

    before: str
    after: str
    log_odds: float


def revisions(run: Run, weights: Weights | None) -> Iterator[Revised]:
    """Every revision that was compared with what it revises."""
    texts = {candidate.id: candidate for candidate in run.responses()}
    votes: defaultdict[tuple[str, str], list[Vote]] = defaultdict(list)
    for vote in run.votes():
        votes[vote.a, vote.b].append(vote)
    constitution = run.constitution
    for (a, b), cast in votes.items():
        first, second = texts[a], texts[b]
        if b == first.parent or a == second.parent:
            found = score(cast, constitution, weights)
            if found:
                after, before = (first, second) if first.parent == b else (second, first)
                yield Revised(before.text, after.text, found.logit if after is first else -found.logit)


def main() -> None:
    """Print the figures of a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", default="runs/demo", type=Path, help="folder of the run (default: runs/demo)")
    folder = parser.parse_args().run
    run = open_run(folder)
    weights = read_weights(folder / WEIGHTS) if (folder / WEIGHTS).is_file() else None
    counts = run.manifest.counts
    audit = read_audit(folder, run.manifest, Thresholds(), ())
    controls = run.manifest.controls
    right = share(controls.right, controls.asked)
    show("control pairs right", 100 * right.value, "%", ">= 80", interval=(100 * right.low, 100 * right.high))
    show("control pairs", controls.asked, "", ">= 64")
    show("prompts that failed", 100 * run.manifest.outcomes.failed / counts.prompts, "%", "<= 4")
    voters = audit.voters
    ordered = sum(int(voters.votes[i]) for i in range(len(voters.names)) if voters.ordered[i])
    inconsistent = sum(voters.position_inconsistent[i] for i in range(len(voters.names)) if voters.ordered[i])
    show("votes asked in two orders", ordered, "", "report")
    show("of these position-inconsistent", 100 * inconsistent / max(1, ordered), "%", "<= 30")
    crossed = [verdict.measure.name for verdict in verdicts(audit) if verdict.crossed]
    show("measures of the audit over their limit", len(crossed), ", ".join(crossed), "report")
    show("of these, faults of the tool", len(BROKEN & set(crossed)), "", "0")
    found = sorted(revisions(run, weights), key=lambda revised: -revised.log_odds)
    show("revisions that were compared with their original", len(found), "", "report")
    show("revisions that beat their original by the votes", sum(r.log_odds > 0 for r in found), "", ">= 4")
    origins = Counter(pair.chosen_origin for pair in run.pairs())
    show("pairs", counts.pairs, ", ".join(f"{n} {origin}" for origin, n in origins.most_common()), "report")
    for revised in found:
        print(f"\n{revised.log_odds:+.2f}\n  before: {' '.join(revised.before.split())}\n  after:  {revised.after}")


if __name__ == "__main__":
    main()
