"""Reading constitutions: what is accepted, and one clear message for each thing that is not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.errors import UserError
from constitution.loading import find, load, shipped
from tests.properties import examples

ROOT = Path(__file__).parents[2]
GOOD = """name: laws
version: 1
objectives: {good: 1.0, calm: 2.0}
principles:
  - id: kind
    objective: good
    text: Be kind.
  - id: still
    objective: calm
    text: Be still.
"""


def problems(folder: Path, text: str | bytes) -> str:
    """The message that loading this file gives."""
    path = folder / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        load(path)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param("text: Be kind.", "txt: Be kind.", "c.yaml:7: principles.kind.txt: unknown key (did you mean text?); allowed: antithesis,", id="unknown-key"),
        pytest.param("text: Be kind.", "weight: 0", "c.yaml:7: principles.kind.weight: got 0; allowed: greater than 0", id="zero"),
        pytest.param("text: Be kind.", "weight: .inf", "weight: got inf; allowed: a finite number", id="infinite"),
        pytest.param("text: Be kind.", "weight: true", "weight: got True; allowed: a number", id="bool"),
        pytest.param("text: Be kind.", 'weight: "2"', "weight: got '2'; allowed: a number", id="text"),
        pytest.param("    text: Be kind.\n", "", "principles.kind.text: is missing; add it", id="missing"),
        pytest.param("text: Be kind.", "text: ''", "text: got ''; allowed: a string of 1 or more characters", id="empty-text"),
        pytest.param("objective: good", "objective: godo", "c.yaml:6: principles.kind.objective: got 'godo' (did you mean good?); allowed: good, calm", id="objective"),
        pytest.param("- id: kind\n    objective", "- objective", "c.yaml:5: principles.0.id: is missing; add it", id="no-id"),
        pytest.param("id: kind", "id: Kind!", "c.yaml:5: principles.Kind!.id: got 'Kind!'; allowed: at most 64 lower-case letters, digits, `-` and `_`; write kind", id="id"),
        pytest.param("name: laws", "name: Acme Support", "c.yaml:1: name: got 'Acme Support'; allowed: at most 64 lower-case letters, digits, `-` and `_`; write acme-support", id="slug"),
        pytest.param("name: laws", "name: 'ß!'", "c.yaml:1: name: got 'ß!'; allowed: at most 64 lower-case letters, digits, `-` and `_`", id="no-slug"),
        pytest.param("text: Be kind.", "text: x\n    applies_to: {tags: billing}", "c.yaml:8: principles.kind.applies_to.tags: got 'billing'; allowed: a list; write [billing]", id="no-list"),
        pytest.param("text: Be kind.", "text: x\n    applies_to: billing", "principles.kind.applies_to: got 'billing'; allowed: a mapping with tags", id="no-mapping"),
        pytest.param("text: Be kind.", "text: x\n    check: {max_length: 3}", "principles.kind.check.max_length: unknown key (did you mean max_sentences?)", id="other-key"),
        pytest.param("name: laws", "extend: x.yaml\nname: laws", "c.yaml:1: extend: unknown key (did you mean extends?); allowed: description, extends, license", id="top-key"),
        pytest.param("objectives: {good: 1.0, calm: 2.0}", "objectives: {good: 1.0, calm: 2.0, Big One: 1}", "c.yaml:3: objectives.Big One: got 'Big One'; allowed: at most 64 lower-case letters, digits, `-` and `_`; write big-one", id="key"),
        pytest.param("id: kind", "id: still", "c.yaml:8: principles.still.id: 'still' occurs twice (first at c.yaml:5); rename or delete one", id="twice"),
        pytest.param("text: Be kind.", "text: x\n    check: {}", "principles.kind.check: is empty; allowed: at least one of max_words, min_words", id="empty-check"),
        pytest.param("text: Be kind.", "text: x\n    check: {must_match: '('}", "got '('; allowed: a regular expression; mend it: missing )", id="regex"),
        pytest.param("text: Be kind.", "text: x\n    check: {json_schema: {type: 7}}", "is not a JSON schema", id="schema"),
        pytest.param("text: Be kind.", "text: x\n    check: {min_words: 9, max_words: 2}", "check.min_words: got 9; allowed: at most max_words, 2; lower it: no response can satisfy both", id="contradiction"),
        pytest.param("text: Be kind.", "text: x\n    compare: 'Is {{ a }} kind?'", "compare: unknown variable 'a' in '{{ a }}'; allowed: plain text", id="template"),
        pytest.param("principles:", "principles: 3\nx:", "c.yaml:4: principles: got 3; allowed: a list of mappings", id="principles-no-list"),
        pytest.param("name: laws", "remove: [x]\nname: laws", "remove: takes principles out of the file that `extends` names", id="remove-alone"),
        pytest.param("name: laws", "extends: none.yaml\nname: laws", "c.yaml:1: extends: none.yaml: no such file", id="extends-nothing"),
        pytest.param("name: laws", "extends: c.yaml\nname: laws", "extends: c.yaml extends this file in turn; break the circle", id="circle"),
        pytest.param("name: laws", "name: laws\n---\nname: two", "c.yaml:2: got a second YAML document", id="two-documents"),
        pytest.param("Be kind.", '"a\\0b"', "has a NUL or a lone surrogate", id="nul"),
        pytest.param("version: 1", "? [a, b]\n: 1", "a key is a list or a mapping", id="odd-key"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place_and_fix(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in GOOD
    assert message in problems(tmp_path, GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "c.yaml:1: is no constitution: got nothing; allowed: a mapping with name", id="empty"),
        pytest.param("- a", "is no constitution: got list", id="a-list"),
        pytest.param("a: b: c", "c.yaml:1: is not YAML (mapping values are not allowed here)", id="not-yaml"),
        pytest.param("a: &a [x]\nb: [*a, *a]", "c.yaml:1: got an anchor or alias 'a'", id="alias"),
        pytest.param("a: 1\na: 2", "c.yaml:2: key 'a' occurs twice (first on line 1); keep one", id="duplicate-key"),
        pytest.param("a: " + "[" * 2000 + "]" * 2000, "nested more than 20 levels deep", id="deep"),
        pytest.param("x: " + "y" * (1 << 20), "allowed: 1,048,576", id="long"),
        pytest.param(b"a: \xff", "c.yaml:1: is not UTF-8; save it as UTF-8", id="bytes"),
    ],
)
def test_what_is_no_constitution_is_said(text: str | bytes, message: str, tmp_path: Path) -> None:
    assert message in problems(tmp_path, text)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UserError, match=reason):
            load(path)


def test_every_problem_is_told_at_once_in_order(tmp_path: Path) -> None:
    text = (
        GOOD.replace("id: kind", "id: KIND")
        .replace("version: 1", "version: x")
        .replace("objective: calm", "objective: clam")
    )
    lines = problems(tmp_path, text).splitlines()
    assert [line.split(": ")[0] for line in lines] == ["c.yaml:2", "c.yaml:5", "c.yaml:9"]


def test_extends_adds_overrides_removes_and_merges(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(GOOD + "  - {id: old, objective: good, text: Old.}\n")
    child = tmp_path / "child.yaml"
    child.write_text(
        "extends: base.yaml\nname: child\nversion: 2\nremove: [old]\nobjectives: {calm: 5.0, new: 1.0}\n"
        "principles:\n  - {id: kind, objective: good, text: Be kinder.}\n  - {id: fresh, objective: new, text: Be fresh.}\n"
    )
    made = load(child)
    assert made.objectives == {"good": 1.0, "calm": 5.0, "new": 1.0}
    assert [(p.id, p.text) for p in made.principles] == [
        ("kind", "Be kinder."),
        ("still", "Be still."),
        ("fresh", "Be fresh."),
    ]


def test_the_license_is_taken_over_unless_the_file_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("license: MIT\n" + GOOD)
    child = tmp_path / "child.yaml"
    child.write_text("extends: base.yaml\nname: child\nversion: 2\n")
    assert load(child).license == "MIT"
    child.write_text("extends: base.yaml\nname: child\nversion: 2\nlicense: Apache-2.0\n")
    assert load(child).license == "Apache-2.0"


def test_yaml_may_be_nested_twenty_levels_and_no_more(tmp_path: Path) -> None:
    assert "nested" not in problems(tmp_path, "[" * 20 + "]" * 20)
    assert "c.yaml:1: is nested more than 20 levels deep" in problems(tmp_path, "[" * 21 + "]" * 21)


def test_a_shipped_constitution_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("hhh") == ROOT / "principles" / "hhh.yaml"
    assert load("gold/concise") == load(ROOT / "principles" / "gold" / "concise.yaml")
    assert set(shipped()) >= {"hhh", "concise", "gold/concise", "pirate"}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hhh").write_text(GOOD)
    assert load("hhh").name == "laws"
    assert find("my.yaml") == Path("my.yaml")


def test_an_unknown_name_is_told_the_shipped_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = r"^hhhh: no such file or shipped constitution \(did you mean hhh\?\); allowed: a YAML file, as_asked, concise, demo, gold/"
    with pytest.raises(UserError, match=message):
        load("hhhh")


def test_removing_what_is_not_there_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(GOOD)
    text = "extends: base.yaml\nname: c\nversion: 1\nremove: [kidn]\n"
    assert "c.yaml:4: remove: 'kidn' is no principle of base.yaml (did you mean kind?)" in problems(tmp_path, text)


def test_an_error_in_the_parent_names_the_parent(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(GOOD.replace("text: Be kind.", "txt: x"))
    assert "base.yaml:7: principles.kind.txt: unknown key" in problems(
        tmp_path, "extends: base.yaml\nname: c\nversion: 1\n"
    )


@examples(200)
@given(text=st.text(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"\n #,?%@", max_size=60))
def test_any_text_loads_or_is_a_constitution_error(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "c.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError):
        load(path)


@examples(100)
@given(data=st.data())
def test_a_shipped_file_with_a_piece_cut_out_loads_or_is_a_constitution_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = (ROOT / "principles" / "concise.yaml").read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 80)))
    path = tmp_path_factory.mktemp("cut") / "c.yaml"
    path.write_text(text[:start] + text[end:])
    try:
        load(path)
    except UserError as error:
        assert ":" in str(error)  # noqa: PT017 - loading may also succeed


def test_problems_are_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Not in that of the checks, which look at texts before they look at objectives."""
    principles = (
        "- {id: one, objective: none, text: x}\n- {id: two, objective: good, text: x, compare: 'Is {{ a }} kind?'}\n"
    )
    told = problems(tmp_path, f"name: x\nversion: 1\nobjectives: {{good: 1}}\nprinciples:\n{principles}")
    assert [line.split(": ")[:2] for line in told.splitlines()] == [
        ["c.yaml:5", "principles.one.objective"],
        ["c.yaml:6", "principles.two.compare"],
    ]


def test_a_link_that_leads_to_itself_is_no_file_to_extend(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    (tmp_path / "laws.yaml").write_text("{name: laws, version: 1, extends: loop.yaml, principles: []}")
    with pytest.raises(UserError, match=r"loop\.yaml: no such file"):
        load(tmp_path / "laws.yaml")
