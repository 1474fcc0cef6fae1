"""Free text -> verdict: the styles judges write in, what is no verdict, and hostile texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from critics.verdict import MAX_CHARACTERS, Side, stated, verdict

LABELS: dict[Side, dict[str, str]] = {
    "first": {"a": "a", "A": "A", "n": "1", "nth": "first", "B": "B", "m": "2"},
    "second": {"a": "b", "A": "B", "n": "2", "nth": "second", "B": "A", "m": "1"},
}
"""What stands in the styles below: the chosen label as letter, capital, digit and ordinal; the other as capital and digit."""

STYLES = {
    "LLMBar": "Output ({a}) is better.",
    "LLMBar, label alone": "Output ({a})",
    "capitals": "OUTPUT ({A}) IS BETTER",
    "lower case": "output {a} is better",
    "a letter": "{A}",
    "a small letter": "{a}",
    "a letter in brackets": "({a})",
    "a letter in bold": "**{A}**",
    "a digit": " {n}. ",
    "MT-Bench": "Assistant A is concise.\n\n[[{A}]]",
    "MT-Bench, digit": "[[{n}]]",
    "Arena-Hard": "My final verdict is: [[{A}>>{B}]]",
    "Arena-Hard, slightly": "[[{A}>{B}]]",
    "an order": "{A} > {B}",
    "the answer is": "The answer is: {A}",
    "the answer, with its reason": "Answer: {A}) because it is right",
    "the answer, then its reason": "Answer: {A}\n\nExplanation: the other fails.",
    "correct answer": "The correct answer is ({a}).",
    "a quoted answer": "Decision: '{A}'",
    "verdict in bold": "**Verdict: {A}**",
    "statement after a cue": "Verdict: **Response {A} is better**",
    "dash": "Final answer - {A}",
    "tag": "<answer>{A}</answer>",
    "box": "So $\\boxed{{{A}}}$",
    "box with text": "\\boxed{{\\text{{{A}}}}}",
    "JSON": '{{"winner": "{A}"}}',
    "JSON, digit": '{{"reason": "brief", "choice": {n}}}',
    "numbered replies": "Response {n} is better than Response {m}.",
    "ordinal": "The {nth} response is better.",
    "ordinal alone": "So the better reply is the {nth}.",
    "adverbs": "Output ({a}) seems to be slightly better",
    "article": "Overall, I think {A} is the better response.",
    "wins": "The winner is Response {A}!",
    "does a better job": "Between the two, Assistant {A} does a better job.",
    "a model's response": "Model {A}'s response is better.",
    "prefer": "I prefer the {nth}.",
    "choose over": "My choice is Response {A} over Response {B}",
    "choose because": "I choose {A} because it is short",
    "label with a remark": "Judgment: Output ({a}) (it follows the instruction)",
    "conclusion in one word": "Both have faults. Therefore, {A}.",
    "label on the last line": "The second reply is brief.\n\n{A}",
    "underscore": "Output_{A} is better",
    "Prometheus": "Feedback: it is brief. [RESULT] {A}",
    "an end token": "The answer is {A}</s>",
    "another end token": "{A}<|im_end|>",
    "final": "Final: {A}",
    "follows it better": "Response {n} follows the principle better.",
    "a number on the last line": "Assistant 1 gives examples, and so does Assistant 2.\n\n{n}",
    "a number in bold on the last line": "Both are good.\n\n**{n}**",
    "a number first, then the reason": "{n}\n\n### Reason: it is brief.",
    "choose a number": "Therefore, I choose {n}.",
    "choose a number as": "Therefore, I choose {n} as the better answer.",
    "choose a number for": "I would choose {n} for its wide coverage.",
    "my choice is a number": "Assistant 1 is brief. Therefore, my choice is {n}.",
    "a field, digit": "Both are helpful. Output: {n}",
    "the answer of": "I recommend the answer of Assistant {n}.",
    "recommend choosing": "I would recommend choosing Assistant {n}'s answer.",
    "recommend that you choose": "I recommend that you choose the answer given by Assistant {n}.",
    "rate as better": "I would rate Assistant {n} as the better assistant.",
    "rate as better than": "I would rate Assistant {n}'s answer as slightly better than Assistant {m}'s answer.",
    "rate higher": "I would rate Assistant {n}'s answer higher.",
    "rate as more": "I would rate Assistant {n}'s answer as more helpful, relevant, and accurate than Assistant {m}'s.",
    "the edge": "I would give Assistant {n} the edge.",
    "edge to": "A slight edge to Assistant {n} for its example.",
    "only the other is named": "It is slightly better than Assistant {m}'s answer.",
    "worse than": "Assistant {m}'s solution is worse than Assistant {n}'s.",
    "deemed": "Assistant {n}'s reasoning is deemed better.",
    "making it superior": "This is a flaw, making Assistant {A}'s analysis superior.",
    "much better, marked": "[[{A}>>>{B}]]",
    "marked, the other way": "[[{B}<<{A}]]",
    "malformed mark, then words": "[[{A}>>{A}]] Assistant {A} is better.",
    "comparison": "Overall, Assistant {n}'s answer is more detailed than Assistant {m}'s.",
    "comparison, short": "Both are good, yet Assistant {n} provides a clearer and more accurate account.",
    "comparison, less": "Assistant {m}'s answer is less detailed than Assistant {n}'s answer.",
    "comparison, not as": "Assistant {m}'s answer is good, and it does not go into as much detail as Assistant {n}'s.",
    "comparison, making it better": "Assistant {n} has more examples, making it the better choice.",
    "comparison, then a word about both": "Assistant {n} is more accurate. However, both are of high quality.",
    "one is wrong": "Assistant {n} gives the right law, while Assistant {m}'s answer contains a significant error.",
}

SCORES: dict[str, str] = {
    "8 9": "second",
    "9.5, 9": "first",
    "8 8\n\nBoth are good.": "tie",
    "7 6\nThe first is brief.": "first",
}

LAST: dict[str, tuple[str, Side]] = {
    "thinks first": ("Output (a) is nice. It is better in tone. But Output (b) is right. So Output (b) is better.", "second"),
    "says it twice": ("Output (a) is better. It is brief. Therefore, Output (a) is better.", "first"),
    "changes in the middle": ("Let us see. Output (a) is better because it is short. Yet it lies. Output (b) is better.", "second"),
    "changes its mind": ("Output (a) is better. Wait, it is wrong. Output (b) is better.", "second"),
    "first impression": ("At first glance Output (a) is better. But it is wrong. Output (b) is better.", "second"),
    "reports another": ("Assistant (a) argues that Output (a) is better. I disagree: Output (b) is better.", "second"),
    "concedes": ("While Output (a) is better in tone, Output (b) is better.", "second"),
    "overall in the same sentence": ("Output (a) is better in tone, but overall Output (b) is better.", "second"),
    "tie in one respect": ("Both are equally good in terms of tone. Output (a) is short. Hence Output (a) is better.", "first"),
    "negation elsewhere": ("Output (a) does not answer, so Output (b) is better.", "second"),
    "no doubt": ("There is no doubt that Output (a) is better.", "first"),
    "not only": ("Not only is it short: Output (a) is better.", "first"),
}  # fmt: skip

NONE = {
    "empty": "",
    "blank": " \n\n ",
    "nothing stated": "Both replies try to help the user.",
    "refusal": "I cannot choose either Output (a) or Output (b).",
    "opening against closing": "Output (a) is better. It is short.\nTherefore, Output (b) is better.",
    "opening against closing, marked": "[[A]]\nIt is short.\n[[B]]",
    "both in one sentence": "Output (a) is better in tone, but Output (b) is better in accuracy.",
    "instructions repeated": "Say [[A]] if assistant A is better, [[B]] if assistant B is better.",
    "tie": "[[C]]",
    "tie in one word": "Tie.",
    "tie after a cue": "It is short.\nVerdict: tie",
    "tie after a verdict": "Output (a) is better in tone.\n**Verdict: tie**",
    "tie in words": "It is a tie.",
    "tie, Arena-Hard": "[[A=B]]",
    "equally good": "Both outputs are equally good.",
    "tie, then a verdict out of nowhere": "Both Output (a) and Output (b) are equally good.\nTherefore, Output (a) is better.",
    "neither": "Neither Output (a) nor Output (b) is better.",
    "neither output": "Therefore, neither output is better for the instruction.",
    "not better": "Output (b) is not better than Output (a).",
    "isn't better": "Output (b) isn't better.",
    "doubted": "I don't think that Output (a) is better.",
    "cannot claim": "I cannot claim that either Output (a) or Output (b) is better, as both lie.",
    "question": "Is Output (a) better? Which is better, Output (a) or Output (b)?",
    "only reported": "Assistant (a) argues that Output (a) is better.",
    "headings": "Output (a)\nshort\nOutput (b)\nlong",
    "headings with colons": "# Output (a):\nHello\n# Output (b):\nBye",
    "scores": "Response A: 7/10\nResponse B: 8/10",
    "article": "A good response gives reasons.",
    "list item": "A. Paris is the capital.",
    "number of apples": "The answer is 2 apples, as both say.",
    "first impression, long before": "At first, as it is the longer one and takes every step in turn, Output (a) is better.",
    "cut off": "In contrast, Output (b) is",
    "cut off in blame": "Assistant B contains an error in the",
    "tie by number": "Both are good.\n\n3",
    "chosen, then a tie by number": "Therefore, I choose answer 2.\n\n3",
    "one mark for both": "Assistant (a) is brief. [[A>>A]]",
    "tie between marks": "[[A~B]]",
    "more on either side": "Assistant 1 is more concise, while Assistant 2 is more detailed.",
    "more of a fault": "Assistant 2's answer is slightly more verbose.",
    "comparison taken back": "Assistant 2's answer is more open, but it could be improved.",
    "both wrong": "Assistant 1 made an error and Assistant 2 is incorrect.",
    "blame taken back": "Assistant 2 makes an error, but its result is right.",
    "no blame": "Assistant 2 makes no errors.",
    "a sum": "Assistant A and Assistant B both add up.\n\n2",
    "an answer that is a number": "Assistant A is short. The answer is 2.",
    "a number with decimals": "The answer was 2.5 times as much.",
    "three scores": "7 8 9",
}


@pytest.mark.parametrize("side", LABELS)
def test_every_style_is_read_for_either_reply(side: Side) -> None:
    found = {name: verdict(style.format_map(LABELS[side])) for name, style in STYLES.items()}
    assert found == dict.fromkeys(STYLES, side)


def test_the_last_verdict_wins() -> None:
    assert {name: verdict(text) for name, (text, _) in LAST.items()} == {name: side for name, (_, side) in LAST.items()}


def test_no_verdict_is_guessed() -> None:
    assert {name: verdict(text) for name, text in NONE.items()} == dict.fromkeys(NONE)


@pytest.mark.parametrize("text", SCORES)
def test_of_two_scores_the_higher_wins(text: str) -> None:
    assert stated(text) == SCORES[text]


@pytest.mark.parametrize("text", ["①", "２", "Verdict: ٢", "[[１]]", "I choose २."], ids=str)
def test_digits_of_other_scripts_are_digits(text: str) -> None:
    assert verdict(text) == ("first" if text in ("①", "[[１]]") else "second")


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert verdict(text) in ("first", "second", None)


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("tie", "tie"),
        ("**Tie**", "tie"),
        ("Both are good.\nVerdict: a tie", "tie"),
        ("[[C]]", "tie"),
        ("Both outputs are equally good.", "tie"),
        ("A", "first"),
        ("Verdict: B", "second"),
        ("Both are brief.\n3", "tie"),
        ("Therefore, I choose 3 as both assistants are equal.", "tie"),
        ("Choice: 3", "tie"),
        ("The two answers are essentially equivalent.", "tie"),
        ("[[A=B]]", "tie"),
        ("A tie is likely. But overall, Output (a) is better.", None),
        ("I untie the knot.", None),
    ],
)
def test_a_tie_is_told_from_no_verdict(text: str, side: str | None) -> None:
    assert stated(text) == side


def test_our_own_characters_in_a_text_are_no_mention() -> None:
    assert verdict("\ue000 is better") is None
    assert verdict("The answer is: \ue001") is None


HOSTILE = {
    "letters": "a" * 10**6,
    "spaces": "Output" + " " * 10**6 + "(a) is better",
    "lines": "\n" * 10**6,
    "brackets": "[" * 10**6,
    "nested": "Output (a) " + "(" * 10**5,
    "quotes": "'" * 10**6,
    "mentions": "Output (a) " * 10**5,
    "adverbs": "Output (a) " + "clearly " * 10**5,
    "joined": "Output (a) and " * 10**5,
    "cues": "the better answer for the answer in " * 10**4,
    "statements": "Output (a) is better, " * 10**4,
    "negations": "isn't not neither " * 10**4,
    "comparisons": "Output (a) is more clear and more " * 10**4,
    "listed": "Output (a) is helpful, relevant, accurate, clear, " * 10**4,
    "better than": "better than more than less " * 10**4,
    "making it": "Output (a) making it making it " * 10**4,
    "not as": "Output (a) is not as as not as " * 10**4,
    "choosing": "I choose that I choose " * 10**4,
    "digits": "1 " * 10**5,
    "other digits": "١" * 10**5,
    "labels": "Output (a)\n" * 10**5,
}


READ = ("spaces", "statements", "labels", "comparisons", "not as")
"""Of the hostile texts, those that state the first."""


@pytest.mark.timeout(60)  # it takes a second where time grows with the length
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_read_to_its_end(name: str) -> None:
    assert verdict(HOSTILE[name]) == ("first" if name in READ else None)


def test_a_long_text_is_read_from_its_end() -> None:
    assert verdict("Output (a) is better.\n" + "x " * MAX_CHARACTERS + "\nOutput (b) is better.") == "second"
