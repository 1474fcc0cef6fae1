"""Labels with a stated error: from which certainty on a run accepts a label, and what becomes of the other pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from constitution.errors import Problem, UserError, invalid, problems_of
from constitution.records import PreferencePair, Prompt, Strict
from constitution.words import word_count
from critics.ranking.kinds import Below, Test
from critics.ranking.weights import JudgingForm, Origin, Weights, differences, other_forms

Fate = Literal["accepted", "escalate", "review", "drop"]
"""What becomes of a pair: its label is accepted, the next judges are asked, a person is, or it is left out."""
MAKES = "solon evaluate judge --data LABELLED --max-error P --fit WEIGHTS --accept FILE"
"""The command that writes such a file."""


NOT_SURE, MISSING = "not_sure_enough", "vote_missing"
"""Why a pair is not accepted: its log-odds are below the threshold, or a vote on it failed."""


@dataclass(frozen=True, slots=True)
class Unaccepted:
    """A pair whose label is not accepted."""

    pair: PreferencePair
    reason: str
    """NOT_SURE or MISSING."""
    detail: str


class Decided(NamedTuple):
    """Pairs that have a label by their votes."""

    accepted: list[PreferencePair]
    others: list[Unaccepted]


class Step(Strict):
    """Judges of a cascade that are asked together, and when their label is accepted."""

    judges: tuple[str, ...] = ()
    """Their names in the panel; empty for everybody."""
    threshold: FiniteFloat | None = Field(default=None, gt=0)
    """Least absolute log-odds, by all votes so far, at which a label is accepted; None where none is."""
    labels: int = Field(ge=0)
    """Labelled pairs that came to these judges."""
    accepted: int = Field(ge=0)
    """Of those, accepted ones."""
    wrong: int = Field(ge=0)
    """Of the accepted ones, wrong ones: the threshold was chosen on these very pairs."""


class Seen(Strict):
    """The error out of sample: the threshold from one half of the labelled pairs, measured on the other; means over many halves."""

    accepted: float
    """Share of pairs that is accepted."""
    error: float
    """Share of the accepted ones that is wrong."""
    exceeded: float
    """Share of halvings in which more than the stated error is wrong."""


class Kind(Strict):
    """How common one kind of pair is: acceptance selects."""

    accepted: float
    """Among accepted pairs."""
    all: float
    """Among all pairs."""


class Acceptance(Strict):
    """What is promised of accepted labels: the file that `solon evaluate judge --accept` writes and `solon feedback` reads."""

    version: Literal[1] = 1
    """Version of the file's form."""
    max_error: float = Field(gt=0, lt=0.5)
    """At most this share of the accepted labels is wrong."""
    confidence: float | None = Field(default=None, gt=0.5, lt=1)
    """Probability, over the draw of the labelled pairs, with which that holds; None where it holds on average."""
    test: Test = "mid-p"
    """How it is shown; only with a confidence."""
    found_on: Origin
    """The constitution, judges, templates and labelled pairs that it holds for."""
    weights: str = ""
    """Digest of the fitted weights of the votes; empty for the constitution's own."""
    voting: str = ""
    """Digest of the settings that say who votes on a pair; empty where the weights say it."""
    prompts: int = Field(ge=1)
    """Different prompts among the labelled pairs."""
    steps: tuple[Step, ...] = Field(min_length=1)
    """One for each step of a cascade, or the one where everybody is asked."""
    seen: Seen | None = None
    """None where there are too few labels to halve."""
    kinds: dict[str, Kind] = Field(default_factory=dict)
    """Kind of pair -> how common it is, among the labelled pairs."""

    @model_validator(mode="after")
    def _whole(self) -> Acceptance:
        if len(self.steps) > 1 and not all(step.judges for step in self.steps):
            raise invalid("got a step without judges", "names of judges in every step of a cascade", key="steps")
        return self

    @property
    def labels(self) -> int:
        """Labelled pairs that it rests on."""
        return self.steps[0].labels

    @property
    def judges(self) -> tuple[str, ...]:
        """Judges of the cascade, in their order; none where all are asked together."""
        return tuple(name for step in self.steps for name in step.judges)

    def fate(self, log_odds: float, whole: bool, step: int = 0, below: Below = "review") -> Fate:
        """What becomes of a pair after a step. whole: every vote that was asked for is there; a label without them is no label."""
        least = self.steps[step].threshold
        if whole and least is not None and abs(log_odds) >= least:
            return "accepted"
        return "escalate" if step + 1 < len(self.steps) else below

    def promise(self) -> str:
        """What is promised, in a sentence."""
        accepted, wrong = (sum(getattr(step, name) for step in self.steps) for name in ("accepted", "wrong"))
        rests = (
            f"It rests on {self.labels:,} labelled pairs of {self.prompts:,} prompts, of which {accepted:,} would be accepted, "
            f"{wrong:,} of them wrongly, and holds for pairs of their kind."
        )
        if all(step.threshold is None for step in self.steps):
            return f"No label is accepted: these labels cannot show an error of at most {self.max_error:.3g}. {rests}"
        if self.confidence is None:
            return f"Expected share of wrong labels among the accepted ones: at most {self.max_error:.3g}, on average. {rests}"
        about = "about " if self.test == "mid-p" else ""
        return (
            f"With {about}{100 * self.confidence:.3g}% confidence at most a share of {self.max_error:.3g} of the accepted labels "
            f"is wrong. {rests}"
        )


