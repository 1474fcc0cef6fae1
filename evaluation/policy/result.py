"""What `python -m evaluation policy --json` writes: policy A against policy B. Gates, monitors and the loop read it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from constitution.errors import Problem, UserError, problems_of
from constitution.records import Strict
from critics.ranking.weights import Estimate
from evaluation.risk.inference import Corrected

Measures = dict[str, Estimate]


class ModelId(Strict):
    """A model."""

    name: str
    """The model as it was given: a folder or a name."""
    digest: str
    """Of weights, tokenizer and chat template."""


class Prompts(Strict):
    """What both policies were asked."""

    source: str
    """File that they are from."""
    digest: str
    """Of the prompts that were read."""
    count: int
    """Rows that were read: those compared and those failed."""
    compared: int
    """Prompts of which one pair of responses, at least, has a preference or is a tie; an empty response loses to another."""
    failed: int
    """The others; `failures` says why."""


class Win(Strict):
    """Shares of prompts, 0 to 1, on which A's response is preferred to B's; a tie is half a win. 95% intervals over prompts."""

    raw: Estimate
    """Share of prompts on which A's response is preferred."""
    controlled: Estimate | None = None
    """What would be left of it if both responses were equally long (Dubois et al. 2024, arXiv:2404.04475); None where unknown."""
    style_controlled: Estimate | None = None
    """The same if they were of the same style too, as Chatbot Arena has it (Li, Angelopoulos and Chiang 2024, "Does style
    matter?"); `style` names its features."""
    style: Measures = Field(default_factory=dict)
    """Feature of style -> log-odds of a win for one standard deviation more of it than the other response has."""
    probability: Estimate
    """Mean probability that A's response is better: a close call counts less than a clear one."""
    objectives: Measures = Field(default_factory=dict)
    """Objective -> A's share by its principles alone."""
    principles: Measures = Field(default_factory=dict)
    """Principle -> A's share by the votes on it alone."""
    judges: Measures = Field(default_factory=dict)
    """By each judge's votes alone; `rules` are the principles that no model judges."""
    seeds: Measures = Field(default_factory=dict)
    """By the responses of each seed alone; empty for one seed. All other intervals are then over prompts and seeds."""
    unseen: Estimate | None = None
    """By the principles and judges that neither policy is known to be trained against; None where that is all of them or none."""


class TrainingProvenance(Strict):
    """What judges a policy was trained against, as far as is known."""

    sources: tuple[str, ...] = ()
    """Runs and model folders that were read to know it."""
    principles: tuple[str, ...] = ()
    """Ids of the principles that judged here and that it was trained against."""
    judges: tuple[str, ...] = ()
    """Names of the judges here that it was trained against."""


class Gold(Strict):
    """A second constitution, by which nothing should have been trained."""

    constitution: str
    """Digest."""
    win: Win
    """A against B by its principles."""
    provenance: TrainingProvenance = TrainingProvenance()
    """What of it a policy was trained on all the same; `win.unseen` is by the rest."""


class Sides(Strict):
    """A figure of both policies."""

    a: Measures = Field(default_factory=dict)
    """Measure -> policy A's figure."""
    b: Measures = Field(default_factory=dict)
    """Measure -> policy B's figure."""


class PairOutcome(Strict):
    """What the votes on one pair of responses came to."""

    prompt_id: str
    """Several pairs may be of one prompt."""
    logit: float
    """Log-odds that A's response is better; 0 is a tie."""
    longer: int
    """Words of A's response less those of B's; 0 where one is empty."""


class Example(Strict):
    """One prompt with both responses."""

    why: Literal["win", "loss", "random"]
    """Among A's clearest wins, its clearest losses, or drawn from the rest."""
    prompt_id: str
    """Id of the prompt."""
    prompt: str
    """The conversation that both responses answer."""
    a: str
    """A's response."""
    b: str
    """B's response."""
    logit: float
    """Log-odds that A's is better."""
    votes: dict[str, float]
    """Voter -> its vote, in log-odds for A's."""
    truncated: tuple[Literal["a", "b"], ...] = ()
    """Whose response the limit cut."""


class Calls(Strict):
    """Model calls of this start."""

    made: int
    """Answered by a model."""
    reused: int
    """Answered by the store of calls."""


