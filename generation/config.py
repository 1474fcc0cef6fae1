"""The settings of a run; `generation/settings.py` reads them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Literal

from pydantic import Field, model_validator

from constitution.digest import digest
from constitution.errors import invalid
from constitution.records import MAIN, Prompt, Strict
from critics.methods import METHODS
from critics.ranking.aggregate import PositionInconsistent
from critics.ranking.kinds import Below, Schedule, Strategy, Targets, Test
from critics.templating import TemplatesFolder
from critics.transcript import AskedIn
from generation.calls.prices import Price
from generation.reads import ReadIf, check_read
from generation.roles import POLICY, Methods, RoleSettings
from generation.settings import over_defaults
from generation.unread import unread

EXAMPLE = "plan.samples=4"
"""A setting, as messages and help show it."""
MEMBERS_MACHINE = {"vllm", "endpoints", "engine"}
"""Settings of a panel's member, and of one of several policies, that may change between restarts."""


_SAMPLED = ReadIf("temperature is above 0", lambda decoding, _: decoding.temperature > 0)


class Decoding(Strict):
    """How one stage's text is sampled."""

    max_tokens: int = Field(gt=0)
    """Most tokens of one completion."""
    temperature: float = Field(default=0.0, ge=0, le=10)
    """0 takes the likeliest token, 1 samples from the model's own distribution."""
    top_p: Annotated[float, _SAMPLED] = Field(default=1.0, gt=0, le=1)
    """Sample from the likeliest tokens that together have this probability."""


Reader = Literal["judge", "critic"]
"""Who may be shown a reference answer."""
ShowReference = Literal["none", "judge", "critic", "both"]


class Defences(Strict):
    """Protection against responses that try to manipulate the judge."""

    nonce: bool = True
    """The delimiters around conversations and responses contain a nonce that no text can predict."""
    manipulation: Literal["keep", "drop"] = "keep"
    """`drop`: a response with a manipulation indicator (critics/text/manipulation.py) is not compared, and so gets no label."""


def _asked(run: RunConfig) -> set[str]:
    """Methods by which any judge is asked."""
    return {*run.plan.all_methods, *(method for member in run.panel for method in member.all_methods)}


def _may_write(run: RunConfig) -> bool:
    """True where a judge may have to write down what it thinks. The replay engine stands for any other."""
    judges = [role for name, role in run.roles().items() if name != POLICY and not role.rewards]
    return run.plan.batch_principles > 1 or any(role.messages or role.engine == "replay" for role in judges)


_REVISES = ReadIf("plan.rounds is above 0", lambda plan, _: plan.rounds > 0)
_CRITICIZES = ReadIf("plan.critics is above 0", lambda plan, _: plan.critics > 0)
_DEBATES = ReadIf("a judge is asked by `debate`", lambda _, run: "debate" in _asked(run))
_WRITES_FIRST = ReadIf(
    "a judge is asked by `reasoned` or `debate`", lambda _, run: not _asked(run).isdisjoint(("reasoned", "debate"))
)
_REASONS = ReadIf("a judge is asked by `reasoned`", lambda _, run: "reasoned" in _asked(run))
_PAIRWISE = ReadIf(
    "a judge is asked by a pairwise method", lambda _, run: any(METHODS[name].pairwise for name in _asked(run))
)
_COMPARES = ReadIf("a judge is asked by `compare`", lambda _, run: "compare" in _asked(run))
_WRITES = ReadIf(
    "a judge is at a server that may tell no log-probabilities, or principles share a call",
    lambda _, run: _may_write(run),
)
_SEVERAL = ReadIf("plan.verdict.temperature is above 0", lambda plan, _: plan.verdict.temperature > 0)
_ERROR = ReadIf("plan.max_error is given", lambda plan, _: plan.max_error is not None)
_CONFIDENCE = ReadIf("plan.error_confidence is given", lambda plan, _: plan.error_confidence is not None)
_SCHEDULED = ReadIf("plan.pairs is not revision_original", lambda plan, _: plan.pairs != "revision_original")


