"""Labelled pairs, and a panel asked about them on the replay engine."""

import asyncio
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from constitution.errors import UserError
from constitution.loading import load
from constitution.options import parse
from constitution.records import MAIN, Vote
from evaluation.judge.asking import ask, judge_pairs, read_settings, yaml_weights
from evaluation.judge.labelled import read_labelled
from evaluation.judge.settings import PanelSettings
from generation.pipeline.job import prepare
from generation.request import FeedbackSettings

LAWS = {
    "name": "laws",
    "version": 1,
    "objectives": {"good": 1.0, "short": 3.0},
    "principles": [
        {"id": "kind", "objective": "good", "text": "Be kind.", "antithesis": "Be cruel.", "weight": 3.0},
        {"id": "true", "objective": "good", "text": "Be true."},
        {"id": "brief", "objective": "short", "text": "Be brief.", "check": {"max_words": 2}},
    ],
}


def row(i: int, **more: object) -> dict[str, object]:
    return {
        "id": f"r{i}",
        "prompt": f"Question {i // 2}?",
        "chosen": "short one",
        "rejected": f"a longer response {i}",
        **more,
    }


def write(folder: Path, rows: list[object]) -> Path:
    path = folder / "labelled.jsonl"
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    (folder / "laws.yaml").write_text(yaml.safe_dump(LAWS))
    return path


def options(folder: Path, *arguments: str) -> PanelSettings:
    given = ["--engine", "replay", "--constitution", str(folder / "laws.yaml"), "--out", str(folder / "calls")]
    return parse(PanelSettings, [*given, *arguments])


def test_rows_become_pairs_and_bad_rows_are_named(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    said = [{"role": "assistant", "content": "Hello"}]
    path = write(
        tmp_path,
        [
            row(0, subset="x", label=2),
            {"prompt": messages, "chosen": said, "rejected": "Go away"},
            "{broken",
            {"prompt": "q", "chosen": "same", "rejected": "same"},
            {"prompt": "q", "chosen": "a"},
            row(0),
        ],
    )
    pairs, problems = read_labelled(path)
    assert [pair.id for pair in pairs] == ["r0", "row-2", "r0-6"]
    assert [pair.subset for pair in pairs] == ["x", "", ""]
    assert pairs[1].better.text == "Hello"
    assert pairs[0].group == pairs[2].group != pairs[1].group
    assert [problem.place for problem in problems] == [f"{path}:{n}" for n in (3, 4, 5)]
    assert "chosen and rejected are equal; allowed: two different responses" in str(problems[1])
    assert "rejected: is missing; each row needs prompt, chosen and rejected" in str(problems[2])
    assert len(read_labelled(path, limit=2)[0]) == 2


def test_a_file_without_pairs_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [{"prompt": "q"}])
    with pytest.raises(UserError, match="holds no labelled pair; each row needs prompt, chosen and rejected"):
        read_labelled(path)
    with pytest.raises(UserError, match=r"missing.jsonl: no such file or folder; allowed: .jsonl"):
        read_labelled(tmp_path / "missing.jsonl")


def test_compressed_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row(0)).encode()))
    assert [pair.id for pair in read_labelled(path)[0]] == ["r0"]


def test_a_panel_is_asked_once_and_what_it_said_is_kept(tmp_path: Path) -> None:
    write(tmp_path, [*(row(i) for i in range(6)), "{broken"])
    asked = ask(options(tmp_path, "--set", "plan.methods=[compare,contrast]"), tmp_path / "labelled.jsonl")
    matrix = asked.matrix
    assert matrix.voters == (
        "judge/compare/kind", "judge/compare/true", "judge/contrast/kind", "judge/contrast/true", "rule/brief",
    )  # fmt: skip
    assert matrix.votes.shape == (6, 5)
    assert not np.isnan(matrix.votes).any()
    assert (matrix.votes[:, 4] > 0).all(), "the chosen response keeps the rule"
    assert (matrix.longer == -1).all()
    assert len(set(matrix.groups)) == 3
    assert asked.failures == {"read: bad_row": 1}
    # two principles: 2 orders of each pair; 2 conditions of each response, of which the chosen one is the same within a prompt
    assert asked.calls.made == 6 * 2 * 2 + 2 * (6 + 3) + 2 * (6 + 3)
    again = ask(options(tmp_path, "--set", "plan.methods=[compare,contrast]"), tmp_path / "labelled.jsonl")
    assert again.calls.made == 0
    assert np.array_equal(again.matrix.votes, matrix.votes)


