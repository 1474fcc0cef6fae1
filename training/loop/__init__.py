"""Rounds of sampling, labelling, training and evaluation."""
