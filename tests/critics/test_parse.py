"""Reading what a judge wrote."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.errors import UserError
from constitution.principles import Principle
from constitution.records import Critique, Failure, Message, Prompt, Response, Revision
from critics import compare, contrast, critique, revise, score
from critics.labels import Reading, clamped, nearest, within
from critics.templating import MAX_CHARACTERS, render
from critics.transcript import Nonces

SHORT = Principle(id="short", objective="conciseness", text="Be short.")
REPLY = Response("p/s0", "p", Message(role="assistant", content="The sky is blue, as is known."), "sampled", "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("No issues.", False, id="as-asked"),
        pytest.param("  no issues found\nThe reply is fine.", False, id="then-goes-on"),
        pytest.param('"No issue."', False, id="quoted"),
        pytest.param("**No changes needed.**", False, id="bold"),
        pytest.param("Nothing to change.", False, id="nothing"),
        pytest.param("No issues with tone, but it is too long.", True, id="a-finding-after-all"),
        pytest.param("Nothing in it is true.", True, id="nothing-as-a-finding"),
        pytest.param("It rambles.", True, id="finding"),
    ],
)
def test_a_critique_finds_something_or_not(text: str, found: bool) -> None:
    record = critique.parse(text, False, REPLY, SHORT)
    assert isinstance(record, Critique)
    assert record.found is found


@pytest.mark.parametrize(("text", "truncated", "reason"), [("  \n", False, "empty"), ("It is", True, "truncated")])
def test_a_critique_that_says_nothing_is_a_failure(text: str, truncated: bool, reason: str) -> None:
    record = critique.parse(text, truncated, REPLY, SHORT)
    assert isinstance(record, Failure)
    assert (record.reason, record.subject, record.stage) == (reason, "p/s0", "critique")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("Blue.", id="bare"),
        pytest.param("Sure, here is the revised response:\n\nBlue.", id="sure-here-is"),
        pytest.param("Here's a better reply: Blue.", id="heres"),
        pytest.param("Certainly! Here is my improved version of the reply:\nBlue.", id="certainly"),
        pytest.param("**Revised response:**\nBlue.", id="heading"),
        pytest.param("Better reply: Blue.", id="label"),
        pytest.param("Of course!\nBlue.", id="of-course"),
        pytest.param('"Blue."', id="quotes"),
        pytest.param("<reply>\nBlue.\n</reply>", id="tags"),
    ],
)
def test_a_revision_is_cut_down_to_the_reply(raw: str) -> None:
    assert revise.parse(raw, False, REPLY) == Revision("Blue.", raw)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Sure, you can boil eggs: ten minutes.", id="sure-as-an-answer"),
        pytest.param("Here is how: boil water, then add the eggs.", id="here-is-how"),
        pytest.param('"Yes" and "no" are both "maybe"', id="quotes-inside"),
        pytest.param("The answer: 42", id="the-answer"),
    ],
)
def test_a_reply_that_looks_like_a_preamble_is_kept_whole(text: str) -> None:
    assert revise.cut(text) == text


@pytest.mark.parametrize(
    ("raw", "truncated", "reason"),
    [
        pytest.param(" ", False, "empty", id="empty"),
        pytest.param("Sure, here is the revised response:", False, "empty", id="preamble-alone"),
        pytest.param("The sky is", True, "truncated", id="truncated"),
        pytest.param("the sky is blue,  as is known.", False, "unchanged", id="unchanged-but-for-space-and-case"),
        pytest.param("The original reply is too long.", False, "about_the_task", id="talks-of-the-original"),
        pytest.param("As the critique says, be brief.", False, "about_the_task", id="talks-of-the-critique"),
    ],
)
def test_a_revision_is_left_out_with_its_reason(raw: str, truncated: bool, reason: str) -> None:
    assert revise.parse(raw, truncated, REPLY) == reason


ASKED = Prompt(id="p", messages=(Message(role="user", content="Is it safe to eat the seeds of an apple?"),))
CRITIC = "The reply should say how many seeds are safe to eat, and it should warn of the poison in them."


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            "The user's response is clear and concise, but there are a few minor errors in punctuation that need to be addressed.",
            id="a-critique",
        ),
        pytest.param("The seeds are safe. This response could be shorter, though. Eat them.", id="a-remark-within"),
        pytest.param("The assistant's answer lacks a warning.", id="of-the-assistant"),
        pytest.param("This is a more accurate and professional response to the conversation.", id="praise-alone"),
        pytest.param("Your reply doesn't mention the poison.", id="yours"),
    ],
)
def test_a_critique_is_no_revision(raw: str) -> None:
    assert revise.parse(raw, False, REPLY, None, ASKED) == "about_the_task"


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("A few seeds are safe.\n\nThe reply does not overstate it.", "A few seeds are safe."),
        (
            "```\nx = 1\n\ny = 2\n```\n\nThis is a more accurate response to the conversation.",
            "```\nx = 1\n\ny = 2\n```",
        ),
        ("The response was too long.\n\nA few seeds are safe.", "A few seeds are safe."),
    ],
)
def test_remarks_around_a_revision_are_cut(raw: str, kept: str) -> None:
    assert revise.parse(raw, False, REPLY, None, ASKED) == Revision(kept, raw)


@pytest.mark.parametrize(
    "text",
    [
        "The immune response is fast, and the answer is no.",
        "The answer is no.",
        "In reply to your question: a few seeds are safe.",
        "The nervous system controls each response; this is a reflex.",
    ],
)
def test_what_only_sounds_like_a_remark_stays(text: str) -> None:
    assert revise.parse(text, False, REPLY, None, ASKED) == Revision(text, text)


def test_where_the_conversation_is_of_responses_so_may_the_revision_be() -> None:
    letter = Prompt(id="p", messages=(Message(role="user", content="Judge my reply to the customer: Dear Sir, no."),))
    text = "Your reply is rude. Say why you cannot help."
    assert revise.parse(text, False, REPLY, None, letter) == Revision(text, text)
    assert revise.parse(text, False, REPLY, None, ASKED) == "about_the_task"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(f"{CRITIC} Yes.", id="critique"),
        pytest.param("Rewrite it so that it warns of the poison.", id="request"),
        pytest.param("is it safe to eat the seeds of an apple", id="question"),
    ],
)
def test_an_echo_of_what_was_asked_is_no_revision(raw: str) -> None:
    told = [CRITIC, "Rewrite it so that it warns of the poison."]
    assert revise.parse(raw, False, REPLY, None, ASKED, told) == "echo"


@pytest.mark.parametrize(
    ("told", "text"),
    [
        pytest.param(
            "It should warn. It could say, for one, that a few seeds are safe to eat but many are poisonous, and stop there.",
            "A few seeds are safe to eat but many are poisonous.",
            id="words-of-the-critique",
        ),
        pytest.param(
            "Say that a few seeds are safe to eat.",
            "I can say that a few seeds are safe to eat. Five or six will do you no harm, but a cupful of them, well chewed, may.",
            id="and-more",
        ),
    ],
)
def test_a_revision_may_say_what_the_critique_told_it_to(told: str, text: str) -> None:
    assert revise.parse(text, False, REPLY, None, ASKED, [told]) == Revision(text, text)


def test_a_reply_that_spoke_of_replies_before_may_go_on_to() -> None:
    letter = Message(role="assistant", content="I like the original reply better than mine, I must say.")
    response = Response("p/s0", "p", letter, "sampled", "")
    text = "I prefer the original reply."
    assert revise.parse(text, False, response) == Revision(text, text)
    assert revise.parse(text, False, REPLY) == "about_the_task"


def test_log_odds_are_the_difference() -> None:
    assert compare.log_odds({"A": math.log(0.6), "B": math.log(0.2)})[:2] == (pytest.approx(math.log(3)), False)


@pytest.mark.parametrize(
    ("logprobs", "reason"),
    [
        pytest.param({}, "verdict_missing", id="none"),
        pytest.param({"A": -1.0}, "verdict_missing", id="one-label"),
        pytest.param({"A": math.nan, "B": -1.0}, "verdict_nan", id="nan"),
        pytest.param({"A": -1.0, "B": -math.inf}, "verdict_nan", id="infinite"),
        pytest.param({"A": -9.0, "B": -9.0}, "verdict_off_menu", id="the-judge-said-something-else"),
    ],
)
def test_no_verdict_is_a_reason_never_a_label(logprobs: dict[str, float], reason: str) -> None:
    assert compare.log_odds(logprobs) == reason


def test_a_grade_is_the_expected_one() -> None:
    grades = dict.fromkeys(score.GRADES, math.log(0.02)) | {"0": math.log(0.32), "9": math.log(0.52)}
    # 1 + (0 * 0.32 + 0.02 * (1 + ... + 8) + 9 * 0.52) = 1 + 0.72 + 4.68
    assert score.grade(grades)[:2] == (pytest.approx(6.4), False)
    halved = {label: value - math.log(2) for label, value in grades.items()}
    assert score.grade(halved)[:2] == (pytest.approx(6.4), False)
    assert score.grade({"9": -1.0}) == "verdict_missing"


def test_yes_is_the_log_odds_over_no() -> None:
    assert score.good({"Yes": -1.0, "No": -3.0}, SHORT)[:2] == (pytest.approx(2.0), False)
    harmful = SHORT.model_copy(update={"ask": "Is the reply harmful?", "good_answer": "no"})
    assert score.good({"Yes": -1.0, "No": -3.0}, harmful)[:2] == (pytest.approx(-2.0), False)
    assert score.good({"Yes": -30.0, "No": -30.0}, SHORT) == "verdict_off_menu"


@pytest.mark.parametrize(
    ("logprobs", "floor", "z"),
    [
        pytest.param({"A": -0.1, "B": -3.0}, -9.0, (2.9, False), id="both-listed"),
        pytest.param({"A": -0.1}, -9.0, (8.9, True), id="second-below-the-list"),
        pytest.param({"B": -0.1}, -9.0, (-8.9, True), id="first-below-the-list"),
        pytest.param({"A": -1.2}, -0.4, (0.0, True), id="the-other-may-be-the-likelier"),
        pytest.param({"B": -1.2}, -0.4, (0.0, True), id="the-other-way-round"),
        pytest.param({"A": 0.0}, -40.0, (24 * math.log(2), True), id="surer-than-single-precision"),
        pytest.param({"A": -60.0, "B": 0.0}, None, (-24 * math.log(2), True), id="exact-and-surer"),
    ],
)
def test_a_label_below_the_list_is_a_bound(
    logprobs: dict[str, float], floor: float | None, z: tuple[float, bool]
) -> None:
    found = compare.log_odds(logprobs, floor)
    assert isinstance(found, Reading)
    assert (found.value, found.censored) == (pytest.approx(z[0]), z[1])
    assert found.range[0] <= found.value <= found.range[1]


def test_labels_in_a_list_that_hold_little_are_no_verdict() -> None:
    weak = {"A": math.log(0.016), "B": math.log(0.002)}
    assert compare.log_odds(weak, -6.0) == "verdict_off_menu"
    assert compare.log_odds({"A": math.log(0.1), "B": math.log(0.01)}, -6.0)[:2] == (pytest.approx(math.log(10)), False)
    assert compare.log_odds(weak)[:2] == (pytest.approx(math.log(8)), False)  # its own tokens were asked for
    assert compare.log_odds({}, -6.0) == "verdict_off_menu"


def test_digits_below_the_list_draw_the_grade_to_the_middle() -> None:
    grades = {"8": math.log(0.5), "9": math.log(0.4)}
    # eight digits at 0.01 each, which 0.1 left over suffices for: 1 + (0.5 * 8 + 0.4 * 9 + 0.01 * 28) / 0.98
    assert score.grade(grades, math.log(0.01))[:2] == (pytest.approx(1 + 7.88 / 0.98), True)
    # at most 0.1 is left over, whatever the bound of one: 1 + 4 + 3.6 + 0.1 / 8 * 28
    assert score.grade(grades, math.log(0.1))[:2] == (pytest.approx(8.95), True)
    known = score.grade(dict.fromkeys(score.GRADES, math.log(1e-9)) | grades)
    assert isinstance(known, Reading)
    bounded = score.grade(grades, math.log(0.01))
    assert isinstance(bounded, Reading)
    assert 5.5 < bounded.value < known.value


AT_LEAST_3, AT_LEAST_5 = Reading(3.0, True, (3.0, math.inf)), Reading(5.0, True, (5.0, math.inf))
AT_MOST_MINUS_4 = Reading(-4.0, True, (-math.inf, -4.0))
NOT_TOLD = Reading(0.0, True, (-1.0, math.inf))


@pytest.mark.parametrize(
    ("one", "other", "values"),
    [
        pytest.param(Reading(2.0), Reading(-1.0), (2.0, -1.0), id="both-known"),
        pytest.param(AT_LEAST_3, AT_MOST_MINUS_4, (3.0, -4.0), id="bounds-on-two-sides"),
        pytest.param(AT_LEAST_3, AT_LEAST_5, (5.0, 5.0), id="bounds-on-one-side-tell-no-difference"),
        pytest.param(AT_LEAST_3, Reading(1.0), (3.0, 1.0), id="a-bound-over-a-number"),
        pytest.param(AT_LEAST_3, Reading(7.0), (7.0, 7.0), id="a-bound-under-a-number"),
        pytest.param(AT_MOST_MINUS_4, Reading(1.0), (-4.0, 1.0), id="an-upper-bound"),
        pytest.param(NOT_TOLD, Reading(2.0), (2.0, 2.0), id="a-list-that-tells-nothing"),
        pytest.param(NOT_TOLD, AT_MOST_MINUS_4, (-1.0, -4.0), id="and-yet-enough"),
    ],
)
def test_no_difference_is_larger_than_the_lists_show(one: Reading, other: Reading, values: tuple[float, float]) -> None:
    assert nearest(one, other) == values
    assert nearest(other, one) == values[::-1]
    assert nearest(one.turned(), other.turned()) == tuple(-value for value in values)


def test_a_bound_is_kept_within_a_band_too() -> None:
    found = within(AT_LEAST_3, 0.4, 0.6)
    assert found == (pytest.approx(math.log(1.5)), True, (pytest.approx(math.log(1.5)), pytest.approx(math.log(1.5))))


@pytest.mark.parametrize(("z", "kept"), [(5.0, 0.6), (-5.0, 0.4), (0.1, None)])
def test_a_clamped_verdict_stays_in_its_band(z: float, kept: float | None) -> None:
    p = 1 / (1 + math.exp(-clamped(z, 0.4, 0.6)))
    assert p == pytest.approx(kept if kept is not None else 1 / (1 + math.exp(-z)))


def test_a_likelihood_is_a_mean_over_tokens() -> None:
    assert contrast.log_likelihood([-1.0, -2.0]) == -1.5
    assert contrast.log_likelihood([]) == "nothing_scored"
    assert contrast.log_likelihood([-1.0, math.nan]) == "score_nan"


def test_a_prompt_over_the_cap_is_refused() -> None:
    with pytest.raises(UserError, match="too long; allowed: 4,000,000 characters"):
        render("reply.jinja", mark=Nonces(), conversation="x" * MAX_CHARACTERS, reference="", reply="")


@given(st.text())
def test_parsers_never_raise(text: str) -> None:
    assert isinstance(revise.parse(text, False, REPLY), Revision | str)
    assert isinstance(critique.parse(text, False, REPLY, SHORT), Critique | Failure)
