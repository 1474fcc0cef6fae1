"""What a policy was trained against, read from the folders of its training: runs, checkpoints, reward models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from constitution.errors import Problem, Problems, UserError
from constitution.loading import load
from constitution.principles import Constitution, Principle
from evaluation.policy.result import TrainingProvenance
from generation.models.files import EMBEDDED
from generation.output.files import read_sealed
from generation.output.folder import CONSTITUTION, SETTINGS

TRAINING = "training.yaml"
"""By this file a folder is known that a recipe wrote."""


@dataclass(slots=True)
class History:
    """All that one policy, or its reward models, learnt from, as far as the folders say."""

    sources: dict[str, None] = field(default_factory=dict)
    """Folders that were read."""
    principles: list[Principle] = field(default_factory=list)
    judges: set[str] = field(default_factory=set)
    """Digests of judges and reward models."""
    unknown: dict[str, None] = field(default_factory=dict)
    """What is not known of it, in words."""

    def provenance(self, constitution: Constitution, judges: Mapping[str, str]) -> TrainingProvenance:
        """What of an evaluation it was trained against. judges: name -> digest.

        A principle is the same where its rule or its text is, whatever it is called and weighs.
        """
        texts = {_plain(principle.text) for principle in self.principles if principle.judged}
        rules = {_rule(principle) for principle in self.principles if not principle.judged}
        known = tuple(
            p.id for p in constitution.principles if (_plain(p.text) in texts if p.judged else _rule(p) in rules)
        )
        met = tuple(name for name, digest in judges.items() if digest in self.judges)
        return TrainingProvenance(sources=tuple(self.sources), principles=known, judges=met)


def history(named: Iterable[Path], policies: Iterable[str]) -> History:
    """Follow folders to all that they were made from.

    named: folders that must say it (--trained). policies: models, whose folders may. Raises UserError.
    """
    found = History()
    problems = Problems()
    for path in named:
        if not _follow(path, found):
            fix = "name a run's folder, or one that `python -m training` wrote"
            problems.add(f"--trained {path}", got=f"has no {SETTINGS} and no {TRAINING}", fix=fix)
    problems.check()
    for policy in policies:
        _follow(Path(policy).expanduser(), found)
    return found


def _follow(folder: Path, found: History) -> bool:
    """False where the folder says nothing."""
    name = str(folder)
    if name in found.sources:
        return True
    readers: dict[str, Callable[[Path, Mapping[str, Any], History], None]] = {SETTINGS: _run, TRAINING: _training}
    known = [(reader, folder / file) for file, reader in readers.items() if (folder / file).is_file()]
    if known:
        found.sources[name] = None
    for reader, path in known:
        reader(folder, _mapping(path), found)
    return bool(known)


def _run(folder: Path, record: Mapping[str, Any], found: History) -> None:
    """A run's principles, and the judges that voted."""
    digest = _group(record, "constitution").get("digest")
    _constitution(folder / CONSTITUTION, found, digest if isinstance(digest, str) else None)
    models = _group(record, "models")
    found.judges |= {str(digest) for digest in (models.get("judge"), *_group(models, "panel").values()) if digest}
    _panel(folder, record, found)


def _training(folder: Path, record: Mapping[str, Any], found: History) -> None:
    """A recipe's data, its rewards, and the model that it continued from."""
    reward = _group(record, "reward")
    for spec in {} if reward else _group(record, "data"):  # where responses are rewarded, data is prompts
        if not _follow(Path(spec).expanduser(), found):
            found.unknown[f"{folder} was trained on {spec}, which does not name its judge"] = None
    digests = _group(record, "digests")
    for source in ("rules", "judge"):
        if path := _group(reward, source).get("constitution"):
            _constitution(Path(path).expanduser(), found, digests.get(f"reward/{source}"))
    for path in _group(reward, "models").get("paths") or ():
        _model(str(path), f"{folder} was rewarded by", found)
    _panel(folder, _group(reward, "judge"), found)
    found.judges |= {str(d) for name, d in digests.items() if name.startswith(("reward/judge.", "reward/models."))}
    if base := record.get("model"):
        _model(str(base), f"{folder} continued from", found)


def _panel(folder: Path, record: Mapping[str, Any], found: History) -> None:
    """The reward models among further judges."""
    for member in record.get("panel") or ():
        if "reward" in member.get("methods", ()):
            _model(str(member["model"]), f"{folder} was judged by", found)


def _model(spec: str, how: str, found: History) -> None:
    """A model's own training. What comes with the package, and from a hub, is nobody's here; a folder should say it."""
    folder = Path(spec).expanduser()
    if spec == EMBEDDED or _follow(folder, found):
        return
    if folder.exists() or spec.startswith((".", "/", "~")) or spec.count("/") > 1:
        found.unknown[f"{how} {spec}, which does not say what it was trained against"] = None


def _constitution(path: Path, found: History, digest: str | None = None) -> None:
    """digest: what it was by when it was trained by, where that is known."""
    try:
        constitution = load(path)
        found.principles += constitution.principles
        if digest not in (None, constitution.digest):
            found.unknown[
                f"a policy was trained with {path}, which has changed since; its text at that time is not known"
            ] = None
    except UserError as error:
        found.unknown[f"a policy was trained with {path}, which cannot be read ({error.problems[0]})"] = None


def _mapping(path: Path) -> Mapping[str, Any]:
    """A file of settings. Raises UserError."""
    try:
        record = yaml.safe_load(read_sealed(path))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(Problem(str(path), got=f"cannot be read ({reason})", fix="make its folder again")) from None
    if not isinstance(record, dict):
        got = f"got a {type(record).__name__}"
        raise UserError(Problem(str(path), got=got, allowed="a mapping of settings", fix="make its folder again"))
    return record


def _group(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = record.get(key)
    return inner if isinstance(inner, dict) else {}


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _rule(principle: Principle) -> str:
    assert principle.check is not None
    return principle.check.model_dump_json()
