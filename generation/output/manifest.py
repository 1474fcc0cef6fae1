"""`manifest.json`: the counts, costs and digests of a run, and the sha256 of all that it wrote, its own among them.

Written last: its presence means that the run is finished. Whoever reads a run opens it with `whole`, which looks at every file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from pydantic import Field, ValidationError

from constitution.errors import Problem, UserError
from constitution.records import Strict
from constitution.terminal import complain
from critics.ranking.accept import Acceptance
from critics.ranking.pooling import Pooling, ProbabilityKind
from generation.output.accepted import Accepted, AcceptedTally
from generation.output.files import contents, file_sha256, write_atomically
from generation.output.folder import ACCEPTANCE, CONSTITUTION, PROMPTS, SETTINGS, WEIGHTS
from generation.output.records import ControlOutcome, Feedback

NAME = "manifest.json"
CARD = "README.md"
REPORT = "report.html"
PAGES = (CARD, REPORT)
"""Files for people, who may have changed them: told where they are not as they were, and no reason to stop."""
BESIDE = (SETTINGS, CONSTITUTION, WEIGHTS, ACCEPTANCE, PROMPTS, *PAGES)
"""Files that a run has beside its data, where it has them."""


class Counts(Strict):
    """How many of each kind of record there are."""

    prompts: int
    responses: int
    """Candidates of every origin."""
    critiques: int
    revisions: int
    comparisons: int
    """Pairs of candidates that were judged."""
    votes: int
    censored_votes: int
    """Of the votes, those that are a bound: a server's list of log-probabilities did not hold both labels."""
    vetoed: int = 0
    """Of the comparisons, those that a veto decided."""
    pairs: int
    rule_pairs: int = 0
    """Of the pairs, those that rules alone decided."""
    human_pairs: int = 0
    """Of the pairs, those that people decided."""
    targets: int
    """Responses to imitate in supervised training."""


class RuleUse(Strict):
    """How often a rule mattered."""

    applied: int
    """Comparisons of prompts that it applies to."""
    decided: int
    """Of those, the ones in which one response keeps it and the other breaks it: its votes."""


class Probability(Strict):
    """What the `log_odds` and `p_chosen` of pairs are that the panel decided."""

    how: ProbabilityKind
    """pooled: mean votes, scaled by the voters' own agreement; fitted: by weights; mean: the mean vote, where there was nothing to
    pool."""
    voters: float | None = None
    """Voters of a pair, on average; None where nothing is pooled, likewise below."""
    voters_effective: float | None = None
    """Independent voters that they are worth."""
    rho: float | None = None
    """Correlation of the voters' errors."""
    temperature: float | None = None
    """Divides every vote; above 1 where voters contradict each other more than their sureness allows."""
    pairs: int = 0
    """Comparisons that this was estimated from."""

    @property
    def pooling(self) -> Pooling | None:
        """What made the mean votes probabilities; None where nothing is pooled."""
        if self.rho is None or self.temperature is None or self.voters is None or self.voters_effective is None:
            return None
        return Pooling(self.rho, self.temperature, self.voters, self.voters_effective, self.pairs)

    @classmethod
    def of(cls, pooling: Pooling | None, fitted: bool) -> Probability:
        """What a run did with its votes. pooling: what they tell of the voters; None where none was a mean."""
        if fitted or pooling is None:
            return cls(how="fitted" if fitted else "mean")
        found = {name: round(value, 6) for name, value in pooling._asdict().items() if name != "pairs"}
        return cls(how="pooled", pairs=pooling.pairs, **found)


_MEAN = Probability(how="mean")


class Outcomes(Strict):
    """What became of the prompts; the three add up to their number."""

    pairs: int
    dropped: int
    failed: int


class Controls(Strict):
    """Pairs with a known answer that were judged along."""

    asked: int
    right: int
    """Labelled, and rightly."""


class Calls(Strict):
    """Model calls over all restarts of the run: made by it, and taken from other runs."""

    made: int
    reused: int
    unkept: int = 0
    """Calls that were paid beside those, and whose answers are not kept: of probes, and tries that came to no whole answer."""


class Tokens(Strict):
    """Tokens of all those calls, taken and unkept ones too."""

    prompt: int
    cached: int
    completion: int
    estimated: int = 0
    """Of prompt and completion, tokens that nobody reported: guessed from texts, or the most of a lost answer."""


class Cost(Strict):
    """What the calls made cost, unkept ones too, by the prices in the settings. Calls of other runs cost nothing again."""

    amount: float
    currency: str
    models: dict[str, float]
    """Model as the settings name it -> its part."""
    unpriced: list[str]
    """Models behind servers without a price: their calls are not in it."""
    batched: float = 0.0
    """Of the amount, what calls by vendors' batch APIs cost, at the factor of their prices."""


