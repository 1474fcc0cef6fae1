"""Chat templates of strangers: whatever they try, a rendering ends in words, soon, and within a bounded memory."""

import datetime
import subprocess
from typing import Any

import pytest

from benchmarks.styles import STYLES
from generation.engines.base import ModelError
from generation.models.template import ChatTemplate
from tests.forks import python

DOUBLED = "{{% set ns = namespace(x={start}) %}}{{% for i in range(60) %}}{{% set ns.x = {step} %}}{{% endfor %}}{{{{ ns.x }}}}"
HOSTILE = {
    "times": "{{ 'a' * 10**10 }}",
    "times-a-variable": "{% set x = 'a' * 1000000 %}{{ x * 100000 }}",
    "range": "{% for i in range(10**9) %}x{% endfor %}",
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
    "tilde": DOUBLED.format(start="'ab'", step="ns.x ~ ns.x"),
    "plus": DOUBLED.format(start="'ab'", step="ns.x + ns.x"),
    "lists": DOUBLED.format(start="[1]", step="ns.x + ns.x"),
    "lists-of-lists": DOUBLED.format(start="[1]", step="[ns.x, ns.x]"),
    "tuples": DOUBLED.format(start="1", step="(ns.x, ns.x)"),
    "mappings": DOUBLED.format(start="1", step="{'a': ns.x, 'b': ns.x}"),
    "namespaces": DOUBLED.format(start="1", step="namespace(a=ns.x, b=ns.x)"),
    "numbers": DOUBLED.format(start="3", step="ns.x * ns.x"),
    "power": "{{ 10 ** (10 ** 10) }}",
    "percent": "{{ '%1000000000s' % 'a' }}",
    "percent-star": "{{ '%*d' % (1000000000, 1) }}",
    "format": "{{ '{:1000000000}'.format('a') }}",
    "format-inner": "{{ '{:{}}'.format('a', 1000000000) }}",
    "format-map": "{{ '{a:1000000000}'.format_map({'a': 1}) }}",
    "format-filter": "{{ '%1000000000s' | format('a') }}",
    "mapped-format": "{{ ['%1000000000s'] | map('format', 1) | list }}",
    "tojson-indent": "{{ messages | tojson(indent=1000000000) }}",
    "indent": "{{ 'a\\nb' | indent(1000000000) }}",
    "center": "{{ 'a' | center(1000000000) }}",
    "ljust": "{{ 'a'.ljust(1000000000) }}",
    "expandtabs": "{{ ('\\t' * 100000).expandtabs(100000) }}",
    "join": "{{ range(99999) | join('a' * 99999) }}",
    "join-method": "{{ ('a' * 99999).join(range(99999) | map('string')) }}",
    "replace": "{% set x = 'a' * 1000000 %}{{ x.replace('a', x) }}",
    "replace-filter": "{% set x = 'a' * 1000000 %}{{ x | replace('', x) }}",
    "translate": "{{ 'aaa'.translate({97: 'b' * 1000000}) }}",
    "bytes": "{{ (1).to_bytes(1000000000, 'big') }}",
    "round": "{{ 1.5 | round(1000000000, 'ceil') }}",
    "batch": "{% for b in [1] | batch(1000000000, 'x') %}{% endfor %}",
    "sum": "{{ ([[0] * 1000] * 1000) | sum(start=[]) | length }}",
    "recursion": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "two-recursions": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "loop-recursion": "{% for x in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "macro": "{% set x = 'a' * 1000000 %}{% macro f() %}{% for i in range(99999) %}{{ x }}{% endfor %}{% endmacro %}{{ f() | length }}",
    "block": "{% set x = 'a' * 1000000 %}{% set y %}{% for i in range(99999) %}{{ x }}{% endfor %}{% endset %}{{ y | length }}",
    "comparisons": "{% set a = 'a' * 5000000 %}{% set b = 'a' * 5000000 %}{% for i in range(99999) %}{% if a in b %}{% endif %}{% endfor %}",
    "zero": "{{ 1 / 0 }}",
    "deep": "{{ " + "(" * 60000 + "1" + ")" * 60000 + " }}",
    "deep-blocks": "{% if 1 %}" * 300 + "x" + "{% endif %}" * 300,
    "deep-loops": "{% for a in [1] %}" * 60 + "x" + "{% endfor %}" * 60,
    "include": "{% include '/etc/passwd' %}",
    "syntax": "{% for %}",
    "unknown": "{{ x | nofilter }}",
    "insides": "{{ ''.__class__.__mro__ }}",
    "globals": "{{ self.__init__.__globals__ }}",
    "date": "{{ strftime_now('%Y' * 100000) }}",
    "length": "x" * 300_000,
    "silent": "{{ 'hi' }}",
    "empty": "{# nothing #}",
}
UNENDING = ("loops", "two-recursions", "comparisons")
"""What only the clock stops, and sooner here."""
IN_A_CHILD = """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (180, 180))
resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))
from benchmarks.styles import STYLES
from generation.engines.base import ModelError
from generation.models.encoder import Encoder
from generation.models import sandbox
from tests.generation.models.test_sandbox import HOSTILE, UNENDING
whole = sandbox.SECONDS
tokenizer = STYLES["chatml"]()
for name, template in HOSTILE.items():
    tokenizer.chat_template = template
    sandbox.SECONDS = whole / 8 if name in UNENDING else whole
    try:
        Encoder(tokenizer)
        print("ACCEPTED", name)
    except ModelError:
        pass
print("DONE")
"""


