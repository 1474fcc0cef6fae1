"""The settings of `evaluation policy` -> a job that is checked through before any model loads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from constitution.errors import Problem, Problems, UserError, suggest
from constitution.loading import load
from constitution.options import flag
from constitution.principles import Constitution
from constitution.records import MAIN, Failure, Prompt
from critics import templating
from critics.ranking.weights import Weights, read_weights, refuse_other
from evaluation.files import check_writable
from evaluation.judge import asking
from evaluation.policy.labels import Labels, read_labels
from evaluation.policy.provenance import history
from evaluation.policy.result import TrainingProvenance
from evaluation.policy.settings import PolicySettings
from evaluation.probes.refusals import read_refusal_prompts
from evaluation.probes.suite import Suite, suite
from generation.calls.reading import StoredCalls
from generation.config import RunConfig
from generation.data import prompts
from generation.data.matching import unread
from generation.data.prompts import SourceInfo
from generation.engines.replay import Replay
from generation.models.chat_model import ChatModel
from generation.models.factory import (
    ModelRegistry,
    ModelSpec,
    Wrap,
    chat_model,
    chat_models,
    model_registry,
    model_spec,
)
from generation.output.folder import SETTINGS
from generation.pipeline.panel import Panel, check_voters, panel_of
from generation.pipeline.session import CALLS
from generation.roles import POLICY

T = TypeVar("T")
TRAINED = "trained"
"""As a name for --held-out: everything that a policy is known to be trained against."""
UNUSED = (
    "system_hint", "hinted_samples", "rounds", "critics", "principles", "schedule", "comparisons", "controls", "pairs",
    "keep_truncated", "critique", "revise",
)  # fmt: skip
"""Settings of a run's plan that an evaluation has no use for."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that is known before a model loads."""

    a: ModelSpec
    b: ModelSpec
    base: ModelSpec
    """What the KL is measured from."""
    judges: ModelRegistry
    """Of `run`, whose policy is its judge."""
    run: RunConfig
    constitution: Constitution
    """The principles that judge: those held out are not among them."""
    gold: Constitution | None
    weights: Weights | None
    held_out: tuple[str, ...]
    provenance: TrainingProvenance
    """What of all this the policies are known to be trained against."""
    gold_provenance: TrainingProvenance
    """The same of the gold constitution and its judges."""
    warnings: tuple[str, ...]
    source: str
    digest: str
    """Of the prompts."""
    rows: tuple[Prompt | Failure, ...]
    probes: Suite | None
    """What both policies are asked beside the prompts; None where nothing is."""
    out: Path
    reuse: tuple[Path, ...]
    weights_file: Path
    """What the weights were read from, where there are any."""
    labels: Labels | None
    """What people say of some pairs; None without labels."""
    labels_file: Path
    """What they were read from, where there are any."""
    seeds: int
    """Seeds of the responses: each sample of a prompt is from one of its own where there are several."""

    @property
    def unscored(self) -> str:
        """Why responses cannot be scored, and so the KL not be measured; empty where they can."""
        mute = [spec.name for spec in (self.a, self.base) if any(not server.token_ids for server in spec.endpoints)]
        if not mute:
            return ""
        return f"{mute[0]}: a server of messages scores no given response; use a vLLM server with token_ids: true"

    def models(self, wrap: Wrap) -> EvaluationModels:
        """The models; tokenizers load now, weights at the first call. Raises ModelError."""
        _, judges = chat_models(self.run, self.judges, wrap)
        made = {_identity(self.judges.judges[name]): model for name, model in judges.items()}
        for spec in (self.a, self.b, self.base):
            if _identity(spec) not in made:
                made[_identity(spec)] = chat_model(self.run, spec, wrap)
        panel = panel_of(self.run, judges, self.weights)
        asked = replace(panel, judges=tuple(j for j in panel.judges if j.name not in self.held_out))
        a, b, base = (made[_identity(spec)] for spec in (self.a, self.b, self.base))
        return EvaluationModels(a, b, base, asked, replace(asked, weights=None))


