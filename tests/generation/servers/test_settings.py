"""Settings of servers."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from constitution.errors import problems_of
from generation.servers import settings
from generation.servers.settings import EndpointSettings, Servers
from tests.defaults import assert_golden


def test_defaults_and_bounds_change_only_on_purpose() -> None:
    assert_golden(Path(__file__).parent / "golden" / "servers.txt", settings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({"url": "https://bob:hunter2@h"}, "url: got an address with a user or a password in it", id="user-and-password"),
        pytest.param({"url": "https://h/v1?key=hunter2"}, "url: got a value for key, which would be written down", id="key-in-the-address"),
        pytest.param({"url": "https://h", "query": {"api_key": "hunter2"}}, "query: got a value for api_key", id="query"),
        pytest.param({"url": "https://h", "headers": {"Authorization": "hunter2"}}, "headers: got a value for Authorization", id="header"),
        pytest.param({"url": "https://h", "proxy": "http://bob:hunter2@p"}, "proxy: got an address with a user", id="proxy"),
        pytest.param({"url": "https://h/v1/completions"}, "ends in /completions; allowed: a host", id="older-completions"),
        pytest.param({"url": "https://h/v1/messages"}, "ends in /messages", id="another-form"),
        pytest.param({"url": "https://h/v1beta/models/m:generateContent"}, "ends in :generateContent", id="geminis-own-form"),
        pytest.param({"url": "h:8000"}, "allowed: http:// and https:// addresses", id="no-scheme"),
        pytest.param({"url": "https://h", "token_ids": True, "answer_prefix": "x"}, "answer_prefix: a server with token_ids: true would ignore it", id="ignored"),
        pytest.param({"url": "https://h", "omitt": []}, "did you mean omit", id="a-typo"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_without_their_secrets(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        EndpointSettings.model_validate(given)
    told = "\n".join(map(str, problems_of(error.value, EndpointSettings)))
    assert message in told
    assert "hunter2" not in told


@pytest.mark.parametrize("given", ["https://${WHO}@h/v1", "https://h/v1?key=${KEY}"])
def test_a_variable_may_stand_for_a_secret(given: str) -> None:
    assert EndpointSettings(url=given).url == given


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ({"token_ids": True}, {}, "got servers with token_ids: true and servers without"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, {}, "got servers that answer otherwise"),
    ],
)
def test_a_pool_of_mixed_kinds_is_refused(one: dict[str, Any], other: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Servers).validate_python([{"url": "http://a", **one}, {"url": "http://b", **other}])
    assert len(TypeAdapter(Servers).validate_python([{"url": "http://a", **one}] * 2)) == 2


def test_what_changes_the_text_is_known() -> None:
    chosen = EndpointSettings(
        url="http://h", reasoning_effort="low", extra_body={"top_k": 1}, concurrency=3, omit=("seed",)
    )
    assert chosen.text_settings() == {"extra_body": {"top_k": 1}, "reasoning_effort": "low"}