class Seconds(Strict):
    """Where the time went."""

    wall: float
    """Of the start that finished the run, or that merged it."""
    engine: float
    """Sum over the calls made of the time from asking to answer; calls overlap, so it is more than `wall`."""


class Digests(Strict):
    """What the run was made from. The same digests mean the same run."""

    constitution: str
    templates: str
    policy: str
    """Empty where there are several."""
    policies: dict[str, str] = Field(default_factory=dict)
    """Several policies, by their names in the data."""
    judge: str
    panel: dict[str, str] = Field(default_factory=dict)
    """Further judges, by name."""
    weights: str = ""
    """Of the fitted weights; empty where the YAML's were used."""
    acceptance: str = ""
    """Of what is accepted under a stated error; empty where none is stated."""
    labels: str = ""
    """Of what people said of its pairs; empty where nobody did."""
    prompts: str
    shard: str = ""
    """`I/N` of a run over a part of the prompts; empty for all of them."""
    settings: str


class Source(Strict):
    """The run that a run was copied from."""

    run: str
    """Name of its folder."""
    manifest: str
    """sha256 of its manifest.json."""
    prompts_left_out: int


class Manifest(Strict):
    """The whole of manifest.json."""

    counts: Counts
    outcomes: Outcomes
    dropped: dict[str, int]
    failed: dict[str, int]
    controls: Controls
    probability: Probability = _MEAN
    accepted: Accepted | None = None
    """None where no error is stated."""
    rules: dict[str, RuleUse] = Field(default_factory=dict)
    """Principle judged by rule -> how often it mattered."""
    calls: Calls
    tokens: Tokens
    cost: Cost | None = None
    """None without prices."""
    seconds: Seconds
    merged: int = 0
    """Shards that it was merged from: calls, tokens, cost and seconds of engines are theirs together, and lie in their folders."""
    source: Source | None = None
    """Of a copy without some prompts; calls, tokens, cost and seconds are then that run's."""
    files: dict[str, str]
    """Path -> sha256."""
    digests: Digests

    sha256: str = ""
    """Of this text, while this is empty."""

    def parts(self, name: str) -> list[str]:
        """The files of a table in their order, by the name that it has where it is one."""
        stem, _, ending = name.rpartition(".")
        part = re.compile(rf"{re.escape(stem)}-\d{{5}}-of-\d{{5}}\.{ending}")
        return [name] if name in self.files else sorted(filter(part.fullmatch, self.files))

    def text(self) -> str:
        """What the file says."""
        own = sha256(self._text("").encode()).hexdigest()
        return self._text(own)

    def write(self, folder: Path) -> None:
        """Write it, atomically and durably."""
        write_atomically(folder / NAME, self.text())

    def _text(self, own: str) -> str:
        return self.model_copy(update={"sha256": own}).model_dump_json(indent=2) + "\n"


def seal(folder: Path, manifest: Manifest, names: Iterable[str] = BESIDE) -> Manifest:
    """Write the manifest with the digests that these files have now, where they are there; returns it."""
    beside = {name: file_sha256(folder / name) for name in names if (folder / name).is_file()}
    sealed = manifest.model_copy(update={"files": dict(sorted({**manifest.files, **beside}.items()))})
    sealed.write(folder)
    return sealed


def read(folder: Path) -> Manifest | None:
    """The folder's manifest; None where there is none, as the run is not finished. Raises UserError for one that is damaged."""
    try:
        text = contents(folder / NAME).decode()
        found = Manifest.model_validate_json(text)
        if found.text() == text:
            return found
        got = "is damaged, or was changed by hand"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError:
        got = "is damaged, or was written by another version"
    except (OSError, ValueError) as error:
        got = f"cannot be read ({error})"
    raise UserError(Problem(str(folder / NAME), got=got, fix=_mend(folder)))


def whole(folder: Path, place: str = "") -> Manifest:
    """The manifest of a finished run all of whose files are as they were written. place: the option that names the folder.

    A page that was changed is told on stderr. Raises UserError for a run that is not finished, and with every file that is damaged
    or missing. Reads every file once in a process: about a second a gigabyte.
    """
    found = read(folder)
    if found is None:
        raise UserError(_unfinished(folder, place))
    problems = damages(folder, found)
    if pages := [problem for problem in problems if Path(problem.place).name in PAGES]:
        complain(UserError(pages))
    if problems := [problem for problem in problems if problem not in pages]:
        raise UserError(problems)
    return found


