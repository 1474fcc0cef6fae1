"""Nobody else is answered, nothing of a request reaches the disk, and no text is more than text: over 200 payloads."""

import inspect
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_origin
from urllib.parse import quote, urlencode

import pytest
from starlette.testclient import TestClient

from constitution.principles import Constitution, Principle
from constitution.records import Critique, Failure, Message, PreferencePair, Prompt, Response, Vote
from generation.output.dataset import DatasetWriter
from generation.output.files import write_sealed
from generation.output.manifest import Calls, Digests, Seconds, Tally, Tokens
from generation.output.records import Feedback
from studio.app import ROUTES
from studio.security import HEADERS, MAX_BODY, Access, is_loopback
from tests.studio.conftest import TOKEN, client_of, post
from tests.studio.payloads import HOSTS, ORIGINS, PATHS, TEXTS, TOKENS
from tests.studio.views.test_live import trained
from tests.studio.views.test_policy import policy_file

QUERIES: dict[str, tuple[str, ...]] = {
    "/": (),
    "/overview": (),
    "/pairs": ("q", "tag", "principle", "failure", "p_from", "margin_below", "sort", "page", "size", "nothing"),
    "/pairs/{number:int}": ("q", "origin", "against_from", "sort", "page"),
    "/failures": ("q", "reason", "page"),
    "/prompt": ("id",),
    "/calls": ("prompt", "a", "b", "voter"),
    "/compare": ("kind", "page", "voter"),
    "/review": ("by",),
    "/policy": ("sort", "q", "from", "below", "page"),
    "/live": (),
    "/live/events": (),
    "/edit": (),
    "/edit/asking": (),
    "/edit/tried": (),
}
"""Path of what is asked for -> its parameters."""
ADDRESS = "http://127.0.0.1:8000"


class Markup(HTMLParser):
    """Notes all that a page's markup could do."""

    TAGS = frozenset(
        re.findall(
            r"\w+",
            "html head meta title link script body a p b nav header main h1 h2 h3 div span section ul li form label input select "
            "option button details summary table thead tbody tr th td dl dt dd kbd figure figcaption svg rect text path ins del "
            "textarea fieldset legend progress caption",
        )
    )

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in self.TAGS or "style" in given or any(name.startswith("on") for name in given):
            self.wrong.append(f"{tag} {attrs}")
        if tag == "script" and not str(given.get("src")).startswith("/static/"):
            self.wrong.append(f"{tag} {attrs}")
        if tag == "meta" and "http-equiv" in given:
            self.wrong.append(f"{tag} {attrs}")
        for name in ("href", "src", "action", "formaction", "xlink:href"):
            if name in given and not (
                str(given[name]).startswith(("/", "#", "?")) and not str(given[name]).startswith("//")
            ):
                self.wrong.append(f"{tag} {attrs}")


def check(found: Any, allowed: tuple[int, ...]) -> None:
    assert found.status_code in allowed, (found.url, found.status_code, found.text[-300:])
    for name, value in HEADERS.items():
        assert found.headers[name] == value
    assert "evil" not in found.headers.get("set-cookie", "")
    assert "root:" not in found.text
    assert "import annotations" not in found.text
    if found.headers["content-type"] == "application/json":  # no browser reads markup in it
        return
    markup = Markup()
    markup.feed(found.text)
    assert markup.wrong == []
    for unseen in "\x1b\x07\x08\x00\x9b\u202e\u2066\u200b\ufeff\u2028":
        assert unseen not in found.text


def test_there_are_two_hundred_payloads() -> None:
    assert sum(map(len, map(set, (TEXTS, PATHS, HOSTS, ORIGINS, TOKENS)))) >= 200


OWN = [route for route in ROUTES if not route.path.startswith("/static/")]


def test_every_route_and_every_parameter_has_its_payloads() -> None:
    assert {route.path for route in OWN if "GET" in (route.methods or ())} == {*QUERIES}
    read: dict[str, set[str]] = {}
    for route in OWN:
        source = inspect.getsource(sys.modules[route.endpoint.__module__])
        names = re.findall(r'(?:query_params|given)\.get\("(\w+)"', source)
        read.setdefault(route.endpoint.__module__, set()).update(names)
    known: dict[str, set[str]] = {}
    for route in OWN:
        known.setdefault(route.endpoint.__module__, set()).update(QUERIES.get(route.path, ()))
    for module, names in read.items():
        assert names <= known[module], module