@pytest.mark.model
def test_each_ends_in_words_and_takes_little() -> None:
    done = subprocess.run([python(), "-c", IN_A_CHILD], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["DONE"], done.stderr[-2000:]


def template(source: str) -> ChatTemplate:
    tokenizer = STYLES["chatml"]()
    tokenizer.chat_template = source
    return ChatTemplate(tokenizer, datetime.date(2024, 7, 26), {"told": "so"})


def rendered(source: str, *contents: str, **told: Any) -> str:
    chat = [{"role": "user", "content": text} for text in contents]
    return template(source).render(chat, None, True, told)


def test_what_only_some_conversation_sets_off_ends_there() -> None:
    trap = "{% if messages | length > 2 %}{{ 'a' * 10**10 }}{% endif %}{{ messages[0].content }}"
    assert rendered(trap, "x") == "x"
    with pytest.raises(
        ModelError, match=r"the chat template cannot be used: it makes too much text, or takes too many st"
    ):
        rendered(trap, "x", "y", "z")


def test_a_mistake_of_the_template_is_one_of_the_chat() -> None:
    with pytest.raises(
        ValueError, match=r"the chat does not fit the model's template \(ZeroDivisionError: division by zero\)"
    ):
        rendered("{{ 1 / (messages | length - 1) }}", "x")


def test_long_conversations_and_the_templates_usual_words_are_no_trouble() -> None:
    text = "word " * 100_000
    source = (
        "{% set ns = namespace(text='') %}{% for m in messages %}{% set ns.text = ns.text ~ m.content | trim %}"
        "{% if loop.last and loop.length == 8 %}{{ ns.text + eos_token }}{% endif %}{% endfor %}"
    )
    assert rendered(source, *[text] * 8).startswith("word word")
    assert (
        rendered("{{ messages | tojson(indent=4) }}", "é")
        == '[\n    {\n        "role": "user",\n        "content": "é"\n    }\n]'
    )
    assert rendered("{% for k, v in {'a': messages}.items() %}{{ k }}{{ v | length }}{% endfor %}", "x") == "a1"
    assert rendered("{{ '%s-%03d' % ('a', 7) }} {{ '{:>5}'.format('b') }}", "x") == "a-007     b"
    assert rendered("{% generation %}{{ messages[0]['content'] }}{% endgeneration %}", "x") == "x"


def test_the_day_is_the_one_that_is_given() -> None:
    assert rendered("{{ strftime_now('%d %b %Y') }}|{{ date_string }}|{{ told }}", "x") == "26 Jul 2024|26 Jul 2024|so"


@pytest.mark.parametrize("sum_of", ["1000000 * 1000000", "10 ** 12"])
def test_large_numbers_may_be_computed(sum_of: str) -> None:
    assert rendered("{{ " + sum_of + " }}", "x") == "1000000000000"


@pytest.mark.parametrize("source", ["{{ 'ab' * messages[0].content }}", "{{ messages * 1.5 }}"])
def test_texts_and_lists_are_repeated_by_whole_numbers_alone(source: str) -> None:
    with pytest.raises(ValueError, match="TypeError: can't multiply sequence by non-int"):
        rendered(source, "x")