def decide(acceptance: Acceptance, found: Sequence[tuple[PreferencePair, int, bool]]) -> Decided:
    """Which labels are accepted. found: a pair, the step of the cascade where asking ended, and whether every vote is there."""
    decided = Decided([], [])
    for pair, step, whole in found:
        least = acceptance.steps[step].threshold
        if acceptance.fate(pair.log_odds, whole, step) == "accepted":
            decided.accepted.append(pair)
        elif not whole:
            decided.others.append(Unaccepted(pair, MISSING, ""))
        else:
            at = "no certainty is enough" if least is None else f"{pair.log_odds:.4f} < {least:.4f}"
            decided.others.append(Unaccepted(pair, NOT_SURE, at))
    return decided


def read_acceptance(path: Path) -> Acceptance:
    """Raises UserError where the file is missing or holds something else."""
    try:
        return Acceptance.model_validate_json(path.read_bytes())
    except OSError as error:
        got = f"cannot be read ({error.strerror})"
        raise UserError(Problem(str(path), got=got, fix=f"`{MAKES}` writes one")) from None
    except ValidationError as error:
        found = problems_of(error, Acceptance, str(path))
        raise UserError(
            [*found, Problem(str(path), got="is no file of acceptance", fix=f"`{MAKES}` writes one")]
        ) from None


def refuse_other_acceptance(
    acceptance: Acceptance,
    path: Path,
    here: Origin,
    weights: str,
    voting: str,
    promised: tuple[float, float | None, Test],
    cascade: tuple[str, ...],
) -> None:
    """Raises UserError where it holds for something else than this run.

    here: what the run is made from; its data and pairs do not count. weights, voting: digests, as the file has them. promised: the
    error and the confidence that the run is to state, and the test by which they are shown.
    """
    wrong = differences(acceptance.found_on, here)
    if acceptance.weights != weights:
        wrong.append(f"file of weights {acceptance.weights[:12] or 'none'} (this run has {weights[:12] or 'none'})")
    own = acceptance.max_error, acceptance.confidence, acceptance.test if acceptance.confidence else promised[2]
    if own != promised:
        has, wants = (_stated(*one) for one in (own, promised))
        wrong.append(f"promise, {has} (this run states {wants})")
    if acceptance.voting and acceptance.voting != voting:
        wrong.append("choice of voters (plan.principles, methods, methods_of, panel)")
    if acceptance.judges != cascade:
        wrong.append(f"cascade, {', '.join(acceptance.judges) or 'none'} (this run has {', '.join(cascade) or 'none'})")
    if wrong:
        fix = "find it again for this run, with --calibration LABELLED or by `solon evaluate judge`"
        raise UserError(Problem(str(path), got=f"holds for another {', another '.join(wrong)}", fix=fix))


def refuse_other_accepted_form(acceptance: Acceptance, path: Path, forms: Mapping[str, JudgingForm]) -> None:
    """Raises UserError when votes are come by in another form than those that the thresholds were found on."""
    if wrong := other_forms(acceptance.found_on.forms, forms):
        got = f"holds for another form of judging: {', '.join(wrong)}"
        fix = "find it again with the servers of this run, with --calibration LABELLED or by `solon evaluate judge`"
        raise UserError(Problem(str(path), got=got, fix=fix))


def kinds_of(pair: PreferencePair, prompt: Prompt) -> list[str]:
    """What kind of pair it is, in words: where its responses are from, which is longer, and the prompt's tags."""
    words = word_count(pair.chosen.text) - word_count(pair.rejected.text)
    longer = (
        ["the longer response is preferred"] if words > 0 else ["the shorter response is preferred"] if words else []
    )
    return [f"{pair.chosen.origin} over {pair.rejected.origin}", *longer, *(f"tag {tag}" for tag in prompt.tags)]


def optimistic(weights: Weights | None, data: str) -> bool:
    """True where weights were fitted on the very labels that thresholds are to be found on: they would promise too much."""
    return weights is not None and weights.fitted_on.data == data


def _stated(error: float, confidence: float | None, test: Test) -> str:
    return (
        f"{error:g} on average"
        if confidence is None
        else f"{error:g} with confidence {confidence:g} by the {test} test"
    )
