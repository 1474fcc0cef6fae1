"""More families of chat templates, as `families.py` has them: their turns, tools and thoughts, in words of our own."""

from __future__ import annotations

from benchmarks.families import CALL, CHATML, OPEN, THINK, Family

_TOOLS = "{% if tools %}BEGIN{{ tools | tojson }}END{% endif %}"
_PYTHON = (
    "{% for c in m.tool_calls %}{{ c.function.name + '(' }}{% for k, v in c.function.arguments.items() %}"
    "{{ k + '=' + (v | tojson) }}{% if not loop.last %}, {% endif %}{% endfor %}){% if not loop.last %}SEP{% endif %}{% endfor %}"
)
_JSON = (
    "{% for c in m.tool_calls %}{{ '{\"name\": \"' + c.function.name + '\", \"KEY\": ' + (c.function.arguments | tojson) + '}' }}"
    "{% if not loop.last %}SEP{% endif %}{% endfor %}"
)
_XML = (
    "{% for c in m.tool_calls %}{{ '<tool_call>\n<function=' + c.function.name + '>\n' }}{% for k, v in c.function.arguments.items() %}"
    "{{ '<parameter=' + k + '>\n' + (v if v is string else v | tojson) + '\n</parameter>\n' }}{% endfor %}</function>\n</tool_call>"
    "{% if not loop.last %}{{ '\n' }}{% endif %}{% endfor %}"
)


def _chatml(calls: str, tools: str = "\n# Tools\n", result: str = "tool") -> str:
    """Turns of ChatML, with calls behind the content."""
    listed = _TOOLS.replace("BEGIN", "<|im_start|>system" + tools).replace("END", "<|im_end|>\n")
    role = "{{ '" + result + "' if m.role == 'tool' else m.role }}"
    return (
        listed + "{% for m in messages %}<|im_start|>" + role + "\n{{ m.content }}{% if m.tool_calls %}" + calls
        + "{% endif %}<|im_end|>\n{% endfor %}" + OPEN + "<|im_start|>assistant\n{% endif %}"
    )  # fmt: skip


