"""Rules of the user's own: which functions are rules, what is refused, and what a change of the file changes."""

from pathlib import Path

import pytest

from constitution.checks import own
from constitution.checks.own import load_rules, loading_options, own_rules
from constitution.errors import UserError
from constitution.loading import load, to_yaml
from constitution.records import Message, Prompt
from critics.rules.check import violates

LAWS = """
name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: brief, objective: good, text: Be brief., check: {own: short}}
"""
ASKED = Prompt(id="p", messages=(Message(role="user", content="Well?"),))
REPLY = Message(role="assistant", content="A reply.")


@pytest.fixture(autouse=True)
def _no_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_rules", {})


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def judged(body: str, tmp_path: Path) -> str | None:
    load_rules(written(tmp_path, f"def short(prompt, response):\n    {body}\n"))
    (check,) = [law.check for law in load(written(tmp_path, LAWS, "laws.yaml")).principles]
    assert check
    return violates(check, ASKED, REPLY)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ("return True", None),
        ("return None", None),
        ("return ''", None),
        ("return False", "is not kept"),
        ("return 'is dull'", "is dull"),
        ("return f'{prompt.messages[0].content} {response.content}'", "Well? A reply."),
    ],
)
def test_what_a_rule_returns(body: str, wrong: str | None, tmp_path: Path) -> None:
    assert judged(body, tmp_path) == wrong


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 1 / 0", "rule 'short' raised ZeroDivisionError: division by zero; mend "),
        (
            "return 3",
            "rule 'short' returned int; allowed: True or None where it is kept; False, or why, where not; mend ",
        ),
    ],
)
def test_a_rule_that_fails_is_an_error_of_the_response(body: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="own: ") as error:
        judged(body, tmp_path)
    assert message in str(error.value)


def test_marked_functions_are_the_rules_or_all_of_two_arguments(tmp_path: Path) -> None:
    plain = "from os.path import join\ndef a(x, y): pass\ndef _b(x, y): pass\ndef c(x): pass\ndef d(x, *, y): pass\nclass E: pass\n"
    assert load_rules(written(tmp_path, plain)) == ("a",)
    marked = "import solon\n@solon.rule\ndef f(prompt, response): pass\ndef g(prompt, response): pass\n"
    assert load_rules(written(tmp_path, marked, "marked.py")) == ("f",)
    assert [*own_rules()] == ["a", "f"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "has no rule; allowed: a function (prompt, response); add one"),
        ("1 / 0", "raised ZeroDivisionError: division by zero; mend the file"),
        ("def f(:", "raised SyntaxError"),
    ],
)
def test_a_file_that_gives_none_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--rules") as error:
        load_rules(written(tmp_path, text))
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["none.py", "no_such_module", "sys"])
def test_what_is_no_file_and_no_module_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_rules(name)


def test_two_files_with_one_name_are_refused(tmp_path: Path) -> None:
    load_rules(written(tmp_path, "def short(p, r): return True"))
    with pytest.raises(UserError, match=r"has a rule 'short', as .*mine\.py has; rename one"):
        load_rules(written(tmp_path, "def short(p, r): return False", "other.py"))


def test_a_name_that_no_file_has_is_an_error_with_its_line_and_those_there_are(tmp_path: Path) -> None:
    path = written(tmp_path, LAWS, "laws.yaml")
    with pytest.raises(
        UserError, match=r"laws\.yaml:6: .*own: no rule 'short' was loaded; name the file that has it with --rules FILE"
    ):
        load(path)
    load_rules(written(tmp_path, "def shorts(p, r): return True"))
    with pytest.raises(
        UserError, match=r"no rule 'short' was loaded \(did you mean shorts\?\); allowed: one of shorts"
    ):
        load(path)


def test_the_source_is_part_of_the_digest_and_a_run_s_copy_reads_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, LAWS, "laws.yaml")
    load_rules(written(tmp_path, "def short(p, r): return True"))
    before = load(path)
    copy = written(tmp_path, to_yaml(before), "copy.yaml")
    assert load(path).digest == before.digest
    assert loading_options() == ["--rules", str(tmp_path / "mine.py")]
    monkeypatch.setattr(own, "_rules", {})
    assert load(copy).digest == before.digest
    (check,) = [law.check for law in load(copy).principles]
    assert check
    with pytest.raises(UserError, match="no rule 'short' was loaded"):
        violates(check, ASKED, REPLY)
    load_rules(written(tmp_path, "def short(p, r): return False"))
    assert load(path).digest != before.digest
    with pytest.raises(UserError, match=r"rule 'short' of .* is another than the one of this constitution"):
        violates(check, ASKED, REPLY)


def test_a_module_is_found_by_its_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "rules_of_ours"
    package.mkdir()
    written(package, "")
    written(package, "def brief(p, r): return True", "tone.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_rules("rules_of_ours.tone") == ("brief",)
