"""What was asked of two policies -> figures. Pure: no model is called, nothing is read."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np

from constitution.errors import Problem, UserError
from constitution.records import Failure, Prompt
from critics.ranking.weights import Estimate
from critics.transcript import conversation, message_text
from evaluation import texts
from evaluation.policy import winrate as winning
from evaluation.policy.human import by_group, by_people
from evaluation.policy.job import Job
from evaluation.policy.responses import Answer, Evidence, Pair, Ratio, SampledResponse
from evaluation.policy.result import (
    Calls,
    Example,
    Gold,
    Measures,
    ModelId,
    PairOutcome,
    PolicyEvaluation,
    Prompts,
    Sides,
)
from evaluation.policy.variety import Variety, variety
from evaluation.policy.votes import RULES, JudgingContext, Verdict, agreement, verdicts, win
from evaluation.probes.detectors import detectors
from evaluation.statistics import Floats, interval, prompts_of, resampled

SHOWN = 4
"""Examples of each kind."""
DISTINCT = (1, 2, 3)
MOST_CUT = 0.1
"""Share of responses cut by the limit that is let pass without a word."""
MOST_UNANSWERED = 0.1
"""The same of responses that are empty or missing."""
ResponseWithPrompt = tuple[SampledResponse, Hashable]
"""A response and what is resampled of it: its prompt's id, and its seed where there are several."""


def figures(job: Job, evidence: Evidence) -> PolicyEvaluation:
    """Every figure. Raises UserError when no prompt could be compared."""
    seed = job.run.plan.seed
    found = decided(job, evidence)
    failures = Counter(f"{failure.stage}: {failure.reason}" for failure in evidence.failures())
    if not found:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(failures.items()))
        got = f"no prompt could be compared ({reasons})"
        raise UserError(Problem(job.source, got=got, fix=f"see --out {job.out} for what was answered"))
    gold = verdicts(evidence.pairs, lambda pair: pair.gold, context(job, gold=True)) if job.gold else []
    compared = {each.pair.prompt.id for each in found}
    asked = {name for is_gold in (False, True) for name in context(job, is_gold).judges}
    judges = {name: part for name, part in job.judges.judges.items() if name in asked}
    measures, differences = responses(evidence.pairs, seed)
    refusals, rates = probed(job, evidence)
    kl, per_token, missing = divergence(evidence.pairs, job.unscored, seed)
    groups = by_group(found, job.labels.groups if job.labels else {}, seed)
    return PolicyEvaluation(
        a=ModelId(name=job.a.name, digest=job.a.digest),
        b=ModelId(name=job.b.name, digest=job.b.digest),
        base=ModelId(name=job.base.name, digest=job.base.digest),
        prompts=Prompts(
            source=job.source,
            digest=job.digest,
            count=len(job.rows),
            compared=len(compared),
            failed=len(job.rows) - len(compared),
        ),
        constitution=job.constitution.digest,
        judges={name: part.digest for name, part in judges.items()},
        judge_models={name: part.name for name, part in judges.items()},
        provenance=job.provenance,
        held_out=job.held_out,
        win=win(found, seed),
        human=by_people(found, job.labels.outcomes, job.labels_file) if job.labels else None,
        groups=groups.shares,
        group_agreement=groups.agreement,
        gold=Gold(constitution=job.gold.digest, win=win(gold, seed), provenance=job.gold_provenance)
        if job.gold and gold
        else None,
        kl=kl,
        kl_per_token=per_token,
        kl_missing=missing,
        responses=measures,
        differences=differences,
        refusals=refusals,
        probes=rates,
        detectors=detectors() if job.probes else {},
        agreement=agreements(found, gold, seed),
        failures=dict(sorted(failures.items())),
        pairs=tuple(PairOutcome(prompt_id=each.pair.prompt.id, logit=each.logit, longer=each.longer) for each in found),
        examples=examples(found, seed),
        warnings=(*job.warnings, *unanswered(evidence), *cut(evidence.pairs, job.run.plan.sample.max_tokens)),
        calls=Calls(made=evidence.calls.made, reused=evidence.calls.reused),
    )


def decided(job: Job, evidence: Evidence) -> list[Verdict]:
    """The pairs that have a preference or are a tie."""
    return verdicts(evidence.pairs, lambda pair: pair.votes, context(job))


