"""What goes to the hub, and what never does: by a hub that stands in on this machine."""

import base64
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import generate_feedback
from constitution.errors import UserError
from generation.output.manifest import whole
from generation.output.push import push

CONSTITUTION = """
name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind.}
"""


class Hub:
    """A hub: what it has, and what it was asked."""

    def __init__(self) -> None:
        self.private: bool | None = None
        """None until the repository is made."""
        self.files: dict[str, bytes] = {}
        self.url = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        """Status and JSON."""
        if path == "/api/repos/create":
            status = 200 if self.private is None else 409
            if self.private is None:
                self.private = json.loads(body).get("visibility") == "private"
            return status, {"url": f"{self.url}/datasets/me/data", "error": "You already created this dataset repo"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/datasets/me/data/preupload/main":
            files = json.loads(body)["files"]
            return 200, {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        if path == "/api/datasets/me/data/commit/main":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return 200, {"commitUrl": f"{self.url}/datasets/me/data/commit/c", "commitOid": "c", "pullRequestUrl": None}
        if method == "GET" and path.startswith("/api/datasets/me/data"):
            return 200, {"id": "me/data", "private": self.private, "sha": "c", "siblings": []}
        return 404, {"error": f"no {path}" + " here" * 100}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that the client is sent to."""
    found = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
            status, answer = found.answer(self.command, self.path.partition("?")[0], body)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    for method in ("GET", "HEAD", "POST"):
        setattr(Handler, f"do_{method}", Handler._do)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", found.url)
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", found.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def feedback(tmp_path: Path) -> Callable[..., int]:
    """Runs the command on good and bad rows."""
    (tmp_path / "laws.yaml").write_text(CONSTITUTION)
    rows = [{"prompt": f"Question {i}?", "responses": [f"Yes, {i}.", f"No, {i}, never."]} for i in range(6)]
    lines = [*map(json.dumps, rows), json.dumps({"prompt": "x", "responses": "none"})]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    files = (
        "--constitution",
        tmp_path / "laws.yaml",
        "--prompts",
        tmp_path / "prompts.jsonl",
        "--out",
        tmp_path / "run",
    )
    return lambda *more: generate_feedback.main([*map(str, files), "--engine", "replay", *more])


def test_a_dataset_is_private_and_neither_calls_nor_details_of_failures_go_out(
    hub: Hub, feedback: Callable[..., int], tmp_path: Path
) -> None:
    assert feedback("--push", "me/data") == 0
    assert hub.private is True
    run = tmp_path / "run"
    details = " ".join(pq.read_table(run / "failures.parquet")["detail"].to_pylist())
    assert str(tmp_path) in details  # a place on this machine
    expected = {
        "README.md", "constitution.yaml", "manifest.json", "data/preferences/train.parquet", "data/sft/train.parquet",
        "responses.parquet", "critiques.parquet", "votes.parquet", "controls.parquet", "failures.parquet",
    }  # fmt: skip
    assert set(hub.files) - {"data/preferences/test.parquet", "data/sft/test.parquet"} == expected
    assert not [name for name, body in hub.files.items() if bytes(tmp_path) in body]
    failures = pq.read_table(pa.BufferReader(hub.files["failures.parquet"])).to_pylist()
    assert [(row["stage"], row["reason"], row["detail"]) for row in failures if row["kind"] == "failed"] == [
        ("read", "bad_row", "")
    ]
    copy = tmp_path / "copy"
    for name, body in hub.files.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(body)
    assert whole(copy).counts == whole(run).counts  # what was uploaded is a whole run too


def test_public_is_said_and_an_upload_can_be_repeated(hub: Hub, feedback: Callable[..., int]) -> None:
    assert feedback("--push", "me/data", "--public") == 0
    assert hub.private is False
    hub.files.clear()
    assert feedback("--push", "me/data", "--public") == 0
    assert "README.md" in hub.files


def test_a_public_repository_is_not_written_to_unless_it_is_said_to_be_one(
    hub: Hub, feedback: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    hub.private = False
    assert feedback("--push", "me/data") == 2
    assert "--push me/data: is a public repository; add --public, or name another" in capsys.readouterr().err
    assert hub.files == {}


@pytest.mark.parametrize("name", ["README.md", "report.html", "data/preferences/train.parquet", "manifest.json"])
def test_a_damaged_or_unfinished_run_is_refused(
    hub: Hub, feedback: Callable[..., int], tmp_path: Path, name: str
) -> None:
    assert feedback() == 0
    path = tmp_path / "run" / name
    path.unlink() if name == "manifest.json" else path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError) as error:
        push(tmp_path / "run", "me/data")
    got = "no finished run" if name == "manifest.json" else f"{path}: is not as the run wrote it"
    assert got in str(error.value)
    assert hub.private is None


def test_an_upload_that_fails_says_what_to_do(
    feedback: Callable[..., int], hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert feedback("--push", "other/data") == 2
    said = capsys.readouterr().err
    assert "--push other/data: the upload failed (" in said
    assert "run the same command again to retry" in said
    reason = said[said.index("the upload failed (") + len("the upload failed (") : said.index("); check the name")]
    assert len(" ".join(reason.split())) == 300


def test_public_without_push_is_refused(feedback: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert feedback("--public") == 2
    assert "--public: is for --push" in capsys.readouterr().err
