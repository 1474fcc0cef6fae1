"""The padding token of a classifier, by which other programs find a row's end."""

from __future__ import annotations

from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def choose_padding(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, end_of_turn: int) -> None:
    """Name a padding token that no conversation holds, for classifiers that find a row's end by it.

    transformers' sequence classifiers read the last token that is not padding. Where padding equals the token that ends a
    turn they would read the one before it.
    """
    kept = config.pad_token_id
    if kept is not None and not 0 <= kept < len(tokenizer):  # some checkpoints say -1
        kept = None
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


def add_padding(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, end_of_turn: int, alone: bool) -> str:
    """Where padding would be the token that ends a turn, or none, make a padding token, with a row of the embedding for it.

    alone: an adapter is saved without its base, whose embedding keeps its size. Returns a warning where no token can be made.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    if model.config.pad_token_id in (None, end_of_turn):
        if alone and len(tokenizer) >= rows:
            model.config.pad_token_id = end_of_turn
            return (
                "padding equals the token that ends a turn, since the model has no other: programs that find a row's end by its "
                "padding read the reward one token too early in a batch. Read it at each row's last token, or set lora.merge: true"
            )
        name = "<|pad|>"
        while tokenizer.convert_tokens_to_ids(name) not in (None, tokenizer.unk_token_id):
            name = f"<{name}>"
        tokenizer.add_special_tokens({"pad_token": name})
        model.config.pad_token_id = tokenizer.convert_tokens_to_ids(name)
    if model.config.pad_token_id >= rows and not alone:
        model.resize_token_embeddings(model.config.pad_token_id + 1, mean_resizing=False)
    return ""
