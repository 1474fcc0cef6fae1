"""The page of `python -m evaluation policy`: win rates, what else changed, and responses side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np

from constitution.words import word_count
from critics.ranking.weights import Estimate
from evaluation.pages import plots
from evaluation.pages.plots import Plot
from evaluation.pages.section import Section, Table, bar_values
from evaluation.policy import winrate as winning
from evaluation.policy.human import verdict_of
from evaluation.policy.responses import Pair, Ratio, SampledResponse
from evaluation.policy.result import PolicyEvaluation
from evaluation.policy.table import PROBES, by_labels, judged_by, measures, notes, parts, probes, rules, wins
from evaluation.policy.votes import Verdict
from evaluation.texts import MEASURES
from generation.output.pages import render_html

TEMPLATE = Path(__file__).parent / "templates" / "policy.html.jinja"
BINS = 24
SIMILAR = 0.2
"""Responses are about equally long where the shorter lacks at most this share of the longer's words."""
WHY = {"win": "Clearest wins of A", "loss": "Clearest losses of A", "random": "Others, drawn at random"}


def page(found: PolicyEvaluation, decided: Sequence[Verdict], pairs: Sequence[Pair]) -> str:
    """One self-contained page."""
    sections = [
        _winning(found),
        *_by_people(found),
        _lengths(found, decided, pairs),
        _kl(found, pairs),
        _texts(found),
        *_probed(found),
    ]
    examples = [(title, [e for e in found.examples if e.why == why]) for why, title in WHY.items()]
    return render_html(
        TEMPLATE,
        found=found,
        notes=[*notes(found)],
        judged_by=judged_by(found),
        rows=wins(found),
        made_of=_made_of(found),
        sections=sections,
        examples=[(title, group) for title, group in examples if group],
    )


def _made_of(found: PolicyEvaluation) -> list[tuple[str, str]]:
    """What tells this page from others."""
    return [
        ("A", found.a.name),
        ("B", found.b.name),
        ("judges", ", ".join(found.judge_models.values() or found.judges)),
        ("constitution", found.constitution[:12]),
        ("prompts", found.prompts.source),
        ("made", f"{date.today():%Y-%m-%d}"),
    ]


def _winning(found: PolicyEvaluation) -> Section:
    text = (
        "Share of prompts on which A's response is preferred; a tie is half a win, and 50% is no difference. At equal length: "
        "length-controlled; and style: markup, agreement, certainty and doubt taken out as well. "
    )
    win, gold = found.win, found.gold.win if found.gold else None
    if found.gold:
        provenance = [*found.gold.provenance.principles, *found.gold.provenance.judges]
        known = (
            f"of which a policy was trained against {', '.join(provenance)}"
            if provenance
            else "that no policy is known to be trained on"
        )
        text += (
            f"Gold is a constitution {known}. If A wins by the judges, but not by principles and judges that are "
            "unseen in training, A has learned to please the judges."
        )
    whole: dict[str, Estimate | None] = {
        "judges": win.raw,
        "judges, at equal length": win.controlled,
        "judges, at equal length and style": win.style_controlled,
        "judges, unseen in training": win.unseen,
        "gold": gold.raw if gold else None,
        "gold, at equal length": gold.controlled if gold else None,
        "gold, at equal length and style": gold.style_controlled if gold else None,
        "gold, unseen in training": gold.unseen if gold else None,
    }
    shown: list[Plot | Table] = [_bars("Win rate of A", {name: e for name, e in whole.items() if e})]
    for kind in ("objectives", "principles", "judges"):
        if rates := getattr(win, kind):
            shown.append(_bars(f"Win rate by {kind[:-1]}", rates))
    if gold:
        shown.append(_bars("Win rate by gold principle", gold.principles))
    if win.seeds:
        shown.append(_bars("Win rate by seed", win.seeds))
    if win.style:
        values, _, intervals = bar_values(win.style)
        shown.append(
            plots.bars("What style wins", values, "log-odds for a standard deviation more", intervals, reference=0.0)
        )
    shown.append(Table("All parts", ("part", "#win rate", "#gold"), parts(found)))
    if found.agreement:
        shown.append(plots.bars("Same response preferred by both", *bar_values(found.agreement), reference=0.5))
    return Section("Who wins", text, shown)


def _by_people(found: PolicyEvaluation) -> list[Section]:
    human = found.human
    if human is None:
        return []
    text = (
        "Some pairs were judged by people. The judge's verdicts on all pairs are corrected by them (prediction-powered inference, "
        f"arXiv:2311.01453): a judge that agrees with people narrows the interval. Here: {verdict_of(human)}."
    )
    shown = {"labels and judge": human.value, "labels alone": human.human}
    if human.rogan_gladen:
        shown["judge, less its errors"] = human.rogan_gladen
    parts: list[Plot | Table] = [_bars("A preferred, as people see it", shown)]
    if found.groups:
        parts += [
            _bars("A preferred, by group of annotators", found.groups),
            _bars("Same response preferred, by groups and the panel", found.group_agreement),
        ]
    return [Section("As people see it", text, [*parts, Table("", ("", "#A preferred"), by_labels(human))])]


