"""Comparisons -> order -> pairs."""

import math
from collections.abc import Callable
from itertools import accumulate, combinations
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.records import Message, Origin, Response
from critics.ranking.aggregate import Score
from critics.ranking.kinds import Schedule, Strategy
from critics.ranking.select import Pair, most_comparisons, propose, select, strengths

Answer = Callable[[Response, Response], Score | None]


def reply(name: str, text: str = "", origin: Origin = "sampled", parent: str | None = None) -> Response:
    return Response(name, "p", Message(role="assistant", content=text or name), origin, text, parent)


def replies(n: int, texts: int | None = None) -> list[Response]:
    """n candidates, the later ones the better; with `texts`, that many different messages."""
    return [reply(f"r{i:02}", f"text {i % (texts or n)}") for i in range(n)]


def favours_later(a: Response, b: Response) -> Score:
    return Score(float(int(a.id[1:]) - int(b.id[1:])), {}, ())


def play(
    candidates: list[Response],
    strategy: Strategy,
    schedule: Schedule,
    budget: int | None,
    answer: Answer,
    seed: int = 0,
) -> tuple[list[list[Pair]], dict[Pair, Score]]:
    """Every round of comparisons until there is no more to ask, and the scores."""
    rounds: list[list[Pair]] = []
    scores: dict[Pair, Score] = {}
    failed: set[Pair] = set()
    while batch := propose(candidates, scores, strategy, schedule, budget, seed, failed):
        rounds.append([(a.id, b.id) for a, b in batch])
        for a, b in batch:
            given = answer(a, b)
            if given is None:
                failed.add((a.id, b.id))
            else:
                scores[a.id, b.id] = given
    return rounds, scores


def test_a_contested_pair_is_no_label() -> None:
    scores = {("a", "b"): Score(2.0, {}, (), "contested")}
    for strategy in get_args(Strategy):
        pairs, dropped = select([reply("a"), reply("b")], scores, strategy, 0.0)
        assert not pairs
        assert [d.reason for d in dropped] == ["contested"]


def test_a_contested_pair_says_nothing_of_the_order() -> None:
    candidates = [reply("a"), reply("b"), reply("c")]
    scores = {("a", "b"): Score(1.0, {}, ()), ("b", "c"): Score(9.0, {}, (), "contested")}
    ranked = strengths(candidates, scores)
    assert ranked["c"] == 0
    assert ranked["a"] == -ranked["b"] > 0


@given(st.dictionaries(st.sampled_from([("a", "b"), ("a", "c"), ("b", "c")]), st.floats(-3, 3)), st.floats(0, 2))
def test_every_judged_pair_is_kept_or_dropped(logits: dict[tuple[str, str], float], min_log_odds: float) -> None:
    candidates = [reply("a"), reply("b"), reply("c")]
    scores = {pair: Score(z, {}, ()) for pair, z in logits.items()}
    pairs, dropped = select(candidates, scores, "all_pairs", min_log_odds)
    assert len(pairs) + len(dropped) == len(scores)
    assert all(pair.log_odds >= max(min_log_odds, 0) and 0.5 <= pair.p_chosen <= 1 for pair in pairs)


def test_best_meets_worst() -> None:
    scores = {("a", "b"): Score(1.0, {}, ()), ("a", "c"): Score(-2.0, {}, ()), ("b", "c"): Score(-1.0, {}, ())}
    candidates = [reply("a"), reply("b"), reply("c")]
    ranked = strengths(candidates, scores)
    assert ranked["c"] > ranked["a"] > ranked["b"]
    (pair,), dropped = select(candidates, scores, "best_worst", 0.0)
    assert (pair.chosen.id, pair.rejected.id, pair.log_odds) == ("c", "b", 1.0)
    assert pair.p_chosen == pytest.approx(1 / (1 + math.exp(-1)))
    assert not dropped


