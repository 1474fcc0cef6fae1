"""What users are shown, beside what they were shown before: the golden files hold it line by line.

SOLON_UPDATE_GOLDEN=1 writes them: read the change, and tell users of it.
"""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class _Text(HTMLParser):
    """The words of a page, without pictures and programs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._inside = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside += tag in ("svg", "style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag in ("svg", "style", "script")

    def handle_data(self, data: str) -> None:
        if not self._inside and data.strip():
            self.lines.append(" ".join(data.split()))


def words_of_page(page: str) -> list[str]:
    """The texts of an HTML page, a line each."""
    text = _Text()
    text.feed(page)
    return text.lines


def figures(found: str) -> list[str]:
    """The lines of a JSON file, with numbers to three digits, and three behind the point: libraries differ in the last ones."""
    return json.dumps(_rounded(json.loads(found)), indent=1).splitlines()


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(float(f"{value:.3g}"), 3) + 0.0  # no -0.0
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def assert_shown(path: Path, lines: list[str], folder: Path) -> None:
    """Hold lines against a golden file, without what another run, machine or version has otherwise.

    folder: the test's own.
    """
    text = "\n".join(line.rstrip() for line in lines).strip().replace(str(folder), "FOLDER")
    text = re.sub(r"\b[0-9a-f]{12,64}\b", "DIGEST", text)
    text = re.sub(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d[^\s\"<]*", "TIME", text)
    text = re.sub(r"(\n(?:begun|made)\n)\d{4}-\d\d-\d\d", r"\1DAY", text)
    if os.environ.get("SOLON_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    assert text.splitlines() == path.read_text(encoding="utf-8").splitlines()
