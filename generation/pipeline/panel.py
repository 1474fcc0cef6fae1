"""Who judges: models, the methods they are asked by, the principles they are asked under, and what their votes are worth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from constitution.errors import Problem, UserError
from constitution.principles import Constitution, Principle
from constitution.records import MAIN, VIOLATION, Failure, Vote, voter_name
from critics.methods import METHODS
from critics.ranking.accept import Acceptance, refuse_other_accepted_form
from critics.ranking.aggregate import Score, score
from critics.ranking.weights import JudgingForm, Weights, refuse_other_form
from generation.config import Plan, RunConfig
from generation.models.chat_model import ChatModel
from generation.models.policies import Policy

SHARED = "compare"
"""The judging method whose questions can share a call, which is answered as JSON."""


@dataclass(frozen=True, slots=True)
class Judge:
    """One model of the panel."""

    model: ChatModel
    name: str = MAIN
    methods: tuple[str, ...] = ("compare",)
    methods_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Principle id -> its own methods."""
    principles: tuple[str, ...] = ()
    """Ids of the principles it judges; all where empty."""
    critic: ChatModel | None = None
    """Who argues for each response where it is asked by `debate`; itself where None."""
    authors: Mapping[str, ChatModel] = field(default_factory=dict)
    """Name of a policy -> its model, which may answer for the responses that it sampled; the critic answers for others."""

    @property
    def arguing(self) -> ChatModel:
        """The model that argues."""
        return self.critic or self.model

    def methods_under(self, principle: Principle) -> tuple[str, ...]:
        """How it is asked under a principle; not at all where that is not its own or a rule judges it."""
        if not principle.judged or (self.principles and principle.id not in self.principles):
            return ()
        return self.methods_of.get(principle.id, self.methods)

    def asks_violation(self, principle: Principle) -> bool:
        """True where it is asked whether a response violates a principle: its own ones with a veto. A reward model never is."""
        methods = self.methods_under(principle)
        return principle.veto and bool(methods) and "reward" not in methods


class Voter(NamedTuple):
    """One judge, asked by one method under one principle; no judge for a rule."""

    judge: Judge | None
    method: str
    principle: Principle

    @property
    def name(self) -> str:
        """What its weight goes by: Vote.voter of its votes."""
        return voter_name(self.judge.name if self.judge else "", self.method, self.principle.id)

    def pair_calls(self, plan: Plan) -> int:
        """Calls on one pair, at most, of a voter that looks at pairs; 0 of others."""
        return self._calls(plan) if self._pairwise else 0

    def response_calls(self, plan: Plan) -> int:
        """Calls on one response, whatever the number of pairs it is in, of a voter that looks at one; 0 of others."""
        return 0 if self._pairwise else self._calls(plan)

    @property
    def _pairwise(self) -> bool:
        return self.judge is not None and METHODS[self.method].pairwise

    def _calls(self, plan: Plan) -> int:
        if self.judge is None:
            return 0
        method = METHODS[self.method]
        answers = method.arguments if plan.recourse else 0
        return answers + (
            method.calls if self.judge.model.reads_labels(method) else method.text_calls(plan.verdict_answers)
        )

    def models(self, plan: Plan, authors: Mapping[str, float]) -> dict[str, float]:
        """Digest of each model that a vote on one pair asks -> calls, at most. authors: policies' digests and their shares."""
        if self.judge is None:
            return {}
        spoken = float(METHODS[self.method].arguments)
        answered = spoken if plan.recourse else 0.0
        calls: defaultdict[str, float] = defaultdict(float)
        calls[self.judge.model.digest] += self.pair_calls(plan) + 2 * self.response_calls(plan) - spoken - answered
        calls[self.judge.arguing.digest] += spoken
        for policy, share in authors.items():
            calls[policy] += answered * share
        return calls


