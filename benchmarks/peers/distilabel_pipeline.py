"""Two responses to each prompt and a judgement in both orders, as a pipeline of distilabel 1.5; run by the Python that has it.

    PYTHON distilabel_pipeline.py URL MODEL PROMPTS TEMPLATE OUT CONCURRENCY [ray]

The pipeline is that of its documentation for preferences: two generating steps side by side, their responses grouped, then judged.
Two steps run at once, each in a process of its own, so a batch is half of the concurrency. A second start uses its cache. With
`ray` the processes are Ray's, on a cluster that begins with it: each step asks for a core of its own, and waits most of the time.
"""

import json
import logging
import sys
from pathlib import Path

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import GroupColumns, LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration

SAMPLE = {"max_new_tokens": 48, "temperature": 0.8}
STEPS = 16
"""Cores that Ray is told of: more than there are steps."""
VERDICT = {"max_new_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": 20}


def main() -> None:
    """Run it, and write a JSON line for each prompt."""
    logging.getLogger("httpx2").setLevel(
        logging.CRITICAL
    )  # a line for each call, which it silences of the older httpx alone
    url, model, prompts, template, out, concurrency, *engine = sys.argv[1:]
    rows = [{"instruction": json.loads(line)["prompt"]} for line in Path(prompts).read_text().splitlines()]
    judge = Path(template).read_text().replace("PROMPT", "{{ instruction }}")
    judge = judge.replace("FIRST", "{{ first }}").replace("SECOND", "{{ second }}")
    batch = max(1, int(concurrency) // 2)

    def served(parameters: dict[str, object]) -> OpenAILLM:
        return OpenAILLM(model=model, base_url=f"{url}/v1", api_key="x", generation_kwargs=parameters)

    with Pipeline(name="preferences", cache_dir=Path(out) / "cache") as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=batch)
        samples = [TextGeneration(name=f"sample-{i}", llm=served(SAMPLE), input_batch_size=batch) for i in range(2)]
        pair = GroupColumns(name="pair", columns=["generation"], output_columns=["responses"], input_batch_size=batch)
        verdicts = [
            TextGeneration(
                name=f"judge-{i}", llm=served(VERDICT), input_batch_size=batch, columns=["instruction", "responses"],
                template=f"{{% set {order} = responses %}}{judge}",
            )
            for i, order in enumerate(("first, second", "second, first"))
        ]  # fmt: skip
        both = GroupColumns(name="both", columns=["generation"], output_columns=["verdicts"], input_batch_size=batch)
        load >> samples >> pair >> verdicts >> both
    running = pipeline.ray(ray_init_kwargs={"num_cpus": STEPS, "include_dashboard": False}) if engine else pipeline
    found = running.run(use_cache=True)
    with (Path(out) / "pairs.jsonl").open("w") as file:
        for row in found["default"]["train"]:
            file.write(json.dumps({"responses": row["responses"], "verdicts": row["verdicts"]}) + "\n")


if __name__ == "__main__":
    main()
