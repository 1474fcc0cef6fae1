"""Reading finished runs: what changed, and whether it got better."""
