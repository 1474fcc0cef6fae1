"""The store of model calls, in SQLite."""
