"""Digests, defaults, and which principles a row is asked under."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.principles import AppliesTo, Constitution, Principle, assign


def principle(i: int, text: str = "Be good.") -> Principle:
    return Principle(id=f"p{i}", objective="good", text=text)


SIXTEEN = [principle(i) for i in range(16)]


@given(st.text(max_size=20), st.integers(1, 20))
def test_k_different_principles_in_their_own_order(key: str, k: int) -> None:
    drawn = assign(SIXTEEN, key, k)
    assert len(drawn) == min(k, 16)
    assert [p.id for p in drawn] == [p.id for p in SIXTEEN if p in drawn]
    assert drawn == assign(SIXTEEN, key, k)


def test_editing_a_text_moves_nothing() -> None:
    edited = [principle(i, "Be better.") if i == 3 else p for i, p in enumerate(SIXTEEN)]
    for key in map(str, range(200)):
        assert [p.id for p in assign(SIXTEEN, key, 4)] == [p.id for p in assign(edited, key, 4)]


def test_adding_one_to_sixteen_moves_about_a_seventeenth_of_the_rows() -> None:
    more = [*SIXTEEN, principle(16)]
    keys = [str(i) for i in range(4000)]
    moved = sum(assign(SIXTEEN, key, 1) != assign(more, key, 1) for key in keys)
    assert moved / len(keys) == pytest.approx(1 / 17, abs=0.012)  # three standard errors
    assert all(assign(more, key, 1)[0] in (assign(SIXTEEN, key, 1)[0], more[-1]) for key in keys)


@pytest.mark.model
def test_principles_are_drawn_evenly() -> None:
    counts = [sum(p in assign(SIXTEEN, str(key), 4) for key in range(2000)) for p in SIXTEEN]
    assert min(counts) > 2000 * 4 / 16 * 0.8
    assert max(counts) < 2000 * 4 / 16 * 1.2


@pytest.mark.parametrize(
    "edit",
    [
        {"text": "x"},
        {"weight": 2.0},
        {"veto": True},
        {"compare": "x"},
        {"applies_to": AppliesTo(tags=("a",))},
        {"id": "q"},
    ],
)
def test_any_edit_changes_the_digest(edit: dict[str, object]) -> None:
    edited = Principle.model_validate({**SIXTEEN[0].model_dump(), **edit})
    laws, others = (
        Constitution(name="x", version=1, objectives={"good": 1.0}, principles=(p,)) for p in (SIXTEEN[0], edited)
    )
    assert edited.digest != SIXTEEN[0].digest
    assert laws.digest != others.digest
    assert len(laws.digest) == 32


def test_requests_are_the_authors_or_built_from_the_text() -> None:
    plain = principle(0, "Be short.")
    assert plain.compare_request == "Which reply follows this principle better? Be short."
    assert "Be short." in plain.critique_request
    assert "Be short." in plain.revise_request
    own = Principle(id="p", objective="good", text="Be short.", critique="a", revise="b", compare="c")
    assert (own.critique_request, own.revise_request, own.compare_request) == ("a", "b", "c")


def test_principles_apply_by_any_shared_tag() -> None:
    tagged = Principle(id="t", objective="good", text="x", applies_to=AppliesTo(tags=("a", "b")))
    laws = Constitution(name="x", version=1, objectives={"good": 1.0}, principles=(SIXTEEN[0], tagged))
    assert laws.applicable(()) == (SIXTEEN[0],)
    assert laws.applicable(("b", "z")) == (SIXTEEN[0], tagged)
