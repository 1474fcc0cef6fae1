"""Who plays policy and judge, and what runs each of them: every mixture, and what no role would read."""

from typing import Any

import pytest

from constitution.errors import UserError
from generation.config import RunConfig
from generation.models.factory import model_registry
from generation.roles import MAIN, POLICY, default_engine
from generation.settings import load

HERE = {"url": "http://127.0.0.1:9"}
THERE = {"url": "http://127.0.0.1:8"}
TOKENS = {"url": "http://127.0.0.1:9", "token_ids": True}
SCORER = {"name": "scorer", "model": "m", "methods": ["reward"]}


def config(**settings: Any) -> RunConfig:
    return load(RunConfig, None, [], settings)


def engines(**settings: Any) -> dict[str, str]:
    return {name: role.engine for name, role in config(**settings).roles().items()}


@pytest.mark.parametrize("local", ["vllm", "transformers", "replay"])
def test_a_role_with_servers_runs_there_and_the_others_in_the_engine(local: str) -> None:
    assert engines(engine=local, judge="j", judge_endpoints=[HERE]) == {POLICY: local, MAIN: "endpoint"}
    assert engines(engine=local, judge="j", endpoints=[HERE]) == {POLICY: "endpoint", MAIN: local}
    assert engines(engine=local, judge_endpoints=[HERE]) == {POLICY: local, MAIN: "endpoint"}
    assert engines(endpoints=[HERE], judge="j", judge_engine=local) == {POLICY: "endpoint", MAIN: local}


def test_engines_may_be_mixed_and_the_panel_has_its_own() -> None:
    panel = [
        {"name": "near", "model": "m", "engine": "vllm"},
        {"name": "far", "model": "m", "endpoints": [THERE]},
        {"name": "beside", "model": "m", "engine": "endpoint"},
        {"name": "other", "model": "m"},
        SCORER,
    ]
    found = config(judge="j", endpoints=[HERE], engine="replay", judge_engine="transformers", panel=panel).roles()
    assert {name: role.engine for name, role in found.items()} == {
        POLICY: "endpoint", MAIN: "transformers", "near": "vllm", "far": "endpoint", "beside": "endpoint", "other": "replay",
        "scorer": "replay",
    }  # fmt: skip
    urls = {name: [server.url for server in role.endpoints] for name, role in found.items() if role.endpoints}
    assert urls == {POLICY: [HERE["url"]], "far": [THERE["url"]], "beside": [HERE["url"]]}


def test_servers_alone_run_every_model_and_nothing_given_runs_where_the_machine_can() -> None:
    assert engines(endpoints=[HERE], judge="j", panel=[{"name": "x", "model": "m"}, SCORER]) == {
        POLICY: "endpoint", MAIN: "endpoint", "x": "endpoint", "scorer": "transformers",
    }  # fmt: skip
    assert engines() == {POLICY: default_engine(), MAIN: default_engine()}


def test_the_judge_alone_runs_where_it_ran_beside_the_policy() -> None:
    panel = [{"name": "x", "model": "m"}, {"name": "y", "model": "m", "endpoints": [THERE]}]
    both = config(policy="p", judge="j", engine="replay", judge_endpoints=[HERE], panel=panel)
    alone = both.judge_alone()
    assert (alone.policy, alone.one_model) == ("j", True)
    before, after = both.roles(), alone.roles()
    assert {name: role for name, role in before.items() if name != POLICY} == {
        name: role for name, role in after.items() if name != POLICY
    }
    local = config(judge="j", engine="vllm", judge_engine="transformers", panel=panel[:1]).judge_alone().roles()
    assert {name: role.engine for name, role in local.items()} == {
        POLICY: "transformers", MAIN: "transformers", "x": "vllm",
    }  # fmt: skip