def context(job: Job, gold: bool = False) -> JudgingContext:
    """By what pairs are judged: the constitution, or the gold one by the YAML's weights."""
    constitution = job.gold if gold and job.gold else job.constitution
    judges = [
        name
        for name in job.judges.judges
        if name not in job.held_out and any(p.judged for p in constitution.principles)
    ]
    rules = [RULES] if any(p.check for p in constitution.principles) else []
    weights, provenance = (None, job.gold_provenance) if gold else (job.weights, job.provenance)
    return JudgingContext(constitution, (*judges, *rules), weights, job.run.plan, provenance)


def cut(pairs: Sequence[Pair], limit: int) -> Iterator[str]:
    """A word of warning where the limit cut many responses: their comparison says little of how they would have ended."""
    for side in ("a", "b"):
        sampled = [response for pair in pairs if isinstance(response := getattr(pair, side), SampledResponse)]
        share = sum(response.truncated for response in sampled) / max(1, len(sampled))
        if share > MOST_CUT:
            yield f"{share:.0%} of {side.upper()}'s responses were cut at {limit} tokens; raise plan.sample.max_tokens"


def unanswered(evidence: Evidence) -> Iterator[str]:
    """A word of warning where a policy left many prompts without a response: the measures are of the responses that it gave."""
    asked: dict[str, Sequence[Answer]] = {
        "A to the prompts": [pair.a for pair in evidence.pairs],
        "B to the prompts": [pair.b for pair in evidence.pairs],
        "A to refusals and probes": [*evidence.probe_answers.a.values()],
        "B to refusals and probes": [*evidence.probe_answers.b.values()],
    }
    for which, answers in asked.items():
        share = sum(isinstance(answer, Failure) for answer in answers) / max(1, len(answers))
        if share > MOST_UNANSWERED:
            yield f"{share:.0%} of the responses of {which} are empty or missing; KL, measures and rates use the rest"


def divergence(pairs: Sequence[Pair], unscored: str, seed: int) -> tuple[Estimate | None, Estimate | None, str]:
    """(KL per response, per token, why there is none): mean of log p_A - log p_base over responses that A drew at temperature 1.

    The estimate is unbiased and may be negative where the two hardly differ; its interval is by bootstrap over prompts.
    """
    ratios = [(pair.ratio, pair.cluster) for pair in pairs if isinstance(pair.ratio, Ratio)]
    if not ratios:
        return None, None, unscored or "no response of A could be scored; see failures"
    nats, tokens = (np.array([getattr(ratio, name) for ratio, _ in ratios], dtype=float) for name in ("nats", "tokens"))

    def estimate(sizes: Floats) -> Estimate:
        drawn = resampled(lambda w: (w @ nats) / (w @ sizes), len(ratios), seed, [name for _, name in ratios])
        return interval(drawn, float(nats.sum() / sizes.sum()))

    return estimate(np.ones_like(nats)), estimate(tokens), ""


def responses(pairs: Sequence[Pair], seed: int) -> tuple[Sides, Measures]:
    """(measures of both sides, the differences over the pairs that have both)."""
    sides = [
        [(response, pair.cluster) for pair in pairs if isinstance(response := getattr(pair, side), SampledResponse)]
        for side in ("a", "b")
    ]
    amount = min(texts.total_words(response.text for response, _ in side) for side in sides)
    prompts = [pair.cluster for pair in pairs]
    missing = [
        winning.win_rate([isinstance(getattr(pair, side), Failure) for pair in pairs], seed, prompts)
        for side in ("a", "b")
    ]
    measured = [
        {"unanswered": share, **_measured(side, amount, seed)} for share, side in zip(missing, sides, strict=True)
    ]
    both = [(*pair.both, pair.cluster) for pair in pairs if pair.both]
    rows_a, rows_b = [_row(a) for a, _, _ in both], [_row(b) for _, b, _ in both]
    differences = winning.paired(rows_a, rows_b, seed, [name for _, _, name in both])
    varied_a, varied_b = (_varieties(side) for side in sides)
    for found, mine in zip(measured, (varied_a, varied_b), strict=True):
        found |= {name: winning.win_rate([*of.values()], seed) for name, of in mine.items() if of}
    return Sides(a=measured[0], b=measured[1]), differences | _less(varied_a, varied_b, seed)


