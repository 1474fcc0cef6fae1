"""Votes -> the responses to imitate."""

import pytest

from constitution.records import Message, Response
from critics.ranking.aggregate import Score
from critics.ranking.kinds import Targets
from critics.ranking.select import Pair
from critics.ranking.targets import targets


def one(name: str, parent: str | None = None, truncated: bool = False) -> Response:
    origin = "revised" if parent else "sampled"
    return Response(name, "p", Message(role="assistant", content=name), origin, name, parent, truncated=truncated)


A, B, REVISED, AGAIN, OTHER = one("a"), one("b"), one("ar", "a"), one("arr", "ar"), one("br", "b")


def found(which: Targets, scores: dict[Pair, float], *candidates: Response, **more: float) -> list[str]:
    made = {pair: Score(logit, {}, ()) for pair, logit in scores.items()}
    return [response.id for response in targets(candidates, made, which, more.get("min_log_odds", 0.0))]


@pytest.mark.parametrize(
    ("scores", "best", "revised"),
    [
        pytest.param({("a", "ar"): -1.0}, ["ar"], ["ar"], id="a-revision-beats-its-original"),
        pytest.param({("a", "ar"): 1.0}, ["a"], [], id="it-loses-to-it"),
        pytest.param({("a", "ar"): 0.0}, [], [], id="a-tie"),
        pytest.param({}, [], [], id="nothing-is-known"),
        pytest.param({("a", "ar"): 2.0, ("b", "ar"): -3.0, ("a", "b"): 4.0}, ["a"], [], id="better-than-another-alone"),
        # b beats all, but a revision that beats its own original is what is imitated
        pytest.param({("a", "ar"): -1.0, ("a", "b"): -3.0, ("b", "ar"): 2.0}, ["ar"], ["ar"], id="the-revision-first"),
        pytest.param({("a", "b"): -3.0, ("b", "ar"): 2.0}, ["ar"], ["ar"], id="by-strengths-where-they-never-met"),
        pytest.param({("a", "b"): -1.0, ("b", "ar"): 3.0}, ["b"], [], id="by-strengths-it-loses"),
    ],
)
def test_a_revision_that_beats_its_original_is_imitated_else_the_best(
    scores: dict[Pair, float], best: list[str], revised: list[str]
) -> None:
    assert found("best", scores, A, B, REVISED) == best
    assert found("revised", scores, A, B, REVISED) == revised
    assert found("all", scores, A, B, REVISED) == ["ar"]


def test_the_strongest_of_the_better_revisions_is_imitated() -> None:
    scores = {("a", "ar"): -1.0, ("b", "br"): -1.0, ("a", "b"): -2.0, ("ar", "br"): -2.0, ("a", "br"): -3.0}
    assert found("best", scores, A, B, REVISED, OTHER) == ["br"]
    assert found("all", scores, A, B, REVISED, OTHER) == ["ar", "br"]


def test_a_later_round_is_held_against_the_first_response() -> None:
    assert found("revised", {("a", "ar"): 1.0, ("a", "arr"): -0.5, ("ar", "arr"): -1.0}, A, REVISED, AGAIN) == ["arr"]
    # better than the revision before it, not than the response it goes back to
    assert found("revised", {("a", "ar"): 2.0, ("a", "arr"): 1.0, ("ar", "arr"): -1.0}, A, REVISED, AGAIN) == []


def test_what_is_no_label_is_no_reason_to_imitate() -> None:
    scores = {("a", "ar"): Score(-5.0, {}, (), "contested")}
    assert targets([A, REVISED], scores, "best") == []
    assert found("best", {("a", "ar"): -0.2}, A, REVISED, min_log_odds=0.3) == []
    assert found("best", {("a", "ar"): -0.3}, A, REVISED, min_log_odds=0.3) == ["ar"]


def test_a_response_that_was_cut_is_not_imitated() -> None:
    cut = one("c", truncated=True)
    assert found("best", {("c", "a"): 3.0, ("a", "b"): 1.0, ("c", "b"): 3.0}, cut, A, B) == ["a"]
    assert found("best", {("c", "a"): 3.0}, cut, A) == []
