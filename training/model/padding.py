"""The padding token of a classifier, by which other programs find a row's end."""

from __future__ import annotations

from transformers import PretrainedConfig, PreTrainedTokenizerBase


def choose_padding(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, end_of_turn: int) -> None:
    """Name a padding token that no conversation holds, for classifiers that find a row's end by it.

    transformers' sequence classifiers read the last token that is not padding. Where padding equals the token that ends a
    turn they would read the one before it.
    """
    kept = config.pad_token_id
    if kept is None or kept == end_of_turn:
        added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
        template = str(tokenizer.chat_template)
        free = [i for i, token in sorted(added.items()) if token.special and token.content not in template]
        free = [i for i in free if i not in (end_of_turn, tokenizer.bos_token_id)] or [
            i for i in sorted(added) if i != end_of_turn
        ]
        if free:
            kept = free[0]
    config.pad_token_id = kept
    if kept is not None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(kept)
