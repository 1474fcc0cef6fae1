"""What is started, where, and what is given up."""

from generation.cluster.attempts import Attempts, Ended, allowed
from generation.shard import Shard, shards

A, B = shards(2)


def started(attempts: Attempts, most: int = 10) -> list[Shard]:
    return [standing.shard for standing in attempts.start(most)]


def test_no_more_than_so_many_shards_are_under_way() -> None:
    attempts = Attempts(shards(5), most=1)
    assert started(attempts, 2) == shards(5)[:2]
    assert started(attempts, 2) == []
    attempts.ended(Ended(Shard(0, 5), True, "n"), 3)
    assert started(attempts, 2) == [Shard(2, 5)]


def test_a_shard_that_comes_to_nothing_is_moved_and_then_given_up() -> None:
    attempts = Attempts([A], most=3)
    for number, node in enumerate(("one", "two", "three")):
        assert started(attempts) == [A]
        standing = attempts.ended(Ended(A, False, node, f"engine died {number}"), 0)
        assert node in standing.avoid
    assert not attempts.left
    assert [one.ended.reason for one in attempts.given_up if one.ended] == ["engine died 2"]


def test_a_start_that_finished_more_than_any_before_counts_anew_and_goes_home() -> None:
    attempts = Attempts([A], most=2)
    for finished in (0, 5, 5, 6, 6):
        assert started(attempts) == [A]
        standing = attempts.ended(Ended(A, False, "one", "killed"), finished)
    assert (standing.best, standing.fruitless, standing.home) == (6, 1, "")
    started(attempts)
    standing = attempts.ended(Ended(A, False, "one", "killed"), 7)
    assert (standing.fruitless, standing.home) == (0, "one")
    assert not attempts.given_up


def test_a_limit_ends_a_shard_at_once() -> None:
    attempts = Attempts([A], most=5)
    started(attempts)
    attempts.ended(Ended(A, False, "one", "stopped by --max-calls", limited=True), 4)
    assert [one.shard for one in attempts.given_up] == [A]
    assert not attempts.bad_nodes()


def test_a_node_on_which_nothing_comes_to_an_end_is_left_alone_until_something_does() -> None:
    attempts = Attempts([A, B], most=2)
    started(attempts)
    attempts.ended(Ended(A, False, "bad", "no GPU"), 0)
    assert not attempts.bad_nodes()
    attempts.ended(Ended(B, False, "bad", "no GPU"), 0)
    assert attempts.bad_nodes() == {"bad"}
    started(attempts)
    attempts.ended(Ended(A, True, "bad"), 3)
    assert not attempts.bad_nodes()


def test_where_no_other_node_is_left_even_a_bad_one_is_taken() -> None:
    attempts = Attempts([A], most=9)
    (standing,) = attempts.start(1)
    standing.avoid.add("one")
    assert allowed(standing, set(), ["one", "two"]) == ["one"]
    assert allowed(standing, {"two"}, ["one", "two"]) == []
    assert allowed(standing, {"gone"}, ["one", "two", "three"]) == ["one"]


def test_a_shard_whose_process_died_for_nothing_is_made_with_care_until_it_ends_otherwise() -> None:
    attempts = Attempts([A], most=9)
    seen = []
    for how, finished in (("lost", 5), ("lost", 5), ("lost", 7), ("refused", 7), ("lost", 9)):
        seen += [standing.careful for standing in attempts.start(1)]
        attempts.ended(Ended(A, False, "one", **{how: True}), finished)
    seen += [standing.careful for standing in attempts.start(1)]
    assert seen == [False, False, True, True, False, False]
