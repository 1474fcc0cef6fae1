"""Principles judged by rule: what a check says of one response."""
