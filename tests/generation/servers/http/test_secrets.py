"""Secrets in every form in which servers repeat them."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from generation.servers.http.secrets import MASK, Secrets

KEY = 'sk-proj-Ab/cd+ef=gh"ij\\kl-1234567890'
USER = "bob:hunter2secret"


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(KEY, id="plain"),
        pytest.param(KEY.upper(), id="upper-case"),
        pytest.param(quote(KEY, safe=""), id="url"),
        pytest.param(quote_plus(KEY), id="query"),
        pytest.param(quote(quote(KEY, safe=""), safe=""), id="url-in-a-url"),
        pytest.param(json.dumps(KEY), id="json"),
        pytest.param(json.dumps(KEY).replace("/", "\\/"), id="json-with-slashes"),
        pytest.param(html.escape(KEY), id="html"),
        pytest.param(repr(KEY), id="python"),
        pytest.param(KEY.encode().hex(), id="hex"),
        pytest.param(base64.b64encode(KEY.encode()).decode(), id="base64"),
        pytest.param(base64.b64encode(b"x" + KEY.encode() + b"y").decode(), id="base64-within"),
        pytest.param(base64.urlsafe_b64encode(b"xy" + KEY.encode()).decode(), id="base64-of-urls"),
        pytest.param(KEY[:20] + "...", id="shortened"),
        pytest.param("http://bob:hunter2secret@h", id="user-and-password"),
        pytest.param("password hunter2secret", id="password-alone"),
        pytest.param("Basic " + base64.b64encode(USER.encode()).decode(), id="basic"),
    ],
)
def test_no_form_of_a_secret_is_seen(form: str) -> None:
    masked = Secrets([KEY, USER]).mask(f"before {form} after")
    assert MASK in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    for part in (KEY[:16], "hunter2secret", KEY[:16].encode().hex()):
        assert part.lower() not in masked.lower()


@pytest.mark.parametrize(("values", "text"), [(["EMPTY", "x"], "EMPTY x"), ([], "anything"), ([KEY], "sk-other sk-")])
def test_other_words_stay(values: list[str], text: str) -> None:
    assert Secrets(values).mask(text) == text


def test_a_secret_has_no_looks() -> None:
    assert KEY not in repr(Secrets([KEY]))
