"""Unpaired rows, rankings and steps: what is read of them, and which tokens it becomes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import generate_feedback
from constitution.errors import UserError
from generation.data.conversation import Messages
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.models.encoder import Encoder
from generation.output.exports.kto import kto_rows
from generation.output.run import open_run
from tests.training.small_run import write_run
from training.data import rows
from training.data.ranked import encode_ranked
from training.data.stepwise import encode_stepwise
from training.data.unpaired import encode_unpaired
from training.recipes.config import DPO, KTO, Process

Write = Callable[..., Path]
ASKED = [{"role": "user", "content": "is it ?"}]


@pytest.fixture(scope="module")
def encoder(tiny_files: ModelFiles) -> Encoder:
    return Encoder(load_tokenizer(tiny_files))


def told(read: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as error:
        read()
    return str(error.value)


def texts(responses: Sequence[Messages]) -> tuple[str, ...]:
    return tuple(message.content for response in responses for message in response)


# Unpaired


@pytest.mark.parametrize(("label", "p"), [(True, 1.0), (False, 0.0), (0.3, 0.3), (1, 1.0)])
def test_a_label_is_a_probability(write_rows: Write, label: Any, p: float) -> None:
    path = write_rows([{"prompt": "is it ?", "completion": "it is", "label": label, "weight": 2}])
    (row,) = rows.judged(KTO(data={str(path): 0.5}, test_fraction=0)).train
    assert (texts(row.responses), row.p, row.weight) == (("it is",), (p,), 1.0)


@pytest.mark.parametrize("label", ["good", 1.5, -1, None, [True]])
def test_a_label_that_is_none_is_told(write_rows: Write, label: Any) -> None:
    path = write_rows([{"prompt": "is it ?", "completion": "it is", "label": label}])
    found = told(lambda: rows.judged(KTO(data={str(path): 1.0})))
    assert "label: " in found
    assert "true, false, or a probability from 0 to 1" in found


def test_both_responses_of_a_pair_are_judged(write_rows: Write, tmp_path: Path) -> None:
    path = write_rows([{"prompt": "is it ?", "chosen": "it is", "rejected": "nobody knows", "p_chosen": 0.75}])
    (row,) = rows.judged(KTO(data={str(path): 1.0}, test_fraction=0)).train
    assert (texts(row.responses), row.p) == (("it is", "nobody knows"), (0.75, 0.25))
    split = rows.judged(KTO(data={str(write_run(tmp_path / "run")): 1.0}))
    found = [*split.train, *split.test]
    assert len(found) == 20
    assert all(len(one.responses) == 2 and one.p[0] > 0.5 for one in found)
    assert all(sum(one.p) == pytest.approx(1) for one in found)


def test_what_a_run_exports_is_read(write_rows: Write, tmp_path: Path) -> None:
    path = write_rows([*kto_rows(open_run(write_run(tmp_path / "run")))])
    split = rows.judged(KTO(data={str(path): 1.0}, test_fraction=0))
    assert sorted({(*texts(row.responses), row.p[0]) for row in split.train}) == [
        ("it scatters light", 1.0),
        ("nobody knows", 0.0),
    ]


def test_unsure_responses_are_dropped_and_the_others_have_a_mismatched_one(write_rows: Write, encoder: Encoder) -> None:
    given = [
        {"prompt": f"is {word} ?", "completion": "it is", "label": p}
        for word, p in (("it", 1), ("light", 0.45), ("day", 0.1), ("sky", 0))
    ]
    settings = KTO(data={str(write_rows(given)): 1.0}, test_fraction=0, labels={"min_confidence": 0.6})
    found = encode_unpaired(rows.judged(settings).train, encoder, settings, settings.labels, True)
    assert (found.counts["kept"], found.counts["dropped_unsure"]) == (3, 1)
    prompts = [row.example.prompt for row in found.rows]
    assert [row.mismatched.prompt for row in found.rows] == prompts
    bare = encode_unpaired(rows.judged(settings).train, encoder, settings, settings.labels, False)
    assert all(row.mismatched is None for row in bare.rows)
    assert bare.digest != found.digest


# Rankings

RANKED = [
    {"text": "nobody knows", "rank": 3},
    {"text": "it is", "rank": 1},
    {"text": "a day", "rank": None},
    {"text": "the sky", "rank": 1},
]


def ranking(**more: Any) -> dict[str, Any]:
    return {"prompt": ASKED, "responses": RANKED, **more}


def settings_of(path: Path) -> DPO:
    return DPO(data={str(path): 1.0}, test_fraction=0, loss="plackett_luce")


def test_the_best_comes_first_and_what_was_not_compared_is_left_out(write_rows: Write, encoder: Encoder) -> None:
    settings = settings_of(write_rows([ranking(), {"prompt": ASKED, "responses": ["a day", "light"], "ranks": [2, 1]}]))
    first, second = rows.rankings(settings).train
    assert (texts(first.responses), first.ranks) == (("it is", "the sky", "nobody knows"), (1, 1, 3))
    assert (texts(second.responses), second.ranks) == (("light", "a day"), (1, 2))
    found = encode_ranked([first, second], encoder, settings)
    assert [row.ranks for row in found.rows] == [(1, 1, 3), (1, 2)]
    assert [len(row.example.responses) for row in found.rows] == [3, 2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": ASKED}, "responses: is missing; allowed: a list of responses"),
        (ranking(responses=["a", "b"], ranks=[1]), "ranks: got [1]; allowed: a rank of each of the 2 responses"),
        (ranking(responses=["a", "b"]), "responses: 0 of 2 have a rank; allowed: two or more"),
        (ranking(responses=["a", "b"], ranks=[1, "x"]), "ranks: got 'x'; allowed: a whole number"),
        (ranking(responses=["a", 5], ranks=[1, 2]), "responses: got 5; allowed: texts, or objects with text"),
        (ranking(responses=["a"] * 9, ranks=[1] * 9), "ranks: 9 responses are of one rank; allowed: up to 8"),
    ],
)  # fmt: skip
def test_a_ranking_that_is_none_is_told(write_rows: Write, row: dict[str, Any], message: str) -> None:
    assert message in told(lambda: rows.rankings(settings_of(write_rows([row]))))


@pytest.mark.model
def test_a_run_gives_the_rankings_of_its_prompts(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "{name: laws, version: 1, objectives: {good: 1.0}, principles: [{id: kind, objective: good, text: Be kind.}]}"
    )
    (tmp_path / "p.jsonl").write_text("".join(f'{{"id": "q{i}", "prompt": "Question {i}?"}}\n' for i in range(12)))
    run = tmp_path / "run"
    files = ["--constitution", str(tmp_path / "c.yaml"), "--prompts", str(tmp_path / "p.jsonl"), "--out", str(run)]
    chosen = ["policy=m", "judge=j", "plan.samples=3", "plan.pairs=all_pairs", "plan.controls=0"]
    words = [word for one in chosen for word in ("--set", one)]
    assert generate_feedback.main([*files, "--engine", "replay", *words]) == 0
    split = rows.rankings(DPO(data={str(run): 1.0}, loss="plackett_luce"))
    pairs = rows.pairs(DPO(data={str(run): 1.0}))
    for ranked, paired in zip(split, pairs, strict=True):
        assert {row.prompt.id for row in ranked} == {pair.prompt.id for pair in paired}
        best = {(pair.prompt.id, pair.chosen) for pair in paired}
        assert all(row.ranks[0] == 1 and (row.prompt.id, row.responses[0]) in best for row in ranked)
    assert max(len(row.responses) for row in split.train) > 2
    assert split.sources[0].constitutions == pairs.sources[0].constitutions


# Steps


def steps(**more: Any) -> dict[str, Any]:
    return {"prompt": ASKED, "completions": ["it is", "the sky ."], "labels": [True, False], **more}


def test_each_step_ends_at_its_last_token(write_rows: Write, encoder: Encoder) -> None:
    settings = Process(data={str(write_rows([steps(), steps(labels=[None, 0.4])])): 1.0}, test_fraction=0)
    found = encode_stepwise(rows.stepwise(settings).train, encoder, settings, settings.separator)
    first, second = found.rows
    assert (first.places, first.p) == ((1, 4), (1.0, 0.0))  # five words and the end of the turn
    assert len(first.example.responses[0]) == 6
    assert (second.places, second.p) == ((4,), (0.4,))


def test_steps_that_are_cut_are_not_learnt(write_rows: Write, encoder: Encoder) -> None:
    whole = Process(data={str(write_rows([steps()])): 1.0}, test_fraction=0)
    prompt = len(encode_stepwise(rows.stepwise(whole).train, encoder, whole, "\n").rows[0].example.prompt)
    settings = whole.model_copy(update={"max_length": prompt + 4})
    (row,) = encode_stepwise(rows.stepwise(settings).train, encoder, settings, "\n").rows
    assert row.places == (1,)
    nothing = settings.model_copy(update={"max_length": prompt + 2})
    assert encode_stepwise(rows.stepwise(settings).train, encoder, nothing, "\n").counts["dropped_truncated"] == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (steps(labels=[True]), "labels: got 1 of 2 steps; allowed: one for each step"),
        (steps(labels=[None, None]), "labels: are null, all of them"),
        (steps(labels=[True, 7]), "labels: got 7; allowed: true, false, or a probability"),
        (steps(completions="it is"), "completions: got 'it is'; allowed: a list"),
        (steps(completions=["it is", " "]), "completions: got ' '; allowed: texts that are not empty"),
        ({"prompt": ASKED, "completions": ["it"]}, "labels: is missing; allowed: a list"),
    ],
)  # fmt: skip
def test_steps_that_are_none_are_told(write_rows: Write, row: dict[str, Any], message: str) -> None:
    assert message in told(lambda: rows.stepwise(Process(data={str(write_rows([row])): 1.0})))


def test_a_run_has_no_steps(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert "whose responses have no labelled steps" in told(lambda: rows.stepwise(Process(data={str(run): 1.0})))
