"""Constitutional AI: from a written constitution to preference data, trained policies and their evaluation."""

__version__ = "0.2.0"