@dataclass(frozen=True, slots=True)
class Panel:
    """All judges of a run. The first also criticises and revises."""

    judges: tuple[Judge, ...]
    weights: Weights | None = None
    """Fitted weights; the YAML's where None."""
    acceptance: Acceptance | None = None
    """When a label is accepted; None where no error is stated."""

    def steps(self, voters: Sequence[Voter]) -> list[list[Voter]]:
        """The voters of each step of the cascade; one step where there is none."""
        return steps(voters, self.acceptance.judges if self.acceptance else ())

    def score(self, records: Sequence[Vote | Failure], constitution: Constitution, plan: Plan) -> Score | None:
        """What the votes on a pair come to; None where all that was asked failed. Nothing asked, or rules that see no difference,
        is a tie."""
        votes = [record for record in records if isinstance(record, Vote)]
        if records and not votes:
            return None
        return score(
            votes, constitution, self.weights, plan.position_inconsistent, plan.early_stop_error, plan.min_log_odds
        )

    @property
    def main(self) -> ChatModel:
        """The model that criticises and revises."""
        return self.judges[0].model

    def voters(self, principles: Sequence[Principle]) -> list[Voter]:
        """Everyone who votes on a pair under these principles, judges before rules. With fitted weights, those that have one."""
        asked = [
            Voter(judge, method, principle)
            for principle in principles
            for judge in self.judges
            for method in judge.methods_under(principle)
        ]
        asked += [Voter(None, "rule", principle) for principle in principles if not principle.judged]
        if self.weights is None:
            return asked
        return [voter for voter in asked if voter.name in self.weights.voters]

    def vetoes(self, principles: Sequence[Principle]) -> list[Voter]:
        """Those who say of each response, before all others, whether it violates a principle with a veto."""
        asked = [
            Voter(judge, VIOLATION, principle)
            for principle in principles
            for judge in self.judges
            if judge.asks_violation(principle)
        ]
        return [
            *asked,
            *(Voter(None, "rule", principle) for principle in principles if principle.veto and principle.check),
        ]

    def forms(self, constitution: Constitution, plan: Plan) -> dict[str, JudgingForm]:
        """Judge and method -> how its votes are come by, of those that count here, where it is known."""
        found: dict[str, JudgingForm] = {}
        for voter in self.voters(constitution.principles):
            counts = self.weights is None or voter.name in self.weights.voters
            if voter.judge and counts and voter.judge.model.is_known:
                shared = plan.batch_principles > 1 and voter.method == SHARED
                form = voter.judge.model.judging_form(METHODS[voter.method])
                found[f"{voter.judge.name}/{voter.method}"] = "text" if shared else form
        return found


def steps(voters: Sequence[Voter], cascade: Sequence[str]) -> list[list[Voter]]:
    """The voters of each step of a cascade, which names judges; rules vote in the first. All in one step where it names none."""
    if not cascade:
        return [[*voters]]
    return [[v for v in voters if (v.judge.name if v.judge else cascade[0]) == name] for name in cascade]


def panel_of(
    config: RunConfig,
    models: Mapping[str, ChatModel],
    weights: Weights | None,
    acceptance: Acceptance | None = None,
    policies: Sequence[Policy] = (),
) -> Panel:
    """The panel that the settings name. models: name of a judge -> its model. policies: they may answer for their responses."""
    critic, authors = models[MAIN], {policy.name or policy.model.name: policy.model for policy in policies}
    main = Judge(critic, MAIN, config.plan.methods, config.plan.methods_of, (), critic, authors)
    others = (
        Judge(models[m.name], m.name, m.methods, m.methods_of, m.principles, critic, authors) for m in config.panel
    )
    return Panel((main, *others), weights, acceptance)


def check_voters(panel: Panel, constitution: Constitution) -> None:
    """Raises UserError when some voters that have a weight will not be asked."""
    asked = {voter.name for voter in panel.voters(constitution.principles)}
    missing = sorted(set(panel.weights.voters if panel.weights else ()) - asked)
    if missing:
        got = f"{len(missing)} voters have a weight but are not asked ({', '.join(missing[:5])})"
        fix = "set plan.methods, plan.methods_of and panel as they were for the fit, or fit again"
        raise UserError(Problem("--weights", got=got, fix=fix))


def check_forms(panel: Panel, constitution: Constitution, plan: Plan, path: Path, accepted: Path = Path()) -> None:
    """Raises UserError when weights were fitted, or thresholds found, on votes that were come by otherwise.

    path, accepted: the files of the weights and of what is accepted.
    """
    if panel.acceptance:
        refuse_other_accepted_form(panel.acceptance, accepted, panel.forms(constitution, plan))
    if panel.weights:
        refuse_other_form(panel.weights, path, panel.forms(constitution, plan))


def idle(panel: Panel, plan: Plan) -> str:
    """Settings that nothing reads, as the probe found, in words; empty where there are none."""
    default = Plan.model_fields
    given = [name for name in ("verdict_samples", "verdict") if getattr(plan, name) != default[name].default]
    models = [judge.model for judge in panel.judges]
    if not given or plan.batch_principles > 1 or any(not model.capabilities.has_labels for model in models):
        return ""
    return f"{', '.join(f'plan.{name}' for name in given)}: no effect here: every judge tells log-probabilities"


def unknown_principles(config: RunConfig, constitution: Constitution) -> list[Problem]:
    """What is wrong where the settings name principles."""
    judged = {principle.id for principle in constitution.principles if principle.judged}
    named = [(f"plan.methods_of.{name}", name) for name in config.plan.methods_of]
    for member in config.panel:
        named += [(f"panel.{member.name}.principles", name) for name in member.principles]
        named += [(f"panel.{member.name}.methods_of.{name}", name) for name in member.methods_of]
    got, allowed = f"is no principle of {constitution.name} that a model judges", ", ".join(sorted(judged))
    return [Problem("", key, f"{name!r} {got}", allowed) for key, name in named if name not in judged]
