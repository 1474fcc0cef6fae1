"""Rows -> token ids, by the one rendering that generation uses too; what does not fit is dropped or cut, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from constitution.digest import hasher
from constitution.errors import Problem, UserError
from constitution.terminal import complain
from generation.data.conversation import Messages
from generation.models.encoder import Encoder
from generation.models.written import Side, Written
from training.config import Training
from training.data.batches import Example
from training.data.columns import Pair, RowPrompt, Target
from training.data.labels import Labels
from training.data.unusable import SHOWN, allowed


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
    """`read` = `kept` + all `dropped_*`: unusable (as read), bad_chat (none of the template's), long_prompt, truncated, empty (an
    answer), masked (nothing that is left of a response is the assistant's), equal (once cut), unsure, repeated (a prompt), untested
    (its source). Of those kept, `kept_truncated` have a response that lost its end, and `kept_truncated_one_side` another one that
    has not; of those read, `moved_to_test` are held out for what another row is."""

    @property
    def digest(self) -> str:
        """Of token ids, labels and weights, in order."""
        h = hasher()
        for row in self.rows:
            h.update(repr(row).encode())
        return h.hexdigest()


def encode_pairs(rows: Sequence[Pair], encoder: Encoder, settings: Training, labels: Labels) -> EncodedSplit:
    """Pairs with both responses after one prompt, each with the end of its turn unless one of them was cut."""
    kept: list[PairRow] = []
    counts: Counter[str] = Counter(read=len(rows))
    for row in rows:
        if row.p < labels.min_confidence:
            counts["dropped_unsure"] += 1
            continue
        example = fitted(row.prompt, (row.chosen, row.rejected), row.truncated, encoder, settings, counts)
        if example is not None:
            kept.append(PairRow(row.prompt.id, example, labels.trusted(row.p), row.margin, row.weight))
    return encoded(kept, counts)


def encode_targets(rows: Sequence[Target], encoder: Encoder, settings: Training) -> EncodedSplit:
    """Responses to learn, each after its prompt and with the end of its turn unless it was cut."""
    kept: list[TargetRow] = []
    counts: Counter[str] = Counter(read=len(rows))
    for row in rows:
        example = fitted(row.prompt, (row.response,), (row.truncated,), encoder, settings, counts)
        if example is not None:
            kept.append(TargetRow(row.prompt.id, example, row.weight))
    return encoded(kept, counts)


def encode_prompts(rows: Sequence[RowPrompt], encoder: Encoder, room: int) -> EncodedSplit:
    """Prompts of at most `room` tokens."""
    kept: list[PromptRow] = []
    counts: Counter[str] = Counter(read=len(rows))
    for row in rows:
        try:
            tokens = tuple(encoder.encode(row.messages, row.tools or None, template_kwargs=row.template_kwargs))
        except ValueError as error:
            _tell_bad_chat(row, error, counts)
            continue
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
    if encoded.rows and unfit > allowed(read, settings.max_failed):
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
        "dropped_masked": "leave out responses that were cut before they said anything",
        "dropped_unsure": "lower labels.min_confidence",
    }
    met = {name: n for name, n in encoded.counts.most_common() if n and name in fixes}
    reasons = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in met.items())
    todo = ", or ".join(dict.fromkeys(fixes[name] for name in met))
    raise UserError(Problem(place, got=f"no row is left of {encoded.counts['read']} ({reasons})", fix=todo))


def encoded(kept: list[Any], counts: Counter[str]) -> EncodedSplit:
    """The rows that are kept, each with an example, and what is counted of them."""
    counts["kept"] = len(kept)
    if one_side := counts["kept_truncated_one_side"]:
        complain(
            f"{one_side:,} of {len(kept):,} rows have a response that lost its end beside one that has not, and are compared "
            "without ends; raise max_length, or set truncated: drop"
        )
    return EncodedSplit(kept, counts)


def fitted(
    prompt: RowPrompt,
    sides: Sequence[Messages],
    truncated: Sequence[bool],
    encoder: Encoder,
    settings: Training,
    counts: Counter[str],
) -> Example | None:
    """The prompt and its responses as ids; None, and a count, where they do not fit.

    truncated: which were cut as they were written, and have no end. Where one of several lost its end, all are without: the ends
    of the others would be all that is sure to tell them apart, and be learnt for how long responses are.
    """
    if not all(turn.content.strip() or turn.tool_calls for side in sides for turn in side if turn.role == "assistant"):
        counts["dropped_empty"] += 1
        return None
    written = _written(prompt, sides, truncated, encoder, counts)
    if written is None:
        return None
    room = settings.max_length - len(written.before)
    if room < 2:
        counts["dropped_long_prompt"] += 1
        return None
    lost = tuple(cut or len(side.tokens) > room for cut, side in zip(truncated, written.sides, strict=True))
    if any(lost) and settings.truncated == "drop":
        counts["dropped_truncated"] += 1
        return None
    if any(lost) and not all(lost):  # then none has an end
        written = _written(prompt, sides, [True] * len(sides), encoder, counts)
        if written is None:
            return None
    responses, masks = zip(*(_cut(side, room) for side in written.sides), strict=True)
    if not all(map(any, masks)):
        counts["dropped_masked"] += 1
        return None
    if len({*responses}) < len(responses):
        counts["dropped_equal"] += 1
        return None
    if any(lost):
        counts["kept_truncated"] += 1
        if not all(lost):
            counts["kept_truncated_one_side"] += 1
    return Example(tuple(written.before), responses, None if all(map(all, masks)) else masks)


def _cut(side: Side, room: int) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """What fits of a response, up to the last of its tokens that is learnt."""
    mask = side.trained[:room]
    end = next((i for i in range(len(mask), 0, -1) if mask[i - 1]), 0)
    return tuple(side.tokens[:end]), tuple(mask[:end])


def _written(
    prompt: RowPrompt, sides: Sequence[Messages], cut: Sequence[bool], encoder: Encoder, counts: Counter[str]
) -> Written | None:
    """As the template writes it. None, and a count, where the chat does not fit the model's template."""
    try:
        return encoder.written(prompt.messages, sides, prompt.tools or None, prompt.template_kwargs or None, cut)
    except ValueError as error:
        _tell_bad_chat(prompt, error, counts)
        return None


def _tell_bad_chat(prompt: RowPrompt, error: ValueError, counts: Counter[str]) -> None:
    """Count it. The first few are told."""
    counts["dropped_bad_chat"] += 1
    if counts["dropped_bad_chat"] <= SHOWN:
        complain(Problem(f"prompt {prompt.id}", got=str(error), fix="it is left out"))
