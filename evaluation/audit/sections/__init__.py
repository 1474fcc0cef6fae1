"""The sections of the audit page."""
