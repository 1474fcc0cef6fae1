"""What `python -m evaluation policy` prints, and the cells that its page shows too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from constitution.terminal import printable
from critics.ranking.weights import Estimate
from evaluation.judge.table import interval
from evaluation.policy.human import verdict_of
from evaluation.policy.result import PolicyEvaluation, Sides, Win
from evaluation.risk.inference import Corrected
from evaluation.statistics import difference
from evaluation.texts import MEASURES

Row = tuple[str, ...]
PROBES = {
    "safe": "harmless prompts refused",
    "unsafe": "harmful prompts refused",
    "jailbreak": "harmful prompts in a jailbreak refused",
    "wrapped_safe": "harmless prompts in a jailbreak refused",
    "refusal_says_what": "refusals of harm that say what is refused",
    "refusal_offers": "refusals of harm that offer something",
    "refusal_lectures": "refusals of harm that lecture",
    "truth_right": "plain questions answered right",
    "truth_abstained": "plain questions left without an answer",
    "truth_sure": "right among the answers that sound sure",
    "truth_unsure": "right among the answers that sound unsure",
    "truth_surer": "of a right and a wrong answer the right one sounds surer (50%: the tone says nothing)",
    "sycophancy": "answers that adopt the user's wrong belief",
    "scorable": "answers to such a user that could be scored",
    "turned": "right answers that turn to the user's wrong belief",
    "mimicry": "wrong names that are repeated",
    "feedback_follows": "feedback that is warmer to a user who likes the text",
    "feedback_against": "feedback that is warmer to a user who dislikes it (chance)",
    "feedback_corrects": "feedback that corrects the mistake in a liked text",
    "confidence": "questions nobody can answer, answered as if known",
    "answered": "easy questions that are answered",
    "dialogue_consistent": "conversations that end with their first answer",
    "dialogue_turned": "right answers that are given up under pressure",
    "dialogue_agreeing": "turns under pressure that open by agreeing",
    "dialogue_refused": "conversations about harm refused at first",
    "dialogue_held": "refusals that hold while the user insists",
    "dialogue_afterwards": "harmless questions afterwards that are answered",
}
"""Name of a figure of refusals and probes -> what it says."""


RULES = {
    "refusal_recall": "refusals that are found",
    "refusal_precision": "of those found, refusals",
    "warmth": "warmer one of two comments",
    "says_what": "a refusal says what is refused",
    "offers": "a refusal offers something",
    "lectures": "a refusal lectures",
}
"""Name of a figure of the rules -> what is right."""


def show(found: PolicyEvaluation, console: Console, printed: Sequence[str]) -> None:
    """Print every figure. printed: warnings that were printed before."""
    for line in notes(found, printed):
        console.print(printable(line), markup=False)
    p = found.prompts
    console.print(
        f"{p.compared} prompts compared, {p.failed} failed: A = {printable(found.a.name)}, B = {printable(found.b.name)}",
        markup=False,
    )
    console.print(printable(judged_by(found)), markup=False)
    console.print(_table("how often A wins", ("", "win rate, 95% interval"), wins(found)))
    if found.human:
        console.print(_table("as people see it", ("", "A preferred, 95% interval"), by_labels(found.human)))
        console.print(verdict_of(found.human), markup=False)
    if found.groups:
        rows = [(name, interval(e)) for name, e in (found.groups | found.group_agreement).items()]
        console.print(_table("groups of annotators", ("", "A preferred, or the same preferred"), rows))
    console.print(_table("by part", ("", "win rate", "gold" if found.gold else ""), parts(found)))
    if found.win.style:
        worth = [(name, number(e)) for name, e in found.win.style.items()]
        console.print(_table("what style wins", ("", "log-odds for a standard deviation more"), worth))
    if found.win.seeds:
        rates = [(name, interval(e)) for name, e in found.win.seeds.items()]
        console.print(_table("by seed", ("", "win rate"), rates))
    console.print(_table("responses", ("", "A", "B", "A - B"), measures(found)))
    if probed := probes(found):
        console.print(_table("refusals and probes", ("", "A", "B", "A - B"), probed))
    if found.agreement:
        console.print(
            _table("same response preferred", ("", "share"), [(n, interval(e)) for n, e in found.agreement.items()])
        )


def judged_by(found: PolicyEvaluation) -> str:
    """Who judges, by its name and its model's."""
    return "judged by " + (", ".join(map(" = ".join, found.judge_models.items())) or "rules alone")


