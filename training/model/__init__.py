"""Models, their attention, log-probabilities and memory."""
