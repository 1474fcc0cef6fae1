"""Plots and sections that the pages of all commands are made of."""
