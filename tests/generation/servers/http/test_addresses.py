"""Addresses of entry points, and the variables that they name."""

import pytest

from generation.engines.base import ModelError
from generation.servers.http.addresses import addresses, named_variables
from generation.servers.settings import EndpointSettings

H = "https://h"


@pytest.mark.parametrize(
    ("url", "chat"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1/chat/completions"),
        ("http://localhost:8000/", "http://localhost:8000/v1/chat/completions"),
        (f"{H}/v1", f"{H}/v1/chat/completions"),
        (f"{H}/v1/", f"{H}/v1/chat/completions"),
        (f"{H}/api/v1", f"{H}/api/v1/chat/completions"),
        (f"{H}/openai/v1", f"{H}/openai/v1/chat/completions"),
        (f"{H}/v1beta/openai", f"{H}/v1beta/openai/chat/completions"),
        (f"{H}/v1beta/openai/", f"{H}/v1beta/openai/chat/completions"),
        (f"{H}/api/paas/v4", f"{H}/api/paas/v4/chat/completions"),
        (f"{H}/compatible-mode/v1", f"{H}/compatible-mode/v1/chat/completions"),
        (f"{H}/v1/chat/completions", f"{H}/v1/chat/completions"),
        (f"{H}/serving/chat/completions", f"{H}/serving/chat/completions"),
        (f"{H}/v1/chat", f"{H}/v1/chat/completions"),
        (f"{H}/gateway", f"{H}/gateway/v1/chat/completions"),
        (f"{H}/openai/deployments/gpt", f"{H}/openai/deployments/gpt/chat/completions"),
        (f"{H}/openai/deployments/gpt/chat/completions?api-version=2024-10-21", f"{H}/openai/deployments/gpt/chat/completions?api-version=2024-10-21"),
        (f"{H}/openai/deployments/gpt?api-version=1", f"{H}/openai/deployments/gpt/chat/completions?api-version=1"),
        (f"{H}/v1/projects/p/locations/l/endpoints/openapi", f"{H}/v1/projects/p/locations/l/endpoints/openapi/chat/completions"),
    ],
)  # fmt: skip
def test_chat_completions_are_added_where_they_belong(url: str, chat: str) -> None:
    assert addresses(EndpointSettings(url=url)).chat == chat


def test_other_entry_points_stand_beside() -> None:
    found = addresses(EndpointSettings(url=f"{H}/openai/deployments/gpt", query={"api-version": "2 1"}))
    assert found.files == f"{H}/openai/files?api-version=2+1"
    assert found.batches == f"{H}/openai/batches?api-version=2+1"
    for url in (f"{H}/v1", H):
        assert addresses(EndpointSettings(url=url)).tokens == f"{H}/inference/v1/generate"
        assert addresses(EndpointSettings(url=url)).batches == f"{H}/v1/batches"


def test_variables_stand_for_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = EndpointSettings(
        url="https://${WHO}@h/v1", query={"key": "${KEY}"}, proxy="http://${WHO}@proxy:1", headers={"X": "a ${KEY}"},
        headers_env={"Y": "OTHER"}, api_key_env="MINE", key_header="api-key",
    )  # fmt: skip
    assert set(named_variables(chosen)) == {"WHO", "KEY", "OTHER", "MINE"}
    with pytest.raises(ModelError, match=r"endpoint https://\$\{WHO\}@h/v1: environment variable WHO is not set"):
        addresses(chosen)
    monkeypatch.setenv("WHO", "bob:pw")
    monkeypatch.setenv("KEY", "k&1")
    found = addresses(chosen)
    assert found.chat == "https://bob:pw@h/v1/chat/completions?key=k%261"
    assert found.proxy == "http://bob:pw@proxy:1"
