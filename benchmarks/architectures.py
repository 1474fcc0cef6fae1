"""Every family of causal language models in transformers, tiny and random: our log-probabilities against the model's own.

    python -m benchmarks.architectures [--only NAME ...]

Each is built with a configuration of its own kind, small where the kind lets it be. Log-probabilities of responses, packed and
padded, are held against the logits of the same weights in evaluation mode with eager attention, one sequence at a time. Printed
are how many families agree to 1e-4 in one layout or both, are refused in words, and disagree (0), and those that cannot be built
small. A few minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import signal
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from benchmarks.common import show
from constitution.errors import UserError
from generation.engines.checkpoint import ModelFiles
from generation.engines.quiet import quiet
from training.data.batches import Example, collate
from training.model.loading import load_policy
from training.recipes.config import SFT

WITHIN = 1e-4
"""Largest difference of a log-probability, in nats."""
SECONDS = 40
MOST = 30_000_000
"""Parameters of the largest model that is tried."""
LENGTH = 64
SMALL: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": LENGTH, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": LENGTH, "d_model": 32, "n_heads": 4, "n_layers": 2,
    "n_inner": 48, "ffn_dim": 48, "word_embed_proj_dim": 32, "max_seq_len": LENGTH, "attention_heads": 4, "num_layers": 2,
    "num_heads": 4, "ffn_hidden_size": 48, "num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "moe_intermediate_size": 24, "n_group": 1, "topk_group": 1, "n_shared_experts": 1, "q_lora_rank": 16,
    "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "first_k_dense_replace": 1,
    "embedding_dim": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 48, "encoder_layers": 1,
    "encoder_attention_heads": 4, "encoder_ffn_dim": 48, "rotary_dim": 8, "shared_expert_intermediate_size": 24,
    "expert_ffn_hidden_size": 24, "vocab_size_per_layer_input": 64, "hidden_size_per_layer_input": 8, "moe_num_experts": 4,
    "moe_k": 2, "dropout": 0.1, "attention_dropout": 0.1, "hidden_dropout": 0.1, "resid_pdrop": 0.1, "embd_pdrop": 0.1,
    "attn_pdrop": 0.1,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 4},
    "falcon": {"new_decoder_architecture": False},
    "diffllama": {"attention_dropout": 0.0},
    "gemma2": {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
}
"""Settings of a family beside the small sizes."""
SAMPLE = ("llama", "gemma2", "gpt2", "nemotron", "gpt_oss", "nanochat", "doge", "mixtral")
"""Families that a test tries: plain, soft caps, learnt positions, no packing by kind, no fused attention, experts."""


def ids(n: int, seed: int) -> list[int]:
    """Token ids that are no control tokens."""
    drawn: list[int] = torch.randint(3, 60, (n,), generator=torch.Generator().manual_seed(seed)).tolist()
    return drawn


ROWS = [
    Example(ids(5, 0), [ids(4, 1), ids(7, 2)]),
    Example(ids(2, 4), [ids(2, 5)]),
    Example(ids(8, 6), [ids(3, 7), ids(3, 8)]),
]


def build(name: str) -> Any:
    """A family's model with random weights that are large enough to tell layers apart. Raises whatever its code raises."""
    kind = CONFIG_MAPPING[name]
    known = {*kind().to_dict(), *(getattr(kind, "attribute_map", None) or {})}
    names = getattr(kind, "attribute_map", None) or {}
    sizes = {key: value for key, value in (SMALL | OWN.get(name, {})).items() if key in known}
    sizes = {key: value for key, value in sizes.items() if names.get(key) not in sizes}
    try:
        config = kind(**sizes)
    except Exception:
        config = kind(**{key: value for key, value in sizes.items() if "drop" not in key})
    layers = getattr(config, "num_hidden_layers", 2)
    if len(getattr(config, "layer_types", None) or ()) > layers:
        config.layer_types = config.layer_types[:layers]
    with torch.device("meta"):
        count = sum(weight.numel() for weight in AutoModelForCausalLM.from_config(config).parameters())
    if count > MOST:
        raise ValueError(f"{count:,} parameters")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    g = torch.Generator().manual_seed(1)
    for part, weight in sorted(model.named_parameters()):
        scale = 0.2 if weight.dim() > 1 else 0.05 if "bias" in part else 0.0
        weight.data += torch.randn(weight.shape, generator=g) * scale
    return model.eval()


