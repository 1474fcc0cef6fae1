"""Two responses to each prompt and a judgement in both orders, with bespokelabs-curator 0.1; run by the Python that has it.

    PYTHON curator_blocks.py URL MODEL PROMPTS TEMPLATE OUT CONCURRENCY

Two of its LLMs, one after the other, with the backend and the parameters that its documentation gives for servers of OpenAI's form.
Its limits a minute, which hold back a server of one's own, are lifted; a response that ends at its limit counts. A second start
uses its cache.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

URL, MODEL, PROMPTS, TEMPLATE, OUT, CONCURRENCY = sys.argv[1:]
PARTS = importlib.util.find_spec("litellm").submodule_search_locations[0]  # type: ignore[union-attr, index]
os.environ |= {"CURATOR_CACHE_DIR": str(Path(OUT) / "cache"), "TELEMETRY_ENABLED": "false"}
# A tokenizer that it counts with and otherwise downloads at its first start; a package that it brings holds the file.
os.environ.setdefault("TIKTOKEN_CACHE_DIR", f"{PARTS}/litellm_core_utils/tokenizers")

from bespokelabs import curator  # noqa: E402
from datasets import Dataset  # noqa: E402

SERVER = {
    "base_url": f"{URL}/v1",
    "api_key": "x",
    "max_concurrent_requests": int(CONCURRENCY),
    "max_requests_per_minute": 10_000_000,
    "max_tokens_per_minute": 10_000_000_000,
    "invalid_finish_reasons": ["content_filter"],
}
JUDGE = Path(TEMPLATE).read_text()


class Sampler(curator.LLM):  # type: ignore[misc]
    """Answers a prompt."""

    def prompt(self, input: dict[str, Any]) -> str:
        """What is asked."""
        return str(input["prompt"])

    def parse(self, input: dict[str, Any], response: str) -> dict[str, Any]:
        """What is kept."""
        return {**input, "response": response}


class Judge(curator.LLM):  # type: ignore[misc]
    """Chooses between two responses."""

    def prompt(self, input: dict[str, Any]) -> str:
        """What is asked."""
        filled = JUDGE.replace("PROMPT", input["prompt"])
        return filled.replace("FIRST", input["first"]).replace("SECOND", input["second"])

    def parse(self, input: dict[str, Any], response: str) -> dict[str, Any]:
        """What is kept."""
        return {**input, "verdict": response}


def main() -> None:
    """Run both, and write a JSON line for each prompt."""
    prompts = [json.loads(line)["prompt"] for line in Path(PROMPTS).read_text().splitlines()]
    sampler = Sampler(
        model_name=MODEL, backend="openai", backend_params=dict(SERVER),
        generation_params={"max_tokens": 48, "temperature": 0.8},
    )  # fmt: skip
    asked = Dataset.from_list([{"prompt": prompt, "sample": i} for prompt in prompts for i in range(2)])
    responses: dict[str, dict[int, str]] = {prompt: {} for prompt in prompts}
    for row in sampler(asked).dataset:
        responses[row["prompt"]][row["sample"]] = row["response"]
    judge = Judge(
        model_name=MODEL, backend="openai", backend_params=dict(SERVER),
        generation_params={"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": 20},
    )  # fmt: skip
    pairs = Dataset.from_list(
        [
            {"prompt": prompt, "first": found[order], "second": found[1 - order]}
            for prompt, found in responses.items()
            for order in (0, 1)
        ]
    )
    verdicts: dict[str, list[str]] = {prompt: [] for prompt in prompts}
    for row in judge(pairs).dataset:
        verdicts[row["prompt"]].append(row["verdict"])
    with (Path(OUT) / "pairs.jsonl").open("w") as file:
        for prompt, found in responses.items():
            file.write(json.dumps({"responses": [found[0], found[1]], "verdicts": verdicts[prompt]}) + "\n")


if __name__ == "__main__":
    main()
