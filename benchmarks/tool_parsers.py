"""What vLLM's tool parsers, and our own reader, read back of calls that are trained on.

python -m benchmarks.tool_parsers

For families of templates that vLLM has a parser for: the tokens that are learnt of an answer with calls are decoded as vLLM does
it, and its parser must find the same names and arguments; so must our reader, with the control tokens in the text and without. It
needs the `vllm` extra, and no weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.tool_parsers import ToolParserManager

from benchmarks.common import show
from benchmarks.families import tokenizer_of
from benchmarks.templates_trained import ALL, TOOLS, WEATHER, called, read
from generation.models.encoder import Encoder
from generation.models.tool_calls import parse_tool_calls

PARSERS = {
    "qwen2.5": "hermes", "qwen3": "hermes", "qwen3 thinking": "hermes", "qwq": "hermes", "chatml": "hermes",
    "llama 3": "hermes", "llama 3.1": "llama3_json", "mistral v3": "mistral", "mistral v7": "mistral", "granite 3": "granite",
    "deepseek r1": "deepseek_v3", "deepseek v3": "deepseek_v3", "kimi k2": "kimi_k2", "llama 4": "llama4_pythonic",
    "qwen3 coder": "qwen3_coder", "olmo 3": "olmo3", "lfm 2": "lfm2", "internlm 2": "", "minimax m2": "minimax_m2",
    "mistral v11": "", "command r7b": "", "gpt-oss": "", "phi 4 mini, with calls": "", "nemotron nano": "",
}  # fmt: skip
"""Family -> name of its parser; empty where vLLM has none that takes a tokenizer alone, or that fails on two calls."""
MARKED = ("granite 3", "lfm 2", "internlm 2", "command r7b", "phi 4 mini, with calls")
"""Families whose marks of calls are control tokens, without which a call beside text is not told from text."""
CALLS: dict[str, dict[str, Any]] = {
    "one call": called("Paris"),
    "two calls": called("Paris", "Rome"),
    "text and a call": called("Paris", content="Let me look."),
    "quotes": called('the "Paris" of\n{"x": [1]}'),
    "the mark that ends a call": called("Paris</tool_call>"),
    "letters": called("Zürich, 東京"),
}


def main() -> None:
    """Prints each family's counts, and what was read otherwise."""
    same = refused = other = ours = missed = 0
    for family, parser in PARSERS.items():
        tokenizer = tokenizer_of(ALL[family])
        encoder = Encoder(tokenizer)
        for title, given in CALLS.items():
            message = read(given)
            try:
                (side,) = encoder.written((read(WEATHER),), [[message]], TOOLS).sides
            except ValueError as error:
                refused += 1
                print(f"{family}, {title}: refused: {error}")
                continue
            expected = [(call.function.name, call.function.arguments) for call in message.tool_calls]
            for skip in (False,) if family in MARKED else (False, True):
                text = tokenizer.decode(side.tokens[:-1], skip_special_tokens=skip)
                own = [
                    (call.function.name, call.function.arguments) for call in parse_tool_calls(text, TOOLS).tool_calls
                ]
                ours += own == expected
                missed += own != expected
                if own != expected:
                    print(f"{family}, {title}: we read {own} of {text!r}")
            if not parser:
                continue
            found = parsed(parser, tokenizer, side.tokens)
            same += found == expected
            if found != expected:
                other += 1
                print(f"{family}, {title}: {parser} reads {found} of {tokenizer.decode(side.tokens)!r}")
    show("calls that vLLM reads as they were given", same, "", "all that a template writes")
    show("calls that are refused in words", refused, "", "")
    show("calls that vLLM reads otherwise", other, "", "0")
    show("texts of calls that our reader reads as they were given", ours, "", "all")
    show("texts of calls that our reader reads otherwise", missed, "", "0")


def parsed(name: str, tokenizer: Any, tokens: Sequence[int]) -> list[tuple[str, Any]]:
    """Names and arguments that the parser finds."""
    request = ChatCompletionRequest(messages=[WEATHER], model="m", tools=TOOLS)
    parser = ToolParserManager.get_tool_parser(name)(tokenizer, request.tools)
    text = tokenizer.decode(tokens[:-1], skip_special_tokens=False)
    found = parser.extract_tool_calls(text, request=request)
    return [(call.function.name, json.loads(call.function.arguments)) for call in found.tool_calls]


if __name__ == "__main__":
    main()
