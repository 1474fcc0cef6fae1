"""Settings from a file, overrides and flags; and what is said of wrong ones, wherever in the tree they stand."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from constitution.errors import UserError
from constitution.records import Strict
from generation.config import RunConfig
from generation.settings import load


class Leaf(Strict):
    size: int = Field(default=1, ge=1)
    colour: str = "green"


class Rule(Strict):
    kind: Literal["rule"] = "rule"
    words: int = 40


class Model(Strict):
    kind: Literal["model"] = "model"
    name: str = "m"


class Tree(Strict):
    leaf: Leaf = Leaf()
    maybe: Leaf | None = None
    many: tuple[Leaf, ...] = ()
    pair: tuple[int, Leaf] = (1, Leaf())
    named: dict[str, Leaf] = Field(default_factory=dict)
    deep: dict[str, tuple[Leaf, ...]] | None = None
    either: Annotated[Rule | Model, Field(discriminator="kind")] = Rule()
    sources: tuple[Annotated[Rule | Model, Field(discriminator="kind")], ...] = ()
    untold: Leaf | Rule = Leaf()
    height: float = 1.0


def refused(path: Path | None, *overrides: str, **flags: object) -> list[str]:
    with pytest.raises(UserError) as error:
        load(Tree, path, overrides, flags)
    return str(error.value).split("\n")


def test_flags_go_before_overrides_and_those_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tree.yaml"
    path.write_text("leaf: {size: 2, colour: red}\nheight: 2\nnamed: {a: {size: 5}}\n")
    found = load(Tree, path, ["leaf.size=3", "height=3", "named.b.colour=blue"], {"height": 4, "leaf": None})
    assert found == Tree(leaf=Leaf(size=3, colour="red"), height=4, named={"a": Leaf(size=5), "b": Leaf(colour="blue")})
    assert load(Tree, None, []) == Tree()
    assert load(Tree, None, ["height=1e-3"]).height == 0.001


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("leaf={sise: 2}", "leaf.sise"),
        ("maybe.sise=2", "maybe.sise"),
        ("many=[{}, {sise: 2}]", "many.1.sise"),
        ("pair=[1, {sise: 2}]", "pair.1.sise"),
        ("named.x.sise=2", "named.x.sise"),
        ("deep={x: [{sise: 2}]}", "deep.x.0.sise"),
    ],
)
def test_an_unknown_key_is_told_from_its_siblings(override: str, key: str) -> None:
    assert refused(None, override) == [f"--set: {key}: unknown key (did you mean size?); allowed: colour, size"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("either={kind: model, nmae: x}", "--set: either.nmae: unknown key (did you mean name?); allowed: kind, name"),
        ("sources=[{kind: rule, word: 1}]", "--set: sources.0.word: unknown key (did you mean words?); allowed: kind, words"),
        ("untold={word: 1}", "--set: untold.word: unknown key (did you mean words?); allowed: kind, words"),
    ],
)  # fmt: skip
def test_a_union_tells_the_keys_of_the_member_that_is_meant(override: str, said: str) -> None:
    assert said in refused(None, override)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tree.yaml"
    path.write_text("heigth: 2\nmany: [{size: 0}]\n")
    assert refused(path, "leaf", "height=[", "height=2024-99-99", "leaf.size.x=1", "leaf.size=2", "leaf.size.x=1") == [
        "--set leaf: allowed: key=value",
        "--set height=[: the value is not YAML",
        "--set height=2024-99-99: the value is not YAML",
        "--set leaf.size.x=1: size is a value, not a group of settings",
        f"{path}: many.0.size: got 0; allowed: at least 1",
        f"{path}: heigth: unknown key (did you mean height?); allowed: "
        "deep, either, height, leaf, many, maybe, named, pair, sources, untold",
    ]
    assert refused(tmp_path / "none.yaml", "leaf")[1:] == ["--set leaf: allowed: key=value"]
    assert refused(None, height="tall") == ["height: got 'tall'; allowed: a number"]  # fmt: skip


def test_a_key_that_must_be_there_is_told() -> None:
    with pytest.raises(UserError, match=r"^--set: endpoints\.0\.url: is missing; add it$"):
        load(RunConfig, None, ["endpoints=[{}]"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1", "tree.yaml: got a list; allowed: a mapping, as in `leaf: {size: 2}`"),
        ("a: [", "tree.yaml: is not YAML (while parsing"),
        ("a: 2024-99-99", "tree.yaml: is not YAML (month must be in 1..12"),
        ("[" * 3000, "tree.yaml: is not YAML"),
    ],
    ids=["list", "open", "date", "deep"],
)
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "tree.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load(Tree, path, ["leaf"], example="leaf.size=2")
    first, second = str(error.value).split("\n")
    assert said in first
    assert second == "--set leaf: allowed: key=value, as in --set leaf.size=2"