@pytest.mark.model
def test_no_parameter_is_more_than_text(client: TestClient, finished: Path, tmp_path: Path) -> None:
    beside = client_of(finished, finished)
    policy = client_of(policy_file(tmp_path / "policy.json"))
    for payload in TEXTS:
        for path, names in QUERIES.items():
            asked = policy if path == "/policy" else beside if path == "/compare" else client
            address = path.replace("{number:int}", "0")
            if names and (payload in TEXTS[::3] or names[0] in ("q", "id")):
                check(asked.get(f"{address}?{urlencode(dict.fromkeys(names, payload))}"), (200, 400, 404, 414))
            for name in names if payload in TEXTS[::9] else ():
                check(asked.get(f"{address}?{urlencode({name: payload})}"), (200, 400, 404, 414))


@pytest.mark.model
def test_nothing_that_is_sent_is_more_than_text(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    client, before = client_of(tmp_path / "run"), files(tmp_path)
    sent = [route for route in OWN if "POST" in (route.methods or ())]
    assert {route.path for route in sent} >= {"/edit/check", "/edit/save", "/edit/try", "/review/answer"}
    for route in sent:
        source = inspect.getsource(route.endpoint)
        names = re.findall(r"read_body\(request, (\w+)\)", source)
        models = [getattr(sys.modules[route.endpoint.__module__], name) for name in names]
        for payload in TEXTS[::6]:
            filled = {
                name: value_of(field.annotation, payload) for one in models for name, field in one.model_fields.items()
            }
            check(post(client, route.path, filled), (200, 400))
            check(post(client, route.path, {**filled, payload: payload}), (200, 400))
            check(post(client, route.path, payload), (200, 400))
    laws = (finished / "constitution.yaml").read_text()
    for payload in [one for one in TEXTS if one.isprintable()][::6]:
        edited = f"{laws}  - {{id: odd, objective: harmlessness, text: {json.dumps(payload)}}}\n"
        for path in ("/edit/check", "/edit/form", "/edit/tested"):
            check(post(client, path, {"text": edited}), (200,))
    assert files(tmp_path) == before


def value_of(kind: Any, payload: str) -> object:
    """A payload where a text is allowed, and where several are."""
    return [payload, payload] if get_origin(kind) is tuple else payload


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.model
def test_no_path_reaches_the_disk(client: TestClient) -> None:
    for path in PATHS:
        found = client.get(client.base_url.copy_with(raw_path=path.encode()))
        check(found, (200, 303, 404))  # 200 where the client itself walks back to a page of ours
    for payload in TEXTS:
        check(client.get(f"/{quote(payload, safe='')}"), (404,))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_other_site_is_answered(client: TestClient, method: str) -> None:
    for host in HOSTS:
        found = client.request(method, "/pairs", headers={"host": host})
        assert found.status_code == 400, host
    for origin in ORIGINS:
        found = client.request(method, "/pairs", headers={"origin": origin, "content-type": "application/json"})
        assert found.status_code == 403, origin
    for site in ("cross-site", "same-site", "cross-origin", "NONE", ""):
        found = client.request(method, "/pairs", headers={"sec-fetch-site": site})
        assert found.status_code == 403, site
    twice = [("host", "127.0.0.1:8000"), ("host", "evil.example")]
    assert client.request(method, "/pairs", headers=twice).status_code == 400


def test_who_lacks_the_token_sees_nothing(client: TestClient) -> None:
    with TestClient(client.app, base_url=ADDRESS) as stranger:
        for token in TOKENS:
            found = stranger.get(f"/start?{urlencode({'token': token})}", follow_redirects=False)
            assert found.status_code == 403, token
            assert "set-cookie" not in found.headers
            if token.isascii() and token.isprintable():
                for name in ("solon-studio-8000", "solon-studio-80", "token"):
                    cookie = {"cookie": f"{name}={token.strip(' ;')}x"}
                    assert stranger.get("/pairs", headers=cookie).status_code == 403, token
        for path in ("/", "/pairs", "/pairs/0", "/static/studio.css", "/live/events", "/nothing"):
            assert stranger.get(path).status_code == 403, path
        assert stranger.post("/review/answer", json={}, headers={"origin": ADDRESS}).status_code == 403


def test_the_cookie_is_for_this_site_alone(client: TestClient) -> None:
    set_cookie = client.get(f"/start?token={TOKEN}", follow_redirects=False).headers["set-cookie"].lower()
    assert "httponly" in set_cookie
    assert "samesite=strict" in set_cookie


def test_only_json_of_bounded_size_from_our_own_pages_is_taken(client: TestClient) -> None:
    own = {"origin": ADDRESS}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""):
        assert client.post("/review", content=b"{}", headers={**own, "content-type": kind}).status_code == 415
    assert client.post("/review", json={}).status_code == 403  # no origin: not by our script
    assert (
        client.post("/review", content=iter([b"{}"]), headers={**own, "content-type": "application/json"}).status_code
        == 411
    )
    assert (
        client.post(
            "/review", content=b" " * (MAX_BODY + 1), headers={**own, "content-type": "application/json"}
        ).status_code
        == 413
    )
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"):
        assert client.request(method, "/pairs", headers=own).status_code == 405
    assert client.get(f"/pairs?q={'x' * 9000}").status_code == 414
    assert post(client, "/pairs", {}).status_code == 405  # known to the guard, unknown to the route


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True), ("::1", True), ("127.0.0.1", True), ("127.9.8.7", True), ("0.0.0.0", False), ("::", False),
        ("10.0.0.1", False), ("127.0.0.1.evil.example", False), ("127.evil", False), ("evil.localhost", False), ("", False),
    ],
)  # fmt: skip
def test_addresses_that_no_other_machine_reaches(host: str, own: bool) -> None:
    assert is_loopback(host) is own


