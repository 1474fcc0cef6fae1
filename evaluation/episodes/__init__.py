"""Tool use over several steps: a policy's calls are answered from tables, so that every run of an episode is repeatable."""