@dataclass(frozen=True, slots=True)
class EvaluationModels:
    """The models of an evaluation. Equal specifications are one model."""

    a: ChatModel
    b: ChatModel
    base: ChatModel
    panel: Panel
    """The judges that are not held out."""
    unweighted: Panel
    """The same by the YAML's weights: no others are fitted for the gold constitution."""


def prepare(settings: PolicySettings, config: RunConfig | None = None) -> Job:
    """Read and check everything. Raises UserError with the problems of all files at once.

    config: settings of a run that are read already, in place of what `config`, `overrides`, `judge` and `engine` name.
    """
    problems = Problems()

    def attempt(read: Callable[[], T]) -> T | None:
        with problems.collect():
            return read()
        return None

    seeded = [f"plan.seed={settings.seed}"] if settings.seed is not None else []
    read = attempt(partial(asking.read_both, settings, seeded, config))
    gold = attempt(partial(load, settings.gold)) if settings.gold else None
    info = attempt(partial(prompts.inspect, settings.prompts, settings.limit, settings.columns))
    attempt(partial(_check_out, settings.out))
    attempt(partial(check_writable, settings.json_file, settings.page, settings.to_label))
    reuse = tuple(path / CALLS for path in settings.reuse)
    attempt(lambda: StoredCalls(reuse).close())
    run = attempt(partial(_judging, read[1], settings.seeds)) if read else None
    policies = [attempt(partial(_policy, read[1], spec, flag)) for flag, spec in _specs(settings)] if read else []
    registry = attempt(partial(model_registry, run)) if run else None
    asked_beside = attempt(partial(_probes, settings))
    labels = attempt(partial(_labels, settings, run))
    past = attempt(partial(history, settings.trained, [settings.a, settings.b]))
    provenance = past.provenance(read[0], registry.digests()) if past and read and registry else TrainingProvenance()
    gold_provenance = past.provenance(gold, registry.digests()) if past and gold and registry else TrainingProvenance()
    held_out = _held_out(settings.held_out, provenance)
    constitution = attempt(partial(_without, read[0], held_out, run)) if read and run else None
    weights = (
        attempt(partial(_weights, settings.weights, read[0], run, registry)) if read and run and registry else None
    )
    problems.check()
    if not (read and run and registry and constitution and info and past):
        raise AssertionError("what could not be read is a problem")
    a, b, base = (part for part in policies if part)
    still = _still(provenance, held_out)
    job = Job(
        a=a, b=b, base=base, judges=registry, run=run, constitution=constitution, gold=gold, weights=weights,
        held_out=held_out, provenance=still, gold_provenance=gold_provenance.model_copy(update={"judges": still.judges}),
        warnings=(*past.unknown, *_mute(info, constitution, gold), *_idle(read[1], settings.held_out, provenance)),
        source=settings.prompts, digest=info.fingerprint, rows=tuple(asked(settings)),
        probes=asked_beside, out=settings.out, reuse=reuse,
        weights_file=settings.weights or Path(), labels=labels, labels_file=settings.labels or Path(), seeds=settings.seeds,
    )  # fmt: skip
    _check_judges(job)
    return replace(job, warnings=(*_warnings(job), *job.warnings))


def asked(settings: PolicySettings) -> Iterator[Prompt | Failure]:
    """The prompts, and the rows that are none; given responses play no part."""
    rows = prompts.read(settings.prompts, settings.limit, settings.columns)
    return (row for row in rows if isinstance(row, Prompt) or not row.subject)


def _probes(settings: PolicySettings) -> Suite | None:
    """Probes of the size that is wanted. Raises UserError."""
    if settings.probes == "none":
        return None
    option = flag(PolicySettings, "refusal_columns")
    given = read_refusal_prompts(settings.refusals, settings.refusal_columns, option) if settings.refusals else None
    return suite(settings.probes, settings.probe_items, given)