class Plan(Strict):
    """What is done with each prompt. The number of calls grows with samples, rounds, principles and pairs; `--plan` counts them."""

    samples: int = Field(default=2, ge=1, le=64)
    """Responses sampled from the policy for each prompt."""
    system_hint: str = ""
    """A system message under which responses are sampled and which the data does not contain: the policy learns to do without it
    what it could do with it (context distillation: Askell et al. 2021, arXiv:2112.00861)."""
    hinted_samples: int = Field(default=1, ge=1)
    """How many of the samples are drawn under the system hint; the others are drawn without it."""
    rounds: int = Field(default=1, ge=0, le=8)
    """Maximum rounds of critique and revision; a critique that finds no issue ends them."""
    revise_given: bool = False
    """Critique and revise the responses that a prompt brings (`responses` in its row) as well; else they are judged as they are."""
    critics: Annotated[int, _REVISES] = Field(default=1, ge=0)
    """Critiques of each response in each round, each under another judged principle, drawn at random; a large number means all, 0
    needs rule_critiques."""
    rule_critiques: Annotated[bool, _REVISES] = False
    """What a rule finds is a critique, which costs no call. A response that breaks rules is revised for them alone; the judge
    criticizes those that keep all."""
    improve_in: Annotated[AskedIn, _REVISES] = "quotes"
    """How critiques and revisions are asked for. quotes: in one message that quotes the conversation and the response. turns: as
    the next turns of the conversation, which small models do better (Bai et al. 2022, arXiv:2212.08073, ask in this way)."""
    principles: int = Field(default=4, ge=0)
    """Judged principles, drawn at random for each prompt, under which responses are compared; a large number means all, 0 leaves
    the labels to rules, and to vetoes."""
    methods: Methods = ("compare",)
    """Judging methods; each gives a vote under each principle. compare: which of two, by the log-probabilities of the labels in
    both orders. reasoned: the same after reasoning. debate: the same after critics argued, one for each. contrast: likelihood of
    the response under the principle minus that under its antithesis. likelihood: that under the principle alone. relevance: that
    minus the one without the conversation. score: expected grade. yesno: log-odds of yes."""
    methods_of: dict[str, Methods] = Field(default_factory=dict)
    """Principle id -> its own methods, in place of `methods`."""
    clamp: Annotated[tuple[float, float], _REASONS] = (0.4, 0.6)
    """Probabilities of reasoned verdicts are clamped to this range; (0.4, 0.6) as in the Constitutional AI paper."""
    position_inconsistent: Annotated[PositionInconsistent, _PAIRWISE] = "keep"
    """How a position-inconsistent vote counts, i.e. one whose judge prefers the same position in both orders: keep, half, drop."""
    early_stop_error: float = Field(default=0.0, ge=0, lt=0.5)
    """Sequential testing: query voters one after the other, the most informative first, and stop once the rest would change the
    label with at most this probability. 0 queries all. Needs --weights."""
    schedule: Annotated[Schedule, _SCHEDULED] = "all"
    """Which candidates are compared: all pairs, or rounds of swiss, knockout or adaptive by uncertainty."""
    comparisons: int | None = Field(default=None, ge=1)
    """Maximum comparisons of a swiss or adaptive schedule for one prompt."""
    show_reference: ShowReference = "none"
    """Who is shown a prompt's reference answer (`reference` in its row): judge, critic, both or none. The judge reads it by every
    method that puts a question; the reviser never does, or its responses would copy it."""
    templates: TemplatesFolder = None
    """Folder of prompt templates of your own, which stand before the shipped ones by their file names, as compare.jinja."""
    defences: Defences = Defences()
    """Protection of judges against manipulation."""
    controls: int = Field(default=64, ge=0)
    """Control pairs, whose answer is known, that are judged in the run to measure the judge. 64 tell a share to about 11 points;
    each costs what a comparison costs."""
    pairs: Strategy = "best_worst"
    """Which pairs to train on: best against worst, neighbours in the ranking, each revision against its original, or all beyond
    min_log_odds."""
    min_log_odds: float = Field(default=0.0, ge=0)
    """Pairs whose log-odds are closer to 0 than this are dropped and counted. Ties (0) always are."""
    max_error: float | None = Field(default=None, gt=0, lt=0.5)
    """Labels with a stated error: accept those that are sure enough for at most this share of the accepted ones to be wrong. Needs
    --calibration or --acceptance."""
    error_confidence: Annotated[float | None, _ERROR] = Field(default=None, gt=0.5, lt=1)
    """Probability with which max_error holds, as 0.9; on average where absent."""
    error_test: Annotated[Test, _CONFIDENCE] = "mid-p"
    """How that is shown on the labelled pairs: exact holds always, mid-p about, and accepts more labels."""
    unaccepted: Annotated[Below, _ERROR] = "review"
    """Pairs that are not accepted: review keeps them in review_queue.parquet, drop leaves them out; both count them."""
    keep_truncated: bool = False
    """Keep sampled responses that max_tokens cut. They are marked, and training adds no end of turn to them. If they are dropped, a
    policy with long responses is compared by its short ones alone."""
    sample: Decoding = Decoding(max_tokens=512, temperature=1.0)
    """How the policy's responses are sampled."""
    critique: Annotated[Decoding, _REVISES, _CRITICIZES] = Decoding(max_tokens=256)
    """How critiques are written."""
    revise: Annotated[Decoding, _REVISES] = Decoding(max_tokens=768)
    """How revisions are written."""
    reason: Annotated[Decoding, _WRITES_FIRST] = Decoding(max_tokens=256)
    """The judge's reasoning before a reasoned verdict, and each argument of a debate; if max_tokens cuts it, the verdict is asked
    for anyway."""
    recourse: Annotated[bool, _DEBATES] = False
    """In a debate, the author of each response (the policy that sampled it, else the critic in its place) answers the argument for
    the other one, once, before the judge decides."""
    verdict_samples: Annotated[int, _WRITES, _SEVERAL] = Field(default=4, ge=1, le=64)
    """How often a judge whose server gives no log-probabilities is asked for one judgement, in each order. Its probability is the
    smoothed share of the answers, so more answers give a finer resolution."""
    verdict: Annotated[Decoding, _WRITES] = Decoding(max_tokens=1024, temperature=1.0)
    """Sampling of such a judgement. At temperature 0 all answers would be equal, so it is asked only once."""
    batch_principles: Annotated[int, _COMPARES] = Field(default=1, ge=1, le=32)
    """How many principles one call of `compare` asks about, answered as JSON, `verdict_samples` times in each order; every
    principle is a vote. For servers that keep no cache of prompts. With 1, each principle is asked about by itself."""
    seed: int = Field(default=0, ge=0)
    """Seed of the run; every call's own seed is derived from it."""

    def rounds_of(self, prompt: Prompt) -> int:
        """Maximum rounds of critique and revision of the prompt's responses: none of given ones, unless that is asked for."""
        return self.rounds if self.revise_given or not prompt.responses else 0

    @property
    def verdict_answers(self) -> int:
        """Answers that make one judgement of a judge without log-probabilities."""
        return self.verdict_samples if self.verdict.temperature else 1

    @property
    def all_methods(self) -> set[str]:
        """Every method the judge is asked by under some principle."""
        return {*self.methods, *chain(*self.methods_of.values())}

    def judging(self) -> str:
        """Digest of the settings that change what a vote says or counts, beside the methods that are in its voter's name."""
        written = [self.verdict_samples, self.verdict.model_dump(), self.batch_principles]
        kept = [self.position_inconsistent, self.clamp, self.reason.model_dump(), self.defences.nonce, written]
        told = {"reference": self.shows_reference("judge"), "recourse": self.recourse}
        return digest(json.dumps([*kept, *(name for name, is_set in told.items() if is_set)]))

    def shows_reference(self, reader: Reader) -> bool:
        """True where it is shown the reference answers of prompts that have one."""
        return self.show_reference in (reader, "both")

    def unmet(self, references: int, given: int, single: int = 0) -> Iterator[str]:
        """Lines about settings that no row meets, and about what rows have and no setting reads.

        references, given, single: rows that have a reference answer, that have responses of their own, and that have only one.
        """
        if self.show_reference != "none" and not references:
            yield f"plan.show_reference is {self.show_reference}, and no row has a reference answer"
        if self.show_reference == "none" and references:
            yield f"{references:,} rows have a reference answer, which nobody is shown; plan.show_reference shows it"
        if self.revise_given and not given:
            yield "plan.revise_given is true, and no row has responses of its own"
        if single and not self.revise_given:
            compared = "compared with nothing; plan.revise_given compares it with its revision"
            yield f"{single:,} rows have one response of their own, which is {compared}"

    def as_shown(self, prompt: Prompt, reader: Reader) -> Prompt:
        """The prompt as a judge or a critic is shown it: without its reference answer, unless the settings show it."""
        if not prompt.reference or self.shows_reference(reader):
            return prompt
        return prompt.model_copy(update={"reference": ""})

    @model_validator(mode="after")
    def _hints(self) -> Plan:
        if not self.system_hint and self.hinted_samples != 1:
            got = f"got {self.hinted_samples}, but there is no system_hint"
            raise invalid(got, fix="give one, or leave hinted_samples out", key="hinted_samples")
        return self

    @model_validator(mode="after")
    def _given(self) -> Plan:
        if self.revise_given and not self.rounds:
            raise invalid("got true, and rounds is 0", fix="leave it out, or set rounds", key="revise_given")
        return self

    @model_validator(mode="after")
    def _critics(self) -> Plan:
        if self.rounds and not self.critics and not self.rule_critiques:
            fix = "set rule_critiques, or rounds to 0"
            raise invalid("got 0, and rules are no critics either", fix=fix, key="critics")
        return self

    @model_validator(mode="after")
    def _comparisons(self) -> Plan:
        if self.comparisons is not None and self.schedule not in ("swiss", "adaptive"):
            got = f"got {self.comparisons}, which the schedule {self.schedule!r} does not read"
            raise invalid(got, fix="leave it out, or set schedule to swiss or adaptive", key="comparisons")
        return self

    @model_validator(mode="after")
    def _stated(self) -> Plan:
        if self.max_error is not None and self.early_stop_error:
            fix = "leave one of the two out: thresholds hold for pairs that every voter is asked about"
            raise invalid(f"got {self.early_stop_error} beside max_error", fix=fix, key="early_stop_error")
        return self

    @model_validator(mode="before")
    @classmethod
    def _grouped(cls, given: object) -> object:
        return over_defaults(cls, given)

    @model_validator(mode="after")
    def _judging(self) -> Plan:
        low, high = self.clamp
        if not 0 < low < 0.5 < high < 1:
            raise invalid(f"got [{low}, {high}]", "a band around 0.5 within (0, 1), as in [0.4, 0.6]", key="clamp")
        if self.batch_principles > 1 and self.early_stop_error:
            fix = "leave one of the two out: voters that share a call cannot be asked one after the other"
            raise invalid(f"got {self.batch_principles} beside early_stop_error", fix=fix, key="batch_principles")
        for place, methods in {
            "methods": self.methods,
            **{f"methods_of.{name}": methods for name, methods in self.methods_of.items()},
        }.items():
            if "reward" in methods:
                fix = "name a reward model in `panel:` with methods: [reward]"
                raise invalid("got reward, which the judge cannot do", fix=fix, key=place)
        return self