def test_several_policies_run_where_each_says() -> None:
    several = [
        {"name": "near", "model": "a"},
        {"name": "far", "model": "b", "endpoints": [THERE]},
        {"name": "served", "model": "b", "engine": "endpoint"},
        {
            "name": "here",
            "model": "c",
            "engine": "transformers",
            "chat_template_kwargs": {"x": 1},
            "answer_prefix": "y",
        },
    ]
    found = config(policies=several, judge="j", endpoints=[HERE], engine="replay").roles()
    assert {name: (role.model, role.engine) for name, role in found.items()} == {
        "policies.near": ("a", "replay"), "policies.far": ("b", "endpoint"), "policies.served": ("b", "endpoint"),
        "policies.here": ("c", "transformers"), MAIN: ("j", "replay"),
    }  # fmt: skip
    urls = {name: [server.url for server in role.endpoints] for name, role in found.items() if role.endpoints}
    assert urls == {"policies.far": [THERE["url"]], "policies.served": [HERE["url"]]}
    assert (found["policies.here"].chat_template_kwargs, found["policies.here"].answer_prefix) == ({"x": 1}, "y")
    alone = config(policies=several, judge="j", engine="replay", endpoints=[HERE]).judge_alone()
    assert list(alone.roles()) == [POLICY, MAIN]
    assert alone.one_model


def test_what_vllm_runs_side_by_side_divides_the_memory() -> None:
    several = [
        {"name": "a", "model": "m"},
        {"name": "b", "model": "n"},
        {"name": "c", "model": "o", "vllm": {"dtype": "float16"}},
    ]
    found = config(policies=several, judge="m", engine="vllm").roles()
    memory = {name: role.vllm.gpu_memory_utilization for name, role in found.items()}
    assert memory == {"policies.a": 0.45, "policies.b": 0.45, "policies.c": 0.9, MAIN: 0.45}  # the judge is one of them


