"""One run, from checked inputs to a finished folder."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from constitution.digest import digest
from constitution.errors import Problem, Problems
from constitution.loading import load, to_yaml
from constitution.principles import Constitution
from constitution.records import MAIN, Failure, Prompt, Stage, characters
from constitution.terminal import complain
from critics import templating
from critics.ranking.accept import Acceptance
from critics.ranking.weights import Weights
from generation.calls.budget import Limits
from generation.calls.prices import Spent, Tariff
from generation.calls.reading import StoredCalls
from generation.config import EXAMPLE, MEMBERS_MACHINE, RESULTS, Plan, RunConfig
from generation.data import prompts
from generation.data.labels import Labels
from generation.data.matching import unmatched
from generation.data.prompts import SourceInfo
from generation.engines.capabilities import Capabilities
from generation.engines.replay import Replay
from generation.fitted import digest_of, given_acceptance, given_weights
from generation.models.factory import ModelRegistry, Wrap, chat_models, model_registry
from generation.models.policies import Policy
from generation.output import manifest
from generation.output.card import write_card
from generation.output.dataset import DatasetWriter
from generation.output.files import write_atomically
from generation.output.folder import ACCEPTANCE, CONSTITUTION, LABELS, MACHINE, WEIGHTS, day_of, run_folder
from generation.output.manifest import Calls, Digests, Manifest, Probability, Seconds, Tokens
from generation.output.records import Estimate, Feedback, Forecast
from generation.output.settled import Inspected, Settled, Shards, check_shards
from generation.pipeline import controls
from generation.pipeline.cost import cost, estimate, spent_before, tariff
from generation.pipeline.feedback import feedback
from generation.pipeline.forecast import DryRunEngine, forecast
from generation.pipeline.outcome import Heard, Taken, already_done, incomplete, labels_of
from generation.pipeline.panel import Panel, check_forms, check_voters, idle, panel_of, unknown_principles
from generation.pipeline.preflight import preflight, remember
from generation.pipeline.progress import Progress
from generation.pipeline.scheduler import Around, HeadStart, freely, run
from generation.pipeline.session import CALLS, Session
from generation.pipeline.voting import mean_votes
from generation.request import FeedbackSettings, Forget
from generation.settings import load as load_settings
from generation.shard import Shard, read_rows
from generation.tasks import aside, cancel
from generation.unread import unread_in_run

T = TypeVar("T")
Report = Callable[[Path, Manifest], None]


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a run is made from, read and checked; no model is loaded."""

    out: Path
    constitution: Constitution
    config: RunConfig
    source: str
    columns: tuple[str, ...]
    """`FIELD=COLUMN` of columns with other names."""
    limit: int | None
    inspected: Inspected
    registry: ModelRegistry
    weights: Weights | None
    acceptance: Acceptance | None
    """When a label is accepted; None where no error is stated, or the labelled pairs are yet to be judged."""
    reuse: tuple[Path, ...]
    shard: Shard | None
    """The part of the prompts that it is over."""
    merge: tuple[Path, ...]
    """Finished runs of all shards that it is made from, without a call."""
    digests: Digests
    tariff: Tariff
    """What its models' calls cost."""
    forget: Forget | None
    """Which stored calls are made again."""
    weights_file: Path
    """What the weights were read from."""
    acceptance_file: Path
    """What was accepted was read from there."""

    labels: Labels
    """What people said of the run's pairs."""
    part: Path | None = None
    """The file of the shard's rows, where they are divided already."""
    around: Around = freely
    """Surrounds the work on a prompt, and may give its outcome in place of it."""

    def finished(self) -> Manifest | None:
        """The manifest, where its folder holds this very run, whole, and none of its calls are to be made again."""
        return None if self.forget else already_done(self.out, self.digests)

    def rows(self) -> Iterator[Prompt | Failure]:
        """The prompts, read anew."""
        if self.part:
            return read_rows(self.part)
        rows = prompts.read(self.source, self.limit, self.columns)
        return self.shard.of(rows) if self.shard else rows

    @property
    def info(self) -> SourceInfo:
        """What one pass over the prompts found."""
        return self.inspected.info

    @property
    def prompts(self) -> int:
        """How many it is over; of a shard, about."""
        return -(-self.info.rows // self.shard.parts) if self.shard else self.info.rows

    @property
    def plan(self) -> Plan:
        """That of the settings; of several shards the first alone judges the control pairs."""
        plan = self.config.plan
        return plan.model_copy(update={"controls": 0}) if self.shard and self.shard.number else plan

    def settings(self, known: Mapping[str, Capabilities] = MappingProxyType({})) -> dict[str, object]:
        """`run.yaml`: what ran. known: name of a model behind servers -> what they take and give."""
        identity = {"constitution": {"name": self.constitution.name, "digest": self.digests.constitution}}
        named = {"map": [*self.columns]} if self.columns else {}
        source = {"prompts": {"source": self.source, **named, "limit": self.limit, "digest": self.digests.prompts}}
        d = self.digests
        sampled = {"policies": d.policies} if d.policies else {"policy": d.policy}
        models = {"models": {**sampled, "judge": d.judge, **({"panel": d.panel} if d.panel else {})}}
        results = {**self.config.results(), **({"weights": d.weights} if d.weights else {})}
        results |= {"acceptance": d.acceptance} if d.acceptance else {}
        several, own = ("panel", "policies"), {"name", *MEMBERS_MACHINE}
        machine = self.config.model_dump(mode="json", exclude={*results, *RESULTS, *several})
        machine["prompts"] = self.prompts  # for whoever shows how far the run is
        for name in several:
            machine[name] = [one.model_dump(mode="json", include=own) for one in getattr(self.config, name)]
        if known:
            machine["capabilities"] = {name: one.model_dump(mode="json") for name, one in known.items()}
        return {**identity, **source, **models, **results, MACHINE: machine}


def prepare(
    settings: FeedbackSettings, config: RunConfig | None = None, values: Mapping[str, object] = MappingProxyType({})
) -> Job:
    """Read and check everything. Raises UserError with the problems of all files at once.

    config: settings of the run that are read already, in place of those that `settings` names. values: more of them, by name.
    """
    problems = Problems()

    def attempt(read: Callable[[], T]) -> T | None:
        with problems.collect():
            return read()
        return None

    constitution = attempt(partial(load, settings.constitution))
    config = config or attempt(partial(_config, settings, values))
    inspected = attempt(partial(Inspected.of, settings.folder, settings.prompts, settings.limit, settings.columns))
    attempt(run_folder(settings.folder).check)
    merge = tuple(run for path in settings.merge for run in manifest.shards_in(path) or [path])
    calls = [path / CALLS for path in (*settings.reuse, *merge)]
    attempt(lambda: StoredCalls(calls).close())
    registry = attempt(partial(model_registry, config)) if config else None
    known = attempt(partial(tariff, config, registry)) if config and registry else None
    if constitution and config:
        problems.found += unknown_principles(config, constitution)
    problems.found += [Problem("", one.key, one.got, fix=one.fix) for one in (unread_in_run(config) if config else ())]
    weights = attempt(partial(given_weights, settings.weights, constitution, config, registry))
    acceptance = attempt(partial(given_acceptance, settings, constitution, config, registry, weights))
    if constitution and config and registry and weights and not problems.found:
        judges = attempt(partial(chat_models, config, registry, lambda _: Replay.pseudo()))
        if judges:
            attempt(partial(check_voters, panel_of(config, judges[1], weights), constitution))
    problems.check()
    if not (constitution and config and inspected and registry and known):
        raise AssertionError("what could not be read is a problem")
    labels = labels_of(settings.folder)
    return Job(
        settings.folder, constitution, _dated(config, settings), settings.prompts, settings.columns, settings.limit,
        inspected, registry, weights, acceptance, tuple(calls), settings.shard, merge, _digests(constitution,
        config, registry, weights, acceptance, inspected.info, labels, settings.shard), known, settings.forget,
        settings.weights or settings.folder / WEIGHTS, settings.acceptance or settings.folder / ACCEPTANCE, labels,
    )  # fmt: skip


def _digests(
    constitution: Constitution,
    config: RunConfig,
    registry: ModelRegistry,
    weights: Weights | None,
    acceptance: Acceptance | None,
    info: SourceInfo,
    labels: Labels,
    shard: Shard | None,
) -> Digests:
    """What the run is made from."""
    names = registry.digests()
    return Digests(
        constitution=constitution.digest,
        templates=templating.digest(config.plan.templates),
        policy="" if config.policies else registry.policy.digest,
        policies={name: spec.digest for name, spec in registry.policies.items()} if config.policies else {},
        judge=names.pop(MAIN),
        panel=names,
        weights=digest_of(weights),
        acceptance=digest(acceptance.model_dump_json()) if acceptance else "",
        labels=labels.digest,
        prompts=info.fingerprint,
        shard=str(shard or ""),
        settings=digest(json.dumps(config.results(), sort_keys=True)),
    )


def _config(settings: FeedbackSettings, values: Mapping[str, object]) -> RunConfig:
    flags = {**settings.flags, **values}
    return load_settings(RunConfig, settings.config, settings.overrides, flags, example=EXAMPLE)


def _dated(config: RunConfig, settings: FeedbackSettings) -> RunConfig:
    """The settings with the day that chat templates take for today, which is no part of their digest."""
    day = config.date or day_of(settings.folder, *settings.reuse)
    return config.model_copy(update={"date": day})


def _tell(job: Job) -> None:
    """Say what is wrong with rows, what of them is not read, and that a faster engine could be had."""
    if job.config.engine == "transformers" and "engine" not in job.config.model_fields_set:
        print("vLLM is not installed here: the transformers engine is used, which is slower", file=sys.stderr)
    unmet = job.config.plan.unmet(job.info.references, job.info.given, job.info.single)
    for line in (*job.info.lines(job.source), *unmatched(job.constitution, job.info.tags, job.info.columns), *unmet):
        complain(line)


def _models(job: Job, wrap: Wrap) -> tuple[tuple[Policy, ...], Panel]:
    """Policies and panel. Raises ModelError."""
    policies, judges = chat_models(job.config, job.registry, wrap)
    return policies, panel_of(job.config, judges, job.weights, job.acceptance, policies)


class Ahead(NamedTuple):
    """What a run would do."""

    calls: Forecast
    takes: dict[Stage, Estimate]
    """Tokens and money, by stage."""
    spent: Spent
    """By its earlier starts."""


async def plan_ahead(job: Job, probe: bool = False) -> Ahead:
    """What the run would call, from what is stored, and what that takes. Loads no model. Raises UserError.

    probe: ask servers what they take, which decides how judges are asked and so how often; else what an earlier start found holds,
    or what most servers do. Then raises Unavailable too.
    """
    own = job.out / CALLS
    _tell(job)
    with closing(StoredCalls([*([own] if own.is_file() else []), *job.reuse])) as calls:
        result = Forecast()
        engine = DryRunEngine(calls.get, result)
        policies, panel = _models(job, lambda _: engine)
        models = [*(policy.model for policy in policies), *(judge.model for judge in panel.judges)]
        remember(models, job.out, *(path.parent for path in job.reuse))
        if probe:
            await preflight(models, tools=job.info.has_tools)
        plan = job.plan
        check_forms(panel, job.constitution, plan, job.weights_file, job.acceptance_file)
        await forecast(job.rows(), job.constitution, policies, panel, plan, engine, result)
        takes = estimate(result, calls.means(), job.tariff, policies, panel, job.constitution, plan)
        return Ahead(result, takes, spent_before(calls.totals(own), job.tariff))


async def produce(job: Job, report: Report | None = None, progress: Progress | None = None) -> Manifest:
    """Make the run, or resume it.

    report: writes report.html, once every other file but the manifest is there. progress: what shows how far it is.
    Raises UserError, and Unavailable where it is incomplete: a model stayed unavailable for some prompts, or a limit was reached.
    """
    folder = run_folder(job.out)
    merged = check_shards(job.merge, job.digests) if job.merge else None
    with folder.locked():
        folder.claim(job.settings())
        job.inspected.keep(job.out)
        write_atomically(job.out / CONSTITUTION, to_yaml(job.constitution))
        for name, given in ((WEIGHTS, job.weights), (ACCEPTANCE, job.acceptance)):
            if given:
                write_atomically(job.out / name, given.model_dump_json(indent=1) + "\n")
        (job.out / manifest.NAME).unlink(missing_ok=True)  # present only while the run is whole
        async with Session(
            job.out / CALLS,
            reuse=job.reuse,
            prompts=job.prompts,
            forget=job.forget,
            tariff=job.tariff,
            limits=Limits(job.config.max_cost, job.config.max_calls, job.config.max_tokens),
            progress=progress,
        ) as session:
            draft = await _produce(job, session, report, merged)
        return manifest.seal(job.out, draft)


async def _produce(job: Job, session: Session, report: Report | None, merged: Shards | None) -> Manifest:
    _tell(job)
    policies, panel = _models(job, session.wrap_stored if merged else session.wrap)
    models = [*(policy.model for policy in policies), *(judge.model for judge in panel.judges)]
    if merged:
        remember(models, job.out, *job.merge)
    else:
        several = job.plan.batch_principles > 1
        if found := await session.preflight(*models, tools=job.info.has_tools, structured=several):
            run_folder(job.out).claim(job.settings(found))
    check_forms(panel, job.constitution, job.plan, job.weights_file, job.acceptance_file)
    if unread := idle(panel, job.plan):
        complain(unread)
    constitution, plan = job.constitution, job.config.plan
    writer = DatasetWriter(
        job.out, job.constitution, job.registry.judges[MAIN].name, job.config.test_fraction, job.info.has_tools,
        review=job.acceptance is not None and job.config.plan.unaccepted == "review",
    )  # fmt: skip
    given = [model.capabilities.model_dump_json() for model in models]
    parts = merged.among(len(job.reuse)) if merged else []
    settled = Settled(session.store, job.digests, given, job.forget == "failed", job.shard is not None, parts)

    async def work(prompt: Prompt) -> Feedback:
        known = await aside(partial(settled.merged if merged else settled.get, prompt), characters(prompt))
        if known is None:
            async with job.around(prompt) as given_up:
                known = given_up or await feedback(prompt, constitution, policies, panel, plan, job.config.sft.targets)
            await aside(partial(settled.put, known), known.characters)
        return known

    ahead = HeadStart(work, job.config.prompts_in_flight, settled.knows)
    judged = asyncio.create_task(controls.judge_controls(panel, job.constitution, job.plan))
    beside = [judged, *([asyncio.create_task(ahead.look(job.rows()))] if settled.any_known() else [])]
    heard = Heard(job.labels)
    taken = Taken(heard, writer, partial(mean_votes, panel=panel, constitution=constitution, plan=plan))
    try:
        async with aclosing(run(job.rows(), ahead, job.config.prompts_in_flight, beside)) as outcomes:
            async for outcome in outcomes:
                outcome = await taken.take(outcome)
                session.prompt_done(outcome.prompt.id, failed=outcome.outcome == "failed")
        known = await judged
    finally:
        await cancel(beside)
    taken.take_controls(known)
    if taken.lost:
        writer.abandon()
        raise incomplete(job.out, taken.lost, taken.tally.counts["prompts"])
    heard.tell(job.out / LABELS)
    draft = _close(job, session, taken, merged)
    if report:
        _report(job.out, draft, report)
    write_card(job.out, draft, job.constitution, job.config)
    return draft


def _close(job: Job, session: Session, taken: Taken, merged: Shards | None) -> Manifest:
    """The data to disk, and what the manifest will say."""
    wall = session.seconds
    session.store.check()
    totals = session.store.totals()
    usage = totals.tokens
    own = Tokens(prompt=usage.prompt, cached=usage.cached, completion=usage.completion, estimated=usage.estimated)
    files, pooling = taken.close()
    return taken.tally.manifest(
        merged.calls() if merged else Calls(made=totals.made, reused=totals.reused, unkept=totals.unkept),
        merged.tokens() if merged else own,
        Seconds(wall=round(wall, 3), engine=merged.engine_seconds() if merged else round(totals.seconds, 3)),
        files,
        job.digests,
        merged.cost() if merged else cost(totals, job.tariff, job.registry),
        Probability.of(pooling, fitted=job.weights is not None),
        job.acceptance,
        len(merged.places) if merged else 0,
    )


def _report(out: Path, draft: Manifest, report: Report) -> None:
    """Write the report. Whatever is wrong with a page, it must not stand between the calls made and their manifest."""
    try:
        report(out, draft)
    except Exception as error:
        print(f"{out}: no report ({error}); python -m evaluation audit {out} makes one", file=sys.stderr)