def _labels(settings: PolicySettings, run: RunConfig | None) -> Labels | None:
    """What people say. Raises UserError."""
    asked = [flag(PolicySettings, name) for name in ("labels", "to_label") if getattr(settings, name)]
    if asked and run and run.plan.samples > 1:
        got = f"got {run.plan.samples}, and {' and '.join(asked)} name pairs by their prompts"
        raise UserError(Problem("", "plan.samples", got, fix="set plan.samples=1, or leave the other out"))
    return read_labels(settings.labels) if settings.labels else None


def _specs(settings: PolicySettings) -> list[tuple[str, str]]:
    return [("--a", settings.a), ("--b", settings.b), ("--base", settings.base or settings.b)]


def _held_out(given: Sequence[str], provenance: TrainingProvenance) -> tuple[str, ...]:
    """Names, whether given one by one or with commas; TRAINED stands for all that is known to be trained against."""
    trained = (*provenance.principles, *provenance.judges)
    return tuple(dict.fromkeys(n for name in _names(given) for n in (trained if name == TRAINED else (name,))))


def _names(given: Sequence[str]) -> list[str]:
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


def _mute(info: SourceInfo, *constitutions: Constitution | None) -> Iterator[str]:
    """Rules that never vote, since no prompt has what they read, in words."""
    for constitution in constitutions:
        if constitution and (missing := unread(constitution, info.columns)):
            yield f"no prompt has column {', '.join(missing)}: rules of {constitution.name} that read it never vote"


def _idle(run: RunConfig, held_out: Sequence[str], provenance: TrainingProvenance) -> Iterator[str]:
    """Options that have no effect here, in words."""
    if unused := [f"plan.{name}" for name in UNUSED if name in run.plan.model_fields_set]:
        yield f"{', '.join(unused)}: no effect here: all principles that apply are asked, and nothing is revised"
    if TRAINED in _names(held_out) and not (provenance.principles or provenance.judges):
        yield f"--held-out {TRAINED}: no principle or judge is known that a policy was trained against; nothing is held out"


def _still(provenance: TrainingProvenance, held_out: Sequence[str]) -> TrainingProvenance:
    """What judges here although a policy was trained against it."""
    principles, judges = (
        tuple(name for name in names if name not in held_out) for names in (provenance.principles, provenance.judges)
    )
    return provenance.model_copy(update={"principles": principles, "judges": judges})


def _warnings(job: Job) -> Iterator[str]:
    """Reasons to trust the figures less, in words."""
    voting = {
        v.judge.name for v in job.models(lambda _: Replay.pseudo()).panel.voters(job.constitution.principles) if v.judge
    }
    for name, part in job.judges.judges.items():
        for side, policy in (("A", job.a), ("B", job.b)):
            if name in voting and part.digest == policy.digest:
                yield f"the judge `{name}` is policy {side} itself, and may prefer its own words; name another with --judge"
    gold = job.gold.principles if job.gold else ()
    fresh = [principle for principle in gold if principle.id not in job.gold_provenance.principles]
    met = [n for n in job.provenance.judges if n in voting]
    if met:
        beside = ", and --gold does not use it" if any(not principle.judged for principle in fresh) else ""
        yield f"a policy was trained against the judge {', '.join(met)}; --held-out {TRAINED} leaves it out{beside}"
    if job.provenance.principles:
        beside = ", and --gold uses others" if fresh else ""
        yield f"a policy was trained on {', '.join(job.provenance.principles)}; --held-out {TRAINED} leaves them out{beside}"
    if job.gold_provenance.principles:
        left = "gold.win.unseen uses the rest" if fresh else "none is left; name another constitution"
        yield f"a policy was trained on {', '.join(job.gold_provenance.principles)} of --gold; {left}"


def _judging(run: RunConfig, seeds: int) -> RunConfig:
    """The settings with the judge as their only model, and one response a prompt and seed unless they say otherwise. No system
    hint: both policies would get it, and the KL is of what they write without. Raises UserError.
    """
    given = "samples" in run.plan.model_fields_set
    if given and seeds > 1:
        fix = "leave it out: each seed is a sample"
        raise UserError(Problem("", "plan.samples", f"got {run.plan.samples} beside --seeds {seeds}", fix=fix))
    samples = run.plan.samples if given else seeds
    plan = run.plan.model_copy(update={"samples": samples, "system_hint": "", "hinted_samples": 1})
    return run.judge_alone().model_copy(update={"plan": plan})


