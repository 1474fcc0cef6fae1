"""A chat server on loopback that answers as a test says."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROBE = "Answer what was asked."
"""The principle that probes ask about."""
Answer = Callable[[dict[str, Any]], tuple[int, dict[str, Any] | bytes]]
"""A request's body to a status and the answer's body; bytes are the beginning of one that breaks off."""


def completion(
    text: str, prompt: int = 10, written: int = 5, logprobs: dict[str, float] | None = None
) -> dict[str, Any]:
    """An answer in OpenAI's form."""
    listed = [{"token": token, "logprob": value} for token, value in (logprobs or {}).items()]
    content = {"logprobs": {"content": [{"token": text, "top_logprobs": listed}]}} if logprobs else {}
    usage = {"prompt_tokens": prompt, "completion_tokens": written} if prompt else {}
    return {"choices": [{"message": {"content": text}, "finish_reason": "stop", **content}], "usage": usage}


def agreeable(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Good for every call of a run: a text with a number in it, or a verdict for the response with the larger number."""
    if body.get("logprobs"):
        numbers = re.findall(r"with the number (\d+)", body["messages"][-1]["content"])
        first, second = map(int, numbers[:2] or ("1", "0"))
        better, worse = ("A", "B") if first > second else ("B", "A")
        return 200, completion(better, 30, 1, {better: -0.2, worse: -1.7})
    seed = body.get("seed", 0)
    return 200, completion(f"An answer with the number {seed}.", 10, 7)


class Quiet(ThreadingHTTPServer):
    """A client that hangs up is no error."""

    request_queue_size = 128
    """A connection beyond it is tried again after a second, then three, then seven."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(answer: Answer) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a running server, and the bodies it was sent, but for those of probes."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if PROBE not in json.dumps(body["messages"]):
                seen.append(body)
            status, said = answer(body)
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data) + 99 * isinstance(said, bytes)))
            self.close_connection = isinstance(said, bytes)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
