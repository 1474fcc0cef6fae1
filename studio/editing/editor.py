"""A constitution that is edited: its text, what is wrong with it, what it does to a run's labels, and where it is saved."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from constitution.digest import digest
from constitution.errors import Problem, UserError
from constitution.lint import warnings
from constitution.loading import load_with_places, to_yaml
from constitution.principles import Constitution
from constitution.records import Response
from critics.transcript import message_text
from evaluation.diff.again import again, beside, trying
from evaluation.diff.ballots import Ballot, read_ballots
from evaluation.diff.revoting import Effect, Moved, Recount
from evaluation.principles.asking import from_run
from evaluation.principles.checks import doubts
from evaluation.principles.figures import report
from evaluation.principles.report import TestReport, read_report
from evaluation.principles.settings import TestSettings
from generation.output.files import write_atomically
from generation.output.folder import CONSTITUTION, PROMPTS
from generation.output.run import open_run
from generation.pipeline.job import Ahead, plan_ahead, prepare
from generation.request import FeedbackSettings
from studio.state import Studio
from studio.subject import Kind

OPEN = "`solon studio FILE --against RUN` opens one beside the file"


class Told(NamedTuple):
    """A problem or a warning, at its line of the text."""

    line: int
    """0 where it stands in another file."""
    text: str
    error: bool


class Read(NamedTuple):
    """A text that was read."""

    constitution: Constitution | None
    """None where there are errors."""
    told: list[Told]
    lines: Mapping[str, int]
    """Principle -> its line; 0 where it stands in another file."""


@dataclass(frozen=True, slots=True)
class Readable:
    """A pair that moved, with its texts."""

    moved: Moved
    prompt: str
    first: str
    second: str


class Editor:
    """What one studio edits."""

    def __init__(self, file: Path | None, place: Path, run: Path | None, tested: Path | None = None) -> None:
        """file: where it may be saved. place: what `extends` is relative to. run: whose labels are counted anew.

        tested: what `solon constitution test --json` wrote.
        """
        self.file, self.place, self.run, self.tested = file, place, run, tested
        self._lock = threading.Lock()
        self._recount: Recount | None = None
        self._report: TestReport | None = None

    def text(self) -> str:
        """As it is on disk. Raises UserError."""
        try:
            return self.place.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(Problem(str(self.place), got=f"cannot be read ({error})")) from None

    def read(self, text: str) -> Read:
        """The constitution that a text is, and all that is said of it."""
        try:
            loaded = load_with_places(self.place, text)
        except UserError as error:
            return Read(None, [self._told(problem, True) for problem in error.problems], {})
        lines = {name: self._line(place) for name, place in loaded.places.items()}
        return Read(loaded.constitution, [self._told(problem, False) for problem in warnings(loaded)], lines)

    def constitution(self, text: str) -> Constitution:
        """Raises UserError with all that is wrong."""
        return load_with_places(self.place, text).constitution

    def recount(self) -> Recount | None:
        """The run's votes, read once."""
        if self.run is None:
            return None
        with self._lock:
            if self._recount is None:
                self._recount = Recount(read_ballots(open_run(self.run)))
            return self._recount

    def effect(self, constitution: Constitution, least: float | None) -> Effect | None:
        """What it does to the run's labels."""
        recount = self.recount()
        if recount is None:
            return None
        plan = recount.ballots.config.plan
        return recount.effect(constitution, plan if least is None else plan.model_copy(update={"min_log_odds": least}))

    def readable(self, moved: list[Moved]) -> list[Readable]:
        """Pairs with their texts."""
        recount = self.recount()
        known = {ballot.prompt.id: ballot for ballot in recount.ballots.prompts} if recount else {}
        return [_readable(one, known[one.prompt_id]) for one in moved]

    def save(self, text: str, seen: str) -> str:
        """Write the opened file; returns the new digest. seen: digest of what was edited. Raises UserError where that is gone."""
        if self.file is None:
            fix = "open the constitution's own file, `solon studio FILE --against RUN`; asking again keeps a copy in the new run"
            raise UserError(Problem("", got="a run's constitution is what it was made with", fix=fix))
        with self._lock:
            if digest(self.text()) != seen:
                got = "was changed by another program meanwhile, and is left as it is"
                raise UserError(Problem(str(self.file), got=got, fix="copy your text, and load the page again"))
            self.constitution(text)
            try:
                write_atomically(Path(os.path.realpath(self.file)), text)
            except OSError as error:
                raise UserError(Problem(str(self.file), got=f"cannot be written ({error.strerror})")) from None
        return digest(text)

    def again(self, constitution: Constitution, least: float | None) -> FeedbackSettings:
        """The run under the edited constitution, in a folder beside it, which gets a copy of the text. Raises UserError."""
        if self.run is None:
            raise UserError(Problem("", got="no run is open", fix=OPEN))
        out = beside(self.run, constitution, least)
        try:
            out.mkdir(exist_ok=True)
            write_atomically(out / CONSTITUTION, to_yaml(constitution))
        except OSError as error:
            raise UserError(Problem(str(out), got=f"cannot be written ({error.strerror})")) from None
        return again(self.run, out / CONSTITUTION, out, least)

    def price(self, constitution: Constitution, least: float | None) -> Ahead:
        """The calls that asking again takes. No model is loaded. Raises UserError."""
        if self.run is None:
            raise UserError(Problem("", got="no run is open", fix=OPEN))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / CONSTITUTION
            file.write_text(to_yaml(constitution), encoding="utf-8")
            settings = again(self.run, file, beside(self.run, constitution, least), least)
            return asyncio.run(plan_ahead(prepare(settings)))

    def trying(self, constitution: Constitution, prompt: str, responses: tuple[str, ...]) -> FeedbackSettings:
        """A run of one prompt beside the run, which gets a copy of the text and of the prompt. Raises UserError."""
        if self.run is None:
            raise UserError(Problem("", got="no run is open", fix=OPEN))
        row = json.dumps({"prompt": prompt, **({"responses": responses} if responses else {})}, ensure_ascii=False)
        out = self.run.with_name(f"{self.run.name}-tried-{digest(constitution.digest + row)[:8]}")
        try:
            out.mkdir(exist_ok=True)
            write_atomically(out / CONSTITUTION, to_yaml(constitution))
            write_atomically(out / PROMPTS, row + "\n")
        except OSError as error:
            raise UserError(Problem(str(out), got=f"cannot be written ({error.strerror})")) from None
        return trying(self.run, out / CONSTITUTION, out / PROMPTS, out)

    def report(self) -> TestReport:
        """What the principles are worth: as it was saved, else by the run's votes (`solon constitution test --votes-only`)."""
        if self.tested is not None:
            return read_report(self.tested)
        if self.run is None:
            fix = "`solon studio FILE --tested REPORT` shows one; without it the votes of --against RUN are taken"
            raise UserError(Problem("", got="no report of principles is open", fix=fix))
        with self._lock:
            if self._report is None:
                constitution = open_run(self.run).constitution
                settings = TestSettings(constitution=self.run / CONSTITUTION, data=str(self.run), votes_only=True)
                answers = from_run(settings, constitution)
                found = doubts(constitution.principles, answers.wordings, answers.said)
                self._report = report(constitution, answers, found)
            return self._report

    def _told(self, problem: Problem, error: bool) -> Told:
        line = self._line(problem.place)
        return Told(line, str(problem._replace(place="") if line else problem), error)

    def _line(self, place: str) -> int:
        file, _, line = place.rpartition(":")
        return int(line) if file == str(self.place) and line.isdigit() else 0


def _readable(moved: Moved, ballot: Ballot) -> Readable:
    texts: dict[str, Response] = {one.id: one for one in ballot.candidates}
    prompt = "\n\n".join(f"{message.role}: {message_text(message)}" for message in ballot.prompt.messages)
    return Readable(moved, prompt, texts[moved.first].text, texts[moved.second].text)


def summary(effect: Effect) -> list[tuple[str, Counter[str]]]:
    """(principle, pairs by kind), the most first."""
    return [
        (name, Counter({str(kind): n for kind, n in kinds.items()})) for name, kinds in effect.by_principle().items()
    ]


def editor_of(studio: Studio) -> Editor:
    """The one of this studio."""
    subject, against = studio.subject, studio.against
    if subject.kind is Kind.RUN:
        return _editor(None, subject.path / CONSTITUTION, subject.path, studio.tested)
    run = against.path if against and against.kind is Kind.RUN else None
    return _editor(subject.path, subject.path, run, studio.tested)


@lru_cache(4)
def _editor(file: Path | None, place: Path, run: Path | None, tested: Path | None) -> Editor:
    return Editor(file, place, run, tested)
