"""From a prompt to its feedback, and from prompts to a run."""