def _varieties(given: Sequence[ResponseWithPrompt]) -> dict[str, dict[Hashable, float]]:
    """Measure -> prompt -> how much its samples differ; nothing where each prompt has one."""
    samples: dict[Hashable, list[str]] = {}
    for (response, _), prompt in zip(given, prompts_of([name for _, name in given]), strict=True):
        samples.setdefault(prompt, []).append(response.text)
    each = {prompt: found for prompt, said in samples.items() if (found := variety(said))}
    return {f"variety_{name}": {p: getattr(v, name) for p, v in each.items()} for name in Variety._fields}


def _less(a: Mapping[str, Mapping[Hashable, float]], b: Mapping[str, Mapping[Hashable, float]], seed: int) -> Measures:
    """A's less B's, over the prompts that both have."""
    both = {name: [of[prompt] - b[name][prompt] for prompt in of if prompt in b[name]] for name, of in a.items()}
    return {name: _mean(np.array(differences), seed) for name, differences in both.items() if differences}


def _mean(values: Floats, seed: int) -> Estimate:
    return interval(resampled(lambda w: w @ values / w.sum(1), len(values), seed), float(values.mean()))


def _measured(given: Sequence[ResponseWithPrompt], amount: int, seed: int) -> Measures:
    """Measures of one policy's responses; distinct-n of `amount` words."""
    words = [response.text for response, _ in given]
    prompts = [name for _, name in given]
    found = texts.means([_row(response) for response, _ in given], seed, prompts)
    for n in DISTINCT:
        share = texts.distinct_interval(words, n, amount, prompts)
        if not np.isnan([share.value, share.low, share.high]).any():
            found[f"distinct_{n}"] = share
    return {name: found[name] for name in texts.MEASURES if name in found}


def _row(response: SampledResponse) -> dict[str, float]:
    return {
        **texts.per_response(response.text),
        "tokens": float(response.tokens),
        "truncated": float(response.truncated),
    }


def probed(job: Job, evidence: Evidence) -> tuple[Sides, Sides]:
    """(refusals, probes) of both sides."""
    if job.probes is None:
        return Sides(), Sides()
    a, b = (
        job.probes.rates(
            {name: answer.text for name, answer in side.items() if isinstance(answer, SampledResponse)},
            job.run.plan.seed,
        )
        for side in evidence.probe_answers
    )
    return Sides(a=a.refusals, b=b.refusals), Sides(a=a.probes, b=b.probes)


def agreements(found: Sequence[Verdict], gold: Sequence[Verdict], seed: int) -> Measures:
    """Between the models that judge, and between everybody and the gold constitution, of what they were asked about."""
    found = [each for each in found if each.pair.settled is None]
    clusters = [each.pair.cluster for each in found]
    models = [{name: z for name, z in each.judges.items() if name != RULES} for each in found]
    shares = agreement(models, seed, clusters)
    golden = {id(each.pair): each.logit for each in gold}
    known = [{"panel": each.logit, "gold": golden.get(id(each.pair), 0.0)} for each in found]
    return shares | agreement(known, seed, clusters)


def examples(found: Sequence[Verdict], seed: int) -> tuple[Example, ...]:
    """A's clearest wins, its clearest losses, and some drawn from the rest, of pairs with two responses: SHOWN of each."""
    found = [each for each in found if each.pair.both]
    ranked = sorted((each for each in found if each.logit), key=lambda each: -each.logit)
    wins = [each for each in ranked if each.logit > 0][:SHOWN]
    losses = [each for each in reversed(ranked) if each.logit < 0][:SHOWN]
    chosen = {id(each) for each in (*wins, *losses)}
    rest = [each for each in found if id(each) not in chosen]
    drawn = random.Random(seed).sample(rest, min(SHOWN, len(rest)))
    groups = (("win", wins), ("loss", losses), ("random", drawn))
    return tuple(_example(why, each) for why, group in groups for each in group)


def _example(why: str, each: Verdict) -> Example:
    assert each.pair.both
    a, b = each.pair.both
    cut = {"a": a.truncated, "b": b.truncated}
    return Example.model_validate(
        {
            "why": why,
            "prompt_id": each.pair.prompt.id,
            "prompt": asked(each.pair.prompt),
            "a": message_text(a.response.message),
            "b": message_text(b.response.message),
            "logit": each.logit,
            "votes": dict(each.votes),
            "truncated": tuple(side for side, is_cut in cut.items() if is_cut),
        }
    )


def asked(prompt: Prompt) -> str:
    """A prompt as it is read: one question as it stands, a conversation with its speakers."""
    return prompt.messages[0].content if len(prompt.messages) == 1 and not prompt.tools else conversation(prompt)