def _lengths(found: PolicyEvaluation, decided: Sequence[Verdict], pairs: Sequence[Pair]) -> Section:
    text = (
        "Judges tend to prefer longer responses, and a constitution may ask for shorter ones. If A wins only when its response "
        f"is the longer (or the shorter), it learned length. About equal: within {SIMILAR:.0%} of the longer."
    )
    sides = {
        side: [
            word_count(response.text) for pair in pairs if isinstance(response := getattr(pair, side), SampledResponse)
        ]
        for side in ("a", "b")
    }
    edges = np.linspace(0, max([1, *sides["a"], *sides["b"]]), BINS + 1).tolist()
    shown: list[Plot | Table] = [_bars("Win rate of A by length of its response", by_length(decided))]
    shown += [
        plots.histogram(f"Words of {side.upper()}'s responses", words, "words", edges) for side, words in sides.items()
    ]
    return Section("Length", text, shown)


def by_length(decided: Sequence[Verdict]) -> dict[str, Estimate]:
    """Win rates of A where its response is shorter than B's, about as long, or longer; of pairs with two responses."""
    groups: dict[str, list[Verdict]] = {"shorter": [], "about equal": [], "longer": []}
    for each in decided:
        if each.pair.both is None:
            continue
        a, b = (word_count(response.text) for response in each.pair.both)
        name = "about equal" if abs(a - b) <= SIMILAR * max(a, b) else "shorter" if a < b else "longer"
        groups[name].append(each)
    return {
        f"{name} ({len(group)})": winning.win_rate(
            winning.outcomes([each.logit for each in group]), clusters=[each.pair.cluster for each in group]
        )
        for name, group in groups.items()
        if group
    }


def _kl(found: PolicyEvaluation, pairs: Sequence[Pair]) -> Section:
    text = (
        f"log p(response) by A less that by {found.base.name}, on A's own responses at temperature 1. The mean is the KL: how far "
        "training has moved A. A gain at a large KL is more likely to exploit errors of the judge (Gao et al. 2022, "
        "arXiv:2210.10760)."
    )
    nats = [pair.ratio.nats for pair in pairs if isinstance(pair.ratio, Ratio)]
    shown = [plots.histogram("log p_A - log p_base of each response", nats, "nats", BINS)] if nats else []
    return Section("Distance from the base", text, shown)


def _texts(found: PolicyEvaluation) -> Section:
    text = (
        "Measures by rule, of all responses; A - B on prompts that both answered. They show side effects of optimizing "
        "for a judge: length, markup, certainty, agreement, repetition. distinct-n is computed on equal amounts of text."
    )
    meanings = [(name, m.meaning, m.unit) for name, m in MEASURES.items() if name in found.responses.a]
    shares = {name: e for name, e in found.differences.items() if MEASURES[name].unit == "share"}
    values, _, intervals = bar_values(shares)
    return Section(
        "What the responses are like",
        text,
        [
            Table("", ("measure", "#A", "#B", "#A - B"), measures(found)),
            plots.bars("A's shares less B's", values, "difference, with 95% interval", intervals, reference=0.0),
            Table("What they mean", ("measure", "meaning", "unit"), meanings),
        ],
    )


def _probed(found: PolicyEvaluation) -> list[Section]:
    text = (
        "Both policies were asked further prompts: harmless ones that sound harmful, harmful ones, questions with known answers, "
        "plainly and from a user with a wrong belief, and questions that nobody can answer; with `--probes all` also texts to "
        "comment on, jailbreaks and conversations. Answers are judged by rule, and a rate is worth no more than its rule."
    )
    rows = probes(found)
    if not rows:
        return []
    sides: Mapping[str, Mapping[str, Estimate]] = {
        "A": {**found.refusals.a, **found.probes.a},
        "B": {**found.refusals.b, **found.probes.b},
    }
    shares = {f"{PROBES[name]}: {who}": sides[who][name] for name in PROBES for who in sides if name in sides[who]}
    return [
        Section(
            "Refusals and probes",
            text,
            [
                plots.bars("Refusals and probes", *bar_values(shares)),
                Table("", ("", "#A", "#B", "#A - B"), rows),
                Table("Rules on responses labelled by reading", ("rule", "#right"), rules(found)),
            ],
        )
    ]


def _bars(title: str, rates: Mapping[str, Estimate]) -> Plot:
    return plots.bars(title, *bar_values(rates), reference=0.5)