@torch.no_grad()  # type: ignore[untyped-decorator]
def own(model: Any) -> Any:
    """Log-probabilities of all responses' tokens by the model's own logits."""
    found = []
    for row in ROWS:
        for response in row.responses:
            tokens = torch.tensor([[*row.prompt, *response]])
            logits = model(input_ids=tokens, use_cache=False).logits[0, len(row.prompt) - 1 : -1].float()
            found.append(logits.log_softmax(-1).gather(-1, torch.tensor(response)[:, None])[:, 0])
    return torch.cat(found)


@torch.no_grad()  # type: ignore[untyped-decorator]
def trained(folder: Path, layout: Any) -> tuple[str, Any]:
    """(the layout that was taken, log-probabilities) as they are in training. Raises ModelError where the family is refused."""
    files = ModelFiles(folder.name, folder, "0" * 32, LENGTH)
    module = load_policy(files, SFT(layout=layout, max_length=LENGTH, precision="fp32")).train()
    return module.layout, module(collate(ROWS, module.layout)).logprobs


def outcome(name: str, folder: Path) -> dict[str, str]:
    """Layout -> right, told or wrong, with what was said or how far it is off; `built` where no model could be made."""
    try:
        model = build(name)
        wanted = own(model)
        model.save_pretrained(folder)
    except Exception as error:
        return {"built": f"{type(error).__name__}: {error}"[:200]}
    found: dict[str, str] = {}
    for layout in ("auto", "padded"):
        try:
            taken, values = trained(folder, layout)
        except UserError as error:
            found[layout] = f"told: {error}"
            continue
        except TimeoutError:
            raise
        except Exception as error:
            found[layout] = f"wrong: {type(error).__name__}: {error}"[:300]
            continue
        apart = float((values - wanted).abs().max())
        found[taken] = "right" if apart < WITHIN else f"wrong: {apart:.3g} nats apart"
    return found


def tried(name: str) -> dict[str, str]:
    """As `outcome`, for a family that takes no longer than it may."""

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return outcome(name, Path(folder) / "model")
    except TimeoutError as error:
        return {"built": str(error)}
    finally:
        signal.alarm(0)


def main() -> None:
    """Print each family that is not right, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES), metavar="NAME")
    names = parser.parse_args().only
    quiet()
    torch.set_num_threads(1)
    counts: Counter[str] = Counter()
    for name in names:
        found = tried(name)
        kinds = {value.partition(":")[0] for layout, value in found.items() if layout != "built"}
        kind = (
            "unbuilt"
            if "built" in found
            else "wrong"
            if "wrong" in kinds
            else "told"
            if "right" not in kinds
            else "right"
        )
        counts[kind] += 1
        counts["packed"] += found.get("packed") == "right"
        counts["padded"] += found.get("padded") == "right"
        if kind != "right":
            print(json.dumps({"family": name, "outcome": kind, **found}), flush=True)
    show(
        "families that could be built small",
        counts.total() - counts["unbuilt"] - counts["packed"] - counts["padded"],
        "",
        "",
    )
    show("right", counts["right"], "families", "all that are not told")
    show("right, packed", counts["packed"], "families", "")
    show("right, padded", counts["padded"], "families", "")
    show("told", counts["told"], "families", "")
    show("wrong", counts["wrong"], "families", "0")
    show("could not be built small", counts["unbuilt"], "families", "")


if __name__ == "__main__":
    main()
