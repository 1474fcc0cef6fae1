"""`training.html`: what a training run logged, as curves and numbers; warnings first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml

from evaluation.pages import plots
from evaluation.pages.section import Section, Table
from generation.output.files import write_atomically
from generation.output.pages import render_html
from training.monitor.file import read_checks
from training.monitor.page import verdicts
from training.run.metrics import DATA, FILE, GROUPS, WARNING, Row, describe, read

PAGE = "training.html"
SETTINGS = "training.yaml"
RELEASED = "# nothing is trained yet: other settings may follow\n"
"""What it says of a folder that is bound to no settings."""
NAMED = ("recipe", "model", "data", "loss", "learning_rate", "seed")
"""Settings that the page begins with."""
TEMPLATE = Path(__file__).parent / "templates" / "training.html.jinja"
POINTS = 400
"""Most points of a line; the first and the last are among them."""

Curve = list[tuple[float, float]]
"""(step, value), in the order of the rows."""
Curves = Mapping[tuple[str, str], Curve]
"""Name and split -> its curve, in the order in which they first came."""


def is_claimed(path: Path) -> bool:
    """Whether a training.yaml binds its folder to settings."""
    return path.is_file() and path.read_bytes() != RELEASED.encode()


def write_page(folder: Path, warnings: Sequence[str] = ()) -> None:
    """Write the page of a run's folder from its `metrics.jsonl` and, where it is there, `training.yaml`.

    warnings: shown before those that were logged. Raises UserError when the file of metrics is damaged.
    """
    rows = read(folder / FILE)
    curves: dict[tuple[str, str], Curve] = {}
    for row in rows:
        if row.split not in (WARNING, DATA):
            for name, value in row.values.items():
                curves.setdefault((name, row.split), []).append((row.step, value))
    logged = [row.text[:1].upper() + row.text[1:] for row in rows if row.split == WARNING]
    sections = [
        _values(curves),
        verdicts(read_checks(folder)),
        *_groups(curves),
        _counts(rows),
        _settings(folder / SETTINGS),
    ]
    page = render_html(
        TEMPLATE,
        name=folder.resolve().name,
        rows=sum(row.split not in (WARNING, DATA) for row in rows),
        step=max((row.step for row in rows), default=0),
        warnings=[*warnings, *logged],
        sections=[section for section in sections if section.parts],
        made_of=made_of(folder / SETTINGS, NAMED),
    )
    write_atomically(folder / PAGE, page)


def made_of(path: Path, names: Sequence[str]) -> list[tuple[str, str]]:
    """What tells a page from others: settings of its folder's file by their dotted names, and when that was last started."""
    if not is_claimed(path):
        return []
    settings = dict(_flat(yaml.safe_load(path.read_text(encoding="utf-8")), ""))
    found = [(name, ", ".join(_below(settings, name))) for name in names]
    started = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return [*found, ("last started", f"{started:%Y-%m-%d %H:%M} UTC")]


def _below(settings: Mapping[str, str], name: str) -> Iterator[str]:
    """The value of a setting, or the keys of one that maps data to weights."""
    yield from filter(None, [settings.get(name)])
    yield from (key.removeprefix(f"{name}.") for key in settings if key.startswith(f"{name}."))


def thinned(points: Curve) -> Curve:
    """At most POINTS of the points, evenly spread."""
    if len(points) <= POINTS:
        return points
    return [points[i] for i in np.linspace(0, len(points) - 1, POINTS).round().astype(int)]


def _values(curves: Curves) -> Section:
    columns = ("metric", "split", "what it is", "unit", "#first", "#last", "#best", "#at step", "#not finite")
    rows = [
        (name, split, describe(name).meaning, describe(name).unit, *_numbers(name, curve))
        for (name, split), curve in curves.items()
    ]
    text = "First, last and best value of everything logged; best only where it is clear which way is better."
    return Section("Values", text, [Table("", columns, rows)] if rows else [])


def _numbers(name: str, curve: Curve) -> tuple[object, ...]:
    finite = [point for point in curve if math.isfinite(point[1])]
    best: tuple[object, object] = ("", "")
    if finite and (better := describe(name).better):
        step, value = (max if better == "high" else min)(finite, key=lambda point: point[1])
        best = (_shown(value), int(step))
    return _shown(curve[0][1]), _shown(curve[-1][1]), *best, (len(curve) - len(finite)) or ""


def _shown(value: float) -> str:
    return f"{value:.4g}"


def _groups(curves: Curves) -> Iterator[Section]:
    for group, (title, text) in GROUPS.items():
        charts: dict[str, dict[tuple[str, str], Curve]] = {}
        for (name, split), curve in curves.items():
            if describe(name).group == group:
                charts.setdefault(describe(name).chart or name, {})[name, split] = curve
        yield Section(title, text, [_plot(chart, lines) for chart, lines in charts.items()])


def _plot(title: str, curves: Curves) -> plots.Plot:
    units = {describe(name).unit for name, _ in curves}
    lines = {
        f"{name} ({split})": thinned([point for point in curve if math.isfinite(point[1])])
        for (name, split), curve in curves.items()
    }
    return plots.line(title, lines, "step", units.pop() if len(units) == 1 else "")


def _counts(rows: Sequence[Row]) -> Section:
    counted = {name: value for row in rows if row.split == DATA for name, value in row.values.items()}
    table = Table("", ("", "#count"), [(name, f"{value:,.10g}") for name, value in counted.items()])
    return Section("Data", "What was read, and what of it was dropped or cut.", [table] if counted else [])


def _settings(path: Path) -> Section:
    settings = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    table = Table("", ("setting", "value"), list(_flat(settings, "")))
    return Section("Settings", f"As they stand in {path.name}.", [table] if table.rows else [])


def _flat(value: object, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, "" if value is None else str(value)
