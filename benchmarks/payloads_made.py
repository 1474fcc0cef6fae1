"""What hostile authors of YAML, schemas, chat templates, pages, names and stored calls bring: the tables of `payloads`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.critics.rules.test_tool_calls import HOSTILE as SCHEMAS_TESTED
from tests.generation.models.test_sandbox import HOSTILE as TEMPLATES_TESTED

HEAD = "name: n\nversion: 1\nobjectives: {o: 1.0}\n"
PRINCIPLE = "principles:\n- {id: a, objective: o, text: Be brief.}\n"
SOUND = HEAD + PRINCIPLE

_TAGS = (
    "!!python/object/apply:os.system ['touch /tmp/solon-was-here']", "!!python/object/new:subprocess.Popen [['id']]",
    "!!python/name:os.system", "!!python/module:os", "!!python/object:object {}", "!!python/tuple [1]", "!!python/bytes aGk=",
    "!!python/complex 1j", "!!binary aGk=", "!!set {a}", "!!omap [a: 1]", "!!pairs [a: 1]", "!!timestamp 2024-99-99", "!!int x",
    "!!float x", "!!bool maybe", "!local x", "!<tag:a.b,2000:c> x", "!!map []", "!!seq {}",
)  # fmt: skip
_VALUES = (
    "2024-99-99", "1e400", "-1e400", ".nan", ".inf", "9" * 5000, "0x" + "f" * 5000, "1" + ":59" * 2000, "0o9", "1_" * 1000 + "1",
    "~", "null", "", "{}", "[]", "[[]]", "[{}]", "yes", "'\\'", '"\\x"', '"\\ud800"', '"\\0"', '"\x1b[2J"', "'\u202e'",
    "|\n  \x1b", ">9\n x", "|-2\n x", "&a 1", "*a", "&a [*a]", "a: b: c", "- - - x", "? x", "@x", "`x", "%x", "{a: 1, a: 2}",
    "{? [a] : 1}", "{[a]: 1}", "<<", "{<<: {a: 1}}", "'{{ x }}'", "'{% x %}'", "[" * 5000, "{a: " * 5000, "[" * 30 + "]" * 30,
    "!!str" * 1000, '"' + "a" * 200_000 + '"', "'" + "\n" * 5000 + "'", "[" + "a," * 50_000 + "]",
    "{" + ",".join(f"k{i}: 1" for i in range(20_000)) + "}",
)  # fmt: skip
_LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
)
YAML: tuple[str | bytes, ...] = (
    *(f"{HEAD}principles: {tag}\n" for tag in _TAGS), *(f"{SOUND}description: {value}\n" for value in _VALUES), _LAUGHS,
    SOUND + _LAUGHS, b"\xff\xfe" + SOUND.encode("utf-16-le"), b"\xef\xbb\xbf" + SOUND.encode(), SOUND.encode("utf-32"),
    b"\xff" * 100, b"\0" * 100, b"", b"\n" * 100_000, b" " * 100_000, b"\t" * 1000, b"#" * 100_000, b"---\n" * 5000,
    b"...\n" * 5000, b"%YAML 9.9\n---\n" + SOUND.encode(), b"%TAG ! x\n" * 100, b"- " * 20_000, b"? " * 20_000, b": " * 20_000,
    b"a" * 1_000_000, b"a: " + b"b" * 2000 + b": c", SOUND + "extends: ../../../../../../etc/passwd\n",
    SOUND + "extends: /dev/zero\n", SOUND + "extends: .\n", SOUND + "extends: [x, x]\n", SOUND + "rules: x\n",
    SOUND + "".join(f"unknown_{i}: 1\n" for i in range(20_000)),
    HEAD + "principles:\n" + "".join(f"- {{id: p{i}, objective: o, text: Keep rule {i}.}}\n" for i in range(4000)),
    HEAD + "principles:\n- {id: a, objective: o, text: x, check: {must_match: '^(a|a)*(a|a)*$'}}\n",
    HEAD + "principles:\n- {id: a, objective: o, text: x, check: {must_match: '(['}}\n",
    HEAD + "principles:\n- {id: '../../x', objective: o, text: x}\n",
    HEAD + "principles:\n- {id: a, objective: '\x1b]0;x\x07', text: x}\n",
)  # fmt: skip

_VALUE = {"a": [1, {"b": "x" * 50}]}
SCHEMAS: tuple[tuple[object, object], ...] = (
    *((schema, value) for schema, value, _ in SCHEMAS_TESTED.values()), ({"multipleOf": 0.5}, float("inf")),
    ({"multipleOf": 0.5}, 10**400), ({"multipleOf": 1e-300}, 1e300), ({"multipleOf": 0}, 1), ({"maximum": float("nan")}, 1),
    ({"items": {"$ref": "#"}}, json.loads("[" * 60 + "]" * 60)), ({"$dynamicRef": "#x"}, 1), ({"$recursiveRef": "#"}, 1),
    ({"$id": "http://127.0.0.1:9/", "$ref": "y"}, 1), ({"$ref": "ftp://127.0.0.1/x"}, 1), ({"$ref": "\\\\host\\share"}, 1),
    ({"$ref": 3}, 1), ({"uniqueItems": True}, [{"a": i} for i in range(3000)]),
    ({"uniqueItems": True}, [[i] for i in range(3000)]), ({"anyOf": [{"anyOf": [{}] * 50}] * 50, "not": {}}, 1),
    ({"allOf": [{}] * 20_000}, 1), ({"enum": [None] * 20_000}, 1), ({"pattern": "^([a-zA-Z0-9_.-]+)+@x\\.com$"}, "a" * 41),
    ({"pattern": "(.*)*=.*"}, "a" * 3000), ({"pattern": "(?<=a+)b"}, "a" * 3000), ({"pattern": 3}, "a"),
    ({"pattern": "\\p{Nope}"}, "a"), ({"patternProperties": {"(x+x+)+y": True}}, {"x" * 60: 1}),
    ({"additionalProperties": {"$ref": "#/additionalProperties"}}, _VALUE), ({"format": "regex"}, "(["),
    ({"format": "uri"}, "x" * 90_000), ({"format": "date-time"}, "9" * 90_000), ({"format": "idn-email"}, "@" * 90_000),
    ({"format": "json-pointer"}, "/~" * 9000), ({"type": ["string"] * 20_000}, 1), ({"required": ["a"] * 20_000}, {}),
    ({"dependentRequired": {"a": ["b"] * 20_000}}, _VALUE), ({"contains": {"contains": {}}}, [[1] * 300] * 300),
    ({"prefixItems": [{}] * 20_000}, [1] * 20_000), ({"minLength": 10**30}, "a"), ({"minItems": "x"}, []),
    ({"properties": []}, {}), ({"if": {"$ref": "#"}}, 1), ({"\ud800": 1}, "\ud800"),
)  # fmt: skip

_GADGETS = (
    "''.__class__", "''.__class__.__mro__[1].__subclasses__()", "self.__init__.__globals__", "cycler.__init__.__globals__.os",
    "joiner.__init__.__globals__", "namespace.__init__.__globals__", "lipsum.__globals__", "range.__init__", "messages.__class__",
    "''|attr('__class__')", "messages|map(attribute='__class__')|list", "''.format.__self__", "'{0.__class__}'.format('')",
    "'{0.__init__.__globals__}'.format(cycler)", "'%s'|format(''.__class__)", "url_for.__globals__", "get_flashed_messages",
    "request.environ", "config", "dict.__base__", "().__class__", "raise_exception.__globals__", "strftime_now.__globals__",
    "caller()", "varargs", "kwargs", "loop.__class__", "messages.pop()", "messages.append(1)", "messages.clear()",
    "messages[0].update(a=1)", "dict(a=1).__setitem__",
)  # fmt: skip
TEMPLATES = (*TEMPLATES_TESTED.values(), *(f"{{{{ {gadget} }}}}" for gadget in _GADGETS))

_VECTORS = (
    "<script>{js}</script>", "<img src=x onerror={js}>", "<svg onload={js}>", "<body onload={js}>",
    "<iframe srcdoc='<script>{js}</script>'>", "<a href='javascript:{js}'>x</a>", "<details open ontoggle={js}>",
    "<input autofocus onfocus={js}>", "<video><source onerror={js}>", "<marquee onstart={js}>", "<object data='javascript:{js}'>",
    "<embed src='data:text/html,<script>{js}</script>'>", "<form action='javascript:{js}'><button>",
    "<math href='javascript:{js}'>x</math>", "<style>@import 'http://127.0.0.1:9/x'</style>",
    "<link rel=stylesheet href=http://127.0.0.1:9/x>", "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>",
    "<base href=http://127.0.0.1:9/>", "<img src=http://127.0.0.1:9/x>", "<template><script>{js}</script></template>",
    "<noscript><p title='</noscript><img src=x onerror={js}>'>", "<!--><script>{js}</script>-->",
    "<![CDATA[<script>{js}</script>]]>", "</textarea><script>{js}</script>", "</title><script>{js}</script>",
    "</style><script>{js}</script>", "</script><script>{js}</script>", "' onmouseover='{js}", '" onmouseover="{js}',
    "javascript:{js}", "{{{{ {js} }}}}", "{{% {js} %}}",
)  # fmt: skip
_SCRIPTS = ("alert(1)", "fetch('http://127.0.0.1:9/')", "\x00alert(1)", "al\u200bert(1)", "&#97;lert(1)")
PAGES = tuple(vector.format(js=js) for vector in _VECTORS for js in _SCRIPTS)

_NAMES = (
    "..", "../x", "../../etc/passwd", "/etc/passwd", "/dev/null", "a/../../x", "./x", "x/", "//x", "\\..\\x", "..\\..\\x",
    "C:\\x", "CON", "aux.txt", "~", "~root", "$HOME", "${HOME}", "`id`", "$(id)", "; id", "| id", "&& id", "-rf", "--help", "-",
    "*", "?", "[a]", "{a,b}", " ", "  x", "x ", ".", "...", ".hidden", "\t", "\n", "x\ny", "\r", "\x1b[2J", "\x07", "\x7f",
    "\u202e", "\u2066x", "\ufeff", "\u200b", "é", "e\u0301", "中", "🙂", "a" * 255, "a" * 300, "a/" * 2000, "x\x00y", "\ud800",
    "%2e%2e%2f", "file:///etc/passwd", "http://127.0.0.1:9/x", "|x", "x:y", "x.parquet", "manifest.json",
    "data/preferences/train.parquet", "calls.sqlite", "#", "=", "+", "'", '"', "<", ">", ",",
)  # fmt: skip
PATHS = _NAMES

Spoil = Callable[[sqlite3.Connection], object]


def _record(record: object) -> Spoil:
    return lambda db: db.execute("UPDATE calls SET record = ?", (record,))


def _field(name: str, value: object) -> Spoil:
    return lambda db: db.execute(f"UPDATE calls SET {name} = ?", (value,))


def _script(sql: str) -> Spoil:
    return lambda db: db.executescript(sql)


_RECORDS = (
    b"", b"{}", b"[]", b"null", b"1", b'"x"', b"{", b"\xff", b"[" * 100_000, b'{"text": 1}', b'{"text": null}',
    b'{"text": "x", "finish": 3, "logprobs": []}', b'{"text":"x","no":1}',
    b'{"text": "x", "finish": "stop", "logprobs": {"A": "x"}}',
    b'{"text": "x", "finish": "stop", "logprobs": {}, "error": ["?", 1]}', b'{"text": "\\ud800"}', b"9" * 5000, b"NaN",
    b'{"scores": 1}', b'{"text": "x", "finish": "stop", "logprobs": {}, "scores": "abc"}', b'{"error": []}', b'{"error": {}}', 3,
    3.5, "text",
)  # fmt: skip
_COLUMNS = (
    "stage", "model", "failed", "prompt", "subject", "asked", "seconds", "prompt_tokens", "completion_tokens", "reused",
    "checksum",
)  # fmt: skip
_ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT"
REUSED: tuple[Spoil, ...] = (
    *map(_record, _RECORDS), *(_field(name, value) for name in _COLUMNS for value in (b"\xff", "x" * 1000, -(2**63))),
    _script("DROP TABLE calls"), _script("DROP TABLE texts; DROP TABLE outcomes"),
    _script("ALTER TABLE calls DROP COLUMN checksum"), _script("ALTER TABLE calls RENAME COLUMN record TO r"),
    _script(f"ALTER TABLE calls RENAME TO c; CREATE VIEW calls AS {_ENDLESS} randomblob(16) AS key, c.* FROM r, c"),
    _script("ALTER TABLE texts RENAME TO t; CREATE VIEW texts AS SELECT * FROM t"),
    _script("CREATE TRIGGER x AFTER INSERT ON calls BEGIN DELETE FROM calls; END"), _script("PRAGMA user_version = 99"),
    _script("PRAGMA application_id = 1"), _script("DELETE FROM texts"), _script("UPDATE texts SET body = x'00'"),
    _script("UPDATE texts SET body = zeroblob(100000)"), _script("UPDATE outcomes SET body = zeroblob(10)"),
    _script("DELETE FROM calls"),
)  # fmt: skip
"""What is done to the calls of a sound run. As files: `spoilt`."""


def spoilt(folder: Path, sound: Path, spoil: Spoil) -> Path:
    """A copy of a sound file of calls, spoilt."""
    path = folder / "calls.sqlite"
    path.write_bytes(sound.read_bytes())
    connection = sqlite3.connect(path)
    spoil(connection)
    connection.commit()
    connection.close()
    return path
