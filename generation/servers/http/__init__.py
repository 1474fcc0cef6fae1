"""Requests over HTTP: addresses, connections, limits of time and size, and secrets kept out of sight."""
