"""`manifest.json`: the counts, costs and digests of a run. Written last: its presence means the run is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, ValidationError

from constitution.records import Strict
from generation.output.files import write_atomically
from generation.output.records import ControlOutcome, Feedback

NAME = "manifest.json"


class Counts(Strict):
    """How many of each kind of record there are."""

    prompts: int
    responses: int
    """Candidates of every origin."""
    critiques: int
    revisions: int
    comparisons: int
    """Pairs of candidates that were judged."""
    votes: int
    censored_votes: int
    """Of the votes, those that are a bound: a server's list of log-probabilities did not hold both labels."""
    pairs: int
    targets: int
    """Responses to imitate in supervised training."""


class Outcomes(Strict):
    """What became of the prompts; the three add up to their number."""

    pairs: int
    dropped: int
    failed: int


class Controls(Strict):
    """Pairs with a known answer that were judged along."""

    asked: int
    right: int
    """Labelled, and rightly."""


class Calls(Strict):
    """Model calls over all restarts of the run: made by it, and taken from other runs."""

    made: int
    reused: int
    unkept: int = 0
    """Calls that were paid beside those, and whose answers are not kept: of probes, and tries that came to no whole answer."""


class Tokens(Strict):
    """Tokens of all those calls, taken and unkept ones too."""

    prompt: int
    cached: int
    completion: int
    estimated: int = 0
    """Of prompt and completion, tokens that nobody reported: guessed from texts, or the most of a lost answer."""


class Cost(Strict):
    """What the calls made cost, unkept ones too, by the prices in the settings. Calls of other runs cost nothing again."""

    amount: float
    currency: str
    models: dict[str, float]
    """Model as the settings name it -> its part."""
    unpriced: list[str]
    """Models behind servers without a price: their calls are not in it."""
    batched: float = 0.0
    """Of the amount, what calls by vendors' batch APIs cost, at the factor of their prices."""


class Seconds(Strict):
    """Where the time went."""

    wall: float
    """Of the start that finished the run."""
    engine: float
    """Sum over the calls made of the time from asking to answer; calls overlap, so it is more than `wall`."""


class Digests(Strict):
    """What the run was made from. The same digests mean the same run."""

    constitution: str
    templates: str
    policy: str
    judge: str
    panel: dict[str, str] = Field(default_factory=dict)
    """Further judges, by name."""
    weights: str = ""
    """Of the fitted weights; empty where the YAML's were used."""
    prompts: str
    settings: str


class Manifest(Strict):
    """The whole of manifest.json."""

    counts: Counts
    outcomes: Outcomes
    dropped: dict[str, int]
    failed: dict[str, int]
    controls: Controls
    calls: Calls
    tokens: Tokens
    cost: Cost | None = None
    """None without prices."""
    seconds: Seconds
    files: dict[str, str]
    """Path -> sha256."""
    digests: Digests

    def write(self, folder: Path) -> None:
        """Write it, atomically and durably."""
        write_atomically(folder / NAME, self.model_dump_json(indent=2) + "\n")


def read(folder: Path) -> Manifest | None:
    """The folder's manifest; None where the run is not whole or was written by another version."""
    try:
        return Manifest.model_validate_json((folder / NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None


@dataclass(slots=True)
class Tally:
    """Counts, as prompts are finished."""

    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    """`stage: reason` -> records."""
    failed: Counter[str] = field(default_factory=Counter)
    controls: Controls = field(default_factory=lambda: Controls(asked=0, right=0))

    def add_controls(self, outcomes: Sequence[ControlOutcome]) -> None:
        """Count the controls; they are no prompts of the run."""
        self.controls = Controls(asked=len(outcomes), right=sum(outcome.right for outcome in outcomes))
        self.failed.update(f"{r.stage}: {r.reason}" for outcome in outcomes for r in outcome.failures)

    def add(self, feedback: Feedback) -> None:
        """Count one prompt's outcome."""
        self.counts.update(
            prompts=1,
            responses=len(feedback.candidates),
            critiques=len(feedback.critiques),
            revisions=sum(candidate.origin == "revised" for candidate in feedback.candidates),
            comparisons=feedback.comparisons,
            votes=len(feedback.votes),
            censored_votes=sum(vote.censored for vote in feedback.votes),
            pairs=len(feedback.pairs),
            targets=len(feedback.targets),
        )
        self.outcomes[feedback.outcome] += 1
        self.dropped.update(f"{record.stage}: {record.reason}" for record in feedback.dropped)
        self.failed.update(f"{record.stage}: {record.reason}" for record in feedback.failures)

    def manifest(
        self,
        calls: Calls,
        tokens: Tokens,
        seconds: Seconds,
        files: dict[str, str],
        digests: Digests,
        cost: Cost | None = None,
    ) -> Manifest:
        """The finished manifest."""
        return Manifest(
            counts=Counts(**{name: self.counts[name] for name in Counts.model_fields}),
            outcomes=Outcomes(**{name: self.outcomes[name] for name in Outcomes.model_fields}),
            dropped=dict(sorted(self.dropped.items())),
            failed=dict(sorted(self.failed.items())),
            controls=self.controls,
            calls=calls,
            tokens=tokens,
            cost=cost,
            seconds=seconds,
            files=dict(sorted(files.items())),
            digests=digests,
        )
