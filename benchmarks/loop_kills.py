"""Kill a loop at random moments with SIGKILL and go on: the same decisions, the same weights, and no process left behind.

    python -m benchmarks.loop_kills [--kills 20] [--rounds 2] [--seed 0]

Feedback and evaluation are the replay engine's; a tiny model is really trained.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import psutil
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.common import ROOT, show, write_constitution, write_prompts
from benchmarks.styles import STYLES
from training.loop.record import DONE

OUT = "loop"
_END_SECONDS = 30.0
"""How long processes of a killed loop may take to be gone."""


def write_model(folder: Path) -> None:
    """A random model of two layers, as a checkpoint."""
    torch.manual_seed(0)
    tokenizer = STYLES["chatml"]()
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    end = tokenizer.eos_token_id
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=512,
        eos_token_id=end,
        pad_token_id=end,
        bos_token_id=None,
        **shape,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_inputs(folder: Path, rounds: int) -> None:
    """Everything that a loop in the folder needs."""
    folder.mkdir()
    write_model(folder / "model")
    write_constitution(folder / "constitution.yaml", 2)
    lines = write_prompts(folder / "prompts.jsonl", 48).read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "prompts.jsonl").write_text("".join(lines[:40]), encoding="utf-8")
    (folder / "held_out.jsonl").write_text("".join(lines[40:]), encoding="utf-8")
    replay = {"engine": "replay", "plan": {"samples": 2, "controls": 4}}
    training = {
        "batch_size": 4,
        "micro_batch_size": 2,
        "epochs": 2,
        "precision": "fp32",
        "report_to": [],
        "save_every": 2,
    }
    settings = {
        "model": "model",
        "constitution": "constitution.yaml",
        "prompts": "prompts.jsonl",
        "prompts_per_round": 12,
        "feedback": replay,
        "phases": [{"recipe": "dpo", "rounds": rounds, "training": {**training, "learning_rate": 0.01}}],
        # a gate that a random model may fail: a round that is tried again is part of what must come out the same
        "evaluation": {"prompts": "held_out.jsonl", "settings": replay, "probes": False},
        "gates": {"win": 0.5},
        "stop": False,
    }
    (folder / "loop.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def start(folder: Path) -> subprocess.Popen[bytes]:
    """The loop's command, in its folder."""
    command = [sys.executable, "-m", "training", "loop", "--config", "loop.yaml", "--out", OUT]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=quiet, stderr=quiet
    )


def kill_after(folder: Path, seconds: float) -> tuple[bool, int]:
    """Start, kill the loop alone. Whether it was still there; processes of its own that were left after a while."""
    loop = start(folder)
    try:
        loop.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        family = psutil.Process(loop.pid).children(recursive=True)
        loop.kill()
        loop.wait()
        return True, len(psutil.wait_procs(family, timeout=_END_SECONDS)[1])
    return False, 0


def made(folder: Path) -> dict[str, str]:
    """What came out: loop.json, and the weights of every try that was kept."""
    files = [folder / OUT / DONE, *sorted((folder / OUT).glob("round-*/attempt-*/checkpoint/model.safetensors"))]
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> None:
    """Kill, go on, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="of the loop (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        write_inputs(whole, options.rounds)
        began = time.monotonic()
        code = start(whole).wait()
        seconds = time.monotonic() - began
        expected = made(whole)
        decisions = json.loads((whole / OUT / DONE).read_text(encoding="utf-8"))["decisions"]
        print(f"undisturbed: exit code {code}, {len(decisions)} tries in {seconds:.0f} s")
        done = loops = different = left = 0
        while done < options.kills:
            folder = Path(name) / f"killed-{loops}"
            write_inputs(folder, options.rounds)
            loops += 1
            while done < options.kills:
                hit, over = kill_after(folder, dice.uniform(0.3, 0.6 * seconds))
                left += over
                if not hit:
                    break
                done += 1
            different += start(folder).wait() != code or made(folder) != expected
            print(f"{done} kills so far, {different} loops that came out differently", flush=True)
    show(f"loops that came out differently, after {done} kills over {loops} loops", different, "loops", "0")
    show("processes left behind", left, "processes", "0")
    assert (different, left) == (0, 0)


if __name__ == "__main__":
    main()
