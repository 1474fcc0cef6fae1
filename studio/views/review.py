"""The queue of pairs that a person labels: sides at random, the judges hidden until the answer."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from constitution.terminal import printable
from critics.transcript import message_text
from evaluation.review.session import Review
from evaluation.review.settings import ReviewSettings
from generation.data.labels import Label
from studio.bodies import read_body
from studio.pages import fragment, page
from studio.state import Studio, View, studio_of
from studio.subject import Kind

LONGEST_NAME = 100
WORDS = {"a": "A is better", "b": "B is better", "tie": "equally good", "both_bad": "both bad", "skip": "skipped"}


def shown(studio: Studio) -> bool:
    """True for a finished run."""
    return studio.subject.kind is Kind.RUN and (studio.subject.path / "manifest.json").is_file()


def show(request: Request) -> Response:
    """The next pair, and what the answers so far say."""
    run = studio_of(request).subject.path
    by = printable(request.query_params.get("by", ""))[:LONGEST_NAME].strip()
    by = by or ReviewSettings(run=run).annotator
    return page(request, "review.html.jinja", **_card(run, by))


async def answer(request: Request) -> Response:
    """Take a label; the next pair, and what the panel says of the one that was labelled."""
    label = await read_body(request, Label)
    return await run_in_threadpool(_answered, request, label)


def _answered(request: Request, label: Label) -> Response:
    run = studio_of(request).subject.path
    review = review_of(run)
    added = review.add(label)
    number = review.number(label)
    said = {
        "label": label,
        "word": WORDS[label.label],
        "verdict": None if label.label == "skip" else review.verdict(label),
        "healed": added.healed,
        "texts": [message_text(m) for m in review.responses(number, label)] if number is not None else [],
    }
    return fragment(request, "review_card.html.jinja", **_card(run, label.by, said))


def _card(run: Path, by: str, said: dict[str, Any] | None = None) -> dict[str, Any]:
    review = review_of(run)
    numbers = review.next(by)
    pair = review.show(numbers[0], by) if numbers else None
    texts = (message_text(pair.a), message_text(pair.b)) if pair else ()
    prompt = [(message.role, message_text(message)) for message in pair.prompt] if pair else []
    found = review.progress()
    return {"by": by, "pair": pair, "texts": texts, "prompt": prompt, "said": said, "progress": found}


def review_of(run: Path) -> Review:
    """The run's pairs, read once for each state of it. Raises UserError."""
    status = (run / "manifest.json").stat()
    return _review(run, (status.st_ino, status.st_mtime_ns))


@lru_cache(2)
def _review(run: Path, state: tuple[int, int]) -> Review:
    return Review(run)


VIEW = View("/review", "Review", (Route("/review", show), Route("/review/answer", answer, methods=["POST"])), shown)
