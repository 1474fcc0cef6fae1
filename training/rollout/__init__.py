"""Sampled responses and their rewards."""
