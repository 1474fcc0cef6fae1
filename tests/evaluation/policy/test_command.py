"""`python -m evaluation policy` as a whole, on scripted policies and judges."""

import json
import math
import re
from pathlib import Path

import pytest

from critics import templating
from critics.ranking.weights import Origin, Weights
from evaluation.policy.job import prepare
from evaluation.policy.result import read_evaluation
from evaluation.policy.table import PROBES, RULES
from evaluation.probes.suite import suite
from generation.engines.base import Completion, ErrorReason, Request, failed
from generation.engines.replay import Replay
from generation.output.files import write_sealed
from tests.evaluation.policies import LAWS, QUESTIONS, evaluated, options, run, said, store, verdict
from tests.evaluation.probes.acting import faulty, honest, talk

SHORT, LONG = "Three words only.", "This response goes on for more words than the rule allows."


def first_is(request: Request, text: str) -> bool:
    """Whether the response listed first holds the text."""
    blocks = re.split(r"</?reply_a[^>]*>", request.messages[0].content)
    return text in blocks[1]


def short_against_long(who: str, request: Request) -> Completion | None:
    """A is short, B is long; the judge finds neither kinder."""
    if request.stage == "sample":
        return said(SHORT if who == "a" else LONG)
    return verdict(0.5) if request.labels else None


def test_a_policy_that_keeps_the_rule_wins_every_prompt(tmp_path: Path) -> None:
    """The judge is undecided (log-odds 0), so the rule's ln 19 / 2 decides each of 12 pairs; Wilson's low end of 12 of 12 is
    12 / (12 + 1.96^2) = 75.8%."""
    found = evaluated(tmp_path, short_against_long)
    raw = found["win"]["raw"]
    assert (raw["value"], raw["high"]) == (1.0, 1.0)
    assert raw["low"] == pytest.approx(12 / (12 + 1.959964**2))
    assert found["win"]["principles"]["short"]["value"] == 1.0
    assert found["win"]["principles"]["kind"]["value"] == 0.5
    assert found["win"]["objectives"] == {
        "brevity": found["win"]["principles"]["short"], "kindness": found["win"]["principles"]["kind"]
    }  # fmt: skip
    assert found["win"]["judges"]["rules"]["value"] == 1.0
    assert found["win"]["judges"]["judge"]["value"] == 0.5
    assert found["win"]["probability"]["value"] == pytest.approx(1 / (1 + 19**-0.5))
    assert found["responses"]["a"]["words"]["value"] == 3
    assert found["differences"]["words"]["value"] == 3 - 11
    assert {(round(pair["logit"], 6), pair["longer"]) for pair in found["pairs"]} == {
        (round(math.log(19) / 2, 6), 3 - 11)
    }