def _policy(run: RunConfig, spec: str, flag: str) -> ModelSpec:
    """One policy, alone on the machine. Raises UserError."""
    if run.policies:
        fix = "leave it out: --policy and --baseline name the two"
        raise UserError(Problem("", "policies", "is not read: one policy is held against another", fix=fix))
    role = run.roles()[POLICY]._replace(model=spec, vllm=run.vllm)
    fixed = [server.url for server in role.endpoints if server.model and server.model != spec]
    if fixed:
        raise UserError(
            Problem(
                flag,
                "endpoints",
                f"{fixed[0]} is asked for another model than {spec}, {run.endpoints[0].model!r}",
                fix="leave `model` out, so that each policy is asked for by its own name",
            )
        )
    try:
        return model_spec(role)
    except UserError as error:
        raise UserError(problem._replace(place=flag) for problem in error.problems) from None


def _identity(spec: ModelSpec) -> tuple[object, ...]:
    return spec.digest, repr(spec.role._replace(model=""))


def _check_out(out: Path) -> None:
    if (out / SETTINGS).exists():
        raise UserError(
            Problem(
                str(out),
                got="is the folder of a run",
                fix=f"choose another --out, with --reuse {out} to take its calls",
            )
        )


def _without(constitution: Constitution, held_out: Sequence[str], run: RunConfig) -> Constitution:
    """The constitution without the principles that are held out. Raises UserError."""
    judges = [MAIN, *(member.name for member in run.panel)]
    known = [*(principle.id for principle in constitution.principles), *judges]
    unknown = [name for name in held_out if name not in known]
    if unknown:
        allowed = ", ".join(known)
        raise UserError(
            Problem(
                "--held-out",
                got=f"{name!r} is no principle of {constitution.name} and no judge{suggest(name, known)}",
                allowed=allowed,
            )
            for name in unknown
        )
    kept = tuple(principle for principle in constitution.principles if principle.id not in held_out)
    if not kept or (set(judges) <= set(held_out) and not any(p.check for p in kept)):
        raise UserError(Problem("--held-out", got=f"{','.join(held_out)} leaves no judge", fix="hold out fewer"))
    if len(kept) == len(constitution.principles):
        return constitution
    objectives = {p.objective for p in kept}
    mixture = {name: weight for name, weight in constitution.objectives.items() if name in objectives}
    # made anew: a copy would keep the digest that the whole one was asked for
    return Constitution(
        **{name: getattr(constitution, name) for name in ("name", "version", "description", "license")},
        objectives=mixture,
        principles=kept,
    )


def _weights(path: Path | None, constitution: Constitution, run: RunConfig, registry: ModelRegistry) -> Weights | None:
    """The fitted weights, checked against all that judges. Raises UserError and ModelError."""
    if path is None:
        if run.plan.early_stop_error:
            fix = "give fitted weights, or leave it 0"
            raise UserError(
                Problem("", "plan.early_stop_error", f"got {run.plan.early_stop_error} without fitted weights", fix=fix)
            )
        return None
    weights = read_weights(path)
    words = templating.digest(run.plan.templates)
    refuse_other(weights, path, constitution.digest, registry.digests(), words, run.plan.judging())
    _, judges = chat_models(run, registry, lambda _: Replay.pseudo())
    check_voters(panel_of(run, judges, weights), constitution)
    return weights


def _check_judges(job: Job) -> None:
    """Refuse what nobody would judge, and models that lack the words of their methods. Raises UserError."""
    models = job.models(lambda _: Replay.pseudo())
    panels = [("--constitution", job.constitution, models.panel)]
    panels += [("--gold", job.gold, models.unweighted)] if job.gold else []
    silent = [place for place, constitution, panel in panels if not panel.voters(constitution.principles)]
    if silent:
        raise UserError(
            Problem(
                place, got="no judge votes on these principles", fix="hold out fewer, or set panel and plan.methods"
            )
            for place in silent
        )
