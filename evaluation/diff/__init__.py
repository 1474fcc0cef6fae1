"""What changed between two runs: `evaluation diff`."""
