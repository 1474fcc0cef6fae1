"""What a model can be asked for: known of a model that runs here, found out by a probe of one behind a server."""

from __future__ import annotations

from typing import Annotated

from pydantic import PlainSerializer

from constitution.records import Strict

EXACT = -1
"""Of `top_logprobs`: the log-probability of any token that is asked for."""


class Capabilities(Strict):
    """What a model answers, and what its server refuses."""

    top_logprobs: int = EXACT
    """How many alternatives it lists where an answer begins; 0 for none, EXACT where each label's own token can be asked for."""
    thinks: bool | None = None
    """It writes thoughts before its answer; None where nobody knows."""
    structured: bool = False
    """Its answers follow a JSON schema that is sent along."""
    refused: Annotated[frozenset[str], PlainSerializer(sorted, list[str])] = frozenset()
    """Parameters that its server does not take, by their names in OpenAI's interface. They are left out."""
    note: str = ""
    """One line for people."""

    @property
    def has_labels(self) -> bool:
        """True where a verdict can be read as log-probabilities; else it is read from what the judge writes."""
        return self.top_logprobs != 0


LOCAL = Capabilities()
"""Of models that run here: exact log-probabilities of labels."""
