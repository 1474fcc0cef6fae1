"""People's verdicts take the place of the panel's, whichever way a pair stood."""

from constitution.records import Message, PreferencePair, Response, Vote
from critics.labels import MAX_LOG_ODDS
from critics.ranking.human import overrule

X, Y, Z = (Response(name, "p", Message(role="assistant", content=name), "sampled", name) for name in "xyz")
VOTE = Vote("p", "x", "y", "kind", 2.0, -1.0)
PAIR = PreferencePair("p", X, Y, 1.5, {"good": 1.5}, (VOTE,), voters=1.0)


def test_a_verdict_against_the_panel_turns_pair_objectives_and_votes() -> None:
    found = overrule("p", (X, Y, Z), (PAIR,), (VOTE,), [("y", "x", "a")])
    (pair,) = found.pairs
    assert (pair.chosen, pair.rejected, pair.source, pair.log_odds) == (Y, X, "human", MAX_LOG_ODDS)
    assert pair.objectives == {"good": -1.5}
    assert pair.votes == (VOTE.swapped(),)
    assert pair.voters == 0, "no pooling may change it"


def test_a_verdict_on_a_pair_that_has_no_label_makes_one() -> None:
    found = overrule("p", (X, Y, Z), (PAIR,), (VOTE,), [("y", "z", "b")])
    assert [(pair.chosen.id, pair.rejected.id, pair.source) for pair in found.pairs] == [
        ("x", "y", "panel"),
        ("z", "y", "human"),
    ]
    assert found.pairs[1].votes == ()


def test_any_other_word_is_the_reason_why_there_is_no_pair() -> None:
    found = overrule("p", (X, Y), (PAIR,), (VOTE,), [("x", "y", "both_bad")])
    assert found.pairs == []
    assert [(one.stage, one.reason, one.subject) for one in found.dropped] == [("review", "both_bad", "x vs y")]


def test_verdicts_on_what_the_prompt_does_not_have_change_nothing() -> None:
    alike = Response("x2", "p", X.message, "sampled", "x")
    found = overrule("p", (X, Y, alike), (PAIR,), (VOTE,), [("x", "gone", "a"), ("x", "x2", "a")])
    assert found.pairs == [PAIR]
    assert len(found.unknown) == 2
    assert not found.spoken
