"""`python -m evaluation reasoning`: is a solution judged by its steps, and does a policy's answer follow from them?"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Sequence

from rich.console import Console

from constitution.principles import Constitution, Principle
from constitution.records import Failure, Response, Vote
from constitution.terminal import complain, printable
from critics.ranking.weights import Estimate
from evaluation.files import check_writable, write, write_json
from evaluation.judge import asking
from evaluation.judge.labelled import LabelledPair
from evaluation.pages.shares import shares_page, shares_section
from evaluation.reasoning.figures import ANSWERED, JUDGED, Answers, answered, judged, read
from evaluation.reasoning.items import begun, judged_pairs
from evaluation.reasoning.settings import ReasoningSettings
from evaluation.reasoning.worked import Worked, worked
from evaluation.sampling import draw_or_fail
from generation import settings as reading
from generation.config import EXAMPLE, RunConfig
from generation.models.factory import chat_model, model_registry
from generation.pipeline.scheduler import UNAVAILABLE
from generation.pipeline.session import CALLS, Session

CORRECT = Principle(
    id="correct", objective="correctness", text="Every step of the solution is true, and its answer is right."
)
OWN = Constitution(name="reasoning", version=1, objectives={"correctness": 1.0}, principles=(CORRECT,))
"""What judges where no constitution is named."""


def run(settings: ReasoningSettings, console: Console) -> int:
    """Ask, write, print. Exit code 0 done, 1 a model was unavailable. Raises UserError."""
    check_writable(settings.json_file, settings.pairs, settings.page)
    flags = {"judge": settings.judge, "policy": settings.a or None, "engine": settings.engine}
    config = reading.load(RunConfig, settings.config, settings.overrides, flags, example=EXAMPLE)
    constitution = asking.read_both(settings, run=config)[0] if settings.constitution else OWN
    sums = worked(settings.limit or 1, settings.seed)
    pairs = judged_pairs(sums)
    answers = asyncio.run(asking.judge_pairs(pairs, constitution, config.judge_alone(), settings.out, settings.reuse))
    failures = [record for record in answers.records if isinstance(record, Failure)]
    of_pair: defaultdict[str, list[Vote | Failure]] = defaultdict(list)
    for record in answers.records:
        of_pair[record.prompt_id].append(record)
    scores = {name: answers.panel.score(records, constitution, config.plan) for name, records in of_pair.items()}
    rates = judged(pairs, {name: score.logit for name, score in scores.items() if score})
    policy: dict[str, Estimate] = {}
    if settings.a:
        said = asyncio.run(_asked(config, sums, settings))
        failures += [record for record in said if isinstance(record, Failure)]
        policy = answered([one for one in said if isinstance(one, Answers)])
    if lost := sum(record.reason == UNAVAILABLE for record in failures):
        complain(f"incomplete: a model was unavailable for {lost} answers; run the same command again to resume")
        return 1
    reasons = Counter(f"{record.stage}: {record.reason}" for record in failures)
    if settings.pairs:
        write(settings.pairs, "".join(f"{json.dumps(_row(pair))}\n" for pair in pairs))
    if settings.page:
        made_of = [("judge", config.judge_model), ("policy", settings.a or "none"), ("sums", str(len(sums)))]
        text = "How often the better of two responses wins; 50% is what a judge that sees nothing gets."
        sections = [shares_section("Judge", text, rates, JUDGED, 0.5)]
        sections += (
            [shares_section("Policy", "Answers to solutions that are begun.", policy, ANSWERED)] if policy else []
        )
        write(settings.page, shares_page("Right against looks-right", made_of, sections))
    if settings.json_file:
        figures = {"judge": rates, "policy": policy}
        shown = {name: {key: one.model_dump() for key, one in found.items()} for name, found in figures.items()}
        write_json(
            settings.json_file, {"judged": config.judge_model, "a": settings.a, **shown, "failures": {**reasons}}
        )
    for name, found in {**rates, **policy}.items():
        interval = f"{100 * found.value:.0f}% [{100 * found.low:.0f}, {100 * found.high:.0f}]"
        console.print(f"{name:12}{interval:>20}  {JUDGED.get(name) or ANSWERED[name]}", markup=False)
    for reason, count in sorted(reasons.items()):
        console.print(f"missing: {count} ({printable(reason)})", markup=False)
    return 0


async def _asked(config: RunConfig, sums: Sequence[Worked], settings: ReasoningSettings) -> list[Answers | Failure]:
    """The policy goes on from true steps and from false ones."""
    rows = asyncio.Semaphore(config.prompts_in_flight)
    async with Session(settings.out / CALLS, reuse=[path / CALLS for path in settings.reuse]) as session:
        config = session.dated(config)
        policy = chat_model(config, model_registry(config).policy, session.wrap)
        await session.preflight(policy)

        async def one(item: Worked) -> Answers | Failure:
            start = begun(item)
            texts = []
            for prompt in (start.true, start.false):
                async with rows:
                    drawn = await draw_or_fail(policy, prompt, 0, config.plan)
                if isinstance(drawn, Failure):
                    return drawn
                texts.append(drawn[0].text)
            return read(start, *texts)

        return [*await asyncio.gather(*map(one, sums))]


def _row(pair: LabelledPair) -> dict[str, object]:
    def turn(response: Response) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": response.text}]

    asked = [message.model_dump(include={"role", "content"}) for message in pair.prompt.messages]
    return {
        "id": pair.id,
        "prompt": asked,
        "chosen": turn(pair.better),
        "rejected": turn(pair.worse),
        "subset": pair.subset,
    }
