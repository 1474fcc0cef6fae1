"""Section of an audit about the policies of a run that sampled several."""

from __future__ import annotations

from evaluation.audit.data import Audit
from evaluation.audit.pairs import GIVEN
from evaluation.pages import plots
from evaluation.pages.section import NOTHING, Section, Table, bar_values, percent
from evaluation.statistics import share


def policies(audit: Audit) -> Section:
    """What each policy wrote, and how often it was chosen over the others."""
    written, meetings = audit.responses.policies, audit.pairs.meetings
    names = sorted(written, key=lambda name: (name == GIVEN, name))
    if len(set(names) - {GIVEN}) < 2:
        return NOTHING
    won = {name: sum(n for (a, b), n in meetings.items() if a == name != b) for name in names}
    lost = {name: sum(n for (a, b), n in meetings.items() if b == name != a) for name in names}
    shares = {name: share(won[name], won[name] + lost[name]) for name in names if won[name] + lost[name]}
    rows = [
        (
            name, one.responses, round(one.characters / one.responses), percent(one.refuse / one.responses),
            percent(one.truncated / one.responses), percent(one.indicated / one.responses), won[name] + lost[name],
            percent(shares[name].value) if name in shares else "",
        )
        for name in names
        for one in [written[name]]
    ]  # fmt: skip
    against = [(a, b, meetings[a, b] + meetings[b, a], meetings[a, b]) for a in names for b in names if a < b]
    text = (
        "What each policy wrote, its revisions with it, and the pairs in which it met another. The pairs are those that are "
        "trained on, so a policy whose responses are all alike meets few others."
    )
    columns = (
        "policy",
        "#responses",
        "#mean characters",
        "#refuse",
        "#cut",
        "#with an indicator",
        "#pairs with others",
        "#chosen",
    )
    parts = [
        *([plots.bars("Chosen over another policy's", *bar_values(shares), reference=0.5)] if shares else ()),
        Table("", columns, rows),
        Table(
            "One against another",
            ("policy", "and", "#pairs", "#the first is chosen"),
            [row for row in against if row[2]],
        ),
    ]
    return Section("Policies", text, parts)
