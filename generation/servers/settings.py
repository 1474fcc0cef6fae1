"""Settings of a server of models. They stand alone, so that reading settings does not wait for an HTTP library."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator

from constitution.errors import invalid
from constitution.records import Strict
from generation.reads import ReadIf

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""`${NAME}` in a setting stands for the environment variable of that name; the value is never written down."""
_SECRET_NAME = re.compile(r"key|token|secret|auth|passw|pwd|credential|cookie|signature|^sig$|^code$", re.IGNORECASE)
"""Names of headers and query parameters whose values are secrets."""
_OF_TEXT = ("extra_body", "chat_template_kwargs", "reasoning_effort", "answer_prefix", "thinking_tokens")
"""Settings that change what a model writes, so they are part of its digest."""
_OF_CHATS = ("chat_template_kwargs", "reasoning_effort", "answer_prefix", "thinking_tokens", "top_logprobs", "batch")
"""Settings that mean nothing to a server of token ids."""
_OTHER_FORMS = ("/completions", "/responses", "/messages", ":generateContent", "/embeddings")
"""Ends of addresses whose requests have another form than that of chat completions."""


_BATCHED = ReadIf("batch is true", lambda server, _: server.batch)
_DIRECT = ReadIf("batch is false", lambda server, _: not server.batch)
_KEYED = ReadIf("api_key_env names a key", lambda server, _: bool(server.api_key_env))


class EndpointSettings(Strict):
    """One server."""

    url: str
    """Its address, as in http://localhost:8000 or https://host/v1: `/v1/chat/completions` is added to a bare host, and
    `/chat/completions` to a path with a version in it, as `/v1`, `/v1beta/openai` or `/openai/deployments/NAME`. One that ends in
    `/chat/completions` is taken as it is, with its query. `${NAME}` stands for an environment variable, here and in headers, query
    and proxy."""
    model: str = ""
    """The name it serves the model under; the run's model name where empty."""
    api_key_env: str = ""
    """Name of the environment variable that holds the key. The key itself is never written down."""
    key_header: Annotated[str, _KEYED] = "Authorization"
    """The header that carries the key. `Authorization` sends `Bearer KEY`, any other the key alone, as `api-key` for Azure."""
    headers: dict[str, str] = Field(default_factory=dict)
    """More headers of each request. A secret goes to headers_env, or is written as `${NAME}`."""
    headers_env: dict[str, str] = Field(default_factory=dict)
    """Header -> name of the environment variable that holds its value, which is never written down."""
    query: dict[str, str] = Field(default_factory=dict)
    """More parameters of the address, as `api-version`."""
    proxy: str = ""
    """Address of an HTTP proxy for this server. Proxies that the environment names are used only where they are named here."""
    token_ids: bool = False
    """True for a vLLM server (with --enable-scale-out): it is sent token ids and gives exact label log-probabilities."""
    omit: tuple[str, ...] = ()
    """Parameters that are left out of the request, for servers that refuse them, as `[seed, temperature]`."""
    rename: dict[str, str] = Field(default_factory=dict)
    """Parameter -> the name this server has for it, as `{max_tokens: max_completion_tokens}`."""
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)
    """More fields of the request, laid over all others. Part of the model's digest."""
    chat_template_kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the server's chat template, as `{enable_thinking: false}`. Part of the model's digest."""
    reasoning_effort: str = ""
    """How much a model thinks that takes this parameter, as low, medium or high. Part of the model's digest."""
    answer_prefix: str = ""
    """How every answer begins, as an assistant message that the model goes on with, for servers that take one. An empty thought,
    `<think></think>`, keeps some models from thinking. Part of the model's digest."""
    thinking_tokens: int = Field(default=0, ge=0)
    """Tokens added to each request's max_tokens, for a model that thinks before it answers. Part of the model's digest."""
    top_logprobs: int | None = Field(default=None, ge=0, le=100)
    """Alternatives asked for where a label is read: 20 where absent, which most servers allow; 0 asks for no log-probabilities."""
    concurrency: int = Field(default=64, ge=1)
    """Most requests under way at this server. Fewer are while it answers 429 or 503 or is silent."""
    requests_per_minute: Annotated[float | None, _DIRECT] = Field(default=None, gt=0)
    """Most requests begun in a minute; as many as there are where absent."""
    tokens_per_minute: Annotated[float | None, _DIRECT] = Field(default=None, gt=0)
    """Most tokens of prompts and answers in a minute; an answer not yet read counts as its max_tokens."""
    attempts: int = Field(default=6, ge=1)
    """Tries of one request before the server counts as unavailable."""
    timeout_seconds: float = Field(default=600.0, gt=0)
    """Longest silence of the server: until it takes the connection (30 at most), before the answer and within it."""
    deadline_seconds: float = Field(default=1800.0, gt=0)
    """How long one answer may take in all, however steadily it comes."""
    backoff_seconds: float = Field(default=1.0, gt=0)
    """First wait; it doubles each time, with full jitter, up to max_wait_seconds."""
    max_wait_seconds: float = Field(default=60.0, gt=0)
    """Longest wait between two tries, a Retry-After included."""

    batch: bool = False
    """Ask by the vendor's batch API, in OpenAI's form, at half the price and within a day: calls are put into a file, which is sent
    when no call has come for batch_idle_seconds. Set prompts_in_flight and calls_in_flight to as many calls as a file should have.
    The ids of batches are kept in the run's folder, so a killed run waits for the same."""
    batch_idle_seconds: Annotated[float, _BATCHED] = Field(default=5.0, gt=0)
    """How long no call has come before a batch is sent."""
    batch_poll_seconds: Annotated[float, _BATCHED] = Field(default=30.0, gt=0)
    """How often a batch is asked for."""
    batch_window: Annotated[str, _BATCHED] = "24h"
    """Within which time the server is to answer a batch, as its vendor writes it."""

    def text_settings(self) -> dict[str, Any]:
        """The settings, where set, that make the model another one: they change what it writes."""
        return {name: value for name in _OF_TEXT if (value := getattr(self, name))}

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        value = _address(value)
        path = urlsplit(value).path.rstrip("/")
        form = next((end for end in _OTHER_FORMS if path.endswith(end)), "")
        if form and not path.endswith("/chat/completions"):
            raise invalid(
                f"got an address that ends in {form}", "a host, a path with a version, or .../chat/completions"
            )
        return value.rstrip("/")

    @field_validator("proxy")
    @classmethod
    def _proxy(cls, value: str) -> str:
        return value and _address(value)

    @field_validator("headers", "query")
    @classmethod
    def _no_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            _refuse_secret(name, text)
        return value

    @model_validator(mode="after")
    def _one_authorization(self) -> EndpointSettings:
        if self.api_key_env and self.key_header == "Authorization" and "@" in urlsplit(self.url).netloc:
            raise invalid(
                "got a key beside the user and password of url: both are sent as Authorization", key="api_key_env"
            )
        return self

    @model_validator(mode="after")
    def _token_ids(self) -> EndpointSettings:
        ignored = [name for name in _OF_CHATS if getattr(self, name, None)] if self.token_ids else []
        if ignored:
            raise invalid(
                "a server with token_ids: true would ignore it", fix="leave one of the two out", key=ignored[0]
            )
        return self