def notes(found: PolicyEvaluation, printed: Sequence[str] = ()) -> Iterator[str]:
    """Warnings, and what is missing."""
    yield from (f"warning: {warning}" for warning in found.warnings if warning not in printed)
    yield from (f"missing: {reason} {count}" for reason, count in found.failures.items())
    if found.kl is None:
        yield f"missing: KL ({found.kl_missing})"


def wins(found: PolicyEvaluation) -> list[Row]:
    """(name, figure) of the whole: win rates and KL."""
    rows = [*_rates("", found.win), *(_rates("gold: ", found.gold.win) if found.gold else ())]
    if found.kl and found.kl_per_token:
        rows += [
            (f"KL from {found.base.name}, nats per response", number(found.kl)),
            ("KL, nats per token", number(found.kl_per_token)),
        ]
    return rows


def _rates(who: str, win: Win) -> Iterator[Row]:
    named = {
        "A is preferred": win.raw,
        "at equal length": win.controlled,
        "at equal length and style": win.style_controlled,
        "mean probability": win.probability,
        "by what no policy was trained on": win.unseen,
    }
    yield from ((f"{who}{name}", interval(estimate)) for name, estimate in named.items() if estimate)


def by_labels(found: Corrected) -> list[Row]:
    """(name, figure) of the correction by labels."""
    corrected = "the judge says it whatever people say" if found.rogan_gladen is None else interval(found.rogan_gladen)
    return [
        (f"by {found.labels} labels and the judge", interval(found.value)),
        ("by the labels alone", interval(found.human)),
        (f"by the judge alone, {found.judged} pairs", f"{found.judge:.1%}"),
        ("by the judge, less its errors (Rogan and Gladen)", corrected),
        ("judge and people agree", interval(found.agreement)),
        ("labels that the judge is worth", f"{found.worth:.0f}"),
    ]


def parts(found: PolicyEvaluation) -> list[Row]:
    """(part, win rate, gold's win rate) by objective, principle and judge."""
    gold = found.gold.win if found.gold else None
    rows = []
    for kind in ("objectives", "principles", "judges"):
        ours = getattr(found.win, kind)
        theirs = getattr(gold, kind) if gold else {}
        for name in dict.fromkeys((*ours, *theirs)):
            cells = (interval(side[name]) if name in side else "" for side in (ours, theirs))
            rows.append((f"{kind[:-1]} {name}", *cells))
    return rows


def measures(found: PolicyEvaluation) -> list[Row]:
    """(measure, A, B, difference) of the responses."""
    return [
        (
            name,
            *(
                number(side[name]) if name in side else ""
                for side in (found.responses.a, found.responses.b, found.differences)
            ),
        )
        for name in MEASURES
        if name in found.responses.a or name in found.responses.b
    ]


def probes(found: PolicyEvaluation) -> list[Row]:
    """(what, A, B, A - B) of refusals and probes."""
    return [row for sides in (found.refusals, found.probes) for row in _sides(sides)]


def rules(found: PolicyEvaluation) -> list[Row]:
    """(rule, share) of the rules by which probes are judged, on responses labelled by reading."""
    return [(RULES[name], interval(estimate)) for name, estimate in found.detectors.items()]


def _sides(sides: Sides) -> Iterator[Row]:
    for name in dict.fromkeys((*sides.a, *sides.b)):
        cells = (interval(side[name]) if name in side else "" for side in (sides.a, sides.b))
        both = name in sides.a and name in sides.b
        less = interval(difference(sides.a[name], sides.b[name])) if both else ""
        yield (PROBES.get(name, name), *cells, less)


def number(estimate: Estimate) -> str:
    """`12.3 [11.2, 13.9]`, in 3 significant digits."""
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"


def _table(title: str, columns: Sequence[str], rows: Sequence[Row]) -> Table:
    table = Table(title=title)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    return table
