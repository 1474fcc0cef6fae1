"""Texts that hold what does not belong there: control tokens, other turns, a judge's words, the prompt again, broken letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from evaluation.verify import marks
from evaluation.verify.finding import Finding, Severity, graded
from evaluation.verify.scan import CONTROL, CONTROL_ASKED, DOUBLED, GARBLED, TWICE, Scan

_CHECKS: tuple[tuple[str, Severity, int, float, str, str], ...] = (
    ("control_tokens", "error", CONTROL, 0.002, "a response holds tokens of a chat template as text",
     "cut them out: a model that is trained on them learns to write them, or ends its turn there"),
    ("control_tokens_in_prompts", "error", CONTROL_ASKED, 0.005, "a prompt holds tokens of a chat template as text",
     "give prompts as messages, and let the trainer apply its own template"),
    ("prompt_twice", "error", TWICE, 0.005, "the prompt stands in both responses again, so that it is trained on twice",
     "cut it off both responses, or leave the column of prompts out"),
    ("doubled_prompt", "error", DOUBLED, 0.005, "the prompt is the same text twice", "keep one of them"),
    ("garbled_texts", "warning", GARBLED, 0.01, "a response has letters that were read in another encoding",
     "read the source again as UTF-8"),
)  # fmt: skip
_SAMPLED: tuple[tuple[str, Severity, Callable[[str], bool], float, str, str], ...] = (
    ("judge_transcripts", "error", marks.has_judge, 0.003, "a response holds a judge's words about two responses",
     "take the response from before it was judged"),
    ("other_turns", "warning", marks.has_turn, 0.02, "a response holds a line that opens another turn, as User: or Human:",
     "cut the response where the other turn begins"),
)  # fmt: skip
"""What takes its time is looked for in the sample."""


def find(scan: Scan) -> Iterator[Finding]:
    """What is seen in single texts of all rows."""
    for name, severity, mark, background, what, fix in _CHECKS:
        which = scan.has(mark)
        if hits := int(which.sum()):
            grade = graded(severity, hits, scan.pairs, background)
            yield Finding(name, grade, hits, scan.pairs, what, fix, scan.places(which))
    for name, severity, has, background, what, fix in _SAMPLED:
        found = [pair for pair in scan.sample if has(pair.chosen) or has(pair.rejected)]
        if hits := len(found):
            places = tuple(scan.place(pair.split, pair.number) for pair in found[:3])
            n = len(scan.sample)
            yield Finding(name, graded(severity, hits, n, background), hits, n, what, fix, places)
    rows = scan.rows
    if hits := scan.unlabelled:
        what = "a row calls neither response better: a tie, no winner, or scores that are equal or missing"
        yield Finding(
            "unlabelled_rows",
            graded("warning", hits, rows, 0.3),
            hits,
            rows,
            what,
            "nothing, where ties are meant; they are left out here",
        )
    if bad := scan.bad.total():
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in scan.bad.most_common(3))
        what = f"a row cannot be read as a pair ({reasons}), as {scan.first_bad[0]}"
        yield Finding("unreadable_rows", graded("warning", bad, rows, 0.01), bad, rows, what, "mend or remove them")
