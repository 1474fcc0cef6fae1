"""Detectors of over-optimisation and drift, and when they halt a run."""
