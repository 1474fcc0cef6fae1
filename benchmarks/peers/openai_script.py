"""Two responses to each prompt and a judgement in both orders, as many would write it: the openai package, gather, a semaphore.

python openai_script.py URL MODEL PROMPTS TEMPLATE OUT CONCURRENCY
"""

import asyncio
import json
import sys
from pathlib import Path

from openai import AsyncOpenAI

SAMPLE = {"max_tokens": 48, "temperature": 0.8}
VERDICT = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": 20}


async def main() -> None:
    """All prompts at once; a JSON line for each."""
    url, model, prompts, template, out, concurrency = sys.argv[1:]
    rows = [json.loads(line)["prompt"] for line in Path(prompts).read_text().splitlines()]
    judge = Path(template).read_text()
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="x")
    free = asyncio.Semaphore(int(concurrency))

    async def ask(content: str, parameters: dict[str, object]) -> str:
        async with free:
            messages = [{"role": "user", "content": content}]
            answer = await client.chat.completions.create(model=model, messages=messages, **parameters)
        return str(answer.choices[0].message.content)

    async def one(prompt: str) -> str:
        first, second = await asyncio.gather(*(ask(prompt, SAMPLE) for _ in range(2)))
        asked = judge.replace("PROMPT", prompt)
        orders = [asked.replace("FIRST", a).replace("SECOND", b) for a, b in ((first, second), (second, first))]
        verdicts = await asyncio.gather(*(ask(content, VERDICT) for content in orders))
        return json.dumps({"responses": [first, second], "verdicts": verdicts})

    lines = await asyncio.gather(*map(one, rows))
    (Path(out) / "pairs.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
