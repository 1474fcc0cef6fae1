"""Small tokenizers with chat templates in the manner of public families: how each writes turns, tools and thoughts, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from generation.engines.quiet import quiet

CORPUS = [
    "Why is the sky blue? It scatters light. Nobody knows. Hello there, friend! Let me look. It is mild in Paris now.",
    "system user assistant tool model start end turn think call tools name arguments city function parameters",
    "First, look up the weather; then answer. {\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}} 0 1 2 3 4 5 6 7 8 9",
]  # fmt: skip
OPEN = "{% if add_generation_prompt %}"
ROLE_ERROR = "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
ALTERNATE = "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}" + ROLE_ERROR + "{% endif %}"
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"


class Family(NamedTuple):
    """A family's way of writing chats."""

    template: str
    special: Sequence[str]
    """Control tokens; the last one is the tokenizer's end of text, unless `end` names another."""
    plain: Sequence[str] = ()
    """Added tokens that are not special."""
    kind: str = "bytes"
    """`bytes`, or `pieces` as sentencepiece has them."""
    end: str = ""
    strips: bool = False
    """True where control tokens swallow the white space after them."""


CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
THINK = ["<think>", "</think>"]
CALL = ["<tool_call>", "</tool_call>"]
_TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
_PLAIN = "{% for m in messages %}" + _TURN + "{% endfor %}"
_ASK = OPEN + "<|im_start|>assistant\n{% endif %}"
_HERMES_TOOLS = (
    "{% if tools %}<|im_start|>system\n{% if messages[0].role == 'system' %}{{ messages[0].content + '\n\n' }}{% endif %}"
    "# Tools\n<tools>{% for t in tools %}{{ '\n' + (t | tojson) }}{% endfor %}\n</tools><|im_end|>\n"
    "{% elif messages[0].role == 'system' %}<|im_start|>system\n{{ messages[0].content }}<|im_end|>\n{% endif %}"
)
_HERMES_CALLS = (
    "{% for c in m.tool_calls or [] %}{% if not loop.first or m.content %}{{ '\n' }}{% endif %}"
    "{{ '<tool_call>\n{\"name\": \"' + c.function.name + '\", \"arguments\": ' + (c.function.arguments | tojson) + '}\n</tool_call>' }}"
    "{% endfor %}"
)
_HERMES_RESULT = (
    "{% if loop.first or messages[loop.index0 - 1].role != 'tool' %}<|im_start|>user{% endif %}"
    "{{ '\n<tool_response>\n' + m.content + '\n</tool_response>' }}"
    "{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}<|im_end|>\n{% endif %}"
)


def _hermes(answer: str, ask: str) -> str:
    """As Qwen writes tools: answer is what it writes of the assistant's content before the calls."""
    return (
        "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
        + _HERMES_TOOLS
        + "{% for m in messages %}{% if m.role == 'user' %}" + _TURN
        + "{% elif m.role == 'assistant' %}<|im_start|>assistant\n" + answer + _HERMES_CALLS + "<|im_end|>\n"
        + "{% elif m.role == 'tool' %}" + _HERMES_RESULT + "{% endif %}{% endfor %}" + ask
    )  # fmt: skip


