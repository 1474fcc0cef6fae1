"""Why records failed or were dropped, in words, and what can be done about it: for everything that people read."""

from __future__ import annotations

from typing import NamedTuple


class Meaning(NamedTuple):
    """A reason in words."""

    words: str
    advice: str = ""
    """What to do; empty where nothing needs to be done."""


_ROW = "mend the row in its file; failures.parquet names its place"
_VERDICT = "`solon calls show RUN --prompt ID` shows what it answered; take another judge or method if there are many"
_SERVER = "mend what its words say, then the same command with `--forget failed`"

REASONS = {
    # rows of a file
    "bad_row": Meaning("the row lacks a column, or has something of another kind in it", _ROW),
    "bad_cell": Meaning("a cell holds what is no text, list or conversation", _ROW),
    "bad_conversation": Meaning("a conversation cannot be read from the row", _ROW),
    "bad_csv": Meaning("the record is no CSV", _ROW),
    "bad_json": Meaning("the line is no JSON", _ROW),
    "bad_response": Meaning("a response that the row brings cannot be read", _ROW),
    "cell_too_large": Meaning("a cell is larger than is read", _ROW),
    "cut_cell": Meaning("the record ends within a cell", _ROW),
    "duplicate_key": Meaning("a key occurs twice in the row", _ROW),
    "empty_prompt": Meaning("the prompt is empty", _ROW),
    "lone_surrogate": Meaning("the text has half a character, which cannot be stored", _ROW),
    "not_finite": Meaning("a number is infinite or none", _ROW),
    "not_text": Meaning("the file or cell is no text in UTF-8", _ROW),
    "not_utf8": Meaning("the file is no text in UTF-8", _ROW),
    "nul_byte": Meaning("the text has a NUL character", _ROW),
    "ragged_row": Meaning("the record has more or fewer cells than the header", _ROW),
    "wrong_roles": Meaning("the turns of the conversation are in no order that can be answered", _ROW),
    "malformed_tool_call": Meaning("a tool call cannot be read", "look at it with `solon calls show RUN --prompt ID`"),
    # calls
    "prompt_too_long": Meaning("prompt and answer do not fit the model's context", "lower max_tokens, or shorten the prompts"),
    "content_refused": Meaning("the model's provider refuses this content", "take another model for such prompts"),
    "bad_request": Meaning("the model cannot be asked this", "failures.parquet has its words"),
    "bad_chat": Meaning("the messages do not fit the model's chat template", "leave out what it lacks, as system messages"),
    "server_refused": Meaning("a server refused the call", _SERVER),
    "bad_answer": Meaning("a server's answer was no completion, in every attempt", _SERVER),
    "unsupported": Meaning("the engine gives no answers of this kind, as log-probabilities", "take another engine or method"),
    "not_recorded": Meaning("the recording has no such call", "make the run with a model"),
    "unavailable": Meaning("a model could not be reached", "run the same command again to resume"),
    "internal_error": Meaning("an error that nobody foresaw", "report it with the detail in failures.parquet"),
    "process_ended": Meaning("its process ended whenever it was worked on", "see the engine's log; `--forget failed` tries again"),
    "rule_error": Meaning("a principle's rule could not be applied to the response", "failures.parquet has the rule's words"),
    # what was written
    "empty": Meaning("the model wrote nothing", "`--forget failed` asks again"),
    "truncated": Meaning("max_tokens cut it before its end", "raise max_tokens of that stage"),
    "thoughts_only": Meaning("the model thought and gave no answer", "raise max_tokens of that stage, or lower reasoning_effort"),
    "unchanged": Meaning("the revision is the response that it was to improve"),
    "about_the_task": Meaning("the revision speaks of the task in place of doing it", "take a stronger model as the judge"),
    "manipulation": Meaning("the response tries to manipulate its judge"),
    # judgements
    "verdict_missing": Meaning("a label has no log-probability, so there is no verdict", _VERDICT),
    "verdict_nan": Meaning("a label's log-probability is no number", _VERDICT),
    "verdict_off_menu": Meaning("the judge answered something else than one of the labels", _VERDICT),
    "verdict_unread": Meaning("the judge's text states no verdict", _VERDICT),
    "nothing_scored": Meaning("no token of the response was scored", _VERDICT),
    "score_nan": Meaning("a score is no number", _VERDICT),
    # pairs
    "not_sure_enough": Meaning("the label is less sure than plan.max_error takes", "review_queue.parquet has it to label"),
    "vote_missing": Meaning("a vote on the pair is missing, so its label is not accepted", "`--forget failed` asks again"),
    "nothing_to_compare": Meaning("fewer than two different responses were left", "raise plan.samples or the temperature"),
    "human_tie": Meaning("people see no difference between the two"),
    "both_bad": Meaning("people would learn from neither"),
    "people_disagree": Meaning("as many people prefer one as the other", "ask one more"),
    "not_judged": Meaning("no vote on the pair came about"),
    "tie": Meaning("the votes are as much for one as for the other"),
    "below_min_log_odds": Meaning("the label is less sure than plan.min_log_odds asks for"),
}  # fmt: skip
"""Reason -> what it means."""


def told(reason: str) -> str:
    """A reason, or `stage: reason`, in words; itself where none are known."""
    stage, _, name = reason.rpartition(": ")
    meaning = REASONS.get(name)
    if not meaning:
        return reason
    return f"{stage}: {meaning.words}" if stage else meaning.words


def advice(reason: str) -> str:
    """What to do about a reason, or `stage: reason`; empty where nothing needs to be done."""
    return REASONS.get(reason.rpartition(": ")[2], Meaning("")).advice