def test_neighbours_in_rank_meet_as_their_votes_say() -> None:
    # c is the strongest and b the weakest, yet b beat a when they met: the pair's own votes label it
    scores = {("a", "b"): Score(-0.1, {}, ()), ("a", "c"): Score(-1.0, {}, ()), ("b", "c"): Score(-3.0, {}, ())}
    pairs, dropped = select([reply("a"), reply("b"), reply("c")], scores, "adjacent", 0.0)
    assert [(p.chosen.id, p.rejected.id, p.log_odds) for p in pairs] == [("c", "a", 1.0), ("b", "a", 0.1)]
    assert not dropped


def test_a_wanted_pair_without_votes_is_dropped() -> None:
    scores = {("a", "b"): Score(1.0, {}, ()), ("b", "c"): Score(1.0, {}, ())}
    pairs, dropped = select([reply("a"), reply("b"), reply("c")], scores, "best_worst", 0.0)
    assert not pairs
    assert [(d.reason, d.subject) for d in dropped] == [("not_judged", "a vs c")]


def test_replies_that_are_equal_are_no_neighbours() -> None:
    candidates = [reply("a"), reply("b", "same"), reply("c", "same"), reply("d")]
    _, scores = play(candidates, "adjacent", "all", None, lambda a, b: Score(1.0, {}, ()))
    pairs, dropped = select(candidates, scores, "adjacent", 0.0)
    assert [(p.chosen.id, p.rejected.id) for p in pairs] == [("a", "b"), ("b", "d")]
    assert not dropped


@pytest.mark.parametrize(("logit", "min_log_odds", "reason"), [(0.0, 0.0, "tie"), (0.1, 0.2, "below_min_log_odds")])
@pytest.mark.parametrize("strategy", ["best_worst", "adjacent", "all_pairs"])
def test_a_close_call_is_dropped_with_its_reason(
    logit: float, min_log_odds: float, reason: str, strategy: Strategy
) -> None:
    scores = {("a", "b"): Score(logit, {}, ())}
    pairs, dropped = select([reply("a"), reply("b")], scores, strategy, min_log_odds)
    assert not pairs
    assert [(d.reason, d.subject) for d in dropped] == [(reason, "a vs b")]


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_a_revision_meets_its_original_only(schedule: Schedule) -> None:
    candidates = [
        reply("s0"),
        reply("s1"),
        reply("s0/r0", origin="revised", parent="s0"),
        reply("s0/r0/r1", origin="revised", parent="s0/r0"),
    ]
    rounds, _ = play(candidates, "revision_original", schedule, None, lambda a, b: Score(1.0, {}, ()))
    assert rounds == [[("s0", "s0/r0/r1")]]


def test_all_asks_everything_at_once() -> None:
    rounds, scores = play(replies(5), "adjacent", "all", 3, favours_later)
    assert len(rounds) == 1
    assert list(scores) == list(combinations([c.id for c in replies(5)], 2))


def test_equal_replies_are_not_compared() -> None:
    candidates = [reply("a", "same"), reply("b", "same"), reply("c", "other")]
    asked = propose(candidates, {}, "all_pairs", "all", None, 0)
    assert [(a.id, b.id) for a, b in asked] == [("a", "c"), ("b", "c")]


strategies = st.sampled_from(get_args(Strategy))
schedules = st.sampled_from(get_args(Schedule))


@given(
    st.integers(0, 9),
    st.integers(1, 9),
    strategies,
    schedules,
    st.none() | st.integers(0, 50),
    st.integers(0, 2**31),
    st.data(),
)
def test_whatever_the_answers_a_schedule_ends_within_its_bound(
    n: int, texts: int, strategy: Strategy, schedule: Schedule, budget: int | None, seed: int, data: st.DataObject
) -> None:
    kinds = st.none() | st.builds(Score, st.floats(-9, 9), st.just({}), st.just(()), st.sampled_from(["", "contested"]))
    candidates = replies(n, texts)
    by_id = {candidate.id: candidate for candidate in candidates}
    rounds, _ = play(candidates, strategy, schedule, budget, lambda a, b: data.draw(kinds), seed)
    asked = [pair for batch in rounds for pair in batch]
    assert len(asked) == len(set(asked)) <= most_comparisons(n, strategy, schedule, budget)
    assert all(a < b and by_id[a].message != by_id[b].message for a, b in asked)


