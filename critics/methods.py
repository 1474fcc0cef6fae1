"""Every way a model can be asked to judge: one entry each. To add one, write its entry and its template.

A method comes down to log-odds. A pairwise one shows both responses, in both orders, and its log-odds are for the one listed
first; a pointwise one looks at one response, and a vote on a pair is the difference of two. `critics` renders and reads; the
calls are made by whoever has a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics import compare, contrast, score
from critics.labels import Reading

Messages = tuple[Message, ...]
Render = Callable[[Prompt, tuple[Response, ...], Principle, bool], Messages]
"""(prompt, the two responses in the order shown or the one, principle, whether delimiters carry a nonce) -> the judge's prompt."""
Read = Callable[[Mapping[str, float], Principle, float | None], Reading | str]
"""Label -> log-probability, the principle, and the most that a label can have which is not among them (`Completion.floor`), to
log-odds; or the reason why there are none."""
Conditions = Callable[[Prompt, Principle], tuple[Messages, Messages]]
"""The conversations whose likelihoods of the response are compared."""


@dataclass(frozen=True, slots=True)
class JudgingMethod:
    """One way to ask a model under a principle."""

    name: str
    asks: Literal["pairwise", "pointwise"]
    """What it looks at: two responses in both orders, or one by itself."""
    calls: int
    """Model calls of one voter, at most: on a pair, both orders together, or on one response."""
    fields: frozenset[str] = frozenset()
    """Fields of a principle that its prompt is made of, beside what all prompts of the stage are made of."""
    template: str = ""
    """File in critics/templates; empty where no question is put."""
    labels: tuple[str, ...] = ()
    """Words of one token each whose log-probabilities are read."""
    render: Render | None = None
    read: Read | None = None
    reasons: bool = False
    """The judge thinks first; the labels are read from what follows."""
    conditions: Conditions | None = None
    """For a method that reads likelihoods of the response in place of labels."""

    @property
    def pairwise(self) -> bool:
        """True for a method that shows both responses, and so may favour a position."""
        return self.asks == "pairwise"


def _pair(render: Callable[[Prompt, Response, Response, Principle, bool], Messages]) -> Render:
    return lambda prompt, shown, principle, nonce: render(prompt, shown[0], shown[1], principle, nonce)


def _one(render: Callable[[Prompt, Response, Principle, bool], Messages]) -> Render:
    return lambda prompt, shown, principle, nonce: render(prompt, shown[0], principle, nonce)


METHODS: Mapping[str, JudgingMethod] = {
    method.name: method
    for method in (
        JudgingMethod(
            "compare", "pairwise", 2, template="compare.jinja", labels=compare.LABELS,
            render=_pair(compare.render), read=lambda logprobs, _, floor: compare.log_odds(logprobs, floor),
        ),
        JudgingMethod(
            "reasoned", "pairwise", 4, template="compare.jinja", labels=compare.LABELS,
            render=_pair(compare.render_reasoning), read=lambda logprobs, _, floor: compare.log_odds(logprobs, floor), reasons=True,
        ),
        JudgingMethod("contrast", "pointwise", 2, frozenset({"text", "antithesis"}), conditions=contrast.conditions),
        JudgingMethod(
            "score", "pointwise", 1, frozenset({"text"}), "score.jinja", score.GRADES,
            render=_one(score.render_grade), read=lambda logprobs, _, floor: score.grade_log_odds(logprobs, floor),
        ),
        JudgingMethod(
            "yesno", "pointwise", 1, frozenset({"text", "ask"}), "score.jinja", score.YES_NO,
            render=_one(score.render_yes_no), read=score.good,
        ),
        JudgingMethod("reward", "pointwise", 1),
    )
}  # fmt: skip
"""Name -> method. `rule` is not among them: it asks no model. A reward model judges by `reward` and by nothing else."""


def fields_read() -> dict[str, frozenset[str]]:
    """Method -> fields of a principle that its own prompts are made of, for those that have such."""
    return {name: method.fields for name, method in METHODS.items() if method.fields}
