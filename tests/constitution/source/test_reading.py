"""The quick reader of YAML gives what PyYAML's own gives, line numbers too."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from constitution.errors import UserError
from constitution.source import reading
from constitution.source.reading import excess, parse, read

ROOT = Path(__file__).resolve().parents[3]
TEXTS = {
    "shipped": (ROOT / "principles" / "hhh.yaml").read_text(encoding="utf-8"),
    "scalars": "a: 1\nb: 2024-07-26\nc: off\nd: 1e3\ne: 0o7\nf: ~\ng: .inf\nh: 12:30\ni:\n\nj: ''\n",
    "texts": "a: |\n  one\n\n  two\nb: >-\n  one\n  two\nc: \"\\u00e4\\n\\u6f22\"\nd: 'it''s'\n",
    "flow": "a: [1, {b: c}, ]\n\n# said\nd:\n- e\n-   f: 1\n    g: 2\n",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_both_readers_read_the_same(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(TEXTS[kind], encoding="utf-8")
    quick = reading.read(path), reading.parse(TEXTS[kind])
    monkeypatch.setattr(reading, "QUICK", yaml.SafeLoader)
    assert (reading.read(path), reading.parse(TEXTS[kind])) == quick
    assert quick[1]


@pytest.mark.parametrize("text", ["a: b: c", "a: '", '"\\ud800"', "\t- x", "a: \x01"])
def test_what_is_refused_is_told_in_the_words_of_pyyaml(text: str) -> None:
    def told(read: Callable[[str], object]) -> str:
        try:
            return repr(read(text))
        except yaml.YAMLError as error:
            return f"{type(error).__name__}: {error}"

    assert told(reading.parse) == told(yaml.safe_load)


def test_a_file_that_cannot_be_opened_is_named_with_its_first_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml:1: cannot be read \(No such file or directory\)"):
        reading.read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("value", "told"),
    [("!!bool maybe", "got 'maybe'"), ("9" * 400, "got a number of more than 1024 bits"), ("0x" + "f" * 5000, "got a number of more than 1024 bits")],
)  # fmt: skip
def test_a_value_that_is_none_is_told_with_its_line(tmp_path: Path, value: str, told: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"name: x\nversion: {value}\n")
    with pytest.raises(UserError, match=f"c.yaml:2: {told}"):
        read(path)


def test_what_aliases_make_of_a_few_lines_is_counted() -> None:
    laughs = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
    )
    assert excess(parse(laughs)) == "has more than 200,000 values"
    assert excess(parse("a: &a [1, 2]\nb: *a\n")) == ""