@pytest.mark.parametrize(
    ("n", "strategy", "schedule", "budget", "most"),
    [
        pytest.param(5, "best_worst", "knockout", None, 4 + 1 + 1, id="winners-losers-final"),
        pytest.param(8, "best_worst", "knockout", None, 7 + 3 + 1, id="knockout-of-eight"),
        pytest.param(8, "adjacent", "swiss", 12, 12 + 7, id="budget-and-neighbours"),
        pytest.param(8, "all_pairs", "adaptive", 12, 12, id="budget-alone"),
        pytest.param(4, "adjacent", "swiss", 5, 6, id="never-more-than-there-are"),
        pytest.param(5, "revision_original", "all", None, 4, id="each-with-its-original"),
        pytest.param(5, "best_worst", "all", None, 10, id="all"),
    ],
)
def test_the_most_comparisons_by_hand(
    n: int, strategy: Strategy, schedule: Schedule, budget: int | None, most: int
) -> None:
    assert most_comparisons(n, strategy, schedule, budget) == most


@given(st.integers(0, 40), strategies, schedules, st.none() | st.integers(0, 900))
def test_more_candidates_need_no_fewer_comparisons(
    n: int, strategy: Strategy, schedule: Schedule, budget: int | None
) -> None:
    fewer, more = (most_comparisons(k, strategy, schedule, budget) for k in (n, n + 1))
    assert fewer <= more <= (n + 1) * n // 2


@pytest.mark.parametrize("schedule", ["swiss", "knockout", "adaptive"])
@pytest.mark.parametrize(("strategy", "wanted"), [("best_worst", [("r07", "r00")]), ("adjacent", None)])
def test_every_pair_to_train_on_gets_votes(schedule: Schedule, strategy: Strategy, wanted: list[Pair] | None) -> None:
    candidates = replies(8)
    _, scores = play(candidates, strategy, schedule, 12, favours_later)
    pairs, dropped = select(candidates, scores, strategy, 0.0)
    assert not dropped
    assert wanted is None or [(p.chosen.id, p.rejected.id) for p in pairs] == wanted
    assert len(pairs) == (1 if strategy == "best_worst" else 7)


@pytest.mark.parametrize("schedule", ["swiss", "adaptive"])
def test_a_budget_is_spent_and_one_last_round_follows(schedule: Schedule) -> None:
    rounds, scores = play(replies(9), "adjacent", schedule, 10, lambda a, b: Score(0.0, {}, ()))
    # no answer tells the candidates apart, so they rank in their own order and the last round asks what is left of it
    neighbours = {(f"r{i:02}", f"r{i + 1:02}") for i in range(8)}
    before = [pair for batch in rounds[:-1] for pair in batch]
    assert len(before) == 10
    assert set(rounds[-1]) == neighbours - set(before)
    assert len(scores) == 10 + len(rounds[-1])


@pytest.mark.parametrize("strategy", ["best_worst", "adjacent"])
@pytest.mark.parametrize("schedule", ["swiss", "adaptive"])
@pytest.mark.parametrize("seed", range(5))
def test_an_upset_in_the_last_round_starts_no_other(seed: int, schedule: Schedule, strategy: Strategy) -> None:
    rng = np.random.default_rng(seed)
    rounds, _ = play(replies(8), strategy, schedule, 9, lambda a, b: Score(rng.normal(), {}, ()), seed)
    ends = list(accumulate(map(len, rounds)))
    assert sum(end > 9 for end in ends) <= 1


@pytest.mark.parametrize("schedule", ["swiss", "knockout", "adaptive"])
def test_the_same_answers_and_seed_give_the_same_comparisons(schedule: Schedule) -> None:
    first, again, other = (play(replies(9), "best_worst", schedule, None, favours_later, seed)[0] for seed in (3, 3, 4))
    assert first == again != other


def test_a_pair_that_failed_is_never_asked_again() -> None:
    rounds, scores = play(replies(4), "all_pairs", "adaptive", None, lambda a, b: None)
    assert sorted(pair for batch in rounds for pair in batch) == list(combinations([c.id for c in replies(4)], 2))
    assert not scores
