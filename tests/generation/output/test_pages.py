"""Pages show what models wrote as text only, and ask for nothing."""

import base64
import re
from hashlib import sha256
from pathlib import Path

import jinja2
import pytest

from generation.output.pages import render_html, visible


def page(folder: Path, body: str, **variables: object) -> str:
    source = (
        '{% extends "base.html.jinja" %}{% from "parts.html.jinja" import table %}{% block title %}Page{% endblock %}'
    )
    (folder / "page.html.jinja").write_text(f"{source}{{% block body %}}{body}{{% endblock %}}")
    return render_html(folder / "page.html.jinja", **variables)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("</style></title>", "&lt;/style&gt;&lt;/title&gt;"),
        ("{{7*7}}{% raw %}", "{{7*7}}{% raw %}"),
        ("&#60;b", "&amp;#60;b"),
        ("a\u202eb\u2066\u200b\ufeff\u00ad", "a[U+202E]b[U+2066][U+200B][U+FEFF][U+00AD]"),
        ("\x00\x1b[31m\r\x7f\u0085\u2028", "[U+0000][U+001B][31m[U+000D][U+007F][U+0085][U+2028]"),
        ("\ud800\U000e0041\ue000", "[U+D800][U+E0041][U+E000]"),
        ("می\u200cخواهم 👩\u200d🚀\n\té", "می\u200cخواهم 👩\u200d🚀\n\té"),
    ],
)
def test_a_text_is_only_ever_text(tmp_path: Path, text: str, shown: str) -> None:
    html = page(tmp_path, "<p title='{{ x }}'>{{ x }}</p>{{ table(['#n', x], [[1, x]]) }}", x=text)
    assert html.count(shown) == 4
    assert html.count("<script") == html.count("</style>") - 1 == html.count("</title>") - 1 == 0
    html.encode()


def test_the_policy_allows_the_one_style_and_nothing_else(tmp_path: Path) -> None:
    html = page(tmp_path, "")
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    known = base64.b64encode(sha256(style.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{known}'; base-uri 'none'; form-action 'none'"
    )
    assert "http" not in html.replace("http-equiv", "")
    assert not re.search(r"""\s(?:style|on\w+)=|url\(|@import""", html)


def test_columns_of_numbers_are_marked(tmp_path: Path) -> None:
    html = page(tmp_path, "{{ table(['name', '#n'], [['a', 1]]) }}")
    assert '<th>name</th><th class="n">n</th>' in html
    assert '<td>a</td><td class="n">1</td>' in html


def test_a_name_that_a_template_lacks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(jinja2.UndefinedError, match="'missing' is undefined"):
        page(tmp_path, "{{ missing }}")


def test_what_is_no_text_is_left_as_it_is() -> None:
    assert visible(3) == 3
    assert visible(None) is None
