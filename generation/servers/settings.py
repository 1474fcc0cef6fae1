"""Settings of a server of models. They stand alone, so that reading settings does not wait for an HTTP library."""

from __future__ import annotations

from pydantic import Field, field_validator

from constitution.records import Strict


class EndpointSettings(Strict):
    """One server."""

    url: str
    """Its base, as in http://localhost:8000; `/v1` is added."""
    model: str = ""
    """The name it serves the model under; the run's model name where empty."""
    api_key_env: str = ""
    """Name of the environment variable that holds the key. The key itself is never written down."""
    token_ids: bool = False
    """True for a vLLM server (with --enable-scale-out): it is sent token ids and gives exact label log-probabilities."""
    concurrency: int = Field(default=64, ge=1)
    """Most requests under way at this server."""
    attempts: int = Field(default=6, ge=1)
    """Tries of one request before the server counts as unavailable."""
    timeout_seconds: float = Field(default=600.0, gt=0)
    """How long one request may take."""
    backoff_seconds: float = Field(default=1.0, gt=0)
    """First wait; it doubles each time, with full jitter, up to max_wait_seconds."""
    max_wait_seconds: float = Field(default=60.0, gt=0)
    """Longest wait between two tries, a Retry-After included."""

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("allowed: http:// and https:// addresses, as in http://localhost:8000")
        return value.rstrip("/").removesuffix("/v1")
