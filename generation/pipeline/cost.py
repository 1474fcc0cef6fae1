"""What a run will take and has taken, in tokens and money.

Calls that are made already tell what such calls take. Before there are any, a text is taken to be half as long as it may be, and a
judge's prompt to hold the conversation, the responses and FRAME more tokens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from constitution.errors import Problem, UserError
from constitution.principles import Constitution
from constitution.records import STAGES, Stage
from critics.methods import METHODS
from generation.calls.prices import Spent, Tariff
from generation.calls.reading import Mean, Totals
from generation.config import Plan, RunConfig
from generation.engines.base import Usage
from generation.models.factory import ModelRegistry, ModelSpec
from generation.models.policies import Policy
from generation.output.manifest import Cost
from generation.output.records import Estimate, Forecast
from generation.pipeline.panel import Panel

FRAME = 120
"""Tokens of a judge's prompt beside the conversation and the responses, about."""
Means = Mapping[tuple[str, str], Mean]
"""(stage, model) -> what its calls took so far."""


def tariff(config: RunConfig, registry: ModelRegistry) -> Tariff:
    """The prices by the models' digests.

    Raises UserError for a price of no model of the run, and for a limit of cost while a model behind a server has no price.
    """
    specs = _specs(registry)
    problems = []
    known = {name for spec in specs.values() for name in names(spec)}
    for name in config.prices:
        if name not in known:
            problems.append(Problem("", f"prices.{name}", "no model of the run is called so", ", ".join(sorted(known))))
    prices = {
        digest: price
        for digest, spec in specs.items()
        if (price := next((config.prices[name] for name in names(spec) if name in config.prices), None))
    }
    if config.max_cost is not None:
        for name in unpriced(registry, prices):
            problems.append(
                Problem("", "max_cost", f"{name} has no price", fix=f"add prices.{name}, or leave max_cost out")
            )
    if problems:
        raise UserError(problems)
    thinking = {digest: spec.endpoints[0].thinking_tokens for digest, spec in specs.items() if spec.endpoints}
    batched = frozenset(digest for digest, spec in specs.items() if any(server.batch for server in spec.endpoints))
    return Tariff(prices, config.currency, thinking, batched)


def names(spec: ModelSpec) -> list[str]:
    """What a price may call a model: as the settings name it, or as its servers do."""
    return list(
        dict.fromkeys([spec.role.model, spec.name, *(server.model for server in spec.endpoints if server.model)])
    )


def unpriced(registry: ModelRegistry, prices: Mapping[str, object]) -> list[str]:
    """Models behind servers that have no price. What runs in this process costs nothing where nothing else is said."""
    return [spec.role.model for digest, spec in _specs(registry).items() if spec.endpoints and digest not in prices]


def spent_before(totals: Totals, known: Tariff) -> Spent:
    """What a run has made so far, over all its starts. Calls of other runs cost it nothing."""
    whole = Spent()
    for model, of_model in totals.models.items():
        whole = whole.plus(known.spent(model, of_model.direct, of_model.calls))
        whole = whole.plus(known.spent(model, of_model.batched, 0))
    return whole


def cost(totals: Totals, known: Tariff, registry: ModelRegistry) -> Cost | None:
    """The manifest's `cost`; None without prices."""
    if not known.prices:
        return None
    models: defaultdict[str, float] = defaultdict(float)
    batched = 0.0
    for digest, spec in _specs(registry).items():
        if digest in known.prices and digest in totals.models:
            direct, by_batch = (known.prices[digest].of(usage) for usage in totals.models[digest][1:])
            models[spec.role.model] += direct + by_batch
            batched += by_batch
    rounded = {name: round(amount, 6) for name, amount in models.items()}
    missing = unpriced(registry, known.prices)
    return Cost(
        amount=round(sum(models.values()), 6),
        currency=known.currency,
        models=rounded,
        unpriced=missing,
        batched=round(batched, 6),
    )


