"""The audit as a page: warnings first, then a section for each question, then pairs to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from evaluation.audit.data import Audit
from evaluation.audit.examples import clip, examples
from evaluation.audit.measures import verdicts
from evaluation.audit.sections import texts, votes
from evaluation.audit.sections.policies import policies
from evaluation.audit.sections.texts import ESTIMATED
from evaluation.pages.section import LISTED, NOTHING, Section, Table, percent
from generation.output.pages import render_html
from generation.reasons import advice, told

EXCERPT = 300
"""Characters of a text in a table."""
TEMPLATE = Path(__file__).parent / "templates" / "report.html.jinja"


def render(audit: Audit) -> str:
    """The whole of report.html."""
    makers: Sequence[Callable[[Audit], Section]] = (
        _measures, _accepted, policies, votes.places, texts.biases, texts.refusals, votes.decisions, votes.agreement,
        votes.objectives, texts.revision, texts.indicators, votes.controls, _left_out, texts.prompts,
    )  # fmt: skip
    return render_html(
        TEMPLATE,
        heading=audit.heading,
        manifest=audit.manifest,
        notes=_notes(audit),
        crossed=[verdict for verdict in verdicts(audit) if verdict.crossed],
        measured=measured,
        limit=limit,
        sections=[section for make in makers if (section := make(audit)).parts],
        examples=examples(audit),
    )


def _notes(audit: Audit) -> list[str]:
    if not audit.sampled:
        return [ESTIMATED] if audit.near.estimated else []
    sampled = (
        f"The run has {audit.manifest.counts.prompts:,} prompts: this page counts pairs, responses and critiques of a sample of "
        f"about {audit.sampled:,}, and everybody's votes. `python -m evaluation audit RUN` reads all, and writes this page again."
    )
    return [sampled, *([ESTIMATED] if audit.near.estimated else [])]


def measured(name: str, value: float) -> str:
    """A measure's value as it is read."""
    return f"{value:.2f}" if name == "bias" else percent(value)


def limit(name: str, value: float) -> str:
    """A measure's limit as it is read."""
    return f"{'at least' if name == 'controls' else 'at most'} {measured(name, value)}"


def _measures(audit: Audit) -> Section:
    rows = [
        (m.name, m.what, m.n, measured(m.name, m.found.value), _interval(m.name, m.found.low, m.found.high), limit(m.name, top))
        for m, top, _ in verdicts(audit)
    ]  # fmt: skip
    text = (
        "Every number that is watched, with its 95% interval and its limit. Limits are set with --config and --set. For the four "
        "judge biases (length, confidence, agreement, refusal) chance is 50%; a warning also needs ten pairs and an interval above."
    )
    return Section(
        "Measures", text, [Table("", ("measure", "what is counted", "#of", "#value", "#95%", "#limit"), rows)]
    )


def _accepted(audit: Audit) -> Section:
    """What is promised of the labels; no section where nothing is."""
    found = audit.manifest.accepted
    if found is None:
        return NOTHING
    text = (
        f"{found.promise} Accepted: {found.accepted:,} of {found.judged:,} pairs with a label. Acceptance selects what is easy to "
        "judge: the table says of what kind accepted pairs are."
    )
    rows = [(name, percent(kind.accepted), percent(kind.all)) for name, kind in found.kinds.items()]
    steps = [(step, count) for step, count in enumerate(found.ended, 1)]
    parts = [Table("What acceptance selects", ("kind of pair", "#of the accepted", "#of all"), rows)]
    parts += (
        [Table("Comparisons by where asking ended", ("step of the cascade", "#comparisons"), steps)]
        if len(steps) > 1
        else []
    )
    return Section("Labels with a stated error", text, parts)


def _interval(name: str, low: float, high: float) -> str:
    return "" if low == high else f"{measured(name, low)} to {measured(name, high)}"


def _left_out(audit: Audit) -> Section:
    counts = [("dropped", audit.manifest.dropped), ("failed", audit.manifest.failed)]
    rows = [
        (kind, reason, told(reason), n, advice(reason)) for kind, reasons in counts for reason, n in reasons.items()
    ]
    text = (
        "Records, by stage and reason; one prompt can have several. "
        f"At most {LISTED} of each kind are listed with what they say; failures.parquet has all."
    )
    listed = [
        (kind, record.prompt_id, f"{record.stage}: {record.reason}", clip(record.detail, EXCERPT), clip(text, EXCERPT))
        for kind, found in audit.failures.items()
        for record, text in found
    ]
    parts = [
        Table("", ("", "stage: reason", "in words", "#records", "what to do"), rows),
        Table("Records", ("", "prompt", "stage: reason", "detail", "the response"), listed),
    ]
    return Section("Dropped and failed", text, parts if rows else [])