def test_what_one_engine_runs_is_no_twin_of_what_another_runs() -> None:
    registry = model_registry(config(policy="p", engine="replay", judge_endpoints=[HERE]))
    assert registry.judges[MAIN] is not registry.policy
    assert model_registry(config(policy="p", engine="replay", judge="p")).judges[MAIN].role.engine == "replay"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"engine": "vllm", "endpoints": [HERE]}, "engine: got 'vllm', and every model has servers or an engine of its own; leave it out, or leave out the endpoints of what it should run (`--set endpoints=[]`)", id="engine"),
        pytest.param({"engine": "replay", "endpoints": [HERE], "judge_endpoints": [THERE]}, "engine: got 'replay', and every model has servers", id="replay"),
        pytest.param({"judge_engine": "vllm", "judge_endpoints": [HERE]}, "judge_engine: got 'vllm', and the judge has judge_endpoints; leave one of them out", id="judge-engine"),
        pytest.param({"panel": [{"name": "x", "model": "m", "engine": "vllm", "endpoints": [HERE]}]}, "panel.x.engine: got 'vllm', and it has endpoints; leave one of them out", id="member-engine"),
        pytest.param({"panel": [{**SCORER, "engine": "vllm"}]}, "engine: got 'vllm', and a reward model runs in transformers; leave it out", id="reward-engine"),
        pytest.param({"panel": [{**SCORER, "vllm": {"dtype": "float16"}}]}, "vllm: is not read: a reward model runs in transformers; leave it out", id="reward-vllm"),
        pytest.param({"judge_engine": "endpoint", "engine": "vllm"}, "judge_endpoints: got none, but judge_engine is 'endpoint'; add `endpoints", id="judge-without-servers"),
        pytest.param({"engine": "endpoint", "judge_endpoints": [HERE]}, "endpoints: got none, but engine is 'endpoint'; add `endpoints: [{url: http://host:8000}]`", id="policy-without-servers"),
        pytest.param({"endpoints": [HERE, TOKENS]}, "endpoints: got servers with token_ids: true and servers without; allowed: servers of one kind", id="mixed-pool"),
        pytest.param({"engine": "replay", "judge_endpoints": [TOKENS, THERE]}, "judge_endpoints: got servers with token_ids: true and servers without", id="mixed-pool-of-the-judge"),
        pytest.param({"engine": "replay", "panel": [{"name": "x", "model": "m", "endpoints": [TOKENS, THERE]}]}, "panel.0.endpoints: got servers with token_ids: true and", id="mixed-pool-of-a-member"),
        pytest.param({"engine": "transformers", "vllm": {"dtype": "float16"}}, "vllm: nothing that it is for runs in vLLM; leave it out (`--set vllm={}`), or set engine: vllm", id="vllm"),
        pytest.param({"engine": "vllm", "transformers": {"dtype": "float16"}}, "transformers: nothing runs in transformers; leave it out", id="transformers"),
        pytest.param({"endpoints": [HERE], "vllm": {"dtype": "float16"}}, "vllm: nothing that it is for runs in vLLM", id="vllm-with-servers"),
        pytest.param({"engine": "vllm", "judge": "j", "judge_endpoints": [HERE], "judge_vllm": {"dtype": "float16"}}, "judge_vllm: the judge's engine is endpoint; leave it out", id="judge-at-a-server"),
        pytest.param({"engine": "vllm", "panel": [{"name": "x", "model": "m", "endpoints": [HERE], "vllm": {}}]}, "panel.x.vllm: its engine is endpoint; leave it out", id="member-at-a-server"),
        pytest.param({"engine": "vllm", "replay_latency": 1}, "replay_latency: got 1.0, and nothing runs in the replay engine; leave it out", id="latency"),
        pytest.param({"endpoints": [HERE], "chat_template_kwargs": {"enable_thinking": False}}, "chat_template_kwargs: its server is sent messages, and renders its own chat template; name it there: endpoints: [{chat_template_kwargs: ...}]", id="template-of-a-server"),
        pytest.param({"engine": "vllm", "judge_endpoints": [HERE], "judge_answer_prefix": "x"}, "judge_answer_prefix: its server is sent messages", id="prefix-of-a-server"),
        pytest.param({"policy": "p", "judge": "j", "endpoints": [{**HERE, "model": "p"}]}, "judge: got 'j', and the servers in `endpoints` are asked for 'p'; name judge_endpoints, or leave `model` out of endpoints", id="name-of-the-judge"),
        pytest.param({"endpoints": [{**HERE, "model": "p"}], "panel": [{"name": "x", "model": "m"}]}, "panel.x.model: got 'm', and the servers in `endpoints` are asked for 'p'", id="name-of-a-member"),
        pytest.param({"plan": {"comparisons": 3}}, "plan.comparisons: got 3, which the schedule 'all' does not read; leave it out, or set schedule to swiss or adaptive", id="comparisons"),
        pytest.param({"plan": {"show_reference": "judge", "methods": ["contrast"]}, "engine": "replay"}, "plan.show_reference: got judge, and no judge is asked by a method that reads it; add compare", id="reference-of-a-judge"),
        pytest.param({"plan": {"show_reference": "both", "rounds": 0}, "engine": "replay"}, "plan.show_reference: got both, and without rounds nothing is criticised; set plan.rounds, or", id="reference-of-a-critic"),
        pytest.param({"plan": {"revise_given": True, "rounds": 0}}, "plan.revise_given: got true, and rounds is 0; leave it out, or set rounds", id="revise-given"),
        pytest.param({"policies": [{"name": "a", "model": "m"}]}, "judge: got none, and there are several policies; name the model that judges", id="policies-without-a-judge"),
        pytest.param({"policies": [{"name": "a", "model": "m"}, {"name": "a", "model": "n"}], "judge": "j"}, "policies: got names a, a; allowed: each once", id="policies-of-one-name"),
        pytest.param({"policies": [{"name": "a", "model": "m", "share": 0}], "judge": "j"}, "policies.0.share: got 0", id="no-share"),
        pytest.param({"policies": [{"name": "a", "model": "m", "share": float("inf")}], "judge": "j"}, "policies.0.share: got inf", id="endless-share"),
        pytest.param({"policies": [{"name": "a", "model": "m"}], "judge": "j", "policy": "p"}, "policy: there are `policies`, each with its own; leave it out, or leave out policies", id="policy-and-policies"),
        pytest.param({"policies": [{"name": "a", "model": "m"}], "judge": "j", "answer_prefix": "p"}, "answer_prefix: there are `policies`", id="prefix-and-policies"),
        pytest.param({"policies": [{"name": "a", "model": "m", "engine": "replay", "endpoints": [HERE]}], "judge": "j"}, "policies.a.engine: got 'replay', and it has endpoints", id="engine-of-a-policy"),
        pytest.param({"policies": [{"name": "a", "model": "m", "endpoints": [HERE]}], "judge": "j", "judge_endpoints": [THERE], "engine": "vllm"}, "engine: got 'vllm', and every model has servers", id="engine-of-no-policy"),
        pytest.param({"policies": [{"name": "a", "model": "m", "endpoints": [HERE], "vllm": {}}], "judge": "j", "engine": "vllm"}, "policies.a.vllm: its engine is endpoint; leave it out", id="vllm-of-a-policy"),
        pytest.param({"policies": [{"name": "a", "model": "m", "endpoints": [HERE], "answer_prefix": "x"}], "judge": "j", "engine": "vllm"}, "policies.a.answer_prefix: its server is sent messages, and renders its own chat template; name it there: policies.a.endpoints:", id="prefix-of-a-served-policy"),
        pytest.param({"policies": [{"name": "a", "model": "m"}], "judge": "p", "endpoints": [{**HERE, "model": "p"}]}, "policies.a.model: got 'm', and the servers in `endpoints` are asked for 'p'; name policies.a.endpoints", id="name-of-a-policy"),
        pytest.param({"policies": [{"name": "a", "model": "m"}], "judge": "j", "engine": "endpoint"}, "endpoints: got none, but engine is 'endpoint'", id="policies-without-servers"),
        pytest.param({"policy": "p", "engine": "replay", "judge": "function:m.f", "judge_engine": "replay"}, "judge_engine: the judge is a function; leave it out", id="engine-of-a-function"),
        pytest.param({"policy": "p", "engine": "replay", "judge": "function:m.f", "judge_endpoints": [HERE]}, "judge_endpoints: the judge is a function; leave it out", id="servers-of-a-function"),
        pytest.param({"policy": "p", "engine": "replay", "judge": "function:m.f", "judge_answer_prefix": "x"}, "judge_answer_prefix: a function has no chat template", id="prefix-of-a-function"),
        pytest.param({"panel": [{"name": "policy", "model": "m"}]}, "name: 'policy' is the run's own policy; choose another name", id="policy-in-the-panel"),
    ],
)  # fmt: skip
def test_a_setting_that_nothing_would_read_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        config(**settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"vllm": {"max_model_len": 2048}, "transformers": {"dtype": "float16"}}, id="the-machine-chooses"),
        pytest.param({"engine": "replay", "vllm": {"max_model_len": 2048}}, id="replay-stands-for-any-engine"),
        pytest.param({"engine": "transformers", "vllm": {}}, id="as-the-default"),
        pytest.param({"engine": "vllm", "transformers": {"dtype": "float16"}, "panel": [SCORER]}, id="reward-model"),
        pytest.param({"engine": "endpoint", "endpoints": [HERE], "judge_endpoints": [THERE]}, id="servers-for-all"),
        pytest.param({"engine": "transformers", "vllm": {"dtype": "float16"}, "judge": "j", "judge_engine": "vllm"}, id="of-the-judge"),
        pytest.param({"endpoints": [{**HERE, "model": "served"}], "judge": "mine"}, id="a-name-of-the-servers-own"),
        pytest.param({"endpoints": [TOKENS], "chat_template_kwargs": {"enable_thinking": False}}, id="a-server-of-token-ids"),
        pytest.param({"plan": {"comparisons": 3, "schedule": "swiss"}}, id="comparisons"),
        pytest.param({"plan": {"show_reference": "judge", "methods": ["contrast"]}, "engine": "replay", "panel": [{"name": "x", "model": "m", "methods": ["score"]}]}, id="reference-of-a-member"),
        pytest.param({"policies": [{"name": "a", "model": "m"}], "judge": "j", "judge_endpoints": [HERE], "engine": "vllm"}, id="engine-of-a-policy"),
        pytest.param({"plan": {"show_reference": "judge", "rounds": 0}, "engine": "replay"}, id="reference-of-the-judge"),
    ],
)  # fmt: skip
def test_a_setting_that_something_reads_or_may_read_is_none(settings: dict[str, Any]) -> None:
    config(**settings)
