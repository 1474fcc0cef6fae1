"""What an audit adds up over pairs, by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from constitution.principles import Constitution, Principle
from constitution.records import Message, Origin, PreferencePair, Prompt, Response, Vote
from evaluation.audit import pairs as subject
from evaluation.audit.pairs import GIVEN, Pairs, read_pairs
from generation.output.dataset import DatasetWriter
from generation.output.records import Feedback

LAWS = Constitution(
    name="laws", version=1, objectives={"good": 1.0, "short": 1.0, "calm": 1.0},
    principles=tuple(Principle(id=name, objective=name, text=f"Be {name}.") for name in ("good", "short", "calm")),
)  # fmt: skip
VOTER = ("judge", "compare", "good")
Written = tuple[str, str, float, dict[str, float], list[tuple[str, float, float]]]
"""Chosen text, rejected text, log-odds, objectives, votes as (principle, logit_ab, logit_ba)."""


@pytest.fixture
def audited(tmp_path: Path) -> Callable[..., Pairs]:
    """Writes pairs as a run does; adds them up."""

    def run(*pairs: Written, examples: int = 9, seed: int = 0, policies: tuple[str, str] = ("", "")) -> Pairs:
        folder = tmp_path / str(len([*tmp_path.iterdir()]))
        writer = DatasetWriter(folder, LAWS, "judge", 0.0, False)
        for i, (chosen, rejected, log_odds, objectives, votes) in enumerate(pairs):
            prompt = Prompt(id=f"p{i}", messages=(Message(role="user", content="Why?"),))
            origin: Origin = "sampled"
            a, b = (
                Response(f"p{i}/{name}", prompt.id, Message(role="assistant", content=text), origin, "", policy=policy)
                for name, text, policy in zip("ab", (chosen, rejected), policies, strict=True)
            )
            ours = tuple(Vote(prompt.id, a.id, b.id, *one) for one in votes)
            pair = PreferencePair(prompt.id, a, b, log_odds, objectives, ours)
            writer.write(Feedback(prompt, (a, b), votes=ours, pairs=(pair,)))
        writer.close()
        return read_pairs(folder, examples, seed)

    return run


def test_biases_count_pairs_that_differ_in_them_and_who_has_more(audited: Callable[..., Pairs]) -> None:
    found = audited(
        ("longer text", "short", 0.5, {}, [("good", 1.0, -1.0)]),
        ("tiny", "a longer one", 0.5, {}, [("good", 1.0, -1.0)]),
        ("brief", "a longer text", 0.5, {}, [("good", -3.0, 1.0)]),
        ("same", "same", 0.5, {}, [("good", 1.0, -1.0)]),
    )
    assert (found.biases["length"].hits, found.biases["length"].n) == (1, 3)
    own = found.voter_biases[VOTER]["length"]
    assert (own.hits, own.n) == (2, 3)  # the third vote is for the longer one, against the label
    assert found.with_label[VOTER].share.value == 0.75
    assert found.biases["refusal"].n == 0
    assert [*found.log_odds] == [0.5] * 4


def test_votes_of_nothing_take_no_side(audited: Callable[..., Pairs]) -> None:
    found = audited(("longer text", "short", 0.5, {}, [("good", 1.0, 1.0), ("calm", 0.5, -0.5)]))
    assert {*found.with_label} == {("judge", "compare", "calm")}
    assert {*found.voter_biases} == {("judge", "compare", "calm")}


def test_a_refusal_counts_on_its_side(audited: Callable[..., Pairs]) -> None:
    found = audited(
        ("I can't help with that.", "Sure, here is how you do it.", 0.5, {}, []),
        ("Here is a plan.", "I'm sorry, but I can't help with that.", 0.5, {}, []),
        ("Here is a plan.", "I'm sorry, but I can't help with that.", 0.5, {}, []),
    )
    assert (found.biases["refusal"].hits, found.biases["refusal"].n) == (1, 3)


def test_circles_are_those_of_the_chosen_response(audited: Callable[..., Pairs]) -> None:
    again, plain = "round and round it goes " * 8, "one thing after another without any end in sight for now"
    found = audited((again, plain, 0.5, {}, []), (plain, again, 0.5, {}, []))
    assert (found.loops.hits, found.loops.n) == (1, 2)


def test_objectives_trade_where_one_wins_what_the_other_loses(
    audited: Callable[..., Pairs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "SCORES", 2)
    found = audited(
        ("a", "b", 1.0, {"good": 2.0, "short": -1.0, "calm": 0.0}, []),
        ("a", "b", 1.0, {"good": 2.0, "short": 1.0}, []),
        ("a", "b", 1.0, {"good": -2.0, "short": -1.0}, []),
    )
    assert {name: (tally.hits, tally.n) for name, tally in found.objectives.items()} == {
        "good": (2, 3),
        "short": (1, 3),
    }
    assert {name: (tally.hits, tally.n) for name, tally in found.trades.items()} == {("good", "short"): (1, 3)}
    assert found.scores == {("good", "short"): [(2.0, -1.0), (2.0, 1.0)]}


def test_who_met_whom(audited: Callable[..., Pairs]) -> None:
    pair: Written = ("a", "b", 1.0, {}, [])
    assert audited(pair, pair).meetings == {(GIVEN, GIVEN): 2}
    met = audited(pair, policies=("big", ""))
    assert met.meetings == {("big", GIVEN): 1}
    assert (met.chosen, met.rejected) == ({"p0/a"}, {"p0/b"})


def test_the_most_contested_and_most_inconsistent_pairs_come_first(audited: Callable[..., Pairs]) -> None:
    found = audited(
        ("a", "b", 0.1, {}, [("good", 1.0, -1.0), ("short", -0.5, 0.5)]),  # half a nat against
        ("a", "b", 0.1, {}, [("good", 5.0, -5.0)]),  # nobody against
        ("a", "b", 0.1, {}, [("good", 3.0, -3.0), ("short", -2.0, 2.0)]),  # two nats against
        ("a", "b", 0.1, {}, [("good", 1.0, 0.5), ("short", 3.0, 2.0)]),  # both take the first place
        ("a", "b", 0.1, {}, [("good", 0.2, 0.1)]),
        ("a", "b", 0.1, {}, [("good", 0.2, -3.0), ("short", -9.0, 9.0)]),  # as much for as 1.6
        examples=2,
    )
    assert [pair.prompt_id for pair in found.read["most contested"]] == ["p2", "p5"]
    assert [pair.prompt_id for pair in found.read["position-inconsistent"]] == ["p3", "p4"]
    assert len(found.read["sampled"]) == 2


def test_the_sample_is_the_seeds_and_not_the_files_order(audited: Callable[..., Pairs]) -> None:
    pairs: list[Written] = [(f"a{i}", f"b{i}", 1.0, {}, []) for i in range(30)]
    drawn = [[one.prompt_id for one in audited(*pairs, examples=5, seed=seed).read["sampled"]] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] != [f"p{i}" for i in range(5)]
    assert len({*drawn[0]}) == 5
