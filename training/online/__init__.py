"""Direct preference optimization on pairs of the policy's own responses, judged as they come."""
