"""What a policy was trained against, followed through folders."""

from pathlib import Path

import pytest
import yaml

from constitution.checks.check import Check
from constitution.errors import UserError
from constitution.loading import load, to_yaml
from constitution.principles import Constitution, Principle
from evaluation.policy.provenance import history
from generation.output.files import write_sealed

TRAINED = Constitution(
    name="trained",
    version=1,
    objectives={"good": 1.0},
    principles=(
        Principle(id="kind", objective="good", text="Be kind."),
        Principle(id="short", objective="good", text="Be short.", check=Check(max_words=50)),
    ),
)
HERE = Constitution(
    name="here",
    version=1,
    objectives={"fine": 2.0},
    principles=(
        Principle(id="kindness", objective="fine", weight=3.0, text="  be KIND. "),
        Principle(id="brief", objective="fine", text="Say it briefly.", check=Check(max_words=50)),
        Principle(id="briefer", objective="fine", text="Be short.", check=Check(max_words=40)),
        Principle(id="short", objective="fine", text="Be short."),
        Principle(id="true", objective="fine", text="Be true."),
    ),
)
JUDGES = {"judge": "digest of a judge", "gold": "digest of gold"}


def run_folder(folder: Path, judge: str = "digest of a judge", constitution: str = "") -> Path:
    folder.mkdir(parents=True)
    named = {"constitution": {"digest": constitution}} if constitution else {}
    write_sealed(folder / "run.yaml", yaml.safe_dump({"models": {"policy": "p", "judge": judge}, **named}))
    (folder / "constitution.yaml").write_text(to_yaml(TRAINED))
    return folder


def checkpoint(folder: Path, **said: object) -> Path:
    folder.mkdir(parents=True)
    write_sealed(folder / "training.yaml", yaml.safe_dump({"recipe": "dpo", "model": "embedded", **said}))
    return folder


def test_a_principle_is_the_same_whatever_it_is_called_and_weighs(tmp_path: Path) -> None:
    """`short` is judged by a model here and was a rule there; `briefer` is another limit: both are new."""
    run = run_folder(tmp_path / "run")
    provenance = history([run], []).provenance(HERE, JUDGES)
    assert provenance.principles == ("kindness", "brief")
    assert provenance.judges == ("judge",)
    assert provenance.sources == (str(run),)


def test_a_checkpoint_leads_to_its_runs_and_to_the_checkpoint_it_went_on_from(tmp_path: Path) -> None:
    first = checkpoint(tmp_path / "one", data={str(run_folder(tmp_path / "run-1")): 1.0})
    other = run_folder(tmp_path / "run-2", judge="digest of gold")
    second = checkpoint(tmp_path / "two", model=str(first), data={str(other): 1.0, "pairs.jsonl": 0.5})
    found = history([], [str(second), "embedded", "owner/name"])
    assert found.provenance(HERE, JUDGES).judges == ("judge", "gold")
    assert [Path(name).name for name in found.sources] == ["two", "run-2", "one", "run-1"]
    assert [*found.unknown] == [f"{second} was trained on pairs.jsonl, which does not name its judge"]


def test_rewards_of_ppo_were_trained_against(tmp_path: Path) -> None:
    """Its data is prompts, and says nothing of what was rewarded. A reward model leads to the pairs it learnt from."""
    laws = tmp_path / "laws.yaml"
    laws.write_text(to_yaml(TRAINED))
    model = checkpoint(tmp_path / "reward", recipe="reward", data={str(run_folder(tmp_path / "run")): 1.0})
    ppo = checkpoint(
        tmp_path / "ppo",
        recipe="ppo",
        data={"prompts.jsonl": 1.0},
        reward={"rules": {"constitution": str(laws)}, "models": {"paths": [str(model)]}, "judge": None},
        digests={"model": "m", "reward/rules": load(laws).digest, "reward/models.0": "digest of gold"},
    )
    found = history([ppo], [])
    assert found.provenance(HERE, JUDGES).principles == ("kindness", "brief")
    assert found.provenance(HERE, JUDGES).judges == ("judge", "gold")
    assert not found.unknown


def test_rewards_that_are_others_now_are_told(tmp_path: Path) -> None:
    laws = tmp_path / "laws.yaml"
    laws.write_text(to_yaml(TRAINED))
    for source in ("rules", "judge"):
        ppo = checkpoint(
            tmp_path / source, reward={source: {"constitution": str(laws)}}, digests={f"reward/{source}": "of then"}
        )
        assert [*history([ppo], []).unknown] == [
            f"a policy was trained with {laws}, which has changed since; its text at that time is not known"
        ]


