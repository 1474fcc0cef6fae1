"""Every way a model can be asked to judge: one entry each. To add one, write its entry and its template.

A method comes down to log-odds. A pairwise one shows both responses, in both orders, and its log-odds are for the one listed
first; a pointwise one looks at one response, and a vote on a pair is the difference of two. `critics` renders and reads; the
calls are made by whoever has a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from constitution.principles import Principle
from constitution.records import VIOLATION, Message, Prompt, Response
from critics import answers, compare, contrast, score
from critics.answers import Form
from critics.compare import Argument
from critics.labels import Reading

Messages = tuple[Message, ...]
Read = Callable[[Mapping[str, float], Principle, float | None], Reading | str]
"""Label -> log-probability, the principle, and the most that a label can have which is not among them (`Completion.floor`), to
log-odds; or the reason why there are none."""
ReadText = Callable[[str, Principle], float | None]
"""What the judge wrote, without thoughts, and the principle, to a share in 0 to 1; None where it does not say."""
Conditions = Callable[[Prompt, Principle], tuple[Messages] | tuple[Messages, Messages]]
"""The conversation in which the response's likelihood is read, and the one in which it is to be less likely, if any."""


class Render(Protocol):
    """Builds the judge's prompt."""

    def __call__(
        self,
        prompt: Prompt,
        shown: tuple[Response, ...],
        principle: Principle,
        nonce: bool,
        form: Form,
        arguments: tuple[Argument, ...] = (),
        /,
    ) -> Messages:
        """shown: the two responses in their order, or the one. nonce: whether delimiters carry one. form: in which the answer is
        asked for. arguments: for each response shown, where the method debates."""


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
    read_text: ReadText | None = None
    """For judges whose log-probabilities nobody tells: they are asked several times and answer in words or by the schema."""
    schema: str = ""
    """JSON schema of such an answer."""
    reasons: bool = False
    """The judge thinks first; the labels are read from what follows."""
    debates: bool = False
    """Critics argue first, one for each response; the judge reads both arguments in each order."""
    conditions: Conditions | None = None
    """For a method that reads likelihoods of the response in place of labels."""
    vetoes: bool = False
    """Asked of every response under the principles with a veto, whatever the settings choose."""

    def text_calls(self, samples: int) -> int:
        """As `calls`, where each answer is written down so many times. What reasons writes both in one answer."""
        return samples * (2 if self.pairwise else 1) + self.arguments

    @property
    def arguments(self) -> int:
        """Calls in which critics argue, among those on a pair."""
        return 2 if self.debates else 0

    @property
    def pairwise(self) -> bool:
        """True for a method that shows both responses, and so may favour a position."""
        return self.asks == "pairwise"


def _pair(render: Callable[[Prompt, Response, Response, Principle, bool, Form], Messages]) -> Render:
    return lambda prompt, shown, principle, nonce, form, _=(): render(
        prompt, shown[0], shown[1], principle, nonce, form
    )


def _one(render: Callable[[Prompt, Response, Principle, bool, Form], Messages]) -> Render:
    return lambda prompt, shown, principle, nonce, form, _=(): render(prompt, shown[0], principle, nonce, form)


METHODS: Mapping[str, JudgingMethod] = {
    method.name: method
    for method in (
        JudgingMethod(
            "compare", "pairwise", 2, template="compare.jinja", labels=compare.LABELS,
            render=_pair(compare.render), read=lambda logprobs, _, floor: compare.log_odds(logprobs, floor),
            read_text=answers.side, schema=answers.VERDICT,
        ),
        JudgingMethod(
            "reasoned", "pairwise", 4, template="compare.jinja", labels=compare.LABELS,
            render=_pair(compare.render_reasoning), read=lambda logprobs, _, floor: compare.log_odds(logprobs, floor),
            read_text=answers.side, schema=answers.REASONED, reasons=True,
        ),
        JudgingMethod(
            "debate", "pairwise", 4, template="debate.jinja", labels=compare.LABELS,
            render=lambda prompt, shown, *rest: compare.render(prompt, *shown, *rest),
            read=lambda logprobs, _, floor: compare.log_odds(logprobs, floor),
            read_text=answers.side, schema=answers.VERDICT, debates=True,
        ),
        JudgingMethod("contrast", "pointwise", 2, frozenset({"text", "antithesis"}), conditions=contrast.conditions),
        JudgingMethod("likelihood", "pointwise", 1, frozenset({"text"}), conditions=contrast.plain),
        JudgingMethod("relevance", "pointwise", 2, frozenset({"text"}), conditions=contrast.relevance),
        JudgingMethod(
            "score", "pointwise", 1, frozenset({"text"}), "score.jinja", score.GRADES,
            render=_one(score.render_grade), read=lambda logprobs, _, floor: score.grade_log_odds(logprobs, floor),
            read_text=answers.grade, schema=answers.GRADE,
        ),
        JudgingMethod(
            "yesno", "pointwise", 1, frozenset({"text", "ask"}), "score.jinja", score.YES_NO,
            render=_one(score.render_yes_no), read=score.good, read_text=answers.yes_no, schema=answers.YES_OR_NO,
        ),
        JudgingMethod("reward", "pointwise", 1),
        JudgingMethod(
            VIOLATION, "pointwise", 1, frozenset({"text", "violation"}), "score.jinja", score.YES_NO,
            render=_one(score.render_violation), read=score.no_violation, read_text=answers.no_violation,
            schema=answers.YES_OR_NO, vetoes=True,
        ),
    )
}  # fmt: skip
"""Name -> method. `rule` is not among them: it asks no model. A reward model judges by `reward` and by nothing else."""


CHOICES = tuple(name for name, method in METHODS.items() if not method.vetoes)
"""The methods that settings choose from."""


def fields_read() -> dict[str, frozenset[str]]:
    """Method -> fields of a principle that its own prompts are made of, for those that have such."""
    return {name: method.fields for name, method in METHODS.items() if method.fields}
