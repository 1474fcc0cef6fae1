"""Doubts about principles, on votes that a test makes up."""

from collections.abc import Mapping

import numpy as np
import pytest

from constitution.principles import Principle
from constitution.records import Vote
from evaluation.principles.checks import doubts, relation
from evaluation.principles.votes import Said, said
from evaluation.principles.wording import Kind, Wording
from evaluation.statistics import Floats

N = 100
DRAW = np.random.default_rng(0)
CLEAR, OTHER, THIRD = (DRAW.normal(size=N) for _ in range(3))


def noisy(values: Floats, seed: int) -> Floats:
    found: Floats = values + 0.2 * np.random.default_rng(seed).normal(size=N)
    return found


def principle(name: str, text: str = "Be kind.") -> Principle:
    return Principle(id=name, objective="good", text=text)


def made(
    votes: Mapping[str, Floats], *, longer: Floats | None = None, bias: float = 0.0, labelled: bool = False
) -> Said:
    records = [
        Vote(f"p{i}", "a", "b", name, float(value) + bias, -float(value) + bias)
        for name, row in votes.items()
        for i, value in enumerate(row)
        if not np.isnan(value)
    ]
    pairs = [(f"p{i}", "a", "b") for i in range(N)]
    return said(records, pairs, [0.0] * N if longer is None else [*map(float, longer)], labelled)


def checks(votes: Mapping[str, Floats], kinds: Mapping[str, Kind], text: str = "Be kind.", **more: object) -> list[str]:
    wordings = [Wording("p", kind, principle(name, text)) for name, kind in kinds.items()]
    return [one.check for one in doubts([principle("p", text)], wordings, made(votes, **more))]  # type: ignore[arg-type]


def test_a_sound_principle() -> None:
    votes = {"p": CLEAR, "again": noisy(CLEAR, 1), "against": -noisy(CLEAR, 2)}
    assert checks(votes, {"p": "own", "again": "again", "against": "antithesis"}) == []


@pytest.mark.parametrize(
    ("kind", "votes", "expected"),
    [
        ("again", OTHER, "varies_with_wording"),
        ("plain", -noisy(CLEAR, 1), "reads_reversed"),
        ("antithesis", noisy(CLEAR, 1), "ignores_its_text"),
    ],
)
def test_what_another_wording_shows(kind: Kind, votes: Floats, expected: str) -> None:
    assert expected in checks({"p": CLEAR, "other": votes}, {"p": "own", "other": kind})


def test_two_demands_in_one() -> None:
    kinds: dict[str, Kind] = {"p": "own", "one": "part", "two": "part"}
    assert checks({"p": CLEAR + OTHER, "one": CLEAR, "two": OTHER}, kinds) == ["two_in_one"]
    assert checks({"p": CLEAR, "one": CLEAR, "two": noisy(CLEAR, 3)}, kinds) == []


def test_a_principle_that_never_decides_beside_one_that_does() -> None:
    both = [principle("p"), principle("q", "Be brave.")]
    wordings = [Wording(one.id, "own", one) for one in both]
    found = doubts(both, wordings, made({"p": CLEAR / 100, "q": OTHER}))
    assert [(one.principle, one.check) for one in found] == [("p", "never_decides")]


@pytest.mark.parametrize(("bias", "expected"), [(0.1, []), (5.0, ["position_decides"])])
def test_the_place_decides(bias: float, expected: list[str]) -> None:
    assert checks({"p": CLEAR}, {"p": "own"}, bias=bias) == expected


def test_length_decides_unless_it_is_meant() -> None:
    assert checks({"p": CLEAR}, {"p": "own"}, longer=np.sign(CLEAR)) == ["length_decides"]
    assert checks({"p": CLEAR}, {"p": "own"}, longer=-np.sign(CLEAR)) == ["length_decides"]
    assert checks({"p": CLEAR}, {"p": "own"}, "Be concise.", longer=-np.sign(CLEAR)) == []
    assert checks({"p": CLEAR}, {"p": "own"}, longer=np.sign(OTHER)) == []


def test_against_the_labels_that_there_are() -> None:
    assert checks({"p": CLEAR - 1.5}, {"p": "own"}, labelled=True) == ["against_labels"]
    assert checks({"p": CLEAR - 1.5}, {"p": "own"}) == []


@pytest.mark.parametrize(
    ("other", "expected"), [(CLEAR, ["redundant"]), (-CLEAR, ["contradicts"]), (CLEAR + OTHER, []), (OTHER, [])]
)
def test_two_principles(other: Floats, expected: list[str]) -> None:
    both = [principle("p"), principle("q", "Be brave.")]
    wordings = [Wording(one.id, "own", one) for one in both]
    wordings += [Wording("p", "again", principle("p-again")), Wording("q", "again", principle("q-again"))]
    votes = {"p": noisy(CLEAR, 1), "p-again": noisy(CLEAR, 2), "q": noisy(other, 3), "q-again": noisy(other, 4)}
    found = doubts(both, wordings, made(votes))
    assert [(one.principle, one.check) for one in found] == [("q", check) for check in expected]


def test_judges_that_do_not_agree() -> None:
    records = [Vote(f"p{i}", "a", "b", "p", float(CLEAR[i]), -float(CLEAR[i])) for i in range(N)]
    records += [Vote(f"p{i}", "a", "b", "p", float(OTHER[i]), -float(OTHER[i]), judge="second") for i in range(N)]
    found = doubts(
        [principle("p")],
        [Wording("p", "own", principle("p"))],
        said(records, [(f"p{i}", "a", "b") for i in range(N)], [0.0] * N, False),
    )
    assert [one.check for one in found] == ["judges_disagree"]
    assert "judge/compare and second/compare" in found[0].what


def test_a_relation_by_hand() -> None:
    one, other = np.arange(28.0), np.arange(28.0)[::-1]
    found = relation(one, -other, 0.05)
    assert found is not None
    assert found.value == pytest.approx(1.0)
    found = relation(np.array([1.0, -1.0] * 14), np.array([1.0, 1.0, -1.0, -1.0] * 7), 0.05)
    assert found is not None
    assert (found.value, found.high) == (
        pytest.approx(0.0),
        pytest.approx(np.tanh(1.959964 / 5)),
    )  # 28 pairs: 1 / sqrt(25)
    assert relation(one[:19], other[:19], 0.05) is None
    assert relation(one, np.ones(28), 0.05) is None


def test_few_pairs_raise_no_alarm() -> None:
    short = np.where(np.arange(N) < 12, CLEAR, np.nan)
    assert checks({"p": short, "again": OTHER}, {"p": "own", "again": "again"}, longer=np.sign(CLEAR)) == []
