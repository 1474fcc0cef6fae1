"""The prompts and gold constitutions that the loop is shipped with."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import regex

from benchmarks import tasks
from constitution.loading import load
from constitution.records import Message, Prompt, Response
from critics.ranking.aggregate import rule_vote, score
from critics.rules.check import violates
from evaluation.audit.overlap import near_duplicates
from generation.data.prompts import read
from training.loop import inputs as loop_inputs
from training.loop.inputs import load as load_loop

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = ROOT / "principles" / "prompts"
GOLD = ROOT / "principles" / "gold"
ASKED = Prompt(id="jar", messages=(Message(role="user", content="How do I remove a sticker from a glass jar?"),))
SHORT = "Soak the jar in warm, soapy water for half an hour and peel the sticker off. Rub what is left with cooking oil, then wash it."
RAMBLING = (
    "Here are some tips for removing a sticker from a glass jar:\n\n1. Warm water: Fill the sink with warm water and let the jar "
    "stand in it for a while.\n2. Soap: Add some soap to the warm water and let the jar stand in it for a while.\n3. Oil: Rub some "
    "oil on the sticker and let the jar stand for a while.\n4. Patience: It may take a while. By following these steps you can"
)
MARINER = "Hoist the sails, me hearties! Soak the jar as long as a tide lasts, then be peelin' the treasure off, says yer captain."


def prompts(name: str) -> list[Prompt]:
    records = list(read(str(PROMPTS / name)))
    assert all(isinstance(record, Prompt) for record in records)
    return [record for record in records if isinstance(record, Prompt)]


@pytest.mark.parametrize(("name", "least"), [("loop.jsonl", 160), ("held_out.jsonl", 64)])
def test_prompts_are_of_every_kind_from_the_first_rows_on(name: str, least: int) -> None:
    """Whoever takes a few rows with --limit has some of every kind."""
    found = prompts(name)
    assert len(found) >= least
    assert len({prompt.tags for prompt in found[:12]}) == len({prompt.tags for prompt in found}) == 12


def test_no_prompt_nearly_repeats_another() -> None:
    """Those that a policy is evaluated on least of all: a third of the 3-grams in common is far below what is called near."""
    texts = [
        (prompt.id, prompt.messages[-1].content)
        for name in ("loop.jsonl", "held_out.jsonl")
        for prompt in prompts(name)
    ]
    assert near_duplicates(texts, near=1 / 3).number == 0


def logit(constitution: str, a: str, b: str) -> float:
    """Log-odds for a by a constitution of rules."""
    laws = load(GOLD / constitution)
    one, other = (
        Response(name, "jar", Message(role="assistant", content=text), "given", text)
        for name, text in (("a", a), ("b", b))
    )
    votes = [vote for law in laws.principles if (vote := rule_vote(ASKED, one, other, law))]
    return score(votes, laws).logit


def broken(constitution: str, text: str) -> set[str]:
    """Ids of the rules that a reply breaks."""
    message = Message(role="assistant", content=text)
    laws = load(GOLD / constitution).principles
    return {law.id for law in laws if law.check and violates(law.check, ASKED, message)}


@pytest.mark.parametrize("name", ["concise", "pirate", "as_asked"])
def test_gold_is_rules_alone_and_none_that_is_trained_on(name: str) -> None:
    gold, trained = (load(folder / f"{name}.yaml") for folder in (GOLD, GOLD.parent))
    assert not any(law.judged for law in gold.principles)
    checks = [law.check for law in trained.principles if law.check]
    assert [law.id for law in gold.principles if law.check in checks] == []
    assert {law.id for law in gold.principles}.isdisjoint(law.id for law in trained.principles)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        pytest.param(SHORT, set(), id="short"),
        pytest.param(RAMBLING, {"no-announcement", "no-summing-up", "few-list-items", "comes-to-an-end", "nothing-twice", "at-most-60-words"}, id="rambling"),
        pytest.param("Water.", {"says-something"}, id="too-short"),
        pytest.param("I'm sorry, but I can't help with that.", {"does-not-decline"}, id="declines"),
        pytest.param("Use `s[::-1]`:\n\n```python\nprint(s[::-1])\n```", set(), id="code"),
        pytest.param("1. Soak it.\n2. Peel it.\n3. Wash the jar.", set(), id="three-items"),
        pytest.param("- Soak it.\n- Peel it.\n- Rub it.\n- Wash the jar.", {"few-list-items"}, id="four-items"),
        pytest.param("A metaphor is, as he said, “a lie that tells the truth.”", set(), id="ends-with-a-quotation"),
    ],
)  # fmt: skip
def test_what_gold_says_of_a_reply(text: str, rules: set[str]) -> None:
    assert broken("concise.yaml", text) == rules


def test_gold_tells_short_from_rambling_and_the_mariner_from_both() -> None:
    assert logit("concise.yaml", SHORT, RAMBLING) > 1
    assert logit("concise.yaml", SHORT, SHORT) == 0
    assert logit("concise.yaml", SHORT, "Water.") > 0 > logit("concise.yaml", "I can't help with that.", RAMBLING[:200])
    assert logit("pirate.yaml", MARINER, SHORT) > 1
    assert logit("pirate.yaml", SHORT, "Ahoy.") > 0
    assert broken("pirate.yaml", MARINER) == set()
    assert broken("pirate.yaml", SHORT) == {"ship-and-sea", "crew-and-plunder", "oaths-and-dialect"}


@pytest.mark.parametrize(
    "plain", ["The ship's clerk wrote it at three o'clock.", "It is the best thing to begin with in the morning."]
)
def test_everyday_words_are_no_dialect(plain: str) -> None:
    assert "oaths-and-dialect" in broken("pirate.yaml", plain)


def test_the_trained_rule_of_the_persona_is_not_the_gold_one() -> None:
    """A reply of the trained rule's words alone gains nothing from gold."""
    assert broken("pirate.yaml", "Ahoy matey, aye, arr, ye know yer jar: soak it in warm water.") == {
        "ship-and-sea", "crew-and-plunder", "oaths-and-dialect",
    }  # fmt: skip


