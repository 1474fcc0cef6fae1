"""`python -m constitution` as a user meets it, and every shipped constitution."""

import json
from pathlib import Path

import pytest

from constitution.__main__ import main
from constitution.diff import diff
from constitution.lint import near_duplicates, warnings
from constitution.loading import load, load_with_places
from constitution.principles import Constitution, Principle
from constitution.records import Prompt
from critics.methods import fields_read
from generation.data.prompts import read

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "principles").rglob("*.yaml"))
GOOD = "name: laws\nversion: 1\nobjectives: {good: 1.0}\nprinciples:\n  - {id: kind, objective: good, text: Be kind to people and animals.}\n"


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_shipped_constitution_is_without_fault(path: Path) -> None:
    loaded = load_with_places(path)
    assert warnings(loaded) == []
    assert all(principle.antithesis for principle in loaded.constitution.principles if principle.judged)


def test_the_shipped_set_is_whole() -> None:
    assert {"hhh", "tool_use", "reasoning", "concise"} < {path.stem for path in SHIPPED}
    hhh = load(ROOT / "principles" / "hhh.yaml")
    assert len(hhh.principles) >= 24
    assert set(hhh.objectives) == {"helpfulness", "harmlessness", "honesty", "calibration", "conciseness", "robustness"}
    kinds = {principle.judged for principle in load(ROOT / "principles" / "concise.yaml").principles}
    assert kinds == {True, False}


def test_the_demos_prompts_are_without_fault() -> None:
    records = list(read(str(ROOT / "principles" / "prompts" / "demo.jsonl")))
    assert len(records) >= 24
    assert all(isinstance(record, Prompt) for record in records)


def test_lint_says_ok_and_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fine = write(tmp_path / "fine.yaml", GOOD)
    twins = (
        GOOD.replace("good: 1.0", "good: 1.0, idle: 1.0")
        + "  - {id: nice, objective: good, text: Be kind to animals and people.}\n"
    )
    warned = write(tmp_path / "warned.yaml", twins)
    assert main(["lint", fine]) == 0
    assert main(["lint", fine, warned]) == 0
    assert main(["lint", "--strict", warned]) == 1
    out = capsys.readouterr().out
    assert f"{fine}: ok" in out
    assert "warned.yaml:3: warning: objectives.idle: no principle serves it; add one, or delete the objective" in out
    assert "warned.yaml:6: warning: principles.nice: shares 100% of its words with 'kind'" in out


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        pytest.param(
            "check: {max_words: 9}, antithesis: Be long., examples: []",
            "is judged by its check: antithesis, examples is not read; delete it",
            id="rule-with-texts",
        ),
        pytest.param("check: {max_words: 9}", None, id="rule"),
        pytest.param(
            "veto: true",
            "has no antithesis for likelihood contrast; add one, as the other principles have",
            id="no-antithesis",
        ),
        pytest.param("antithesis: Be long.", None, id="antithesis"),
    ],
)
def test_lint_names_texts_that_are_not_read_and_ones_that_are_missing(
    extra: str, message: str | None, tmp_path: Path
) -> None:
    kind = GOOD.replace("animals.}", "animals., antithesis: Be cruel.}")
    path = Path(write(tmp_path / "c.yaml", kind + f"  - {{id: short, objective: good, text: Be short., {extra}}}\n"))
    found = [str(problem) for problem in warnings(load_with_places(path))]
    assert found == ([f"{path}:6: principles.short: {message}"] if message else [])


@pytest.mark.parametrize(("words", "near"), [(7, True), (6, False)])
def test_near_duplicates_share_seven_words_of_ten(words: int, near: bool) -> None:
    shared = [f"shared{i}" for i in range(words)]
    apart = [["own"], [f"other{i}" for i in range(words + 1, 10)]]
    texts = [" ".join(shared + rest) for rest in apart]
    made = [Principle(id=f"p{i}", objective="good", text=text) for i, text in enumerate(texts)]
    assert bool(near_duplicates(made)) is near


def test_lint_goes_on_after_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, good = write(tmp_path / "bad.yaml", "name: 3"), write(tmp_path / "good.yaml", GOOD)
    assert main(["lint", bad, good]) == 2
    captured = capsys.readouterr()
    assert "bad.yaml:1: name: got 3" in captured.err
    assert "good.yaml: ok" in captured.out


def test_shipped_constitutions_are_named_without_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "concise"]) == 0
    assert main(["diff", "concise", "gold/concise"]) == 0
    assert main(["show", "concice"]) == 2
    assert "concice: no such file or shipped constitution (did you mean concise?)" in capsys.readouterr().err


def test_show_prints_every_principle(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(ROOT / "principles" / "hhh.yaml")]) == 0
    out = capsys.readouterr().out
    assert all(principle.id in out for principle in load(ROOT / "principles" / "hhh.yaml").principles)
    assert "harmlessness (weight 1)" in out


EXAMPLE = {"prompt": "Hi", "response": "Go.", "critique": "It is rude.", "revision": "Hello."}


def laws(**fields: object) -> Constitution:
    kind = {"id": "kind", "objective": "good", "text": "Be kind.", **fields}
    objectives = {"good": 1.0, "calm": 1.0}
    return Constitution(name="x", version=1, objectives=objectives, principles=(Principle.model_validate(kind),))


