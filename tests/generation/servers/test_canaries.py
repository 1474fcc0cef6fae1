"""Keys that settings name, and servers that repeat them: nothing that is raised, stored or shown holds one."""

import base64
import traceback
from typing import Any
from urllib.parse import quote

import pytest

from generation.engines.base import Completion
from generation.servers.endpoint import Endpoint
from tests.generation.servers.loopback import SAY, Behaviour, ask, settings

CANARIES = {
    "KEY": "sk-canary-key-0123456789abcdef",
    "HEADER": "hdr-canary-9f8e7d6c5b4a3210",
    "QUERY": "qry+canary/11aa22bb33cc44dd==",
    "USER": "canaryuser:canary-password-5566",
}
RAW = list(CANARIES.values())
FORMS = [*RAW, *(quote(one, safe="") for one in RAW), *(base64.b64encode(one.encode()).decode() for one in RAW)]
SAID = " ".join(FORMS)


def error(code: str) -> dict[str, Any]:
    return {"error": {"message": f"rejected: {SAID}", "code": code}}


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param({"status": 400, "json": error("x")}, id="400"),
        pytest.param({"status": 400, "json": error("context_length_exceeded")}, id="too-long"),
        pytest.param({"status": 401, "json": error("x")}, id="401"),
        pytest.param({"status": 403, "raw": f"<html>{SAID}</html>".encode()}, id="403"),
        pytest.param({"status": 404, "json": error("model_not_found")}, id="404"),
        pytest.param({"status": 429, "json": error("x"), "headers": {"Retry-After": "0"}}, id="429"),
        pytest.param({"status": 500, "json": error("x")}, id="500"),
        pytest.param(
            {"status": 302, "headers": {"Location": f"http://{quote(SAID)}@h/?key={quote(SAID)}"}}, id="redirect"
        ),
        pytest.param({"json": error("x")}, id="in-a-200"),
        pytest.param({"raw": SAID.encode()}, id="malformed"),
        pytest.param({"json": {"choices": [{"message": {"content": SAID}, "finish_reason": "stop"}]}}, id="text"),
        pytest.param({"json": {"choices": [{"message": {"content": "x"}, "finish_reason": SAID}]}}, id="unknown-end"),
        pytest.param({"json": {"choices": [{"message": {"refusal": SAID}, "finish_reason": "stop"}]}}, id="refusal"),
    ],
)
def test_no_key_is_seen(
    serve: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, behaviour: Behaviour
) -> None:
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    server = serve(behaviour)
    url = f"{server.url}/v1?key=${{QUERY}}".replace("//", "//${USER}@")
    chosen = settings(server, url=url, api_key_env="KEY", key_header="api-key", headers_env={"X": "HEADER"}, attempts=2)
    (found,) = ask(chosen, SAY)
    endpoint = Endpoint(chosen)
    shown = [
        repr(endpoint),
        repr(endpoint.secrets),
        repr(endpoint.client),
        chosen.model_dump_json(),
        caplog.text,
        repr(found),
    ]
    shown += [found.text, str(found.error)] if isinstance(found, Completion) else traceback.format_exception(found)
    told = "\n".join(shown)
    assert [form for form in FORMS if form in told] == []
    sent = server.seen[0][1]
    assert (sent["api-key"], sent["X"]) == (CANARIES["KEY"], CANARIES["HEADER"])
    assert sent["Authorization"] == "Basic " + base64.b64encode(CANARIES["USER"].encode()).decode()
