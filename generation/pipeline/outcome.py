"""How a run ended: not yet, incomplete, short of what was wanted, or well; and the words for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from constitution.errors import Problem, Unavailable, UserError
from constitution.records import Failure
from constitution.terminal import complain, printable
from critics.ranking.human import Verdict
from critics.ranking.pooling import Counted, PooledVotes, Pooling
from generation.calls.reading import StoredCalls
from generation.data.labels import Labels
from generation.output.dataset import DatasetWriter
from generation.output.files import contents
from generation.output.folder import LABELS
from generation.output.manifest import Digests, Manifest, Tally, damages, read
from generation.output.reading import read_failures
from generation.output.records import CONTROL, ControlOutcome, Feedback
from generation.pipeline.scheduler import UNAVAILABLE
from generation.pipeline.session import CALLS
from generation.reasons import advice, told
from generation.tasks import aside

TOLD = 3
"""Lines that are no labels and are told one by one."""
CLIP = 300
"""Most characters of an error's words in a message."""


class Incomplete(Unavailable):
    """A model stayed unavailable for some prompts. What was made is stored; the same command resumes."""


def unavailable(failures: Iterable[Failure]) -> list[Failure]:
    """Those after which a run is incomplete: a model could not be reached."""
    return [failure for failure in failures if failure.reason == UNAVAILABLE]


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


def already_done(out: Path, digests: Digests) -> Manifest | None:
    """The manifest, when the folder holds this very run, finished.

    None as well where a file of it is damaged or missing, which is told: then it is written anew from the calls.
    """
    try:
        found = read(out)
        if found is None or found.digests != digests:
            return None
        problems = damages(out, found)
    except UserError as error:
        found, problems = None, [*error.problems]
    lost = _lost_calls(out / CALLS, found)
    if lost and problems:
        raise UserError([*problems, *(problem._replace(fix="choose another --out") for problem in lost)])
    complain_of = lost or [problem._replace(fix="it is written anew from the stored calls") for problem in problems]
    if complain_of:
        complain(UserError(complain_of))
    return None if problems else found


def _lost_calls(path: Path, found: Manifest | None) -> tuple[Problem, ...]:
    """What is wrong with the calls of a run: nothing is made anew from fewer than it made."""
    fix = "the data is whole, but nothing can be made from them again"
    try:
        with closing(StoredCalls([path])) as calls:
            stored = calls.totals(path)
    except UserError as error:
        return tuple(problem._replace(fix=fix) for problem in error.problems)
    if found and not found.merged and (stored.made, stored.reused) != (found.calls.made, found.calls.reused):
        return (Problem(str(path), got="does not have the calls of the run", fix=fix),)
    return ()


def labels_of(out: Path) -> Labels:
    """What people said of the pairs of the run in this folder. Raises UserError where the file cannot be read."""
    path = out / LABELS
    try:
        return Labels(contents(path), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return Labels(b"")
    except OSError as error:
        got = f"cannot be read ({error.strerror or error})"
        raise UserError(Problem(str(path), got=got, fix="move it away, or mend it")) from None


class Taken:
    """What comes of the outcomes, one after the other: files, counts and what is pooled."""

    def __init__(
        self, heard: Heard, writer: DatasetWriter, votes: Callable[[Feedback], Iterable[tuple[Counted, ...]]]
    ) -> None:
        """votes: of an outcome, those of each pair whose log-odds are their mean."""
        self._heard, self._writer, self._votes = heard, writer, votes
        self._pooled = PooledVotes()
        self.tally = Tally()
        self.lost: list[Failure] = []
        """Failures after which the run is incomplete."""

    async def take(self, outcome: Feedback) -> Feedback:
        """Write and count it, with what people said of it."""
        return await aside(partial(self._take, outcome), outcome.characters)

    def _take(self, outcome: Feedback) -> Feedback:
        outcome = self._heard.applied(outcome)
        self.tally.add(outcome)
        self._writer.write(outcome)
        for votes in self._votes(outcome):
            self._pooled.add(votes)
        self.lost += unavailable(outcome.failures)
        return outcome

    def take_controls(self, outcomes: Sequence[ControlOutcome]) -> None:
        """Likewise what the panel said of the control pairs."""
        self.tally.add_controls(outcomes)
        self._writer.write_controls(outcomes)
        self.lost += [failure for control in outcomes for failure in unavailable(control.failures)]

    def close(self) -> tuple[dict[str, str], Pooling | None]:
        """(path -> sha256 of the files, what made probabilities of mean votes). They are in place then."""
        pooling = self._pooled.pooling()
        return self._writer.close(pooling), pooling


class Heard:
    """What people said of a run's pairs, as it is put in the place of what the panel said."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._met: set[str] = set()
        self._unknown: list[Verdict] = []

    def applied(self, outcome: Feedback) -> Feedback:
        """A prompt's outcome with what people said of its pairs."""
        said = [*self._labels.of(outcome.prompt.id)]
        if not said:
            return outcome
        self._met.add(outcome.prompt.id)
        found, unknown = outcome.overruled(said, self._labels.edits(outcome.prompt.id))
        self._unknown += unknown
        return found

    def tell(self, path: Path) -> None:
        """Say what of the file at this path counts for nothing, once all prompts were met."""
        for problem in self._problems(path):
            complain(problem)

    def _problems(self, path: Path) -> Iterator[Problem]:
        yield from self._labels.problems[:TOLD]
        if len(self._labels.problems) > TOLD:
            yield Problem(str(path), got=f"{len(self._labels.problems):,} lines are no labels")
        lost = [*self._labels.besides(self._met), *(f"{a} vs {b}" for a, b, _ in self._unknown)]
        if lost:
            yield Problem(
                str(path), got=f"{len(lost):,} labels are of no pair of this run, as {lost[0]}", fix="mend their ids"
            )


def shortfall(out: Path, manifest: Manifest, max_failed: float) -> str:
    """Why a whole run is no success; empty where it is one: nothing came out, or more than this share of prompts failed."""
    counts, outcomes = manifest.counts, manifest.outcomes
    asked = counts.prompts
    why = commonest(out)
    again = f"run the same command with --forget failed to ask again; every failure is in {out / 'failures.parquet'}"
    if manifest.digests.shard and not asked:
        return ""
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