_SPLIT = (
    "{% set ns.thoughts = '' %}{% set ns.text = m.content %}"
    "{% if m.reasoning_content is string %}{% set ns.thoughts = m.reasoning_content %}"
    "{% elif '</think>' in m.content %}{% set ns.thoughts = m.content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{% set ns.text = m.content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
)
_QWEN3 = (
    _SPLIT + "{% if loop.index0 > ns.last and (loop.last or ns.thoughts) %}"
    "{{ '<think>\n' + ns.thoughts.strip('\n') + '\n</think>\n\n' + ns.text.lstrip('\n') }}{% else %}{{ ns.text }}{% endif %}"
)
_DROP = "{% set c = m.content %}{% if '</think>' in c %}{% set c = c.split('</think>')[-1].lstrip('\n') %}{% endif %}{{ c }}"
_SWITCH = (
    OPEN
    + "<|im_start|>assistant\n{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)
_DEEPSEEK = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}{{ '<｜User｜>' + m.content }}"
    "{% elif m.role == 'assistant' %}{{ '<｜Assistant｜>' }}ANSWER"
    "{% if m.tool_calls %}<｜tool▁calls▁begin｜>{% for c in m.tool_calls %}"
    "{{ '<｜tool▁call▁begin｜>function<｜tool▁sep｜>' + c.function.name + '\n```json\n' + (c.function.arguments | tojson) + '\n```<｜tool▁call▁end｜>' }}"
    "{% endfor %}<｜tool▁calls▁end｜>{% endif %}<｜end▁of▁sentence｜>"
    "{% elif m.role == 'tool' %}{{ '<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>' + m.content + '<｜tool▁output▁end｜><｜tool▁outputs▁end｜>' }}"
    "{% endif %}{% endfor %}"
)
_DEEPSEEK_TOKENS = [
    "<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>", "<｜tool▁outputs▁begin｜>", "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>",
    "<｜tool▁outputs▁end｜>", "<｜end▁of▁sentence｜>",
]  # fmt: skip
_LLAMA3 = [
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|python_tag|>",
    "<|eot_id|>",
]
_MISTRAL = ["<s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]",
            "[/TOOL_RESULTS]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "</s>"]  # fmt: skip
_MISTRAL_TOOLS = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}SYSTEM{% elif m.role == 'user' %}"
    "{% if tools and loop.index0 == ns.last %}{{ '[AVAILABLE_TOOLS]' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}{% endif %}"
    "{{ '[INST]SPACE' + m.content + '[/INST]' }}{% elif m.role == 'assistant' and m.tool_calls %}{{ '[TOOL_CALLS]SPACE[' }}"
    "{% for c in m.tool_calls %}{{ '{\"name\": \"' + c.function.name + '\", \"arguments\": ' + (c.function.arguments | tojson) + '}' }}"
    "{% if not loop.last %}, {% endif %}{% endfor %}{{ ']' + eos_token }}"
    "{% elif m.role == 'assistant' %}{{ 'SPACE' + m.content + eos_token }}"
    "{% elif m.role == 'tool' %}{{ '[TOOL_RESULTS]SPACE' + m.content + '[/TOOL_RESULTS]' }}{% endif %}{% endfor %}"
)
_HARMONY = ["<|start|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|call|>", "<|end|>", "<|return|>"]
_GPT_OSS = (
    "{% if tools %}{{ '<|start|>developer<|message|># Tools\n' + (tools | tojson) + '<|end|>' }}{% endif %}"
    "{% for m in messages %}{% if m.role == 'assistant' %}{% if m.tool_calls %}"
    "{% if m.thinking or m.content %}{{ '<|start|>assistant<|channel|>analysis<|message|>' + (m.thinking or m.content) + '<|end|>' }}{% endif %}"
    "{{ '<|start|>assistant to=functions.' + m.tool_calls[0].function.name + '<|channel|>commentary json<|message|>'"
    " + (m.tool_calls[0].function.arguments | tojson) + '<|call|>' }}"
    "{% else %}{% if loop.last and m.thinking %}{{ '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}{% endif %}"
    "{{ '<|start|>assistant<|channel|>final<|message|>' + m.content }}"
    "{% if loop.last and not add_generation_prompt %}<|return|>{% else %}<|end|>{% endif %}{% endif %}"
    "{% elif m.role == 'tool' %}{{ '<|start|>functions.look to=assistant<|channel|>commentary<|message|>' + (m.content | tojson) + '<|end|>' }}"
    "{% else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}"
    + OPEN
    + "<|start|>assistant{% endif %}"
)
_COHERE = ["<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>",
           "<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_THINKING|>", "<|END_THINKING|>", "<|END_OF_TURN_TOKEN|>"]  # fmt: skip