def damages(folder: Path, manifest: Manifest) -> list[Problem]:
    """Every file of a finished run that is not as it was written."""
    problems = []
    for name, known in manifest.files.items():
        try:
            got = "" if file_sha256(folder / name) == known else "is not as the run wrote it"
        except (FileNotFoundError, NotADirectoryError):
            got = "is missing"
        except (OSError, ValueError) as error:
            got = f"cannot be read ({error.strerror if isinstance(error, OSError) else error})"
        if got:
            problems.append(Problem(str(folder / name), got=got, fix=_mend(folder)))
    if len(problems) > len(manifest.files) / 2:
        problems.insert(0, Problem(str(folder / NAME), got="does not fit the files beside it", fix=_mend(folder)))
    return problems


def _mend(folder: Path) -> str:
    return f"run the `solon feedback` command of {folder} again, which writes it anew from the stored calls"


def shards_in(folder: Path) -> list[Path]:
    """Finished runs that lie directly in a folder which is none itself."""
    return [] if (folder / NAME).exists() else sorted(path.parent for path in folder.glob(f"*/{NAME}"))


def _unfinished(folder: Path, place: str) -> Problem:
    name = f"{folder} " if place else ""
    if shards := shards_in(folder):
        got = f"{name}has {len(shards):,} finished runs, as {shards[0].name}, and is none itself"
        fix = f"shards are merged by their own command with --merge {folder} in place of --shard, and another --out"
        return Problem(place or str(folder), got=got, fix=fix)
    got = f"{name}is no finished run (no {NAME})" if folder.is_dir() else f"{name}is no folder"
    return Problem(place or str(folder), got=got, fix="run the command that began it again, or name another folder")


@dataclass(slots=True)
class Tally:
    """Counts, as prompts are finished."""

    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    """`stage: reason` -> records."""
    failed: Counter[str] = field(default_factory=Counter)
    rules: dict[str, RuleUse] = field(default_factory=dict)
    accepted: AcceptedTally = field(default_factory=AcceptedTally)
    controls: Controls = field(default_factory=lambda: Controls(asked=0, right=0))

    def add_controls(self, outcomes: Sequence[ControlOutcome]) -> None:
        """Count the controls; they are no prompts of the run."""
        self.controls = Controls(asked=len(outcomes), right=sum(outcome.right for outcome in outcomes))
        self.failed.update(f"{r.stage}: {r.reason}" for outcome in outcomes for r in outcome.failures)

    def add(self, feedback: Feedback) -> None:
        """Count one prompt's outcome."""
        self.accepted.add(feedback)
        voted = Counter(vote.principle for vote in feedback.votes if vote.method == "rule")
        for name in feedback.rules:
            used = self.rules.get(name, RuleUse(applied=0, decided=0))
            self.rules[name] = RuleUse(applied=used.applied + feedback.comparisons, decided=used.decided + voted[name])
        self.counts.update(
            prompts=1,
            responses=len(feedback.candidates),
            critiques=len(feedback.critiques),
            revisions=sum(candidate.origin == "revised" for candidate in feedback.candidates),
            comparisons=feedback.comparisons,
            votes=len(feedback.votes),
            censored_votes=sum(vote.censored for vote in feedback.votes),
            vetoed=feedback.vetoed,
            pairs=len(feedback.pairs),
            rule_pairs=sum(pair.source == "rule" for pair in feedback.pairs),
            human_pairs=sum(pair.source == "human" for pair in feedback.pairs),
            targets=len(feedback.targets),
        )
        self.outcomes[feedback.outcome] += 1
        self.dropped.update(f"{record.stage}: {record.reason}" for record in feedback.dropped)
        self.failed.update(f"{record.stage}: {record.reason}" for record in feedback.failures)

    def manifest(
        self,
        calls: Calls,
        tokens: Tokens,
        seconds: Seconds,
        files: dict[str, str],
        digests: Digests,
        cost: Cost | None = None,
        probability: Probability = _MEAN,
        acceptance: Acceptance | None = None,
        merged: int = 0,
    ) -> Manifest:
        """The finished manifest."""
        return Manifest(
            counts=Counts(**{name: self.counts[name] for name in Counts.model_fields}),
            outcomes=Outcomes(**{name: self.outcomes[name] for name in Outcomes.model_fields}),
            dropped=dict(sorted(self.dropped.items())),
            failed=dict(sorted(self.failed.items())),
            controls=self.controls,
            probability=probability,
            accepted=self.accepted.whole(acceptance) if acceptance else None,
            rules=dict(sorted(self.rules.items())),
            calls=calls,
            tokens=tokens,
            cost=cost,
            seconds=seconds,
            merged=merged,
            files=dict(sorted(files.items())),
            digests=digests,
        )
