"""How a run ended: incomplete, short of what was wanted, or well; and the words for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from constitution.errors import Unavailable
from constitution.records import Failure
from constitution.terminal import printable
from generation.output.manifest import Manifest
from generation.output.reading import read_failures
from generation.output.records import CONTROL
from generation.reasons import advice, told

CLIP = 300
"""Most characters of an error's words in a message."""


class Incomplete(Unavailable):
    """A model stayed unavailable for some prompts. What was made is stored; the same command resumes."""


def incomplete(out: Path, lost: Iterable[Failure], prompts: int) -> Incomplete:
    """The error of a run some of whose prompts, or control pairs, met no model. Says what their servers said most often."""
    failures = list(lost)
    rows = len({failure.prompt_id for failure in failures if failure.stage != CONTROL})
    controls = len({failure.prompt_id for failure in failures if failure.stage == CONTROL})
    where = f"{rows:,} of {prompts:,} prompts" + (f" and {controls} control pairs" if controls else "")
    (words, count), *_ = Counter(failure.detail for failure in failures).most_common(1)
    return Incomplete(
        f"{out}: incomplete, a model was unavailable for {where}, most often ({count:,}) because: {clip(words)}; "
        "run the same command again to resume"
    )


def shortfall(out: Path, manifest: Manifest, max_failed: float) -> str:
    """Why a whole run is no success; empty where it is one: nothing came out, or more than this share of prompts failed."""
    counts, outcomes = manifest.counts, manifest.outcomes
    asked = counts.prompts
    why = commonest(out)
    again = f"run the same command with --forget failed to ask again; every failure is in {out / 'failures.parquet'}"
    if not counts.pairs and not counts.targets:
        return f"{out}: no pair and no target came out of {asked:,} prompts{why}; {again}"
    if outcomes.failed > max_failed * asked:
        allowed = f"{outcomes.failed / asked:.0%}; allowed by max_failed: {max_failed:.0%}"
        return f"{out}: {outcomes.failed:,} of {asked:,} prompts failed ({allowed}){why}; {again}"
    return ""


def commonest(out: Path) -> str:
    """The reason that stands most often among a run's failures, or where there are none among what was dropped, and its words."""
    path = out / "failures.parquet"
    records = [*read_failures(path)] if path.is_file() else []
    records = [record for record in records if isinstance(record, Failure)] or records
    if not records:
        return ""
    (kind, count), *_ = Counter((record.stage, record.reason) for record in records).most_common(1)
    words = Counter(record.detail for record in records if (record.stage, record.reason) == kind).most_common(1)[0][0]
    detail = f": {clip(words)}" if words else ""
    stage, reason = kind
    what = f" ({advice(reason)})" if advice(reason) else ""
    return f", most often ({count:,}) in {stage} because {told(reason)}{detail}{what}"


def clip(text: str) -> str:
    """The beginning of a text that a server or a model may have written, on one line."""
    text = printable(text)
    return text if len(text) <= CLIP else text[: CLIP - 3] + "..."