class PolicyEvaluation(Strict):
    """Every figure of policy A against policy B."""

    version: Literal[1] = 1
    """Of this form of the file."""
    a: ModelId
    """The policy that is evaluated."""
    b: ModelId
    """The policy that it is compared with."""
    prompts: Prompts
    """What both policies were asked."""
    constitution: str
    """Digest of the principles that judged."""
    judges: dict[str, str]
    """Name within the panel -> digest of its model."""
    judge_models: dict[str, str] = Field(default_factory=dict)
    """Name within the panel -> its model's name."""
    provenance: TrainingProvenance = TrainingProvenance()
    """What of the principles and judges either policy was trained against; `win.unseen` is by the rest."""
    held_out: tuple[str, ...] = ()
    """Principles and judges that did not judge."""
    win: Win
    """How often A's response is preferred to B's."""
    human: Corrected | None = None
    """The same as people see it, by some labels of theirs and the judge; None without labels."""
    groups: Measures = Field(default_factory=dict)
    """Group of annotators -> share of the pairs it labelled on which it prefers A's response; empty where no label names one."""
    group_agreement: Measures = Field(default_factory=dict)
    """`one vs other` of groups, and of the panel and each -> share of pairs, decided by both, on which both prefer the same."""
    gold: Gold | None = None
    """The same by a held-out constitution; None where none was given."""
    base: ModelId
    """What `kl` is measured from."""
    kl: Estimate | None = None
    """Mean of log p_A - log p_base, in nats per response with its end, over responses that A gave at temperature 1, which are
    drawn for this where others are compared; none of them is empty. None where `kl_missing` says why."""
    kl_per_token: Estimate | None = None
    """The sum over all responses by the sum of their tokens."""
    kl_missing: str = ""
    """Why there is no `kl`; empty where there is."""
    responses: Sides
    """Measures of the responses to the prompts, by the names of `evaluation.texts.MEASURES`: of those that were given, but for
    `unanswered`."""
    differences: Measures = Field(default_factory=dict)
    """A's measure less B's, over prompts that both answered."""
    refusals: Sides = Sides()
    """Share of `safe` and of `unsafe` prompts that are refused; with `--probes all` of `jailbreak`, harmful prompts that are
    wrapped so as to get past a refusal, and of `wrapped_safe`, harmless ones wrapped alike. `refusal_says_what`,
    `refusal_offers`, `refusal_lectures`: of the refusals of harmful prompts, those that do so."""
    probes: Sides = Sides()
    """Rates of questions with known answers (`truth_`), of following the user's mistake (`sycophancy`, `scorable`, `turned`,
    `mimicry`, `feedback_`), of claims to know what nobody knows (`confidence`, with easy questions as the control: `answered`),
    and of conversations (`dialogue_`). The modules of `evaluation/probes` define each."""
    detectors: Measures = Field(default_factory=dict)
    """How often the rules that judge probes are right on responses labelled by reading: `refusal_recall` and `refusal_precision`,
    `warmth` of feedback, and the rubric of refusals."""
    agreement: Measures = Field(default_factory=dict)
    """`one vs other` -> share of prompts, decided by both, on which both prefer the same response."""
    failures: dict[str, int]
    """`stage: reason` -> records."""
    pairs: tuple[PairOutcome, ...] = ()
    """All that were compared, for comparing this evaluation with another of the same prompts."""
    examples: tuple[Example, ...] = ()
    """Responses side by side, to read."""
    warnings: tuple[str, ...] = ()
    """What limits what the figures mean, a sentence each."""
    calls: Calls
    """Model calls of the start that finished the evaluation."""


def read_evaluation(path: Path) -> PolicyEvaluation:
    """What `--json` wrote. Raises UserError."""
    again = f"`python -m evaluation policy --json {path}` writes one"
    try:
        return PolicyEvaluation.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(Problem(str(path), got=f"cannot be read ({error.strerror})", fix=again)) from None
    except ValidationError as error:
        first = Problem(str(path), got="is no evaluation that this version reads", fix=again)
        raise UserError((first, *problems_of(error, PolicyEvaluation, str(path)))) from None
