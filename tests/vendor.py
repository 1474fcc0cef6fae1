"""A vendor's server on loopback, with a batch API in OpenAI's form."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


def shouted(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """A prompt's own words."""
    said = body["messages"][0]["content"].upper()
    return 200, {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}


class Vendor(ThreadingHTTPServer):
    """Takes files and batches. A batch is done when it was asked for `polls` times."""

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.polls = 1
        self.status = "completed"
        self.broken = 0
        """So many requests are answered with an error first."""
        self.broken_status = 503
        self.answers: dict[str, tuple[int, dict[str, Any]]] = {}
        """What a prompt is answered, once; others are answered with their own words."""
        self.left_out: set[str] = set()
        """Prompts that get no line, once."""
        self.spoken: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]] = shouted
        """How others are answered."""
        self.hangs_up_after: set[str] = set()
        """Paths of requests that are done and not answered, once."""
        self.holds = ""
        """The request, as in `asked`, that is done and not answered before `let_go` is set, and not after it either."""
        self.let_go = threading.Event()
        self.lists = True
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def finish(self, batch: dict[str, Any]) -> None:
        batch["status"] = self.status
        if self.status == "failed":
            batch["errors"] = {"data": [{"message": "line 1: model x does not exist"}]}
            return
        good, bad = [], []
        for line in self.files[batch["input_file_id"]].splitlines():
            asked = json.loads(line)
            prompt = asked["body"]["messages"][0]["content"]
            if prompt in self.left_out:
                self.left_out.discard(prompt)
                continue
            status, body = self.answers.pop(prompt, None) or self.spoken(asked["body"])
            one = {"custom_id": asked["custom_id"], "response": {"status_code": status, "body": body}, "error": None}
            (good if status == 200 else bad).append(json.dumps(one))
        for field, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                batch[field] = f"{field}-{batch['id']}"
                self.files[batch[field]] = "\n".join(lines).encode() + b"\n"


class Handler(BaseHTTPRequestHandler):
    server: Vendor

    def do_POST(self) -> None:
        content = (
            self.rfile.read(int(self.headers["Content-Length"])) if "Content-Length" in self.headers else self.chunks()
        )
        self.server.asked.append(f"POST {self.path}")
        if self.away():
            return
        if self.path == "/v1/chat/completions":
            status, said = self.server.spoken(json.loads(content))
            self.send(status, json.dumps(said).encode())
        elif self.path == "/v1/files":
            name = f"file-{len(self.server.files)}"
            kind = self.headers["Content-Type"].partition("boundary=")[2].encode()
            parts = [part for part in content.split(b"--" + kind) if b"\r\n\r\n" in part]
            assert b'name="purpose"' in parts[0]
            assert parts[0].endswith(b"batch\r\n")
            self.server.files[name] = parts[1].split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
            self.reply({"id": name})
        else:
            made = json.loads(content)
            batch = {"id": f"batch-{len(self.server.batches)}", "status": "validating", "polls": 0, **made}
            self.server.batches[batch["id"]] = batch
            self.reply(batch)

    def do_GET(self) -> None:
        self.server.asked.append(f"GET {self.path}")
        if self.away():
            return
        if self.path.startswith("/v1/batches?"):
            self.page(parse_qs(urlsplit(self.path).query))
            return
        _, _, kind, name, *_ = self.path.split("/")
        if kind == "files":
            self.send(200, self.server.files[name])
            return
        batch = self.server.batches.get(name)
        if batch is None:
            self.send(404, b"{}")
            return
        batch["polls"] += 1
        if batch["polls"] >= self.server.polls and batch["status"] == "validating":
            self.server.finish(batch)
        self.reply(batch)

    def page(self, query: dict[str, list[str]]) -> None:
        """Two of the batches, the newest first."""
        if not self.server.lists:
            self.send(405, b"{}")
            return
        names = [*self.server.batches][::-1]
        start = names.index(query["after"][0]) + 1 if "after" in query else 0
        page = [self.server.batches[name] for name in names[start : start + 2]]
        self.reply({"data": page, "has_more": start + 2 < len(names)})

    def away(self) -> bool:
        if self.server.broken:
            self.server.broken -= 1
            self.send(self.server.broken_status, b"later")
            return True
        return False

    def chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def reply(self, body: dict[str, Any]) -> None:
        if f"{self.command} {self.path}" == self.server.holds:
            self.server.let_go.wait(60)
            self.close_connection = True
            return
        if self.path in self.server.hangs_up_after and self.command == "POST":
            self.server.hangs_up_after.discard(self.path)
            self.close_connection = True
            return
        self.send(200, json.dumps(body).encode())

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""
