"""Principles under test, and principles learnt from labelled pairs: `solon constitution test` and `solon constitution learn`."""
