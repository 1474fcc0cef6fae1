"""Runs of twelve shapes, each loaded by datasets, TRL's trainers, pandas, polars and DuckDB, rows compared: how many each takes.

    python -m benchmarks.loads [--only SHAPE] [--keep FOLDER]

polars and DuckDB are no dependencies of the project: `pip install polars duckdb` in an environment of your own first.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import yaml

from benchmarks.common import replay, settings, show
from generation.engines.quiet import quiet
from generation.output.dataset import DATASETS
from generation.output.reading import split_files


def _function(name: str, **properties: object) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "description": f"It can {name}.", "parameters": parameters}}


TOOL, OTHER = _function("look", at={"type": "string"}), _function("add")
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": {"at": "sky"}}}
CALLED = [
    {"role": "user", "content": "What is above?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "It is blue.", "tool_call_id": "c1", "name": "look"},
    {"role": "user", "content": "And below?"},
]  # fmt: skip
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who are you?"},
    {"role": "assistant", "content": "A program."},
    {"role": "user", "content": "Whose?"},
]
STRANGE = (
    "\u202eright to left\u202c",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 👩‍👩‍👧 עברית العربية",
    "\x1b[31mred\x07",
    "line\r\nline\u2028line\x0b",
    "\x00 nul",
    "<|im_end|>",
    " ",
)


class Shape(NamedTuple):
    """A run to make."""

    name: str
    rows: Sequence[Mapping[str, Any]]
    changes: Mapping[str, object] = {}
    check: str = ""
    """`rules`: principles by rule alone, one of them a veto."""


def _asked(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"Question number {i}: what is {i} times {i}?"} for i in range(count)]


def _tooled(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"Look at {i}.", "tools": [TOOL, OTHER]} for i in range(count)]


def _given(texts: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"id": f"{i}/{text}", "prompt": f"{text} {i}?", "responses": [f"Yes {text}", f"No {text}, never."]}
        for i, text in enumerate(texts)
    ]


SHAPES = (
    Shape("one prompt", _asked(1)),
    Shape("two prompts", _asked(2)),
    Shape("five prompts", _asked(5)),
    Shape("fifty prompts", _asked(50)),
    Shape("tools", [*_tooled(4), {"prompt": CALLED, "tools": [TOOL]}, *_asked(2)]),
    Shape("given responses", _given([f"Topic {i}" for i in range(6)])),
    Shape("no target", _given([f"Topic {i}" for i in range(6)]), {"sft.targets": "revised"}),
    Shape("no pair", _asked(6), {"plan.min_log_odds": 1000, "sft.targets": "all"}),
    Shape("rules and a veto alone", _asked(8), {}, "rules"),
    Shape("a panel", _asked(6), {"panel": [{"name": "second", "model": "embedded"}]}),
    Shape("conversations, tags, metadata", [{"prompt": TURNS, "tags": ["safe"], "source": {"page": i}} for i in range(6)]),
    Shape("strange characters", _given(STRANGE), {"max_failed": 0.9}),
)  # fmt: skip


def make(shape: Shape, folder: Path) -> Path:
    """The finished run."""
    folder.mkdir(parents=True)
    rule = {"id": "short", "objective": "good", "text": "Be short.", "check": {"max_words": 6}, "veto": True}
    kind = {"id": "kind", "objective": "good", "text": "Be kind."}
    laws = {
        "name": "laws",
        "version": 1,
        "objectives": {"good": 1.0},
        "principles": [rule] if shape.check else [kind, rule],
    }
    (folder / "laws.yaml").write_text(yaml.safe_dump(laws), encoding="utf-8")
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shape.rows), encoding="utf-8")
    replay(folder / "laws.yaml", folder / "prompts.jsonl", folder / "run", *settings(shape.changes))
    return folder / "run"


def expected(run: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Dataset -> split -> rows, of all that the run wrote."""
    return {
        name: {split: pq.read_table(path).to_pylist() for split, path in files}
        for name in DATASETS
        if (files := split_files(run, name))
    }


