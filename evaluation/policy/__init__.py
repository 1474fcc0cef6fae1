"""Whether one policy is better than another: `evaluation policy`."""