class SFTSettings(Strict):
    """The responses to imitate in supervised training."""

    targets: Targets = "best"
    """best: of each prompt the strongest revision that beats its original by the votes, and where no revision does, the strongest
    response. revised: such revisions alone. all: every revision, whatever the votes say, as in the Constitutional AI paper."""


RESULTS = {"policy", "judge", "plan", "sft", "test_fraction", "license", "chat_template_kwargs", "answer_prefix"} | {
    "judge_chat_template_kwargs", "judge_answer_prefix",
}  # fmt: skip
"""Settings that change what is made, beside `panel` and `policies`."""
_OF_ONE_POLICY = {"policy", "chat_template_kwargs", "answer_prefix"}


_PRICED = ReadIf("there are prices", lambda run, _: bool(run.prices))


class RunConfig(RoleSettings):
    """Everything that can be set for a run."""

    plan: Plan = Plan()
    """What is made of each prompt."""
    cascade: tuple[str, ...] = ()
    """Judges in the order in which they are asked about a pair, each only where plan.max_error accepts no label by the votes of
    those before it: cheap ones first. `judge` is the run's own; the panel's have their names."""
    sft: SFTSettings = SFTSettings()
    """The dataset `sft`."""
    test_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of prompts whose pairs go to the test split."""
    license: str = "unknown"
    """License field of the dataset card. Fill it in yourself: it depends on prompts and models."""
    max_failed: float = Field(default=0.2, ge=0, le=1)
    """Maximum share of prompts that may fail; if more do, the command's exit code is 1."""
    prices: dict[str, Price] = Field(default_factory=dict)
    """Model, as the settings or its servers name it -> what its provider takes for a million tokens."""
    currency: Annotated[str, _PRICED] = Field(default="USD", pattern=r"^(\p{L}{1,12}|\p{Sc})$")
    """Of the prices: a word or a sign, which is shown beside amounts."""
    max_cost: float | None = Field(default=None, ge=0)
    """The most that all starts of the run may cost together; then it stops, and resumes under a higher limit."""
    max_calls: int | None = Field(default=None, ge=0)
    """The most calls that it may make, likewise."""
    max_tokens: int | None = Field(default=None, ge=0)
    """The most tokens that it may read and write, likewise."""
    date: datetime.date | None = None
    """The day that chat templates take for today, where they print it. Where absent: the day on which the run first started, which
    its run.yaml keeps, or that of a run whose calls it reuses."""
    prompts_in_flight: int = Field(default=256, ge=1)
    """Prompts worked on at once."""
    calls_in_flight: int = Field(default=512, ge=1)
    """Calls given to an engine at once."""

    @model_validator(mode="after")
    def _methods(self) -> RunConfig:
        roles = self.roles()
        asked = {MAIN: self.plan.all_methods, **{member.name: member.all_methods for member in self.panel}}
        for name, methods in asked.items():
            reading = sorted(method for method in methods if METHODS[method].conditions)
            if reading and roles[name].messages:
                key = "plan.methods" if name == MAIN else f"panel.{name}.methods"
                got = f"{reading[0]} needs the log-probabilities of given tokens, which chat servers do not tell"
                raise invalid(got, fix="use a vLLM server with token_ids: true, or other methods", key=key)
        return self

    @model_validator(mode="after")
    def _steps(self) -> RunConfig:
        names = sorted([MAIN, *(member.name for member in self.panel)])
        if self.cascade and self.plan.max_error is None:
            got = "got a cascade, and no plan.max_error says when a label is accepted"
            raise invalid(got, fix="set plan.max_error", key="cascade")
        if self.cascade and (len(names) < 2 or sorted(self.cascade) != names):
            raise invalid(f"got {', '.join(self.cascade)}", f"each judge once: {', '.join(names)}", key="cascade")
        return self

    @model_validator(mode="after")
    def _read(self) -> RunConfig:
        methods = _asked(self)
        if self.plan.shows_reference("judge") and not any(METHODS[name].render for name in methods):
            got = f"got {self.plan.show_reference}, and no judge is asked by a method that reads it"
            raise invalid(
                got, fix="add compare, reasoned, debate, score or yesno to the methods", key="plan.show_reference"
            )
        if self.plan.shows_reference("critic") and not self.plan.rounds:
            got = f"got {self.plan.show_reference}, and without rounds nothing is criticised"
            raise invalid(got, fix="set plan.rounds, or show it to the judge alone", key="plan.show_reference")
        check_read(self)
        for setting in unread(self):
            raise invalid(setting.got, fix=setting.fix, key=setting.key)
        return self

    def voting(self) -> str:
        """Digest of the settings that say who votes on a pair, where no fitted weights do."""
        own = [self.plan.principles, self.plan.methods, self.plan.methods_of]
        others = [one.model_dump(include={"name", "methods", "methods_of", "principles"}) for one in self.panel]
        return digest(json.dumps([own, others], sort_keys=True))

    def results(self) -> dict[str, object]:
        """The settings that change what is made. The rest (memory, concurrency) may change between restarts."""
        kept = self.model_dump(mode="json", include=RESULTS - (_OF_ONE_POLICY if self.policies else set()))
        kept |= {"date": self.date.isoformat()} if self.date else {}
        kept["judge"] = self.judge_model
        kept |= {"cascade": [*self.cascade]} if self.cascade else {}
        for name, several in (("policies", self.policies), ("panel", self.panel)):
            if several:
                kept[name] = [one.model_dump(mode="json", exclude=MEMBERS_MACHINE) for one in several]
        return kept
