"""Preference data in, reward models and policies out."""

from generation.engines.quiet import quiet

quiet()  # before the libraries below are imported: they read these settings as they load
