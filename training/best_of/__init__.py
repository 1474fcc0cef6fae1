"""Supervised training on the best of N responses."""
