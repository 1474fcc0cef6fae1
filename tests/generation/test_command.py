"""`generate_feedback.py` as a user meets it: bad input, help, exit codes, rows that go wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import generate_feedback
from constitution.errors import UserError
from generation import config, roles
from generation.engines.replay import Replay
from generation.models.factory import chat_models, model_registry
from generation.output import folder as run_folder
from generation.output.manifest import read as read_manifest
from generation.output.reading import read_failures
from generation.servers.settings import EndpointSettings
from generation.settings import load

ROOT = Path(__file__).parents[2]
GOOD = """
name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind.}
"""


def run(folder: Path, *more: str, constitution: str | bytes = GOOD, prompts: str = '{"prompt": "hi"}\n') -> int:
    """The exit code of the command on these files."""
    raw = constitution if isinstance(constitution, bytes) else constitution.encode()
    (folder / "c.yaml").write_bytes(raw)
    (folder / "p.jsonl").write_text(prompts)
    files = [
        "--constitution",
        str(folder / "c.yaml"),
        "--prompts",
        str(folder / "p.jsonl"),
        "--out",
        str(folder / "run"),
    ]
    return generate_feedback.main([*files, "--engine", "replay", *more])


@pytest.mark.parametrize(
    ("constitution", "message"),
    [
        pytest.param("", "c.yaml:1: is no constitution: got nothing", id="empty"),
        pytest.param("a: [", "c.yaml:1: is not YAML (expected the node content", id="not-yaml"),
        pytest.param("a: &x [1]\nb: [*x, *x]", "c.yaml:1: got an anchor or alias 'x'", id="alias-bomb"),
        pytest.param("name: a\nname: b", "c.yaml:2: key 'name' occurs twice (first on line 1)", id="duplicate-key"),
        pytest.param("a: " + "[" * 2000 + "]" * 2000, "is nested more than 20 levels deep", id="over-deep"),
        pytest.param("# " + "x" * (1 << 20), "allowed: 1,048,576", id="over-long"),
        pytest.param(b"name: \xff", "c.yaml:1: is not UTF-8", id="not-utf8"),
        pytest.param(GOOD + "nmae: x\n", "c.yaml:7: nmae: unknown key (did you mean name?); allowed: description", id="unknown-key"),
        pytest.param(GOOD.split("principles")[0], "principles: is missing; add it", id="no-principles"),
        pytest.param(GOOD + "  - {id: kind, objective: good, text: Again.}\n", "c.yaml:7: principles.kind.id: 'kind' occurs twice (first at", id="duplicate-id"),
        pytest.param(GOOD.replace("text:", "weight: -1, text:"), "principles.kind.weight: got -1", id="weight"),
        pytest.param(GOOD.replace("Be kind.", '"Be {{ name }}."'), "text: unknown variable 'name'", id="template-variable"),
    ],
)  # fmt: skip
def test_a_bad_constitution_is_exit_2_and_a_clear_message(
    constitution: str | bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, constitution=constitution) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param(["--set", "plan.smaples=2"], "plan.smaples: unknown key (did you mean samples?); allowed: batch_principles", id="unknown-setting"),
        pytest.param(["--set", "plan.samples=0"], "plan.samples: got 0; allowed: at least 1", id="out-of-range"),
        pytest.param(["--set", "samples"], "--set samples: allowed: key=value", id="no-value"),
        pytest.param(["--set", "plan.samples.x=1"], "plan.samples: got {'x': 1}; allowed: a whole number", id="a-value-is-no-number"),
        pytest.param(["--set", "engine=vlm", "--engine", "replay"], "", id="a-flag-goes-before"),
        pytest.param(["--config", "none.yaml"], "none.yaml: cannot be read (No such file or directory)", id="no-config"),
        pytest.param(["--limit", "0"], "--limit: got '0'; allowed: at least 1", id="limit"),
        pytest.param(["--reuse", "nowhere"], "no such file; --reuse takes the folder of a run", id="reuse"),
        pytest.param(["--engine", "endpoint"], "endpoints: got none, but engine is 'endpoint'", id="no-endpoints"),
        pytest.param(["--engine", "transformers", "--policy", "./none"], "model './none': no such folder", id="no-model"),
    ],
)  # fmt: skip
def test_bad_settings_are_exit_2_and_a_clear_message(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, *more) == (2 if message else 0)
    assert message in capsys.readouterr().err


def test_an_unknown_engine_is_refused_with_the_choices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--engine", "vlm") == 2
    message = "engine: got 'vlm' (did you mean vllm?); allowed: vllm, transformers, endpoint, replay"
    assert message in capsys.readouterr().err


def test_all_problems_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--set", "prompts_in_flight=0", constitution="name: x", prompts='{"text": 1}\n') == 2
    err = capsys.readouterr().err
    assert all(part in err for part in ("c.yaml:1: version: is missing", "prompts_in_flight:", "allowed: `prompt`"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param([], "has no config.json", id="empty"),
        pytest.param(
            ["config.json", "pytorch_model.bin", "tokenizer.json"],
            "pickled weights only, which can run code",
            id="pickle",
        ),
        pytest.param(
            ["config.json", "tokenizer.json", "model.safetensors"], "has no chat template", id="no-chat-template"
        ),
        pytest.param(["adapter_config.json"], "is a LoRA adapter; merge it", id="adapter"),
    ],
)
def test_a_model_folder_that_cannot_be_used(
    files: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in files:
        (model / name).write_text("{}")
    assert run(tmp_path, "--engine", "transformers", "--policy", str(model)) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_not_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    assert run(tmp_path) == 2
    assert "is not empty and no run of ours (no run.yaml); choose another --out" in capsys.readouterr().err
    assert (tmp_path / "run" / "thesis.txt").read_text() == "precious"


def test_a_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "MIN_FREE_BYTES", 1 << 60)
    assert run(tmp_path) == 2
    assert "MiB free; allowed: at least" in capsys.readouterr().err


def test_bad_rows_are_counted_and_the_run_goes_on(tmp_path: Path) -> None:
    prompts = '{"prompt": "hi"}\n{"prompt": ""}\n{\n{"prompt": [{"role": "robot"}]}\n{"prompt": "a\\u0000"}\n{"prompt": "bye"}\n'
    assert run(tmp_path, "--set", "max_failed=0.7", prompts=prompts) == 0
    manifest = read_manifest(tmp_path / "run")
    assert manifest is not None
    assert manifest.counts.prompts == 6
    assert manifest.outcomes.failed == 4
    assert {k: v for k, v in manifest.failed.items() if k.startswith("read")} == {
        "read: bad_json": 1, "read: empty_prompt": 1, "read: nul_byte": 1, "read: wrong_roles": 1
    }  # fmt: skip


def test_a_finished_run_again_makes_no_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 0
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    assert run(tmp_path) == 0
    assert "is finished: 0 calls made" in capsys.readouterr().out
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before


def test_plan_prints_a_table_and_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--plan") == 0
    out = capsys.readouterr().out
    table = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    calls = {name: [int(cell.replace(",", "")) for cell in cells[:3]] for name, *cells in table}
    whole = calls.pop("all")
    assert calls["sample"] == [0, 2, 2]
    assert whole == [sum(found) for found in zip(*calls.values(), strict=True)]
    assert not (tmp_path / "run").exists()


def test_terminal_codes_in_replies_are_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"prompt": "\x1b[31mred [bold]x[/bold]", "responses": ["one \x1b]0;title\x07 [red]two[/red]", "three"]}
    assert run(tmp_path, "--set", "plan.rounds=0", prompts=json.dumps(row) + "\n") == 0
    out = capsys.readouterr().out
    assert "\x1b]0" not in out
    assert "[red]two[/red]" in out


def test_help_shows_the_options_without_loading_a_library_of_models() -> None:
    code = "import sys, generate_feedback as g\ntry: g.main(['--help'])\nexcept SystemExit: pass\nprint([m for m in ('torch', 'vllm', 'transformers', 'datasets') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert "--reuse RUN" in out
    assert out.rstrip().endswith("[]")


RUNS = sorted(path for path in (ROOT / "configs").glob("*.yaml") if not path.name.startswith("loop"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_every_shipped_config_loads(path: Path) -> None:
    assert load(config.RunConfig, path, []).policy


@pytest.mark.model
def test_without_vllm_the_transformers_engine_is_used_and_the_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(roles, "find_spec", lambda _: None)
    (tmp_path / "c.yaml").write_text(GOOD)
    (tmp_path / "p.jsonl").write_text('{"prompt": "hi"}\n')
    files = [
        "--constitution",
        str(tmp_path / "c.yaml"),
        "--prompts",
        str(tmp_path / "p.jsonl"),
        "--out",
        str(tmp_path / "run"),
    ]
    assert generate_feedback.main([*files, "--plan"]) == 0
    assert "the transformers engine is used" in capsys.readouterr().err


SERVER = {"url": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"plan": {"methods": ["reward"]}},
            "methods: got reward, which the judge cannot do; name a reward model in `panel:`",
        ),
        ({"plan": {"methods_of": {"kind": ["reward"]}}}, "methods_of.kind: got reward, which the judge cannot do"),
        ({"plan": {"clamp": [0.6, 0.9]}}, "clamp: got [0.6, 0.9]; allowed: a band around 0.5 within (0, 1)"),
        (
            {"plan": {"critics": 0}},
            "plan.critics: got 0, and rules are no critics either; set rule_critiques, or rounds to 0",
        ),
        (
            {"plan": {"hinted_samples": 2}},
            "hinted_samples: got 2, but there is no system_hint; give one, or leave hinted_samples out",
        ),
        ({"panel": [{"name": "judge", "model": "m"}]}, "name: 'judge' is the run's own judge; choose another name"),
        ({"panel": [{"name": "x", "model": "m"}] * 2}, "panel: got names x, x; allowed: each once"),
        (
            {"panel": [{"name": "x", "model": "m", "methods": ["reward", "compare"]}]},
            "methods: got reward, compare; a reward model does nothing else; allowed: [reward] alone",
        ),
        (
            {"panel": [{"name": "x", "model": "m", "methods": ["reward"], "endpoints": [SERVER]}]},
            "endpoints: servers give no rewards; leave them out, a reward model runs in this process",
        ),
        (
            {"panel": [{"name": "x", "model": "m", "methods": ["contrast"], "endpoints": [SERVER]}]},
            "panel.x.methods: contrast needs the log-probabilities of given tokens, which chat servers do not tell",
        ),
        ({"plan": {"methods": ["score", "score"]}}, "plan.methods: got score, score; allowed: each method once"),
        (
            {"engine": "vllm", "panel": [{"name": "x", "model": "m", "engine": "endpoint"}]},
            "panel.x.endpoints: got none, but panel.x.engine is 'endpoint'; add `endpoints: [{url: http://host:8000}]`",
        ),
        (
            {"engine": "endpoint", "endpoints": [SERVER], "plan": {"methods": ["contrast"]}},
            "plan.methods: contrast needs the log-probabilities of given tokens",
        ),
    ],
)
def test_a_panel_that_cannot_judge_is_refused(settings: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(settings))
    with pytest.raises(UserError) as error:
        load(config.RunConfig, path, [])
    assert message in str(error.value)


def test_a_panel_shares_models_and_may_have_servers_of_its_own() -> None:
    members = [
        roles.Member(name="same", model="m", methods=("yesno",)),
        roles.Member(name="far", model="m", endpoints=(EndpointSettings(url="http://127.0.0.1:9"),)),
        roles.Member(name="scorer", model="m", methods=("reward",)),
    ]
    registry = model_registry(config.RunConfig(policy="p", judge="m", engine="replay", panel=tuple(members)))
    assert list(registry.judges) == ["judge", "same", "far", "scorer"]
    assert registry.judges["same"] is registry.judges["judge"]
    assert registry.judges["scorer"].rewards
    assert [part.endpoints != () for part in registry.judges.values()] == [False, False, True, False]
    ((policy, _, _),), models = chat_models(
        config.RunConfig(policy="p", judge="m", engine="replay", panel=tuple(members)),
        registry,
        lambda o: Replay.pseudo(),
    )
    assert models["same"] is models["judge"] is not models["scorer"]
    assert policy is not models["judge"]


def test_two_models_share_the_memory_of_one_gpu() -> None:
    settings = config.RunConfig(judge="other", engine="replay")
    registry = model_registry(settings)
    memory = [part.role.vllm.gpu_memory_utilization for part in (registry.policy, registry.judges["judge"])]
    assert memory == [0.45, 0.45]
    alone = model_registry(config.RunConfig(engine="replay"))
    assert alone.judges["judge"] is alone.policy
    assert alone.policy.role.vllm.gpu_memory_utilization == 0.9


@pytest.mark.model
@pytest.mark.parametrize("option", ["--help", "--settings"])
def test_help_loads_no_model_library(option: str) -> None:
    code = f"import sys, generate_feedback\ntry: generate_feedback.main(['{option}'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert {"torch", "transformers", "vllm", "datasets", "matplotlib", "scipy"}.isdisjoint(loaded)
    assert "plan.samples: 2" in done.stdout or "--constitution FILE" in done.stdout


MIXED = """
{"question": "hi", "tags": "kin", "lang": "en"}
{"question": ""}
{"question": "hi", "responses": ["a b c", "", "d e f"]}
"""
TAGGED = GOOD.replace("text: Be kind.", "text: Be kind., applies_to: {tags: [kind]}").replace(
    "principles:", "principles:\n  - {id: brief, objective: good, text: Be brief.}"
)


@pytest.mark.parametrize("more", [pytest.param(("--plan",), id="plan"), pytest.param((), id="run")])
def test_what_cannot_be_read_is_told_before_the_run(
    more: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(tmp_path, "--map", "prompt=question", *more, constitution=TAGGED, prompts=MIXED)
    assert code == (0 if more else 1), "a third of the prompts failed"
    source = tmp_path / "p.jsonl"
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if line.startswith((str(source), "  ", "tags", "principles"))] == [
        f"{source}: 2 of 3 rows cannot be read, whole or in part (empty_prompt 1, bad_response 1), as:",
        f"  {source}:3: prompt: nobody says anything; allowed: a text, or messages that say something",
        f"  {source}:4: responses: is empty; allowed: an assistant's response that is not empty",
        f"{source}: columns kept as metadata: lang",
        "tags that no principle names: kin (did you mean kind?)",
        "principles that apply to no row, for no row has their tags: kind",
    ]
    if not more:
        failures = [f for f in read_failures(tmp_path / "run" / "failures.parquet") if f.stage == "read"]
        assert [(f.reason, f.subject[-12:]) for f in failures] == [
            ("empty_prompt", ""),
            ("bad_response", "responses[1]"),
        ]
        found = read_manifest(tmp_path / "run")
        assert found is not None
        assert found.counts.prompts == 3


def test_a_column_that_is_not_there_ends_the_run_before_a_model_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--map", "prompt=quesion", prompts='{"question": "hi"}\n') == 2
    assert "--map prompt=quesion: " in (said := capsys.readouterr().err)
    assert "has no column quesion (did you mean question?)" in said