MORE: dict[str, Family] = {
    "llama 4": Family(
        "{{ bos_token }}" + _TOOLS.replace("BEGIN", "<|header_start|>system<|header_end|>\n\n").replace("END", "<|eot|>")
        + "{% for m in messages %}{{ '<|header_start|>' + ('ipython' if m.role == 'tool' else m.role) + '<|header_end|>\n\n' }}"
        "{% if m.tool_calls %}[" + _PYTHON.replace("SEP", ", ") + "]{% else %}{{ m.content | trim }}{% endif %}<|eot|>"
        "{% endfor %}" + OPEN + "<|header_start|>assistant<|header_end|>\n\n{% endif %}",
        ["<|begin_of_text|>", "<|header_start|>", "<|header_end|>", "<|eot|>"]),
    "qwen3 coder": Family(_chatml(_XML), CHATML, CALL),
    "olmo 3": Family(_chatml("<function_calls>" + _PYTHON.replace("SEP", "{{ '\n' }}") + "</function_calls>", result="environment"), CHATML),
    "lfm 2": Family(
        _chatml("<|tool_call_start|>[" + _PYTHON.replace("SEP", ", ") + "]<|tool_call_end|>"),
        ["<|tool_call_start|>", "<|tool_call_end|>", *CHATML]),
    "internlm 2": Family(
        "{{ bos_token }}" + _chatml("<|action_start|><|plugin|>\n" + _JSON.replace("KEY", "parameters").replace("SEP", "\n") + "<|action_end|>",
                                    result="environment"),
        ["<s>", "<|action_start|>", "<|plugin|>", "<|action_end|>", *CHATML[1:]]),
    "minimax m2": Family(
        "]~!b[" + _TOOLS.replace("BEGIN", "]~b]system\n").replace("END", "[e~[\n")
        + "{% for m in messages %}{{ ']~b]' + ('ai' if m.role == 'assistant' else m.role) + '\n' }}"
        "{% if m.role == 'assistant' and m.reasoning_content and loop.last %}{{ '<think>\n' + m.reasoning_content + '\n</think>\n\n' }}{% endif %}"
        "{{ m.content }}{% if m.tool_calls %}{{ '\n<minimax:tool_call>\n' }}{% for c in m.tool_calls %}"
        "{{ '<invoke name=\"' + c.function.name + '\">\n' }}{% for k, v in c.function.arguments.items() %}"
        "{{ '<parameter name=\"' + k + '\">' + (v if v is string else v | tojson) + '</parameter>\n' }}{% endfor %}{{ '</invoke>\n' }}{% endfor %}"
        "</minimax:tool_call>{% endif %}[e~[\n{% endfor %}" + OPEN + "]~b]ai\n<think>\n{% endif %}",
        ["]~!b[", "]~b]", "[e~["], [*THINK, "<minimax:tool_call>", "</minimax:tool_call>"]),
    "command r7b": Family(
        "{{ bos_token }}" + _TOOLS.replace("BEGIN", "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>").replace("END", "<|END_OF_TURN_TOKEN|>")
        + "{% for m in messages %}<|START_OF_TURN_TOKEN|>{% if m.role == 'assistant' %}<|CHATBOT_TOKEN|>{% if m.tool_calls %}"
        "{% if m.content %}{{ '<|START_THINKING|>' + m.content + '<|END_THINKING|>' }}{% endif %}<|START_ACTION|>[{{ '\n' }}"
        "{% for c in m.tool_calls %}{{ '    {\"tool_call_id\": \"' + loop.index0 | string + '\", \"tool_name\": \"' + c.function.name"
        " + '\", \"parameters\": ' + (c.function.arguments | tojson) + '}' }}{% if not loop.last %},{% endif %}{{ '\n' }}{% endfor %}"
        "]<|END_ACTION|>{% else %}{{ '<|START_RESPONSE|>' + m.content + '<|END_RESPONSE|>' }}{% endif %}"
        "{% else %}{{ ('<|USER_TOKEN|>' if m.role == 'user' else '<|SYSTEM_TOKEN|>') + m.content }}{% endif %}<|END_OF_TURN_TOKEN|>{% endfor %}"
        + OPEN + "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}",
        ["<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|START_RESPONSE|>",
         "<|END_RESPONSE|>", "<|START_THINKING|>", "<|END_THINKING|>", "<|START_ACTION|>", "<|END_ACTION|>", "<|END_OF_TURN_TOKEN|>"]),
    "mistral v11": Family(
        "{{ bos_token }}{% if tools %}{{ '[AVAILABLE_TOOLS]' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}{% endif %}{% for m in messages %}"
        "{% if m.role == 'system' %}{{ '[SYSTEM_PROMPT]' + m.content + '[/SYSTEM_PROMPT]' }}{% elif m.role == 'user' %}"
        "{{ '[INST]' + m.content + '[/INST]' }}{% elif m.role == 'tool' %}{{ '[TOOL_RESULTS]' + m.content + '[/TOOL_RESULTS]' }}{% else %}"
        "{{ m.content }}{% for c in m.tool_calls or [] %}{{ '[TOOL_CALLS]' + c.function.name + '[ARGS]' + (c.function.arguments | tojson) }}"
        "{% endfor %}{{ eos_token }}{% endif %}{% endfor %}",
        ["<s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[ARGS]", "[TOOL_RESULTS]",
         "[/TOOL_RESULTS]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "</s>"]),
    "phi 4 mini, with calls": Family(
        "{% for m in messages %}{{ '<|' + m.role + '|>' }}{{ m.content }}{% if loop.first and tools %}{{ '<|tool|>' + (tools | tojson) + '<|/tool|>' }}"
        "{% endif %}{% if m.tool_calls %}<|tool_call|>[" + _JSON.replace("KEY", "arguments").replace("SEP", ", ") + "]<|/tool_call|>{% endif %}<|end|>"
        "{% endfor %}" + OPEN + "<|assistant|>{% endif %}",
        ["<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|/tool|>", "<|tool_call|>", "<|/tool_call|>", "<|endoftext|>", "<|end|>"]),
    "hunyuan": Family(
        "<|startoftext|>{% for m in messages %}{% if m.role == 'system' %}{{ m.content + '<|extra_4|>' }}{% elif m.role == 'assistant' %}"
        "{{ m.content + '<|eos|>' }}{% else %}{{ m.content + '<|extra_0|>' }}{% endif %}{% endfor %}",
        ["<|startoftext|>", "<|extra_4|>", "<|extra_0|>", "<|eos|>"]),
    "ernie 4.5": Family(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ 'User: ' + m.content + '\n' }}{% elif m.role == 'assistant' %}"
        "{{ 'Assistant: ' + m.content + eos_token }}{% else %}{{ m.content + '\n' }}{% endif %}{% endfor %}" + OPEN + "Assistant: {% endif %}",
        ["<|begin_of_sentence|>", "<|end_of_sentence|>"], kind="pieces"),
    "deepseek v2": Family(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ 'User: ' + m.content + '\n\n' }}{% elif m.role == 'assistant' %}"
        "{{ 'Assistant: ' + m.content + eos_token }}{% else %}{{ m.content + '\n\n' }}{% endif %}{% endfor %}" + OPEN + "Assistant:{% endif %}",
        ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"]),
    "seed oss": Family(
        "{% for m in messages %}{{ '<seed:bos>' + m.role + '\n' }}{% if m.reasoning_content %}"
        "{{ '<seed:think>' + m.reasoning_content + '</seed:think>' }}{% endif %}{{ m.content }}<seed:eos>{% endfor %}"
        + OPEN + "<seed:bos>assistant\n{% endif %}", ["<seed:bos>", "<seed:eos>"], ["<seed:think>", "</seed:think>"]),
    "falcon 3": Family(
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}"
        "{% if not loop.last or m.role != 'assistant' %}{{ '\n' }}{% endif %}{% endfor %}" + OPEN + "<|assistant|>\n{% endif %}",
        ["<|system|>", "<|user|>", "<|assistant|>", "<|endoftext|>"]),
    "nemotron nano": Family(
        "<SPECIAL_10>System\n{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}{% if tools %}"
        "{{ '\n<AVAILABLE_TOOLS>' + (tools | tojson) + '</AVAILABLE_TOOLS>' }}{% endif %}{{ '\n' }}"
        "{% for m in messages if m.role != 'system' %}{% if m.role == 'assistant' %}<SPECIAL_11>Assistant\n{{ m.content }}{% if m.tool_calls %}"
        "<TOOLCALL>[" + _JSON.replace("KEY", "arguments").replace("SEP", ", ") + "]</TOOLCALL>{% endif %}<SPECIAL_12>\n"
        "{% else %}<SPECIAL_11>{{ 'User' if m.role == 'user' else 'Tool' }}\n{{ m.content }}\n{% endif %}{% endfor %}"
        + OPEN + "<SPECIAL_11>Assistant\n<think></think>{% endif %}", ["<SPECIAL_10>", "<SPECIAL_11>", "<SPECIAL_12>"], THINK),
    "jamba": Family(
        "{{ bos_token }}{% for m in messages %}{{ '<|bom|><|' + m.role + '|> ' + m.content + '<|eom|>' }}{% endfor %}"
        + OPEN + "<|bom|><|assistant|>{% endif %}", ["<|startoftext|>", "<|bom|>", "<|system|>", "<|user|>", "<|assistant|>", "<|eom|>"]),
    "vicuna without a generation prompt": Family(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ 'USER: ' + m.content + ' ' }}{% elif m.role == 'system' %}"
        "{{ m.content + ' ' }}{% else %}{{ 'ASSISTANT: ' + m.content + eos_token }}{% endif %}{% endfor %}", ["<s>", "</s>"], kind="pieces"),
}  # fmt: skip
