"""Settings of a recipe on rows -> what reads its rows, what makes token ids of them, and the recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from generation.models.encoder import Encoder
from training.config import Training
from training.data import rows
from training.data.encode import EncodedSplit, encode_pairs, encode_targets
from training.data.ranked import encode_ranked
from training.data.rows import Split
from training.data.stepwise import encode_stepwise
from training.data.unpaired import encode_unpaired
from training.recipes.config import DPO, KTO, ORPO, SFT, Process, Reward, SimPO
from training.recipes.dpo import DPORecipe
from training.recipes.kto import KTORecipe
from training.recipes.process import ProcessRecipe
from training.recipes.ranking import RankingDPORecipe, RankingRewardRecipe
from training.recipes.recipe import Recipe
from training.recipes.reward import RewardRecipe
from training.recipes.sft import SFTRecipe
from training.recipes.unreferenced import ORPORecipe, SimPORecipe


class Kind(NamedTuple):
    """What a recipe is made of. Each function is given the recipe's settings."""

    read: Callable[[Any], Split]
    """Raises UserError."""
    encode: Callable[[Sequence[Any], Encoder, Any], EncodedSplit]
    recipe: Callable[[Any], Recipe]


def of(settings: Training) -> Kind:
    """The kind that the settings are of."""
    ranks = isinstance(settings, DPO | Reward) and settings.loss == "plackett_luce"
    return (_RANKINGS if ranks else _KINDS)[type(settings)]


def _pairs(settings: DPO | Reward | SimPO | ORPO) -> Split:
    return rows.pairs(settings, margins=isinstance(settings, DPO | Reward) and settings.margins)


def _targets(settings: SFT) -> Split:
    return rows.targets(settings, settings.train_on)


def _encoded_pairs(split: Sequence[Any], encoder: Encoder, settings: DPO | Reward | SimPO | ORPO) -> EncodedSplit:
    return encode_pairs(split, encoder, settings, settings.labels)


def _unpaired(split: Sequence[Any], encoder: Encoder, settings: KTO) -> EncodedSplit:
    return encode_unpaired(split, encoder, settings, settings.labels, settings.loss == "kto")


def _steps(split: Sequence[Any], encoder: Encoder, settings: Process) -> EncodedSplit:
    return encode_stepwise(split, encoder, settings, settings.separator)


_KINDS: Mapping[type[Training], Kind] = {
    SFT: Kind(_targets, encode_targets, lambda _: SFTRecipe()),
    Reward: Kind(_pairs, _encoded_pairs, RewardRecipe),
    DPO: Kind(_pairs, _encoded_pairs, DPORecipe),
    SimPO: Kind(_pairs, _encoded_pairs, SimPORecipe),
    ORPO: Kind(_pairs, _encoded_pairs, ORPORecipe),
    KTO: Kind(rows.judged, _unpaired, KTORecipe),
    Process: Kind(rows.stepwise, _steps, ProcessRecipe),
}
_RANKINGS: Mapping[type[Training], Kind] = {
    Reward: Kind(rows.rankings, encode_ranked, RankingRewardRecipe),
    DPO: Kind(rows.rankings, encode_ranked, RankingDPORecipe),
}
