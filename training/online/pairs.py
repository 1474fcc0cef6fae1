"""Judged responses -> pairs to learn from, and the rows that are kept of them: ordinary preference rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from constitution.principles import Constitution
from constitution.records import Failure, PreferencePair, Prompt, Response
from critics.ranking.select import select
from generation.output.columns import pair_row
from generation.output.files import write_atomically
from generation.pipeline.feedback import Comparisons
from training.data.labels import Labels
from training.online.config import Online
from training.rollout.compare import distinct

FILE = "pairs.jsonl"
"""Every pair that was learned from, with its votes and the step of the policy that wrote it."""


class Judged(NamedTuple):
    """What judging one prompt's responses came to."""

    pairs: tuple[PreferencePair, ...]
    """To learn from."""
    counts: Counter[str]
    """`dropped_*` by reason, `votes` asked for and `votes_missing` among them."""
    failure: str
    """Why the first vote without an answer has none; empty where all have one."""


def judged(responses: Sequence[Response], done: Comparisons, online: Online, labels: Labels) -> Judged:
    """The pairs of one prompt. A pair without a vote has no label, and is none of them."""
    kept, dropped = select(distinct(responses), done.scores, online.pairs, online.min_log_odds)
    counts = Counter(f"dropped_{one.reason}" for one in dropped)
    sure = [pair for pair in kept if pair.p_chosen >= labels.min_confidence]
    counts["dropped_unsure"] = len(kept) - len(sure)
    counts["dropped_not_judged"] += len(done.records.keys() - done.scores.keys())
    counts["dropped_equal"] += len(distinct(responses)) < 2
    records = [record for asked in done.records.values() for record in asked]
    failures = [record for record in records if isinstance(record, Failure)]
    counts["votes"], counts["votes_missing"] = len(records), len(failures)
    return Judged(tuple(sure), counts, f"{failures[0].reason}: {failures[0].detail}" if failures else "")


def kept_row(
    pair: PreferencePair, prompt: Prompt, constitution: Constitution, judge: str, policy: str, step: int
) -> dict[str, Any]:
    """A pair as a preference row, with its policy and the iteration, counted from 1, whose sampling it is from."""
    chosen, rejected = (replace(one, policy=f"{policy} after {step - 1} steps") for one in (pair.chosen, pair.rejected))
    labelled = replace(pair, chosen=chosen, rejected=rejected)
    row = pair_row(labelled, prompt, bool(prompt.tools), sorted(constitution.objectives), constitution.digest, judge)
    told = {"chat_template_kwargs": prompt.template_kwargs} if prompt.template_kwargs else {}
    return {**row, **told, "step": step}


def append(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows to the folder's file."""
    with (out / FILE).open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def go_back(out: Path, step: int) -> None:
    """Forget the rows of later steps, which come again, and what a killed run left half-written."""
    path = out / FILE
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n") and json.loads(line)["step"] <= step:
            kept.append(line)
    write_atomically(path, "".join(kept))