def test_where_it_listens() -> None:
    assert Access.at("192.0.2.1", 80, "t").hosts == {"192.0.2.1:80"}
    assert "[::1]:80" in Access.at("::1", 80, "t").hosts


@pytest.mark.model
def test_no_text_of_a_run_is_markup(tmp_path: Path) -> None:
    folder = hostile_run(tmp_path / "run")
    client = client_of(folder, folder)
    for path in ("/overview", "/pairs?size=200", "/failures", "/compare", "/live", "/review"):
        check(client.get(path), (200,))
    for number in range(len(WRITTEN)):
        check(client.get(f"/pairs/{number}"), (200,))
    for payload in WRITTEN[:5]:  # what is looked for is found, whatever it is called
        for name, value in {"failure": f"compare: {payload}", "tag": payload, "principle": payload}.items():
            found = client.get(f"/pairs?{urlencode({name: value})}").text
            assert 'role="status">1 of' in found, (name, payload)
    for payload in WRITTEN[:20]:
        check(client.get(f"/prompt?{urlencode({'id': payload})}"), (200,))
    check(client.get("/within/against/overview"), (200,))
    every = "\n".join(WRITTEN)
    check(client_of(policy_file(tmp_path / "policy.json", every)).get("/policy"), (200,))
    (tmp_path / "training").mkdir()
    trained(tmp_path / "training", every)
    check(client_of(tmp_path / "training").get("/live"), (200,))
    loop = tmp_path / "loop" / "round-1" / "attempt-1"
    loop.mkdir(parents=True)
    (tmp_path / "loop" / "loop.yaml").write_text("{}\n")
    told = {"recipe": every, "parent": every, "policy": every, "reasons": [every], "alerts": [every], "notes": [every]}
    decision = {"round": 1, "attempt": 1, "learning_rate": 1.0, "accepted": False, **told}
    (loop / "decision.json").write_text(json.dumps(decision))
    check(client_of(tmp_path / "loop").get("/live"), (200,))


WRITTEN = [text for text in TEXTS if "\ud7ff" not in text]


def hostile_run(folder: Path) -> Path:
    """A finished run that has each payload as id, text, tag, principle, critique, failure and metadata."""
    folder.mkdir()
    write_sealed(folder / "run.yaml", "{}\n")
    laws = Constitution(
        name="laws",
        version=1,
        objectives={"good": 1.0},
        principles=(Principle(id="kind", objective="good", text="Be kind."),),
    )
    (folder / "constitution.yaml").write_text(
        "{name: laws, version: 1, objectives: {good: 1.0}, principles: [{id: kind, objective: good, text: Be kind.}]}\n"
    )
    writer, tally = DatasetWriter(folder, laws, "judge", 0.0, False), Tally()
    for text in WRITTEN:
        prompt = Prompt(id=text, messages=(Message(role="user", content=text),), tags=(text,), metadata=f'"{text!r}"')
        one, other = (
            Response(f"{text}/{i}", text, Message(role="assistant", content=f"{text}{i}"), "given", text)
            for i in range(2)
        )
        vote = Vote(text, one.id, other.id, text, 1.0, -1.0, judge=text)
        pair = PreferencePair(text, one, other, 1.0, {"good": 1.0}, (vote,))
        said = Critique(text, one.id, text, text, True)
        failure = Failure(text, "compare", text, text, text)
        feedback = Feedback(prompt, (one, other), (said,), 1, (vote,), (pair,), failures=(failure,))
        writer.write(feedback)
        tally.add(feedback)
    spent = Calls(made=1, reused=0), Tokens(prompt=1, cached=0, completion=1), Seconds(wall=1, engine=1)
    digests = Digests(constitution="c", templates="t", policy="p", judge="j", prompts="q", settings="s")
    tally.manifest(*spent, writer.close(), digests).write(folder)
    return folder