def _one_kind(servers: tuple[EndpointSettings, ...]) -> tuple[EndpointSettings, ...]:
    """Calls are made for the pool, before anybody knows which server takes them: all must take them in one form."""
    if len({server.token_ids for server in servers}) > 1:
        raise invalid("got servers with token_ids: true and servers without", "servers of one kind")
    if len(servers) > 1 and any(server.batch for server in servers):
        raise invalid(f"got {len(servers)} servers with batch: true among them", "one server")
    if len(made := {str(server.text_settings()) for server in servers}) > 1:
        raise invalid(
            f"got servers that answer otherwise: {' and '.join(sorted(made))}", f"the same {', '.join(_OF_TEXT)}"
        )
    return servers


Servers = Annotated[tuple[EndpointSettings, ...], AfterValidator(_one_kind)]
"""Servers of one model, used as one."""


def _address(value: str) -> str:
    """An address without secrets in it. Its errors do not repeat it: what is wrong with it may be a secret."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("allowed: http:// and https:// addresses, as in http://localhost:8000")
    if "@" in parts.netloc and not VARIABLE.search(parts.netloc.rpartition("@")[0]):
        fix = "write ${NAME}@HOST, and NAME=user:password in the environment"
        raise invalid("got an address with a user or a password in it, which would be written down", fix=fix)
    for name, text in parse_qsl(parts.query):
        _refuse_secret(name, text)
    return value


def _refuse_secret(name: str, text: str) -> None:
    if _SECRET_NAME.search(name) and text and not VARIABLE.search(text):
        fix = "write ${NAME}, and the value as NAME in the environment"
        raise invalid(f"got a value for {name}, which would be written down", fix=fix)
