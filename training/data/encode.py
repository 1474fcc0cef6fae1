"""Rows -> token ids, by the one rendering that generation uses too; what does not fit is dropped or cut, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from constitution.digest import hasher
from constitution.errors import Problem, UserError
from constitution.terminal import complain
from generation.models.encoder import Encoder
from training.config import Training
from training.data.batches import Example
from training.data.columns import Pair, RowPrompt, Said, Target
from training.data.labels import Labels
from training.data.unusable import SHOWN


class PairRow(NamedTuple):
    """A pair as token ids; its example's responses are chosen and rejected."""

    id: str
    example: Example
    p: float
    margin: float
    weight: float


class TargetRow(NamedTuple):
    """A prompt and a response to learn, as token ids."""

    id: str
    example: Example
    weight: float


class PromptRow(NamedTuple):
    """A prompt as token ids, for a policy to answer."""

    prompt: RowPrompt
    tokens: tuple[int, ...]


class EncodedSplit(NamedTuple):
    """One split's rows that fit."""

    rows: list[Any]
    counts: Counter[str]
    """`read` = `kept` + all `dropped_*`: unusable (as read), bad_chat (none of the template's), long_prompt, truncated, empty (a
    response), equal (once cut), unsure, repeated (a prompt), untested (its source). Of those kept, `kept_truncated` have a response
    that lost its end; of those read, `moved_to_test` are held out for what another row is."""

    @property
    def digest(self) -> str:
        """Of token ids, labels and weights, in order."""
        h = hasher()
        for row in self.rows:
            h.update(repr(row).encode())
        return h.hexdigest()


def encode_pairs(rows: Sequence[Pair], encoder: Encoder, settings: Training, labels: Labels) -> EncodedSplit:
    """Pairs with both responses after one prompt, each ended by one end of turn unless it was cut."""
    kept: list[PairRow] = []
    counts: Counter[str] = Counter(read=len(rows))
    for row in rows:
        if row.p < labels.min_confidence:
            counts["dropped_unsure"] += 1
            continue
        example = fitted(row.prompt, (row.chosen, row.rejected), row.truncated, encoder, settings, counts)
        if example is None:
            continue
        if example.responses[0] == example.responses[1]:
            counts["dropped_equal"] += 1
            continue
        kept.append(PairRow(row.prompt.id, example, labels.trusted(row.p), row.margin, row.weight))
    return encoded(kept, counts, encoder)


def encode_targets(rows: Sequence[Target], encoder: Encoder, settings: Training) -> EncodedSplit:
    """Responses to learn, each after its prompt and ended by one end of turn unless it was cut."""
    kept: list[TargetRow] = []
    counts: Counter[str] = Counter(read=len(rows))
    for row in rows:
        example = fitted(row.prompt, (row.response,), (row.truncated,), encoder, settings, counts)
        if example is not None:
            kept.append(TargetRow(row.prompt.id, example, row.weight))
    return encoded(kept, counts, encoder)


def encode_prompts(rows: Sequence[RowPrompt], encoder: Encoder, room: int) -> EncodedSplit:
    """Prompts of at most `room` tokens."""
    kept: list[PromptRow] = []
    counts: Counter[str] = Counter(read=len(rows))
    for row in rows:
        found = _render(row, (), encoder, counts)
        if found is None:
            continue
        tokens = tuple(found[0])
        if len(tokens) > room:
            counts["dropped_long_prompt"] += 1
        else:
            kept.append(PromptRow(row, tokens))
    counts["kept"] = len(kept)
    return EncodedSplit(kept, counts)


def check_some(encoded: EncodedSplit, settings: Training) -> None:
    """Raises UserError when nothing is left to train on, or nothing of what is left counts."""
    place = f"--data {', '.join(settings.data)}"
    unfit, read = encoded.counts["dropped_bad_chat"], encoded.counts["read"]
    if encoded.rows and unfit > settings.max_failed * read:
        got = f"{unfit:,} of {read:,} chats do not fit the model's template (allowed by max_failed: {settings.max_failed:.0%})"
        raise UserError(Problem(place, got=got, fix="train a model whose template takes them, or leave them out"))
    if encoded.rows:
        if not any(getattr(row, "weight", 1.0) for row in encoded.rows):
            got = f"got 0 in all {len(encoded.rows)} rows to train on"
            raise UserError(Problem(place, "weight", got, "a number above 0 in some"))
        return
    fixes = {
        "dropped_long_prompt": f"raise max_length (now {settings.max_length})",
        "dropped_truncated": f"raise max_length (now {settings.max_length}) or set truncated: keep",
        "dropped_equal": f"raise max_length (now {settings.max_length})",
        "dropped_bad_chat": "train a model whose template takes the chats",
        "dropped_empty": "give responses with some text",
        "dropped_unsure": "lower labels.min_confidence",
    }
    met = {name: n for name, n in encoded.counts.most_common() if n and name in fixes}
    reasons = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in met.items())
    todo = ", or ".join(dict.fromkeys(fixes[name] for name in met))
    raise UserError(Problem(place, got=f"no row is left of {encoded.counts['read']} ({reasons})", fix=todo))


def encoded(kept: list[Any], counts: Counter[str], encoder: Encoder) -> EncodedSplit:
    """The rows that are kept, each with an example, and what is counted of them."""
    end = encoder.end_of_turn
    counts["kept"] = len(kept)
    if cut := sum(any(response[-1] != end for response in row.example.responses) for row in kept):
        counts["kept_truncated"] = cut
    return EncodedSplit(kept, counts)


def fitted(
    prompt: RowPrompt,
    responses: Sequence[Said],
    truncated: Sequence[bool],
    encoder: Encoder,
    settings: Training,
    counts: Counter[str],
) -> Example | None:
    """The prompt and its responses as ids; None, and a count, where they do not fit."""
    if not all(
        response.strip() if isinstance(response, str) else True for response in responses
    ):  # a call says something
        counts["dropped_empty"] += 1
        return None
    found = _render(prompt, responses, encoder, counts)
    if found is None:
        return None
    before, rendered = found
    room = settings.max_length - len(before)
    if room < 2:
        counts["dropped_long_prompt"] += 1
        return None
    end = (encoder.end_of_turn,)
    ended = [(*response, *(() if lost else end)) for response, lost in zip(rendered, truncated, strict=True)]
    if settings.truncated == "drop" and (any(truncated) or any(len(response) > room for response in ended)):
        counts["dropped_truncated"] += 1
        return None
    return Example(tuple(before), tuple(response[:room] for response in ended))


def _render(
    prompt: RowPrompt, responses: Sequence[Said], encoder: Encoder, counts: Counter[str]
) -> tuple[list[int], list[list[int]]] | None:
    """None, and a count, where the chat does not fit the model's template. The first few are told."""
    try:
        return encoder.responses(prompt.messages, responses, prompt.tools or None)
    except ValueError as error:
        counts["dropped_bad_chat"] += 1
        if counts["dropped_bad_chat"] <= SHOWN:
            complain(Problem(f"prompt {prompt.id}", got=str(error), fix="it is left out"))
        return None
