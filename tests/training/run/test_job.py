"""A training run keeps the day that chat templates take for today."""

import datetime
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from benchmarks.tiny import some_targets
from generation.engines.checkpoint import load_tokenizer
from generation.models.files import resolve
from training.recipes.config import SFT
from training.run import folder, job

DAY = datetime.date(2001, 2, 3)


def test_a_template_that_prints_the_day_gives_the_same_rows_on_another_day(
    tiny: Path, tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    tokenizer = load_tokenizer(resolve(str(model)))
    tokenizer.chat_template = (
        "{% for _ in range((strftime_now('%Y') | int) - 2000) %}{{ 'why ' }}{% endfor %}" + tokenizer.chat_template
    )
    tokenizer.save_pretrained(model)
    settings = SFT.model_validate(
        {"model": str(model), "data": {str(write_rows(some_targets(24))): 1.0}, "batch_size": 8}
    )
    out = tmp_path / "out"
    fresh = job.prepare(settings, out)
    assert fresh.run_record["date"] == datetime.date.today().isoformat()
    out.mkdir(exist_ok=True)
    folder.claim(out, {**fresh.run_record, "date": DAY.isoformat()})
    begun = job.prepare(settings, out)
    assert begun.run_record["date"] == yaml.safe_load((out / "training.yaml").read_text())["date"] == DAY.isoformat()
    assert begun.train.digest != fresh.train.digest, "the prompts have the day of the first start"
    assert job.prepare(settings, out).train.digest == begun.train.digest