FAMILIES: dict[str, Family] = {
    "chatml": Family(_PLAIN + _ASK, CHATML),
    "smollm2 (a default system message)": Family(
        "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nYou are a helper.<|im_end|>\n{% endif %}"
        + _TURN + "{% endfor %}" + _ASK, CHATML),
    "chatml, content trimmed": Family(_PLAIN.replace("m.content", "(m.content | trim)") + _ASK, CHATML),
    "chatml, line before the end": Family(_PLAIN.replace("{{ m.content }}", "{{ m.content }}\n") + _ASK, CHATML),
    "qwen2.5": Family(_hermes("{{ m.content }}", _ASK), CHATML, CALL),
    "qwen3": Family(_hermes(_QWEN3, _SWITCH), CHATML, [*CALL, *THINK]),
    "qwen3 thinking": Family(_hermes(_QWEN3, OPEN + "<|im_start|>assistant\n<think>\n{% endif %}"), CHATML, [*CALL, *THINK]),
    "qwq": Family(_hermes(_DROP, OPEN + "<|im_start|>assistant\n<think>\n{% endif %}"), CHATML, [*CALL, *THINK]),
    "chatml with think tokens": Family(_PLAIN + _ASK, CHATML, THINK),
    "smollm3": Family(
        "{% set think = enable_thinking if enable_thinking is defined else true %}{% for m in messages %}"
        "{% if m.role == 'assistant' and not think %}<|im_start|>assistant\n<think>\n\n</think>\n{{ m.content }}<|im_end|>\n{% else %}"
        + _TURN + "{% endif %}{% endfor %}" + OPEN
        + "<|im_start|>assistant\n{% if not think %}<think>\n\n</think>\n{% endif %}{% endif %}", CHATML, THINK),
    "deepseek r1": Family(
        _DEEPSEEK.replace("ANSWER", _DROP) + OPEN + "<｜Assistant｜><think>\n{% endif %}", _DEEPSEEK_TOKENS, THINK),
    "deepseek v3": Family(
        _DEEPSEEK.replace("ANSWER", "{{ m.content }}") + OPEN + "<｜Assistant｜>{% endif %}", _DEEPSEEK_TOKENS),
    "deepseek v3.1": Family(
        _DEEPSEEK.replace("ANSWER", "</think>" + _DROP) + OPEN
        + "<｜Assistant｜>{% if thinking is defined and thinking %}<think>{% else %}</think>{% endif %}{% endif %}",
        _DEEPSEEK_TOKENS, THINK),
    "glm 4.5": Family(
        "[gMASK]<sop>{% for m in messages %}{% if m.role == 'assistant' %}<|assistant|>"
        "{% if m.reasoning_content is string and loop.last %}{{ '\n<think>' + m.reasoning_content.strip() + '</think>' }}"
        "{% else %}{{ '\n<think></think>' }}{% endif %}{% if m.content.strip() %}{{ '\n' + m.content.strip() }}{% endif %}"
        "{% for c in m.tool_calls or [] %}{{ '\n<tool_call>' + c.function.name }}{% for k, v in c.function.arguments.items() %}"
        "{{ '\n<arg_key>' + k + '</arg_key>\n<arg_value>' + (v if v is string else v | tojson) + '</arg_value>' }}{% endfor %}{{ '\n</tool_call>' }}{% endfor %}"
        "{% elif m.role == 'tool' %}{{ '<|observation|>\n<tool_response>\n' + m.content + '\n</tool_response>' }}"
        "{% else %}{{ '<|' + m.role + '|>\n' + m.content }}{% endif %}{% endfor %}"
        + OPEN + "<|assistant|>{{ '\n<think></think>' if enable_thinking is defined and not enable_thinking else '' }}{% endif %}",
        ["[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>", "<|endoftext|>"], [*THINK, *CALL]),
    "llama 2": Family(
        "{% for m in messages %}{% if m.role == 'system' %}{% elif m.role == 'user' %}"
        "{{ bos_token + '[INST] ' }}{% if loop.index0 == 1 and messages[0].role == 'system' %}"
        "{{ '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' }}{% endif %}{{ m.content.strip() + ' [/INST]' }}"
        "{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}", ["<s>", "</s>"], kind="pieces"),
    "llama 3": Family(
        "{{ bos_token }}{% for m in messages %}"
        "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
        + OPEN + "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}", _LLAMA3),
    "llama 3.1": Family(
        "{{ bos_token }}<|start_header_id|>system<|end_header_id|>\n\n{{ 'Today Date: ' + date_string }}\n\n"
        "{% if messages[0].role == 'system' %}{{ messages[0].content | trim }}{% set messages = messages[1:] %}{% endif %}<|eot_id|>"
        "{% for m in messages %}{% if m.role == 'tool' %}"
        "{{ '<|start_header_id|>ipython<|end_header_id|>\n\n' + (m.content | tojson) + '<|eot_id|>' }}"
        "{% elif m.tool_calls %}{% if m.tool_calls | length != 1 %}{{ raise_exception('This model only supports single tool-calls at once!') }}{% endif %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"' + m.tool_calls[0].function.name + '\", \"parameters\": '"
        " + (m.tool_calls[0].function.arguments | tojson) + '}<|eot_id|>' }}{% else %}"
        "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}{% if tools and loop.first %}{{ (tools | tojson) + '\n\n' }}{% endif %}"
        "{{ m.content | trim + '<|eot_id|>' }}{% endif %}{% endfor %}"
        + OPEN + "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}", _LLAMA3),
    "mistral v1": Family(
        "{{ bos_token }}{% for m in messages %}" + ALTERNATE + "{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
        "{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}", ["<s>", "</s>"], kind="pieces"),
    "mistral v3": Family(
        _MISTRAL_TOOLS.replace("SYSTEM", "{{ raise_exception('roles') }}").replace("SPACE", " "), _MISTRAL, kind="pieces"),
    "mistral v7": Family(
        _MISTRAL_TOOLS.replace("SYSTEM", "{{ '[SYSTEM_PROMPT]' + m.content + '[/SYSTEM_PROMPT]' }}").replace("SPACE", ""), _MISTRAL),
    "zephyr": Family(
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token }}\n{% endfor %}" + OPEN + "<|assistant|>\n{% endif %}",
        ["<s>", "</s>"], kind="pieces"),
    "vicuna": Family(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ 'USER: ' + m.content + ' ' }}{% elif m.role == 'system' %}"
        "{{ m.content + ' ' }}{% else %}{{ 'ASSISTANT: ' + m.content + eos_token }}{% endif %}{% endfor %}" + OPEN + "ASSISTANT:{% endif %}",
        ["<s>", "</s>"], kind="pieces"),
    "alpaca": Family(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ '### Response:\n' + m.content + eos_token + '\n\n' }}"
        "{% else %}{{ '### Instruction:\n' + m.content + '\n\n' }}{% endif %}{% endfor %}" + OPEN + "### Response:\n{% endif %}",
        ["<s>", "</s>"], kind="pieces"),
    "gemma 2": Family(
        NO_SYSTEM + "{{ bos_token }}{% for m in messages %}" + ALTERNATE
        + "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
        + OPEN + "<start_of_turn>model\n{% endif %}", ["<bos>", "<start_of_turn>", "<end_of_turn>"], kind="pieces"),
    "gemma 3": Family(
        "{{ bos_token }}{% set first = '' %}{% if messages[0].role == 'system' %}{% set first = messages[0].content + '\n\n' %}"
        "{% set messages = messages[1:] %}{% endif %}{% for m in messages %}" + ALTERNATE
        + "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + (first if loop.first else '') + m.content | trim"
        " + '<end_of_turn>\n' }}{% endfor %}" + OPEN + "<start_of_turn>model\n{% endif %}",
        ["<bos>", "<start_of_turn>", "<end_of_turn>"], kind="pieces"),
    "phi 3": Family(
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}" + OPEN
        + "<|assistant|>\n{% else %}{{ eos_token }}{% endif %}",
        ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"], kind="pieces", strips=True),
    "phi 4": Family(
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' }}{% endfor %}" + OPEN
        + "<|im_start|>assistant<|im_sep|>{% endif %}", ["<|endoftext|>", "<|im_start|>", "<|im_sep|>", "<|im_end|>"]),
    "phi 4 mini": Family(
        "{% for m in messages %}{% if m.role == 'system' and tools %}{{ '<|system|>' + m.content + '<|tool|>' + (tools | tojson) + '<|/tool|><|end|>' }}"
        "{% else %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}" + OPEN + "<|assistant|>{% else %}{{ eos_token }}{% endif %}",
        ["<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|/tool|>", "<|end|>", "<|endoftext|>"]),
    "gpt-oss": Family(_GPT_OSS, _HARMONY),
    "granite 3": Family(
        "{% if tools %}{{ '<|start_of_role|>available_tools<|end_of_role|>' + (tools | tojson) + '<|end_of_text|>\n' }}{% endif %}"
        "{% for m in messages %}{% if m.role == 'tool' %}{{ '<|start_of_role|>tool_response<|end_of_role|>' + m.content + '<|end_of_text|>\n' }}{% else %}"
        "{{ '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content }}{% for c in m.tool_calls or [] %}"
        "{% if loop.first %}<|tool_call|>[{% endif %}{{ (c.function | tojson) }}{% if loop.last %}]{% else %}, {% endif %}{% endfor %}"
        "{{ '<|end_of_text|>\n' }}{% endif %}{% endfor %}" + OPEN + "<|start_of_role|>assistant<|end_of_role|>{% endif %}",
        ["<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>", "<|end_of_text|>"]),
    "command r": Family(
        "{{ bos_token }}{% for m in messages %}{{ '<|START_OF_TURN_TOKEN|>' }}{% if m.role == 'system' %}<|SYSTEM_TOKEN|>"
        "{% elif m.role == 'user' %}<|USER_TOKEN|>{% else %}<|CHATBOT_TOKEN|>{% endif %}{{ m.content.strip() + '<|END_OF_TURN_TOKEN|>' }}"
        "{% endfor %}" + OPEN + "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}", _COHERE),
    "command a": Family(
        "{{ bos_token }}{% for m in messages %}{{ '<|START_OF_TURN_TOKEN|>' }}{% if m.role == 'system' %}<|SYSTEM_TOKEN|>{{ m.content }}"
        "{% elif m.role == 'user' %}<|USER_TOKEN|>{{ m.content }}{% else %}<|CHATBOT_TOKEN|><|START_RESPONSE|>{{ m.content }}<|END_RESPONSE|>{% endif %}"
        "<|END_OF_TURN_TOKEN|>{% endfor %}" + OPEN + "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}", _COHERE),
    "olmo 2": Family(
        "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}"
        "{% if not loop.last %}{{ '\n' }}{% endif %}{% if loop.last and add_generation_prompt %}{{ '\n<|assistant|>\n' }}{% endif %}{% endfor %}",
        ["<|endoftext|>"]),
    "exaone": Family(
        "{% for m in messages %}{{ '[|' + m.role + '|]' + m.content }}{% if m.role != 'user' %}[|endofturn|]{% endif %}{{ '\n' }}{% endfor %}"
        + OPEN + "[|assistant|]{% endif %}", ["[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]"]),
    "kimi k2": Family(
        "{% for m in messages %}{% if m.role == 'tool' %}{{ '<|im_system|>tool<|im_middle|>' + m.content }}{% else %}"
        "{{ '<|im_' + m.role + '|>' + m.role + '<|im_middle|>' + m.content }}{% endif %}{% if m.tool_calls %}<|tool_calls_section_begin|>"
        "{% for c in m.tool_calls %}{{ '<|tool_call_begin|>functions.' + c.function.name + ':' + loop.index0 | string + '<|tool_call_argument_begin|>'"
        " + (c.function.arguments | tojson) + '<|tool_call_end|>' }}{% endfor %}<|tool_calls_section_end|>{% endif %}<|im_end|>{% endfor %}"
        + OPEN + "<|im_assistant|>assistant<|im_middle|>{% endif %}",
        ["<|im_system|>", "<|im_user|>", "<|im_assistant|>", "<|im_middle|>", "<|tool_calls_section_begin|>", "<|tool_call_begin|>",
         "<|tool_call_argument_begin|>", "<|tool_call_end|>", "<|tool_calls_section_end|>", "<|im_end|>"]),
    "nemotron (closed thoughts in the prompt)": Family(
        _PLAIN + OPEN + "<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}", CHATML, THINK),
    "no generation prompt": Family(_PLAIN, CHATML),
    "an end between turns alone": Family(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% if not loop.last %}<|im_end|>\n{% endif %}{% endfor %}"
        + OPEN + "<|im_end|>\n<|im_start|>assistant\n{% endif %}", CHATML),
    "no end of the turn": Family("{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}" + OPEN + "assistant: {% endif %}", CHATML),
    "answers left out": Family(_PLAIN.replace("in messages", "in messages if m.role != 'assistant'") + _ASK, CHATML),
}  # fmt: skip


@cache
def _backend(special: tuple[str, ...], plain: tuple[str, ...], kind: str, strips: bool) -> Tokenizer:
    if kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet, first = pre_tokenizers.ByteLevel.alphabet(), []
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        alphabet, first = [*map(chr, range(33, 127)), *"\nü東京"], ["<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=first, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False, rstrip=strips) for text in special])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in plain])
    return tokenizer


def tokenizer_of(family: Family) -> Any:
    """A transformers tokenizer with the family's template."""
    quiet()
    from transformers import PreTrainedTokenizerFast

    backend = _backend(tuple(family.special), tuple(family.plain), family.kind, family.strips)
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=family.special[0], eos_token=family.end or family.special[-1]
    )
    made.chat_template = family.template
    return made