def estimate(
    result: Forecast,
    means: Means,
    known: Tariff,
    policies: Sequence[Policy],
    panel: Panel,
    constitution: Constitution,
    plan: Plan,
) -> dict[Stage, Estimate]:
    """What the forecast calls will take, by stage; for every stage that has any."""
    found: dict[Stage, Estimate] = {}
    sizes = _Sizes(result, means, plan, panel)
    askers = _askers(policies, panel, constitution, plan)
    for stage in STAGES:
        expected = most = Spent()
        for (of_stage, model), size in result.sizes.items():
            if of_stage == stage:
                prompt, cached, written = sizes.expected(stage, model)
                read = round(size.calls * prompt) if size.guessed and (stage, model) in means else size.prompt
                usage = Usage(read, round(read * cached / max(prompt, 1)), round(size.calls * written))
                expected = expected.plus(known.ahead(model, usage, size.calls))
                thoughts = size.calls * known.thinking.get(model, 0)
                most = most.plus(known.ahead(model, Usage(size.prompt, 0, size.written + thoughts), size.calls))
        for model, share in askers[stage].items():
            calls = result.following[stage] * share
            prompt, cached, written = sizes.expected(stage, model)
            usage = Usage(round(calls * prompt), round(calls * cached), round(calls * written))
            expected = expected.plus(known.ahead(model, usage, round(calls)))
            longest, longest_written = sizes.most(stage)
            thoughts = known.thinking.get(model, 0)
            limit = Usage(round(calls * max(prompt, longest)), 0, round(calls * (longest_written + thoughts)))
            most = most.plus(known.ahead(model, limit, round(calls)))
        if expected.calls or most.calls:
            found[stage] = Estimate(expected, most)
    return found


class _Sizes:
    """Tokens of one call of each stage."""

    def __init__(self, result: Forecast, means: Means, plan: Plan, panel: Panel) -> None:
        self._means = means
        asked = [(judge.model, METHODS[method]) for judge in panel.judges for method in judge.methods]
        reasons = any(method.reasons or method.debates for _, method in asked)
        longest = {"sample": plan.sample, "critique": plan.critique, "revise": plan.revise}
        self._written = {**{s: float(d.max_tokens) for s, d in longest.items()}, "compare": 1.0}
        if reasons:
            self._written["compare"] = float(plan.reason.max_tokens)
        if not all(model.reads_labels(method) for model, method in asked):
            self._written["compare"] = max(self._written["compare"], plan.verdict.max_tokens)
        for (stage, _), size in result.sizes.items():
            self._written[stage] = max(self._written[stage], size.written / max(1, size.calls))
        known: list[tuple[float, int]] = [
            (size.prompt, size.calls) for (stage, _), size in result.sizes.items() if stage == "sample"
        ]
        known += [(mean.prompt * mean.calls, mean.calls) for (stage, _), mean in means.items() if stage == "sample"]
        self._prompt = sum(prompt for prompt, _ in known) / max(1, sum(calls for _, calls in known))

    def expected(self, stage: Stage, model: str) -> tuple[float, float, float]:
        """Prompt, cached and written, as they were, or else as they are guessed."""
        mean = self._means.get((stage, model))
        if mean:
            return mean.prompt, mean.cached, mean.completion
        written = self._guess(stage)
        return self._length(stage, self._guess("sample"), self._guess("critique")), 0.0, written

    def most(self, stage: Stage) -> tuple[float, float]:
        """Prompt and written, where every text is as long as it may be."""
        response = max(self._written["sample"], self._written["revise"])
        return self._length(stage, response, self._written["critique"]), self._written[stage]

    def _guess(self, stage: Stage) -> float:
        made = [mean for (of_stage, _), mean in self._means.items() if of_stage == stage]
        if made:
            return sum(mean.completion * mean.calls for mean in made) / sum(mean.calls for mean in made)
        return max(1.0, self._written[stage] / 2)

    def _length(self, stage: Stage, response: float, critique: float) -> float:
        responses, critiques = {"sample": (0, 0), "critique": (1, 0), "revise": (1, 1), "compare": (2, 0)}[stage]
        frame = 0 if stage == "sample" else FRAME
        return self._prompt + responses * response + critiques * critique + frame


def _askers(
    policies: Sequence[Policy], panel: Panel, constitution: Constitution, plan: Plan
) -> dict[Stage, dict[str, float]]:
    """Stage -> the models that it asks, and each one's share of its calls."""
    shares = sum(policy.share for policy in policies)
    samples = {policy.model.digest: policy.share / shares for policy in policies}
    votes: defaultdict[str, float] = defaultdict(float)
    for voter in (*panel.vetoes(constitution.principles), *panel.voters(constitution.principles)):
        for model, calls in voter.models(plan, samples).items():
            votes[model] += calls
    whole = sum(votes.values()) or 1.0
    main = {panel.main.digest: 1.0}
    judges = {model: calls / whole for model, calls in votes.items()}
    return {"sample": samples, "critique": main, "revise": main, "compare": judges}


def _specs(registry: ModelRegistry) -> dict[str, ModelSpec]:
    return {spec.digest: spec for spec in registry.specs}