def test_reward_models_of_panels_lead_to_their_pairs(tmp_path: Path) -> None:
    """One judges a run, one a response while the policy learns. A member that writes is known by its digest alone."""
    first = checkpoint(tmp_path / "first", recipe="reward", data={str(run_folder(tmp_path / "run-1")): 1.0})
    second = checkpoint(tmp_path / "second", data={str(run_folder(tmp_path / "run-2", judge="digest of gold")): 1.0})
    panel = [
        {"name": "x", "model": str(first), "methods": ["reward"]},
        {"name": "y", "model": "/a/writer", "methods": ["score"]},
    ]
    run = tmp_path / "run"
    run.mkdir()
    write_sealed(run / "run.yaml", yaml.safe_dump({"models": {}, "panel": panel}))
    (run / "constitution.yaml").write_text(to_yaml(HERE))
    laws = tmp_path / "laws.yaml"
    laws.write_text(to_yaml(HERE))
    judge = {"constitution": str(laws), "panel": [{"name": "z", "model": str(second), "methods": ["reward"]}]}
    ppo = checkpoint(
        tmp_path / "ppo", reward={"judge": judge}, model=str(checkpoint(tmp_path / "dpo", data={str(run): 1.0}))
    )
    found = history([], [str(ppo)])
    assert found.provenance(HERE, JUDGES).judges == ("judge", "gold")
    assert not found.unknown


def test_models_that_do_not_say_what_they_learnt_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is gone, one that somebody else made; what comes with the package and from a hub is asked nothing."""
    bare, gone = tmp_path / "bare", tmp_path / "gone"
    bare.mkdir()
    monkeypatch.chdir(tmp_path)
    panel = [{"name": "x", "model": str(gone), "methods": ["reward"]}]
    ppo = checkpoint(
        tmp_path / "ppo",
        model="bare",
        reward={"models": {"paths": [str(gone), "owner/name"]}, "judge": {"panel": panel}},
    )
    assert [*history([ppo, checkpoint(tmp_path / "sft")], []).unknown] == [
        f"{ppo} was rewarded by {gone}, which does not say what it was trained against",
        f"{ppo} was judged by {gone}, which does not say what it was trained against",
        f"{ppo} continued from bare, which does not say what it was trained against",
    ]


def test_folders_that_lead_in_a_circle_are_read_once(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "loop", data={str(tmp_path / "loop"): 1.0}, model=str(tmp_path / "loop"))
    assert len(history([folder], [str(folder)]).sources) == 1


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    (run / "constitution.yaml").write_text("name: [")
    (unknown,) = history([run], []).unknown
    assert unknown.startswith(f"a policy was trained with {run / 'constitution.yaml'}, which cannot be read (")
    with pytest.raises(UserError, match=r"no run\.yaml and no training\.yaml; name a run's folder, or one that"):
        history([tmp_path], [])
    write_sealed(run / "run.yaml", "- a list\n")
    with pytest.raises(UserError, match=r"run\.yaml: got a list; allowed: a mapping of settings"):
        history([run], [])
    (run / "run.yaml").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"run\.yaml: cannot be read"):
        history([], [str(run)])


def test_settings_that_were_changed_by_hand_are_told(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", constitution=TRAINED.digest)
    assert not history([run], []).unknown
    text = (run / "run.yaml").read_text()
    (run / "run.yaml").write_text(text.replace("digest of a judge", "digest of nobody"))
    with pytest.raises(UserError, match=r"run\.yaml: cannot be read \(is damaged, or was changed by hand\)"):
        history([run], [])
    (run / "run.yaml").write_text(text)
    (run / "constitution.yaml").write_text(to_yaml(HERE))
    assert [*history([run], []).unknown] == [
        f"a policy was trained with {run / 'constitution.yaml'}, which has changed since; its text at that time is not known"
    ]


def test_shipped_constitutions_do_not_overlap_with_their_gold(tmp_path: Path) -> None:
    for name in ("concise", "pirate"):
        run = tmp_path / name
        run.mkdir()
        write_sealed(run / "run.yaml", "models: {}")
        (run / "constitution.yaml").write_text(Path(f"principles/{name}.yaml").read_text())
        assert history([run], []).provenance(load(Path(f"principles/gold/{name}.yaml")), {}).principles == ()
