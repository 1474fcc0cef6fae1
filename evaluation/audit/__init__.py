"""What a run's labels reward besides the answer: `evaluation audit` and its report."""
