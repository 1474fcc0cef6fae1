"""Our losses beside TRL's: the methods of its trainers, on tiny random models and batches that its own collators made."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from generation.engines.quiet import quiet
from training.ppo.losses import entropy, group_advantages, kl_estimates, policy_loss, token_rewards
from training.recipes.losses import DPOKind, bradley_terry, dpo, length_normalized, reference_free

pytestmark = pytest.mark.model

BETA = 0.3
REPLIES = (" a b c d", " b a", " c c e f g", " d", " g f e d c b a", " e a e", " f b", " h h g a")
PAIRS = {"prompt": ["a b", "c", "d e f", "g h"], "chosen": REPLIES[:4], "rejected": REPLIES[4:]}


@pytest.fixture(scope="module")
def trl() -> Any:
    """TRL, kept from talking."""
    quiet()
    import trl

    return trl


@pytest.fixture(scope="module")
def tokenizer(trl: Any) -> Any:
    """One token a letter; pad is not eos here, since TRL's reward model pools by pad."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(("<pad>", "<unk>", "<end>", *"abcdefgh"))}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", eos_token="<end>")


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {
        "output_dir": str(tmp_path_factory.mktemp("trl")), "per_device_train_batch_size": 4, "report_to": "none", "use_cpu": True,
        "bf16": False, "gradient_checkpointing": False, "disable_tqdm": True,
    }  # fmt: skip


def tiny(kind: str, seed: int, **more: Any) -> Any:
    """A random Llama whose weights are large enough that its opinions are strong."""
    import transformers

    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=11, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, pad_token_id=0,
        eos_token_id=2, initializer_range=0.3, max_position_embeddings=64, **more,
    )  # fmt: skip
    return getattr(transformers, kind)(config)


