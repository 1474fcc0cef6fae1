"""Templates of the user's own: what stands before the shipped ones, and what is refused."""

import asyncio
from pathlib import Path

import pytest

from constitution.errors import UserError
from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics import compare, templating
from critics.templating import FOLDER, SHIPPED, digest, load, use

ASKED = Prompt(id="p", messages=(Message(role="user", content="Why?"),))
ONE, TWO = (Response(name, "p", Message(role="assistant", content=name), "given", name) for name in ("first", "second"))
KIND = Principle(id="kind", objective="good", text="Be kind.")


def folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.jinja").write_text(text)
    return tmp_path


def prompt() -> str:
    return compare.render(ASKED, ONE, TWO, KIND)[0].content


def in_words(path: Path | None) -> str:
    async def rendered() -> str:
        use(path)
        await asyncio.sleep(0)
        return prompt()

    return asyncio.run(rendered())


def test_a_file_stands_before_the_shipped_one_of_its_name_in_the_task_that_uses_it(tmp_path: Path) -> None:
    own = folder(tmp_path, verdict="Choose: A or B?")
    before = prompt()

    async def both() -> list[str]:
        async def one(path: Path | None) -> str:
            use(path)
            await asyncio.sleep(0)
            return prompt()

        return await asyncio.gather(one(own), one(None), one(own))

    with_own, shipped, again = asyncio.run(both())
    assert with_own.endswith("Which reply follows this principle better? Be kind.\nChoose: A or B?")
    assert shipped == before == prompt()
    assert again == with_own


def test_the_digest_is_of_what_is_rendered(tmp_path: Path) -> None:
    same = folder(tmp_path, verdict=SHIPPED.files["verdict.jinja"])
    assert digest(same) == digest()
    (tmp_path / "verdict.jinja").write_text("A or B?")
    load(same)
    assert digest(same) != digest()


@pytest.mark.parametrize("name", sorted(SHIPPED.files))
def test_every_shipped_template_passes_as_one_s_own(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    assert load(tmp_path).files == SHIPPED.files


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("verdikt", "A or B?", "verdikt.jinja: is no template (did you mean verdict.jinja?); allowed: compare.jinja, "),
        ("verdict", "A or C?", "verdict.jinja: does not show 'B'; add it"),
        ("verdict", "Answer with a Letter: B", "verdict.jinja: does not show 'A'; add it"),
        ("verdict", "{{ choice }} A B", "verdict.jinja: unknown variable 'choice'; allowed: none"),
        ("verdict", "{% if %} A B", "verdict.jinja: line 1: Expected an expression, got 'end of statement block'"),
        ("verdict", "A B {{ 1 / 0 }}", "verdict.jinja: cannot be rendered (division by zero)"),
        ("verdict", "A B {{ ''.__class__.__mro__ }}", "verdict.jinja: cannot be rendered (access to attribute '__class__'"),
        ("verdict", "A B {% include '/etc/passwd' %}", "verdict.jinja: cannot be rendered (/etc/passwd)"),
        ("verdict", "A B" + " " * 100_000, "verdict.jinja: has 100,003 characters; allowed: 100,000"),
        ("compare", "{{ reqest }}", "compare.jinja: unknown variable 'reqest' (did you mean request?); allowed: form, reason, request"),
        ("compare", "{{ request }} A or B?", "compare.jinja: does not show 'tie' with form=text, reason=False; add it"),
        ("compare", "A or B? tie \"verdict\"", "compare.jinja: does not show the request with form=labels, reason=False; add it"),
        ("pair", "{{ conversation }}<x{{ mark.replies }}>{{ a }}</x{{ mark.replies }}>", "pair.jinja: does not show the second response after the first"),
        ("pair", "{{ conversation }} {{ a }} {{ b }}", "pair.jinja: does not show a delimiter with mark.replies around each response"),
        ("pair", "{{ conversation }}{{ mark.replies }}{{ b }}{{ mark.replies }}{{ a }}{{ mark.replies }}", "does not show the second response after the first"),
        ("score", "{{ principle }} 0 to 9", "score.jinja: does not show '\"grade\"' with form=json, grade=True; add it"),
        ("critique", "{{ request }}", "critique.jinja: does not show 'No issues'; add it"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_template_is_said(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load(folder(tmp_path, **{name: text}))
    assert message in str(error.value)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load(folder(tmp_path, verdict="A", critique="x"))
    assert len(error.value.problems) == 2


def test_a_folder_without_templates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no template; allowed: files named compare\.jinja"):
        load(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path / "none")


def test_what_is_kept_is_kept_by_words(tmp_path: Path) -> None:
    own = folder(tmp_path, pair=SHIPPED.files["pair.jinja"].replace("two replies", "a pair of replies"))
    assert "two replies" in in_words(None)
    assert "a pair of replies" in in_words(own)
    assert templating.rendered.cache_info().maxsize == templating.KEPT