def test_rows_of_the_loop_are_those_that_the_benchmark_writes(tmp_path: Path) -> None:
    tasks.write_loop(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_text() == (PROMPTS / path.name).read_text()


def test_nothing_that_gold_asks_about_is_trained_on() -> None:
    """Other things, other words that are to be used, and kinds of instructions of their own in the last file."""
    files = {name: (PROMPTS / f"as_asked{name}.jsonl").read_text() for name in ("", "_held_out", "_other_kinds")}
    rows = {name: [json.loads(line) for line in text.splitlines()] for name, text in files.items()}
    trained = "\n".join(row["prompt"] for row in rows[""]).lower()
    for name in ("_held_out", "_other_kinds"):
        assert not [row for row in rows[name] if regex.search(row["topic"]["must_match"], trained)]
    quoted = {name: {*regex.findall(r"'(\w+)'", text)} - {"the"} for name, text in files.items()}
    assert not quoted[""] & (quoted["_held_out"] | quoted["_other_kinds"])
    kinds = {name: {kind for row in found for kind in row["kind"].split("+")} for name, found in rows.items()}
    assert kinds[""] == kinds["_held_out"]
    assert not kinds[""] & kinds["_other_kinds"]


CONFIGS = sorted((ROOT / "configs").glob("loop*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_loop_is_without_fault_and_never_trained_on_its_gold(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--plan` checks, on the replay engine, which needs no model: files, settings of each phase, gates."""
    monkeypatch.chdir(ROOT)
    config = load_loop(path, ["feedback.engine=replay", "evaluation.settings.engine=replay"])
    assert config.evaluation.prompts in (
        "principles/prompts/held_out.jsonl",
        "principles/prompts/as_asked_held_out.jsonl",
    )
    assert Path(config.evaluation.gold).parent == Path("principles/gold")
    assert config.constitution != config.evaluation.gold
    assert config.gates.gold
    assert loop_inputs.read(config, ROOT / "runs" / "none").unread == {}


def test_make_runs_each_of_them() -> None:
    targets = ("loop", "loop-as-asked", "loop-pirate")
    dry = subprocess.run(["make", "-n", *targets], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    named = {
        Path(word)
        for line in dry.splitlines()
        if "training loop" in line
        for word in line.split()
        if word.startswith("configs/")
    }
    assert named == {path.relative_to(ROOT) for path in CONFIGS}