def token_logps(model: Any, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Log-probability of every token but the first, [rows, tokens - 1]."""
    with torch.no_grad():
        logits = model(input_ids=input_ids, attention_mask=attention_mask).logits[:, :-1]
    return logits.log_softmax(-1).gather(2, input_ids[:, 1:, None]).squeeze(2)


# DPO


@pytest.fixture(scope="module")
def preference(trl: Any, tokenizer: Any, arguments: dict[str, Any]) -> Any:
    """TRL's DPO trainer with policy and reference apart."""
    from datasets import Dataset

    return trl.DPOTrainer(
        tiny("LlamaForCausalLM", 1), tiny("LlamaForCausalLM", 2), args=trl.DPOConfig(**arguments, beta=BETA),
        train_dataset=Dataset.from_dict(PAIRS), processing_class=tokenizer,
    )  # fmt: skip


@pytest.fixture(scope="module")
def batch(preference: Any) -> dict[str, Tensor]:
    return dict(next(iter(preference.get_train_dataloader())))


def log_ratios(trainer: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Log-ratios of all chosen, then all rejected responses [2n], their tokens [2n], and the policy's log-probabilities."""
    mask, inputs = batch["completion_mask"][:, 1:], (batch["input_ids"], batch["attention_mask"])
    policy, reference = ((token_logps(m, *inputs) * mask).sum(1) for m in (trainer.model, trainer.ref_model))
    return policy - reference, mask.sum(1), policy


def theirs(trainer: Any, batch: dict[str, Tensor], kind: str, smoothing: float = 0.0) -> Tensor:
    trainer.loss_types, trainer.loss_weights, trainer.label_smoothing = [kind], [1.0], smoothing
    return trainer._compute_loss(trainer.model, dict(batch), False).detach()


def test_the_log_ratios_are_far_enough_apart_to_tell_losses_from_one_another(
    preference: Any, batch: dict[str, Tensor]
) -> None:
    ratios, lengths, _ = log_ratios(preference, batch)
    margins = BETA * (ratios[:4] - ratios[4:])
    assert margins.abs().max() > 1
    assert lengths.unique().numel() > 3


@pytest.mark.parametrize(
    ("kind", "name", "smoothing", "per_token"),
    [
        ("soft", "sigmoid", 0.0, False),
        ("sigmoid", "sigmoid", 0.0, False),
        ("gdpo", "sigmoid", 0.0, False),
        ("robust", "robust", 0.2, False),
        ("ipo", "ipo", 0.0, True),
        ("soft", "sigmoid_norm", 0.0, True),
    ],
)
def test_dpo(
    preference: Any, batch: dict[str, Tensor], kind: DPOKind, name: str, smoothing: float, per_token: bool
) -> None:
    ratios, lengths, _ = log_ratios(preference, batch)
    chosen, rejected = (length_normalized(ratios, lengths) if per_token else ratios).chunk(2)
    ours = dpo(chosen, rejected, torch.ones(4), BETA, kind, smoothing).mean()
    torch.testing.assert_close(ours, theirs(preference, batch, name, smoothing))


@pytest.mark.parametrize(("kind", "smoothing"), [("soft", 0.0), ("robust", 0.2)])
def test_a_soft_label_is_both_hard_labels_in_their_shares(
    preference: Any, batch: dict[str, Tensor], kind: DPOKind, smoothing: float
) -> None:
    swapped = {name: torch.cat([x[4:], x[:4]]) for name, x in batch.items()}
    name = "sigmoid" if kind == "soft" else kind
    mixed = 0.7 * theirs(preference, batch, name, smoothing) + 0.3 * theirs(preference, swapped, name, smoothing)
    chosen, rejected = log_ratios(preference, batch)[0].chunk(2)
    torch.testing.assert_close(dpo(chosen, rejected, torch.full((4,), 0.7), BETA, kind, smoothing).mean(), mixed)


def test_the_gradient_of_dpo_reaches_the_weights_alike(preference: Any, batch: dict[str, Tensor]) -> None:
    model = preference.model
    preference.loss_types, preference.loss_weights = ["sigmoid"], [1.0]
    model.zero_grad()
    preference._compute_loss(model, dict(batch), False).backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    mask, ids = batch["completion_mask"][:, 1:], batch["input_ids"][:, 1:, None]
    policy = (logits.log_softmax(-1).gather(2, ids).squeeze(2) * mask).sum(1)
    ratios, _, detached = log_ratios(preference, batch)
    chosen, rejected = (policy - detached + ratios).chunk(2)
    dpo(chosen, rejected, torch.ones(4), BETA).mean().backward()
    torch.testing.assert_close([p.grad for p in model.parameters()], expected, rtol=1e-3, atol=1e-5)
    model.zero_grad()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_no_reference_and_conservative_labels(trl: Any, smoothing: float) -> None:
    """CPO's loss has no reference, and smooths labels conservatively; its method needs nothing but its settings."""
    from trl.experimental.cpo import CPOTrainer

    settings = SimpleNamespace(
        alpha=0.0, beta=BETA, loss_type="sigmoid", label_smoothing=smoothing, accelerator=SimpleNamespace(device="cpu")
    )
    chosen, rejected = torch.randn(2, 16, generator=torch.Generator().manual_seed(0)) * 5
    expected, _, _ = CPOTrainer.cpo_loss(settings, chosen, rejected)
    torch.testing.assert_close(dpo(chosen, rejected, torch.ones(16), BETA, "cdpo", smoothing), expected)
    if not smoothing:
        torch.testing.assert_close(reference_free(chosen, rejected, BETA), expected)


# Reward models


@pytest.mark.parametrize("center", [0.0, 0.05])
@pytest.mark.parametrize("margin", [None, (0.5, 0.0, 1.5, 3.0)])
def test_bradley_terry(
    trl: Any, tokenizer: Any, arguments: dict[str, Any], center: float, margin: tuple[float, ...] | None
) -> None:
    from datasets import Dataset

    rows = {
        name: [f"{p}{response}" for p, response in zip(PAIRS["prompt"], PAIRS[name], strict=True)]
        for name in ("chosen", "rejected")
    }
    trainer = trl.RewardTrainer(
        tiny("LlamaForSequenceClassification", 3, num_labels=1),
        args=trl.RewardConfig(**arguments, center_rewards_coefficient=center or None),
        train_dataset=Dataset.from_dict(rows | ({"margin": margin} if margin else {})), processing_class=tokenizer,
    )  # fmt: skip
    batch = dict(next(iter(trainer.get_train_dataloader())))
    with torch.no_grad():
        logits = trainer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    chosen, rejected = logits.squeeze(1).chunk(2)
    ours = bradley_terry(chosen, rejected, 1.0, batch.get("margin"), center).mean()
    assert (chosen - rejected).abs().max() > 0.1
    torch.testing.assert_close(ours, trainer.compute_loss(trainer.model, dict(batch)).detach())


# Policies

SCORES = [1.0, 2.0, 6.0, -1.0, 0.5, 0.5, 0.0, 3.0]
"""Of two groups of four responses."""


def sampler(trl: Any, tokenizer: Any, arguments: dict[str, Any], kind: str, beta: float, **settings: Any) -> Any:
    """TRL's GRPO or RLOO trainer with a reference of its own."""
    from datasets import Dataset
    from trl.trainer.utils import add_fused_lm_head

    trainer = getattr(trl, f"{kind}Trainer")(
        tiny("LlamaForCausalLM", 1), reward_funcs=lambda completions, **_: SCORES, processing_class=tokenizer,
        args=getattr(trl, f"{kind}Config")(
            **(arguments | {"per_device_train_batch_size": 8}), num_generations=4, max_completion_length=6, beta=0.0, **settings
        ),
        train_dataset=Dataset.from_dict({"prompt": PAIRS["prompt"]}),
    )  # fmt: skip
    trainer.beta, trainer.ref_model = beta, tiny("LlamaForCausalLM", 2).eval()
    add_fused_lm_head(trainer.ref_model)  # what TRL does to a reference that it loads itself
    return trainer


def sampled(trainer: Any) -> tuple[dict[str, Any], Tensor, Tensor, Tensor]:
    """Responses that TRL sampled and scored, and log-probabilities of their tokens under policy and reference, with their mask."""
    torch.manual_seed(4)
    rows = [{"prompt": prompt} for prompt in PAIRS["prompt"][:2] for _ in range(4)]
    found = trainer._generate_and_score_completions(rows)
    ids, attention = (torch.cat([found[f"prompt_{x}"], found[f"completion_{x}"]], 1) for x in ("ids", "mask"))
    tokens = found["completion_ids"].shape[1]
    policy, reference = (token_logps(m, ids, attention)[:, -tokens:] for m in (trainer.model, trainer.ref_model))
    assert found["completion_mask"].sum(1).unique().numel() > 2  # of several lengths
    return found, policy, reference, found["completion_mask"]


@pytest.mark.parametrize("scale", ["group", "none"])
def test_group_advantages(trl: Any, tokenizer: Any, arguments: dict[str, Any], scale: str) -> None:
    found = sampled(sampler(trl, tokenizer, arguments, "GRPO", 0.0, scale_rewards=scale))[0]
    ours = group_advantages(torch.tensor(SCORES).view(2, 4), scale=scale == "group")
    torch.testing.assert_close(ours.flatten(), found["advantages"])


def test_leave_one_out_on_rewards_with_the_kl_inside(trl: Any, tokenizer: Any, arguments: dict[str, Any]) -> None:
    found, policy, reference, mask = sampled(sampler(trl, tokenizer, arguments, "RLOO", 0.05))
    rewards = token_rewards(torch.tensor(SCORES), policy, reference, mask, 0.05).sum(1)
    assert (rewards - torch.tensor(SCORES)).abs().max() > 0.1
    ours = group_advantages(rewards.view(2, 4), baseline="leave_one_out")
    torch.testing.assert_close(ours.flatten(), found["advantages"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("high", [0.2, 0.6])
@pytest.mark.parametrize("beta", [0.0, 0.05])
def test_policy_loss_and_kl(trl: Any, tokenizer: Any, arguments: dict[str, Any], beta: float, high: float) -> None:
    """TRL's GRPO adds k3 to each token's loss (weighted by the ratio unless told not to); `bnpo` is its mean over tokens."""
    trainer = sampler(
        trl,
        tokenizer,
        arguments,
        "GRPO",
        beta,
        loss_type="bnpo",
        epsilon=0.2,
        epsilon_high=high,
        use_bias_correction_kl=False,
    )
    found, policy, reference, mask = sampled(trainer)
    old = policy + 0.5 * torch.randn(policy.shape, generator=torch.Generator().manual_seed(5))
    trainer.current_gradient_accumulation_steps = 1
    theirs = trainer._compute_loss(trainer.model, found | {"old_per_token_logps": old}).detach()
    ours = policy_loss(policy, old, found["advantages"][:, None], mask, 0.2, high)
    kl = kl_estimates(policy, reference, mask).k3.sum() / mask.sum()
    assert 0.1 < ours.clip_fraction < 0.9
    assert kl > 0.5
    torch.testing.assert_close(ours.loss + beta * kl, theirs, rtol=1e-4, atol=1e-5)
    assert ours.clip_fraction.item() == pytest.approx(trainer._metrics["train"]["clip_ratio/region_mean"][-1], rel=1e-5)


def test_entropy(trl: Any) -> None:
    from trl.trainer.utils import entropy_from_logits

    logits = torch.randn(3, 5, 200, generator=torch.Generator().manual_seed(6)) * 4
    torch.testing.assert_close(entropy(logits), entropy_from_logits(logits))