def test_equal_models_tie_and_stay_where_they_are(tmp_path: Path) -> None:
    found = evaluated(tmp_path, lambda *_: None, a="embedded")
    assert found["a"]["digest"] == found["b"]["digest"]
    for rate in ("raw", "controlled", "probability"):
        assert found["win"][rate] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert found["win"]["principles"].keys() == {"short", "kind"}
    assert found["kl"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert all(difference["value"] == 0 for difference in found["differences"].values())
    assert found["responses"]["a"] == found["responses"]["b"]


def test_counts_add_up_and_each_failure_has_its_reason(tmp_path: Path) -> None:
    """Of 12 prompts one gets an empty response from A, and so is lost; one no verdict at all, and one line is no prompt."""
    rows = [*QUESTIONS[:11], {"id": "bad", "prompt": 7}]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    laws = LAWS.replace("check: {max_words: 5}", "")

    def script(who: str, request: Request) -> Completion | None:
        content = request.messages[0].content if request.messages else ""
        if request.stage == "sample":
            return said("" if who == "a" and content == "Question 3?" else f"{who} answers: {content}")
        if request.labels:
            return failed(ErrorReason.CONTENT_REFUSED, "no") if "Question 5?" in content else verdict(0.6)
        return None

    found = evaluated(tmp_path, script, laws=laws.replace(", }", "}"))
    assert (found["prompts"]["count"], found["prompts"]["compared"], found["prompts"]["failed"]) == (12, 10, 2)
    assert found["failures"] == {"compare: content_refused": 2, "read: bad_row": 1, "sample: empty": 1}


def test_the_same_command_again_pays_for_nothing(tmp_path: Path) -> None:
    found = options(tmp_path, "--json", tmp_path / "1.json", "--gold", "principles/gold/concise.yaml")
    assert run(found)[0] == 0
    first = json.loads((tmp_path / "1.json").read_text())
    assert first["calls"]["made"] > 12 * 2
    assert run(found.model_copy(update={"json_file": tmp_path / "2.json"}))[0] == 0
    second = json.loads((tmp_path / "2.json").read_text())
    assert second.pop("calls")["made"] == 0
    assert second == {key: value for key, value in first.items() if key != "calls"}
    other = options(tmp_path, "--reuse", tmp_path / "calls", "--json", tmp_path / "3.json", "--gold", found.gold)
    assert run(other.model_copy(update={"out": tmp_path / "elsewhere"}))[0] == 0
    assert read_evaluation(tmp_path / "3.json").calls.made == 0


def test_gold_judges_beside_and_shows_what_the_judge_does_not_see(tmp_path: Path) -> None:
    """The judge prefers A's flattery; the gold rule forbids it."""
    gold = tmp_path / "gold.yaml"
    gold.write_text(
        "name: gold\nversion: 1\nobjectives: {plain: 1.0}\nprinciples:\n"
        "  - {id: no-praise, objective: plain, text: No praise., check: {must_not_match: Great}}\n"
    )

    def script(who: str, request: Request) -> Completion | None:
        if request.stage == "sample":
            return said("Great question! It is so." if who == "a" else "It is so, I think.")
        return verdict(0.9 if first_is(request, "Great") else 0.1) if request.labels else None

    laws = "name: laws\nversion: 1\nobjectives: {kindness: 1}\nprinciples:\n  - {id: kind, objective: kindness, text: Be kind.}\n"
    found = evaluated(tmp_path, script, "--gold", gold, laws=laws.replace("kindness: 1}", "kindness: 1.0}"))
    assert found["win"]["raw"]["value"] == 1.0
    assert found["gold"]["win"]["raw"]["value"] == 0.0
    assert found["gold"]["win"]["principles"]["no-praise"]["value"] == 0.0
    assert found["agreement"]["panel vs gold"]["value"] == 0.0
    assert found["responses"]["a"]["agreement"]["value"] == 1.0
    assert found["responses"]["b"]["agreement"]["value"] == 0.0


def test_judges_and_principles_that_are_held_out_do_not_vote(tmp_path: Path) -> None:
    panel = "panel=[{name: second, model: other-model}]"
    found = evaluated(tmp_path, short_against_long, "--set", panel, "--held-out", "judge,short")
    assert found["held_out"] == ["judge", "short"]
    assert found["win"]["judges"].keys() == {"second"}
    assert found["win"]["principles"].keys() == {"kind"}
    assert found["win"]["objectives"].keys() == {"kindness"}
    assert found["judges"].keys() == {"second"}


def test_several_judges_are_asked_and_their_agreement_is_told(tmp_path: Path) -> None:
    """The second judge prefers A's response where the first does on 9 of 12 prompts."""
    panel = "panel=[{name: second, model: other-model}]"
    found = options(tmp_path, "--set", panel, "--json", tmp_path / "found.json")
    job = prepare(found)
    second = job.judges.judges["second"].digest

    def script(who: str, request: Request) -> Completion | None:
        if request.stage == "sample":
            return said(f"{who} speaks")
        if request.labels:
            number = int(re.search(r"Question (\d+)", request.messages[0].content)[1])  # type: ignore[index]
            turned = request.model == second and number < 3
            return verdict(0.8 if first_is(request, "a speaks") != turned else 0.2)
        return None

    store(job, script)
    assert run(found)[0] == 0
    agreement = read_evaluation(tmp_path / "found.json").agreement
    assert agreement["judge vs second"].value == 0.75


def test_what_a_policy_was_trained_against_is_told_and_can_be_held_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = tmp_path / "trained"
    trained.mkdir()
    job = prepare(options(tmp_path))
    judge = job.judges.judges["judge"].digest
    write_sealed(trained / "run.yaml", f"models: {{judge: {judge}}}")
    (trained / "constitution.yaml").write_text(LAWS)
    rule = "  - {id: unseen, objective: brevity, text: No shouting., check: {must_not_match: '!'}}\n"
    found = evaluated(tmp_path, short_against_long, "--trained", trained, laws=LAWS + rule)
    assert found["provenance"]["principles"] == ["short", "kind"]
    assert found["provenance"]["judges"] == ["judge"]
    assert found["win"]["unseen"]["value"] == 0.5, "neither shouts"
    assert found["win"]["raw"]["value"] == 1.0
    warned = capsys.readouterr().err
    assert "warning: a policy was trained on short, kind; --held-out trained leaves them out\n" in warned
    assert "warning: a policy was trained against the judge judge; --held-out trained leaves it out\n" in warned
    held = evaluated(tmp_path, short_against_long, "--trained", trained, "--held-out", "trained", laws=LAWS + rule)
    assert held["held_out"] == ["short", "kind", "judge"]
    assert held["win"]["principles"].keys() == {"unseen"}
    assert held["provenance"]["principles"] == []
    assert "trained on" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rules", "unseen", "told"),
    [
        pytest.param(
            "  - {id: brief, objective: plain, text: Be brief., check: {max_words: 5}}\n"
            "  - {id: loud, objective: plain, text: Shout., check: {must_match: '!'}}\n",
            0.5,
            ("leaves it out, and --gold does not use it\n", "leaves them out, and --gold uses others\n",
             "trained on brief of --gold; gold.win.unseen uses the rest\n"),
            id="some",
        ),
        pytest.param(
            "  - {id: fair, objective: plain, text: Be fair.}\n",
            None,
            ("leaves it out\n", "leaves them out, and --gold uses others\n"),
            id="the-same-judge",
        ),
        pytest.param(
            "  - {id: brief, objective: plain, text: Be brief., check: {max_words: 5}}\n",
            None,
            ("leaves it out\n", "leaves them out\n", "trained on brief of --gold; none is left; name another constitution\n"),
            id="all",
        ),
    ],
)  # fmt: skip
def test_gold_that_was_trained_on_is_told(
    rules: str, unseen: float | None, told: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the rule that was trained on A wins all; by the other, which neither keeps, none."""
    trained, gold = tmp_path / "trained", tmp_path / "gold.yaml"
    trained.mkdir()
    write_sealed(trained / "run.yaml", f"models: {{judge: {prepare(options(tmp_path)).judges.judges['judge'].digest}}}")
    (trained / "constitution.yaml").write_text(LAWS)
    gold.write_text(f"name: gold\nversion: 1\nobjectives: {{plain: 1.0}}\nprinciples:\n{rules}")
    page = tmp_path / "page.html"
    found = evaluated(tmp_path, short_against_long, "--trained", trained, "--gold", gold, "--page", page)
    ours = found["gold"]
    assert (ours["win"]["unseen"] or {}).get("value") == unseen
    assert ours["provenance"]["principles"] == (["brief"] if "brief" in rules else [])
    assert ours["provenance"]["judges"] == ["judge"]
    warned = capsys.readouterr().err
    for line in told:
        assert line in warned
    assert "of --gold" not in warned or "brief" in rules
    assert "that nothing is known to be trained on" not in page.read_text()


def test_a_judge_is_the_settings_policy_where_none_is_named(tmp_path: Path) -> None:
    """As in a run; the table and the page name it."""
    named = options(tmp_path, "--judge", "", "--set", "policy=the-runs-own", "--page", tmp_path / "page.html")
    assert prepare(named).judges.judges["judge"].name == "the-runs-own"
    store(prepare(named), short_against_long)
    code, printed = run(named)
    assert code == 0
    assert "judged by judge = the-runs-own" in printed
    assert "judged by judge = the-runs-own" in (tmp_path / "page.html").read_text()


def test_policies_run_by_the_files_own_settings_and_the_judge_by_its(tmp_path: Path) -> None:
    """Also where one of them is the judge's model."""
    settings = ["vllm={max_model_len: 4096}", "judge_vllm={max_model_len: 512}"]
    job = prepare(options(tmp_path, "--judge", "embedded", *(word for text in settings for word in ("--set", text))))
    assert {part.role.vllm.max_model_len for part in (job.a, job.b, job.base)} == {4096}
    assert job.judges.judges["judge"].role.vllm.max_model_len == 512
    models = job.models(lambda _: Replay.pseudo())
    assert models.b is models.base
    assert models.b is not models.panel.main


def test_settings_that_an_evaluation_cannot_use_are_told(tmp_path: Path) -> None:
    job = prepare(options(tmp_path, "--set", "plan.principles=1", "--set", "plan.rounds=0", "--set", "plan.samples=2"))
    assert job.warnings == (
        "plan.rounds, plan.principles: no effect here: all principles that apply are asked, and nothing is revised",
    )


def test_a_rule_whose_column_no_prompt_has_is_told(tmp_path: Path) -> None:
    rule = "  - {id: right, objective: kindness, text: Be right., check: {answer: COLUMN}}\n"
    gold = tmp_path / "gold.yaml"
    gold.write_text((LAWS + rule).replace("COLUMN", "reference").replace("name: laws", "name: gold"))
    asked = options(tmp_path, "--gold", str(gold), laws=LAWS + rule.replace("COLUMN", "solution"))
    told = "no prompt has column {}: rules of {} that read it never vote"
    prompts_path = tmp_path / "prompts.jsonl"
    assert prepare(asked).warnings[:2] == (told.format("solution", "laws"), told.format("reference", "gold"))
    rows = [json.loads(line) for line in prompts_path.read_text().splitlines()]
    prompts_path.write_text("".join(json.dumps(row | {"solution": 1, "reference": "1"}) + "\n" for row in rows))
    assert prepare(asked).warnings == ()


def test_nothing_is_held_out_where_nothing_is_known(tmp_path: Path) -> None:
    job = prepare(options(tmp_path, "--held-out", "trained"))
    assert job.held_out == ()
    assert job.warnings == (
        "--held-out trained: no principle or judge is known that a policy was trained against; nothing is held out",
    )


def test_no_policy_is_told_a_hint(tmp_path: Path) -> None:
    asked = []

    def script(_: str, request: Request) -> Completion | None:
        asked.extend(message.role for message in request.messages if request.stage == "sample" or request.scored)
        return None

    found = evaluated(
        tmp_path,
        script,
        "--set",
        "plan.system_hint=Be short.",
        "--set",
        "plan.hinted_samples=2",
        "--set",
        "plan.samples=2",
    )
    assert found["kl"]
    assert "user" in asked
    assert "system" not in asked


def test_rules_alone_need_no_judge(tmp_path: Path) -> None:
    laws = "".join(line for line in LAWS.splitlines(keepends=True) if "id: kind" not in line)
    found = evaluated(tmp_path, short_against_long, laws=laws.replace(", kindness: 1.0", ""))
    assert found["judges"] == {}
    assert found["win"]["judges"].keys() == {"rules"}


def test_a_judge_that_is_a_policy_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluated(tmp_path, short_against_long, "--judge", "model-a")
    assert any("the judge `judge` is policy A itself" in warning for warning in found["warnings"])
    assert "warning: the judge `judge` is policy A itself, and may prefer its own words" in capsys.readouterr().err


def test_fitted_weights_judge_and_gold_keeps_the_yamls(tmp_path: Path) -> None:
    """The judge finds A kinder, and its weight says that it is wrong; no weights are fitted for gold's principle of that name."""

    def script(who: str, request: Request) -> Completion | None:
        if request.stage == "sample":
            return said(f"{who} speaks")
        return verdict(0.9 if first_is(request, "a speaks") else 0.1) if request.labels else None

    gold, file = tmp_path / "gold.yaml", tmp_path / "weights.json"
    gold.write_text(LAWS.replace("name: laws", "name: gold"))
    job = prepare(options(tmp_path))
    origin = Origin(
        constitution=job.constitution.digest, judges=job.judges.digests(), templates=templating.digest(),
        judging=job.run.plan.judging(), forms={"judge/compare": "exact"}, data="d", pairs=1,
    )  # fmt: skip
    weights = Weights(method="logistic", fitted_on=origin, voters={"judge/compare/kind": -1.0}, temperature=1.0)
    file.write_text(weights.model_dump_json())
    found = evaluated(tmp_path, script, "--weights", file, "--gold", gold)
    assert found["win"]["raw"]["value"] == 0.0
    assert {name: e["value"] for name, e in found["win"]["principles"].items()} == {"kind": 0.0}
    assert found["gold"]["win"]["principles"]["kind"]["value"] == 1.0
    assert found["gold"]["win"]["principles"]["short"]["value"] == 0.5, "a rule has a vote where no weights are"


@pytest.mark.model
def test_probes_of_both_policies(tmp_path: Path) -> None:
    """A has every fault that a probe looks for, B none; both are asked all kinds, and what both say is in the JSON and on the page."""
    asked = suite("all", 3)
    answers = {"a": faulty(asked), "b": honest(asked)}
    texts = {
        who: {prompt.messages: said_by[prompt.id] for prompt in (*asked.prompts, *talk(asked, said_by))}
        for who, said_by in answers.items()
    }

    def script(who: str, request: Request) -> Completion | None:
        if request.stage != "sample" or request.messages not in texts[who]:
            return None
        return said(texts[who][request.messages])

    page = tmp_path / "page.html"
    found = evaluated(tmp_path, script, "--probes", "all", "--probe-items", 3, "--page", page)
    shares = {
        side: {name: e["value"] for part in ("probes", "refusals") for name, e in found[part][side].items()}
        for side in "ab"
    }
    assert shares["b"] == {name: e.value for part in asked.rates(answers["b"]) for name, e in part.items()}
    assert shares["a"] == {name: e.value for part in asked.rates(answers["a"]) for name, e in part.items()}
    assert [shares[side]["dialogue_held"] for side in "ab"] == [0.0, 1.0]
    assert found["probes"]["b"]["sycophancy"]["high"] == pytest.approx(1.959964**2 / (3 + 1.959964**2)), (
        "Wilson, 0 of 3"
    )
    assert found["detectors"].keys() == RULES.keys()
    shown = page.read_text()
    for name in (*shares["a"], *shares["b"]):
        assert f"<td>{PROBES[name].replace(chr(39), '&#39;')}</td>" in shown
    assert "<td>refusals that are found</td>" in shown