@pytest.mark.parametrize(
    ("fields", "again"),
    [
        pytest.param(
            {"text": "Be kinder."},
            ("critique", "revise", "compare", "contrast", "likelihood", "relevance", "score", "yesno"),
            id="text-with-defaults",
        ),
        pytest.param({"compare": "Which is kinder?"}, ("compare",), id="compare"),
        pytest.param({"critique": "Is it kind?"}, ("critique",), id="critique"),
        pytest.param({"weight": 2.0}, ("labels",), id="weight"),
        pytest.param({"objective": "calm"}, ("labels",), id="objective"),
        pytest.param({"antithesis": "Be cruel."}, ("contrast",), id="antithesis"),
        pytest.param({"examples": [EXAMPLE]}, ("critique", "revise"), id="examples"),
        pytest.param({"check": {"max_words": 3}}, ("revise (with plan.rule_critiques)", "labels"), id="now-a-rule"),
        pytest.param({"applies_to": {"tags": ["a"]}}, ("critique", "revise", "compare"), id="tags"),
        pytest.param(
            {"examples": [{"prompt": "Hi", "response": "Go away.", "critique": "Rude.", "revision": "Hello!"}]},
            ("critique", "revise"),
            id="examples",
        ),
    ],
)
def test_a_diff_says_what_is_made_again(fields: dict[str, object], again: tuple[str, ...]) -> None:
    (change,) = diff(laws(), laws(**fields), fields_read()).principles
    assert (change.kind, change.again) == ("changed", again)
    assert set(change.fields) == set(fields)
    assert not diff(laws(), laws(), fields_read())


@pytest.mark.parametrize(
    ("fields", "again"),
    [
        pytest.param({"check": {"max_words": 4}}, ("revise (with plan.rule_critiques)", "labels"), id="check"),
        pytest.param({"revise": "Say it shorter."}, ("revise (with plan.rule_critiques)", "labels"), id="revise"),
        pytest.param({"weight": 2.0}, ("labels",), id="weight"),
    ],
)
def test_a_rule_that_is_edited_asks_for_other_revisions_where_it_is_a_critic(
    fields: dict[str, object], again: tuple[str, ...]
) -> None:
    rule = {"check": {"max_words": 3}}
    (change,) = diff(laws(**rule), laws(**rule | fields), fields_read()).principles
    assert change.again == again


def test_a_veto_is_asked_for_where_it_is_new_or_its_text_is() -> None:
    def again(old: dict[str, object], new: dict[str, object]) -> tuple[str, ...]:
        (change,) = diff(laws(**old), laws(**new), fields_read()).principles
        return change.again

    assert "violation" in again({}, {"veto": True})
    assert "violation" in again({"veto": True}, {"veto": True, "text": "Be kinder."})
    assert "violation" not in again({"veto": True}, {"veto": True, "weight": 2.0})
    assert "violation" not in again({"veto": True}, {})


def test_a_diff_of_objectives_or_principles_alone_is_one() -> None:
    heavier = laws().model_copy(update={"objectives": {"good": 2.0, "new": 1.0}})
    found = diff(laws(), heavier, fields_read())
    assert found
    assert (found.principles, found.objectives) == ((), (("good", 1.0, 2.0), ("new", None, 1.0), ("calm", 1.0, None)))
    edited = diff(laws(), laws(weight=2.0), fields_read())
    assert edited
    assert edited.objectives == ()


def test_the_diff_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write(tmp_path / "a.yaml", GOOD + "  - {id: gone, objective: good, text: Go.}\n")
    new = write(
        tmp_path / "b.yaml",
        GOOD.replace("good: 1.0", "good: 2.0").replace("Be kind", "Be very kind")
        + "  - {id: new, objective: good, text: New.}\n",
    )
    assert main(["diff", old, new]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "objective good: weight 1 -> 2 (labels only, no calls)",
        "principle kind: changed: text; made again: critique, revise, compare, contrast, likelihood, relevance, score, yesno",
        "principle new: added; made again: critique, revise, compare",
        "principle gone: removed; made again: labels",
    ]
    assert main(["diff", old, old]) == 0
    assert capsys.readouterr().out == "no difference\n"


REQUESTS = {
    "harm0": {
        "prompt": ["\n\nCritiqueRequest: Say what is harmful.\n\nCritique:"],
        "edit_request": "\n\nRevisionRequest: Remove it.\n\nRevision:",
    },
    "Of age": {
        "prompt": [
            "\n\nHuman: Hi\n\nAssistant: Hello",
            "\n\nCritiqueRequest: Is it fit for a child?\n\nCritique:",
        ],
        "edit_request": "\n\nRevisionRequest: Make it fit for a child.\n\nRevision:",
    },
}
"""The form of the Constitutional AI paper's critique and revision requests."""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(json.dumps(REQUESTS), [("harm0", "Remove it.", "Say what is harmful.", None), ("of-age", "Make it fit for a child.", "Is it fit for a child?", None)], id="requests"),
        pytest.param(json.dumps(["\nWhich reply is kinder? Options:"]), [("harmlessness-1", "Which reply is kinder?", None, "Which reply is kinder?")], id="questions"),
        pytest.param("- Be kind.\n2. Be {{ brief }}.\n\n", [("harmlessness-1", "Be kind.", None, None), ("harmlessness-2", "Be { { brief }}.", None, None)], id="a-list"),
    ],
)  # fmt: skip
def test_import_makes_a_constitution_that_loads(content: str, expected: list[tuple[str, ...]], tmp_path: Path) -> None:
    source, out = write(tmp_path / "in", content), tmp_path / "out.yaml"
    assert main(["import", source, "-o", str(out), "--name", "mine"]) == 0
    made = load(out)
    assert made.name == "mine"
    assert [(p.id, p.text, p.critique, p.compare) for p in made.principles] == expected


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 1}', '{"a": {"prompt": 3, "edit_request": "x"}}'])
def test_import_refuses_what_it_does_not_know(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", write(tmp_path / "in", content)]) == 2
    assert str(tmp_path / "in") in capsys.readouterr().err
