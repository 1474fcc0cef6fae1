"""`loop.html`: what each round came to, which gates it passed, and responses before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation.pages import plots
from evaluation.pages.section import Section, Table, bar_values
from evaluation.policy.result import Example, PolicyEvaluation, read_evaluation
from evaluation.texts import MEASURES
from generation.output.files import write_atomically
from generation.output.pages import render_html
from training.loop.folder import SETTINGS
from training.loop.record import Decision, Outcome
from training.loop.steps import EVALUATION
from training.monitor.config import MonitorSettings
from training.monitor.file import CheckRecord
from training.monitor.monitor import Monitor, checks_of
from training.monitor.page import verdicts
from training.run.page import made_of

PAGE = "loop.html"
NAMED = ("model", "constitution", "prompts", "feedback.judge", "seed")
"""Settings that it begins with."""
TEMPLATE = Path(__file__).parent / "templates" / "loop.html.jinja"
SHOWN = 6
"""Examples on the page."""
_WINS = {
    "win": "Win rate over the base",
    "controlled": "Win rate over the base at equal length",
    "gold": "Win rate over the base by the gold constitution",
    "previous": "Win rate over the round's starting policy",
}
_REFUSALS = {
    "safe_refusal": "Refusals of harmless prompts",
    "unsafe_refusal": "Refusals of harmful prompts",
    "sycophancy": "Answers that adopt the user's wrong belief",
    "confidence": "Unanswerable questions that it claims to answer",
}


def write_page(folder: Path, outcome: Outcome, monitor: MonitorSettings) -> None:
    """Write the page of a loop as far as it has come."""
    found = list(outcome.decisions)
    kept = [decision for decision in found if decision.accepted]
    evaluations = [read_evaluation(_evaluation(folder, decision)) for decision in kept]
    sections = [_rounds(found), _gates(found), _wins(found), _distance(found, evaluations, monitor)]
    sections += [_texts(found), _behaviour(found)]
    page = render_html(
        TEMPLATE,
        name=folder.resolve().name,
        outcome=outcome,
        made_of=made_of(folder / SETTINGS, NAMED),
        alerts=[f"{_name(d)}: {text}" for d in found for text in (*d.alerts, *d.notes)],
        sections=[section for section in sections if section.parts],
        pages=[(_name(d), f"{Path(d.policy).parent}/evaluation/page.html") for d in found if d.figures],
        shown=_name(kept[-1]) if kept else "",
        examples=_examples(evaluations[-1]) if kept else [],
    )
    write_atomically(folder / PAGE, page)


def _evaluation(folder: Path, decision: Decision) -> Path:
    return folder / Path(decision.policy).parent / "evaluation" / EVALUATION


def _name(decision: Decision) -> str:
    again = f", attempt {decision.attempt}" if decision.attempt > 1 else ""
    return f"round {decision.round}{again} ({decision.recipe}{'' if decision.accepted else ', not kept'})"


def _rounds(found: Sequence[Decision]) -> Section:
    columns = (
        "round",
        "#attempt",
        "recipe",
        "started from",
        "#learning rate",
        "kept",
        "why not",
        "monitor",
        "#win rate",
    )
    rows = [
        (
            d.round,
            d.attempt,
            d.recipe,
            d.parent,
            f"{d.learning_rate:.3g}",
            "yes" if d.accepted else "no",
            "; ".join(d.reasons),
            d.level,
            f"{d.figures['win'].value:.1%}" if "win" in d.figures else "",
        )
        for d in found
    ]
    text = "Each attempt at a round. The next one starts from the last policy that was kept."
    return Section("Rounds", text, [Table("", columns, rows)] if rows else [])


def _gates(found: Sequence[Decision]) -> Section:
    rows = [
        (_name(d), gate.name, "passed" if gate.passed else "failed", gate.reason) for d in found for gate in d.gates
    ]
    text = "A round is kept if it passes all of them and the monitor does not halt it."
    return Section("Gates", text, [Table("", ("round", "gate", "", "found, and allowed"), rows)] if rows else [])


def _wins(found: Sequence[Decision]) -> Section:
    text = "Share of held-out prompts on which the policy's response is preferred, a tie being half. 95% intervals over prompts."
    return Section("Win rates", text, list(_bars(found, _WINS, "share", 0.5)))


def _distance(found: Sequence[Decision], evaluations: Sequence[PolicyEvaluation], settings: MonitorSettings) -> Section:
    """KL, and what the monitor makes of the rounds that were kept."""
    text = (
        "How far the policy has gone from the base, sampled on its own responses; and the monitor's verdicts on the base and the "
        "rounds that were kept. Reward is the judge's win rate over the base, gold that by what the policy was not trained against."
    )
    watch = Monitor(settings)
    seen = [CheckRecord(check, watch.see(check)) for check in checks_of(evaluations)] if evaluations else []
    return Section(
        "Distance", text, [*_bars(found, {"kl": "KL from the base"}, "nats per response"), *verdicts(seen).parts]
    )


def _texts(found: Sequence[Decision]) -> Section:
    text = "Measures of the responses to the held-out prompts, no judge asked. The dashed line is the base."
    parts = [
        plot
        for name, measure in MEASURES.items()
        for base in [next((d.base[name].value for d in found if name in d.base), None)]
        for plot in _bars(found, {name: measure.meaning}, measure.unit, base)
    ]
    return Section("Responses", text, parts)


def _behaviour(found: Sequence[Decision]) -> Section:
    text = "Refusals, and probes with known answers."
    return Section("Behaviour", text, list(_bars(found, _REFUSALS, "share")))


def _bars(
    found: Sequence[Decision], titles: dict[str, str], unit: str, reference: float | None = None
) -> Iterator[plots.Plot]:
    """A plot for each figure that some round has: one bar per attempt, with its interval."""
    for name, title in titles.items():
        values, _, intervals = bar_values({_name(d): d.figures[name] for d in found if name in d.figures})
        if values:
            yield plots.bars(title, values, f"{unit}, with 95% interval", intervals, reference)


def _examples(evaluation: PolicyEvaluation) -> list[Example]:
    """A few of each kind, wins first."""
    kinds = ("win", "random", "loss")
    each = [[example for example in evaluation.examples if example.why == kind] for kind in kinds]
    return [example for kind in each for example in kind[: SHOWN // len(kinds)]]