def decoded(value: Any) -> Any:
    """Rows with the arguments of calls as objects: the card says that they are JSON, and datasets reads them so."""
    if isinstance(value, list):
        return [decoded(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: json.loads(one) if key == "arguments" and one else decoded(one) for key, one in value.items()}


def by_datasets(run: Path) -> None:
    """Every config that the card lists, and the one that is loaded without a name."""
    import datasets

    with tempfile.TemporaryDirectory() as cache:
        for name, splits in expected(run).items():
            found = datasets.load_dataset(str(run), name, cache_dir=cache)
            assert {split: rows.to_list() for split, rows in found.items()} == decoded(splits)
        first = next(iter(expected(run).values()))
        assert {*datasets.load_dataset(str(run), cache_dir=cache)} == {*first}


def by_trl(run: Path) -> None:
    """A step of each trainer on the datasets as they are."""
    import datasets
    import transformers
    import trl

    tokenizer = _tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=8192, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        transformers.LlamaForCausalLM(config).save_pretrained(f"{scratch}/model")
        transformers.LlamaForSequenceClassification(
            transformers.LlamaConfig(**{**config.to_dict(), "num_labels": 1})
        ).save_pretrained(f"{scratch}/reward")
        common: dict[str, Any] = {
            "output_dir": f"{scratch}/out", "max_steps": 1, "per_device_train_batch_size": 1, "report_to": "none", "use_cpu": True,
            "bf16": False, "gradient_checkpointing": False, "save_strategy": "no", "disable_tqdm": True, "max_length": 2048,
        }  # fmt: skip
        trainers = {
            "preferences": [("DPO", f"{scratch}/model"), ("Reward", f"{scratch}/reward")],
            "sft": [("SFT", f"{scratch}/model")],
        }
        for name in expected(run):
            loaded = datasets.load_dataset(str(run), name, cache_dir=f"{scratch}/cache")
            for kind, model in trainers[name]:
                arguments = getattr(trl, f"{kind}Config")(**common)
                trainer = getattr(trl, f"{kind}Trainer")(
                    model, args=arguments, train_dataset=loaded["train"], processing_class=tokenizer
                )
                assert trainer.train().training_loss > 0


def _tokenizer() -> Any:
    """A token a byte, with a chat template that shows tools and calls."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {
        letter: i for i, letter in enumerate(["<pad>", "<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())])
    }
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<end>")
    made.chat_template = (
        "{% if tools %}{% for tool in tools %}{{ tool.function.name }}: {{ tool.function.description }}\n{% endfor %}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content or '' }}{% for c in m.tool_calls or [] %}{{ c.function.name }}"
        "({{ c.function.arguments }}){% endfor %}<end>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    return made


def by_pandas(run: Path) -> None:
    """Every parquet file."""
    import pandas as pd

    for path in sorted(run.rglob("*.parquet")):
        found, table = pd.read_parquet(path), pq.read_table(path)
        assert [*found.columns] == table.column_names
        assert len(found) == table.num_rows
        for name in table.column_names:
            if table.schema.field(name).type in ("string", "double", "bool"):
                assert [None if pd.isna(value) else value for value in found[name]] == table[name].to_pylist()


def by_polars(run: Path) -> None:
    """Every parquet file."""
    import polars as pl

    for path in sorted(run.rglob("*.parquet")):
        assert pl.read_parquet(path).to_dicts() == pq.read_table(path).to_pylist()


def by_duckdb(run: Path) -> None:
    """Every parquet file."""
    import duckdb

    for path in sorted(run.rglob("*.parquet")):
        found, table = duckdb.sql(f"SELECT * FROM read_parquet('{path}')"), pq.read_table(path)
        assert found.columns == table.column_names
        assert [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()] == table.to_pylist()


LOADERS: Mapping[str, Callable[[Path], None]] = {
    "datasets": by_datasets, "TRL": by_trl, "pandas": by_pandas, "polars": by_polars, "DuckDB": by_duckdb,
}  # fmt: skip


def main() -> None:
    """Make the runs, load them, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="one shape, by its name")
    parser.add_argument("--keep", type=Path, help="where the runs go, to look at them")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    quiet()
    right = dict.fromkeys(LOADERS, 0)
    shapes = [shape for shape in SHAPES if options.only in (None, shape.name)]
    with tempfile.TemporaryDirectory() as scratch:
        for i, shape in enumerate(shapes):
            run = make(shape, (options.keep or Path(scratch)) / str(i))
            told = {
                name: {split: len(rows) for split, rows in splits.items()} for name, splits in expected(run).items()
            }
            for name, load in LOADERS.items():
                try:
                    load(run)
                    right[name] += 1
                except Exception as error:  # counted and told, whatever it is
                    print(f"{shape.name}: {name}: {type(error).__name__}: {str(error)[:500]}")
            print(f"{shape.name}: {told}", flush=True)
    for name, count in right.items():
        show(f"runs that {name} loads", count, f"of {len(shapes)}", f"= {len(shapes)}")


if __name__ == "__main__":
    main()
