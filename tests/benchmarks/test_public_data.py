"""Public data sets in the form that their authors publish, and what is made of them."""

import gzip
import json
from pathlib import Path
from typing import Any

from benchmarks.public_data import main


def rows(name: str, folder: Path) -> list[dict[str, Any]]:
    out = folder / "out.jsonl"
    main([name, str(folder), "--out", str(out)])
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_hh_rlhf(tmp_path: Path) -> None:
    asked = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: How do I whistle?\n\nAssistant:"
    lines = [
        {"chosen": f"{asked} Purse your lips.\n\nThen blow.", "rejected": f"{asked} No."},
        {"chosen": f"{asked} Yes.", "rejected": "\n\nHuman: Other\n\nAssistant: No."},
        {"chosen": f"{asked} Yes.", "rejected": asked},
    ]
    (tmp_path / "harmless-base").mkdir()
    with gzip.open(tmp_path / "harmless-base" / "test.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    (row,) = rows("hh_rlhf", tmp_path)
    assert [(message["role"], message["content"]) for message in row["prompt"]] == [
        ("user", "Hi"), ("assistant", "Hello!"), ("user", "How do I whistle?"),
    ]  # fmt: skip
    assert row["chosen"] == [{"role": "assistant", "content": "Purse your lips.\n\nThen blow."}]
    assert row["rejected"] == [{"role": "assistant", "content": "No."}]


def test_llmbar_and_what_judges_wrote_of_it(tmp_path: Path) -> None:
    natural, manual = tmp_path / "Dataset/LLMBar/Natural", tmp_path / "Dataset/LLMBar/Adversarial/Manual"
    for folder, label in ((natural, 2), (manual, 1)):
        item = {"input": "Say 1.", "output_1": "2", "output_2": "1", "label": label}
        both = {
            "swap = False": {"completion": ["Output (b)"], "winner": "2"},
            "swap = True": {"completion": ["?"], "winner": "N/A"},
        }
        for method in ("CoT", "Rating"):
            (folder / "evaluators" / "Judge" / method).mkdir(parents=True)
            (folder / "evaluators" / "Judge" / method / "result.json").write_text(
                json.dumps([{**item, "results": [both]}])
            )
        (folder / "dataset.json").write_text(json.dumps([item]))
    pairs = rows("llmbar", tmp_path)
    assert [(row["id"], row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in pairs] == [
        ("llmbar-Natural-0", "1", "2"), ("llmbar-Manual-0", "2", "1"),
    ]  # fmt: skip
    votes = rows("llmbar_votes", tmp_path)
    assert [(v["pair"], v["judge"], v["method"], v["swapped"], v["text"], v["winner"], v["label"]) for v in votes] == [
        ("llmbar-Natural-0", "Judge", "CoT", False, "Output (b)", 2, 2),
        ("llmbar-Natural-0", "Judge", "CoT", True, "?", None, 2),
        ("llmbar-Manual-0", "Judge", "CoT", False, "Output (b)", 2, 1),
        ("llmbar-Manual-0", "Judge", "CoT", True, "?", None, 1),
    ]