def test_yaml_weights_are_what_a_vote_counts_in_a_label(tmp_path: Path) -> None:
    write(tmp_path, [row(0)])
    asked = ask(options(tmp_path, "--set", "plan.methods=[compare,yesno]"), tmp_path / "labelled.jsonl")
    # good has 1 of 4 of the mixture, kind 3 of 4 of that, by two methods; brief has the rest
    assert asked.yaml_weights == pytest.approx(
        {
            "judge/compare/kind": 1 / 4 * 3 / 4 / 2,
            "judge/yesno/kind": 1 / 4 * 3 / 4 / 2,
            "judge/compare/true": 1 / 4 * 1 / 4 / 2,
            "judge/yesno/true": 1 / 4 * 1 / 4 / 2,
            "rule/brief": 3 / 4,
        }
    )


def test_a_runs_folder_is_not_written_into(tmp_path: Path) -> None:
    path = write(tmp_path, [row(0)])
    (tmp_path / "run.yaml").write_text("")
    constitution, run = read_settings(options(tmp_path))
    with pytest.raises(UserError, match=r"is the folder of a run; choose another --out, with --reuse"):
        asyncio.run(judge_pairs(read_labelled(path)[0], constitution, run, tmp_path))


def test_wrong_settings_are_told_before_anything_is_asked(tmp_path: Path) -> None:
    write(tmp_path, [row(0)])
    wrong = options(
        tmp_path,
        "--set",
        "plan.methods_of={nobody: [score]}",
        "--set",
        "panel=[{name: x, model: m, principles: [brief]}]",
    )
    with pytest.raises(UserError) as error:
        read_settings(wrong)
    assert "plan.methods_of.nobody: 'nobody' is no principle of laws that a model judges; allowed: kind, true" in str(
        error.value
    )
    assert "panel.x.principles: 'brief' is no principle of laws that a model judges" in str(error.value)
    with pytest.raises(UserError, match="--constitution: is missing"):
        read_settings(wrong.model_copy(update={"constitution": None}))


def test_votes_name_the_pair(tmp_path: Path) -> None:
    path = write(tmp_path, [row(0), row(2)])
    constitution, run = read_settings(options(tmp_path))
    answers = asyncio.run(judge_pairs(read_labelled(path)[0], constitution, run, tmp_path / "calls"))
    votes = [record for record in answers.records if isinstance(record, Vote)]
    assert {(v.prompt_id, v.a, v.b) for v in votes} == {(n, f"{n}/better", f"{n}/worse") for n in ("r0", "r2")}
    voters = {vote.voter for vote in votes}
    assert yaml_weights(answers.panel, load(tmp_path / "laws.yaml"), voters).keys() == voters
    # without a vote of the rule, the other objective is the whole mixture: kind has 3 of 4 of it
    assert yaml_weights(answers.panel, load(tmp_path / "laws.yaml"), voters - {"rule/brief"}) == pytest.approx(
        {"judge/compare/kind": 3 / 4, "judge/compare/true": 1 / 4}
    )


def test_too_few_prompts_to_fit_on_are_told_before_anything_is_asked(tmp_path: Path) -> None:
    enough = write(tmp_path, [row(i) for i in range(20)])
    settings = options(tmp_path, "--limit", "18")
    with pytest.raises(UserError, match="9 different prompts are too few to fit weights on"):
        ask(settings, enough, fits=True)
    assert not (tmp_path / "calls").exists()
    assert ask(settings, enough).calls.made, "given weights need no fit"
    assert ask(options(tmp_path), enough, fits=True).calls.made


def test_the_judges_own_settings_of_vllm_are_read_here_and_by_no_run(tmp_path: Path) -> None:
    """Also where the judge is the run's policy: here it has the machine to itself, and a run would have it twice."""
    write(tmp_path, [row(0)])
    own = "judge_vllm={max_model_len: 512}"
    _, run = read_settings(options(tmp_path, "--engine", "vllm", "--set", own))
    assert run.roles()[MAIN].vllm.max_model_len == 512
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hi"}\n')
    request = FeedbackSettings(
        constitution=tmp_path / "laws.yaml", prompts=str(tmp_path / "prompts.jsonl"), out=tmp_path / "run", engine="vllm", overrides=(own,)
    )  # fmt: skip
    with pytest.raises(
        UserError, match="judge_vllm: the judge is the policy's own model, which has `vllm`; name another judge"
    ):
        prepare(request)
