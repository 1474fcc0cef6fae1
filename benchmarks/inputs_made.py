"""The input conditions of `benchmarks.inputs`: how each file is made, and what is meant by it."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, disable_progress_bars

disable_progress_bars()
Write = Callable[[Path], str]
Row = Mapping[str, Any]


class Case(NamedTuple):
    """A condition."""

    name: str
    write: Write
    """Writes it into a folder; returns what is to be read."""
    expected: tuple[str, ...]
    """Each record, or `!` and a part of what is said in its place."""
    ids: bool = False
    """Names are compared too."""
    mapped: tuple[str, ...] = ()
    """`FIELD=COLUMN`."""
    sft: bool = False
    """Targets are trained on, not pairs."""


def user(text: Any) -> dict[str, Any]:
    """A message of the user."""
    return {"role": "user", "content": text}


def bot(text: Any) -> dict[str, Any]:
    """A message of the assistant."""
    return {"role": "assistant", "content": text}


def raw(name: str, data: str | bytes) -> Write:
    """A file with these bytes."""

    def write(folder: Path) -> str:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return str(path)

    return write


def lines(*rows: Row) -> str:
    """JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def jsonl(*rows: Row) -> Write:
    """A file of JSON lines."""
    return raw("rows.jsonl", lines(*rows))


def parquet(*rows: Row, schema: pa.Schema | None = None) -> Write:
    """A parquet file."""

    def write(folder: Path) -> str:
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema), folder / "rows.parquet")
        return str(folder / "rows.parquet")

    return write


def arrow(name: str, stream: bool, *rows: Row) -> Write:
    """An Arrow file, or a stream of one."""

    def write(folder: Path) -> str:
        table = pa.Table.from_pylist([dict(row) for row in rows])
        with (pa.ipc.new_stream if stream else pa.ipc.new_file)(str(folder / name), table.schema) as file:
            file.write_table(table)
        return str(folder / name)

    return write


def folder_of(split: str = "", **files: str | bytes) -> Write:
    """A folder of files, `__` in their names being a dot; split: the one that is named."""

    def write(folder: Path) -> str:
        for name, data in files.items():
            raw(f"set/{name.replace('__', '.')}", data)(folder)
        return str(folder / "set") + split

    return write


def saved(split: str, **splits: Sequence[Row]) -> Write:
    """What `datasets` saves to disk."""

    def write(folder: Path) -> str:
        parts = {name: Dataset.from_list([dict(row) for row in rows]) for name, rows in splits.items()}
        (DatasetDict(parts) if len(parts) > 1 else next(iter(parts.values()))).save_to_disk(str(folder / "saved"))
        return str(folder / "saved") + split

    return write


def remote(name: str, data: str) -> Write:
    """A file on a file system of fsspec."""

    def write(_: Path) -> str:
        with fsspec.open(f"memory://inputs/{name}", "w") as file:
            file.write(data)
        return f"memory://inputs/{name}"

    return write


def bomb(folder: Path) -> str:
    """A small parquet file of equal values that would fill gigabytes."""
    cells = pa.DictionaryArray.from_arrays(pa.array([0] * 200, pa.int32()), pa.array(["x" * 10_000_000]))
    pq.write_table(pa.table({"prompt": cells}), folder / "bomb.parquet", compression="zstd")
    return str(folder / "bomb.parquet")


def long_line(folder: Path) -> str:
    """A compressed file of one endless line, and a good one."""
    with gzip.open(folder / "bomb.jsonl.gz", "wb") as file:
        for _ in range(64):
            file.write(b" " * (1 << 20))
        file.write(b'{"prompt": "Hi?"}\n{"prompt": "Hi?"}\n')
    return str(folder / "bomb.jsonl.gz")


def zstd(text: str) -> bytes:
    """Compressed by zstandard."""
    return bytes(pa.Codec("zstd").compress(text.encode(), asbytes=True))


HI = {"prompt": "Hi?"}
TALK = [{"role": "system", "content": "Be brief."}, user("Hi?")]
TOLD = "system: Be brief. | user: Hi?"
TOOL = {
    "type": "function",
    "function": {"name": "w", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}},
}
OTHER = {
    "type": "function",
    "function": {"name": "x", "parameters": {"type": "object", "properties": {"to": {"type": "string"}}}},
}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"function": {"name": "w", "arguments": '{"at": "Rome"}'}}],
}
CALLED = 'Calls tool: {"name": "w", "arguments": {"at": "Rome"}}'
TWO = lines(HI, {"prompt": "Ho?"})
BOTH = ("user: Hi?", "user: Ho?")
HH = "\n\nHuman: Hi?\n\nAssistant: "

FORMATS = (
    Case("JSON lines", raw("a.jsonl", TWO), BOTH),
    Case("no newline at the end", raw("a.jsonl", TWO.strip()), BOTH),
    Case("blank lines", raw("a.jsonl", f"\n\n{TWO}\n"), BOTH),
    Case("CRLF and a BOM", raw("a.jsonl", b"\xef\xbb\xbf" + TWO.replace("\n", "\r\n").encode()), BOTH),
    Case("line separators of Unicode", raw("a.jsonl", '{"prompt": "a\u2028b"}\n'), ("user: a\u2028b",)),
    Case("JSON list", raw("a.json", json.dumps([HI, {"prompt": "Ho?"}])), BOTH),
    Case("JSON list over lines, named .jsonl", raw("a.jsonl", json.dumps([HI, {"prompt": "Ho?"}], indent=1)), BOTH),
    Case("objects over lines", raw("a.json", json.dumps(HI, indent=1) + "\n" + json.dumps({"prompt": "Ho?"}, indent=1)), BOTH),
    Case("lines named .json", raw("a.json", TWO), BOTH),
    Case("an empty list", raw("a.json", "[]"), ("!has no rows",)),
    Case("a cut list", raw("a.json", '[{"prompt": "Hi?"}, {"pro'), ("!a.json:2: is not JSON",)),
    Case("a list and more", raw("a.json", '[{"prompt": "Hi?"}] x'), ("!something follows the list",)),
    Case("a bad line", raw("a.jsonl", '{"prompt": "Hi?"}\n{"prompt": "H\n{"prompt": "Ho?"}\n'), (BOTH[0], "!bad_json", BOTH[1])),
    Case("a key twice", raw("a.jsonl", '{"prompt": "Hi?", "prompt": "Ho?"}\n'), ("!duplicate_key",)),
    Case("a line that is a number", raw("a.jsonl", '{"prompt": "Hi?"}\n7\n'), (BOTH[0], "!bad_row")),
    Case("bytes that are no UTF-8", raw("a.jsonl", b'{"prompt": "\xff"}\n{"prompt": "Hi?"}\n'), ("!not_utf8", BOTH[0])),
    Case("UTF-16 lines", raw("a.jsonl", TWO.encode("utf-16")), ("!is UTF-16",)),
    Case("an endless line in gzip", long_line, ("!cell_too_large", BOTH[0])),
    Case("nested without end", raw("a.jsonl", "[" * 100_000 + "\n"), ("!nested",)),
    Case("nested without end in a row", raw("a.jsonl", TWO + '{"prompt": ' + "[" * 100_000 + "\n"), (*BOTH, "!bad_json")),
    Case("gzip", raw("a.jsonl.gz", gzip.compress(TWO.encode())), BOTH),
    Case("gzip of two parts", raw("a.jsonl.gz", gzip.compress(lines(HI).encode()) + gzip.compress(lines({"prompt": "Ho?"}).encode())), BOTH),
    Case("cut gzip", raw("a.jsonl.gz", gzip.compress(TWO.encode())[:-9]), ("!cannot be read",)),
    Case("no gzip at all", raw("a.jsonl.gz", TWO), ("!cannot be read",)),
    Case("zstandard", raw("a.jsonl.zst", zstd(TWO)), BOTH),
    Case("bzip2", raw("a.csv.bz2", bz2.compress(b"prompt\nHi?\nHo?\n")), BOTH),
    Case("CSV", raw("a.csv", "id,prompt\n1,Hi?\n2,Ho?\n"), ("user: Hi? @1", "user: Ho? @2"), ids=True),
    Case("CSV with BOM, CRLF and newlines", raw("a.csv", '\ufeffprompt,id\r\n"Hi\r\nyou?",a\r\n'), ("user: Hi\r\nyou? @a",), ids=True),
    Case("CSV: an unquoted comma", raw("a.csv", "id,prompt\n1,Compare tea, and coffee\n2,Ho?\n"), ("!ragged_row", BOTH[1])),
    Case("CSV: the comma in the first column", raw("a.csv", "prompt,id\nCompare tea, and coffee,1\n"), ("!ragged_row",)),
    Case("CSV: too few cells", raw("a.csv", "id,prompt,tags\n1,Hi?\n2,Ho?,\n"), ("!ragged_row", BOTH[1])),
    Case("CSV: a quote left open", raw("a.csv", 'id,prompt\n1,"Hi?\n2,Ho?\n'), ("!bad_csv",)),
    Case("CSV: a quote closed too soon", raw("a.csv", 'id,prompt\n1,"Hi" there\n2,Ho?\n'), ("!bad_csv", BOTH[1])),
    Case("CSV: quotes within", raw("a.csv", 'id,prompt\n1,A 5" pipe\n2,"A ""good"" one"\n'), ('user: A 5" pipe', 'user: A "good" one')),
    Case("CSV: an empty prompt", raw("a.csv", "id,prompt\n1,\n2,Ho?\n"), ("!empty_prompt", BOTH[1])),
    Case("CSV: numbers and names stay text", raw("a.csv", "id,prompt\n001,12345\n002,null\n"), ("user: 12345 @001", "user: null @002"), ids=True),
    Case("CSV: a header twice", raw("a.csv", "prompt,prompt\nHi?,Ho?\n"), ("!column names twice",)),
    Case("CSV: divided by semicolons", raw("a.csv", "id;prompt\n1;Hi?\n"), ("!divided by ';'",)),
    Case("CSV: a header of other case", raw("a.csv", "ID,Prompt\n1,Hi?\n"), ("!did you mean prompt?",)),
    Case("CSV: a space in the header", raw("a.csv", "id, prompt\n1, Hi?\n"), ("!--map 'prompt= prompt'",)),
    Case("CSV: Latin-1", raw("a.csv", "id,prompt\n1,où?\n2,Ho?\n".encode("latin-1")), ("!not_utf8", BOTH[1])),
    Case("CSV: UTF-16", raw("a.csv", "id,prompt\n1,Hi?\n".encode("utf-16")), BOTH[:1]),
    Case("CSV: an index column of pandas", raw("a.csv", ",prompt\n0,Hi?\n"), ('user: Hi? {"": "0"}',)),
    Case("CSV: cut by a spreadsheet", raw("a.csv", f"id,prompt\n1,{'x' * 32767}\n"), ("!cut_cell",)),
    Case("CSV: a huge cell", raw("a.csv", f'id,prompt\n1,"{"x" * (9 << 20)}"\n2,Ho?\n'), ("!cell_too_large", BOTH[1])),
    Case("CSV: a huge cell of many lines", raw("a.csv", 'id,prompt\n1,"' + ("x" * 63 + "\n") * (5 << 15) + '"\n2,Ho?\n'), ("!cell_too_large", BOTH[1])),
    Case("CSV: lists as JSON and Python", raw("a.csv", 'prompt,responses\nHi?,"[""a"", ""b""]"\nHo?,"[\'a\', \'b\']"\n'), ("user: Hi? => a / b", "user: Ho? => a / b")),
    Case("CSV: a list as numpy writes it", raw("a.csv", "prompt,responses\nHi?,\"['a' 'b']\"\n"), ("!without commas",)),
    Case("CSV: tags with commas", raw("a.csv", 'prompt,tags\nHi?,"red-team, long"\nHo?,a b\n'), ("user: Hi? #red-team,long", "user: Ho? #a,b")),
    Case("TSV", raw("a.tsv", "id\tprompt\n1\tHi, you?\n"), ("user: Hi, you?",)),
    Case("parquet", parquet(HI, {"prompt": "Ho?"}), BOTH),
    Case("parquet: large texts, dictionaries, nulls", parquet({"prompt": "Hi?", "id": None}, schema=pa.schema({"prompt": pa.dictionary(pa.int32(), pa.large_string()), "id": pa.null()})), BOTH[:1]),
    Case("parquet: ids that pandas made fractions", parquet({"id": 1.0, **HI}, {"id": 2.0, "prompt": "Ho?"}), ("user: Hi? @1", "user: Ho? @2"), ids=True),
    Case("parquet: no parquet", raw("a.parquet", "PAR1"), ("!is not parquet",)),
    Case("parquet: 2 GB in a few bytes", bomb, ("!cell_too_large",) * 200),
    Case("Arrow file", arrow("a.arrow", False, HI), BOTH[:1]),
    Case("Arrow stream", arrow("a.arrow", True, HI), BOTH[:1]),
    Case("Feather", arrow("a.feather", False, HI), BOTH[:1]),
    Case("a saved dataset", saved("", all=[HI, {"prompt": "Ho?"}]), BOTH),
    Case("a saved dataset's split", saved("@test", train=[HI], test=[{"prompt": "Ho?"}]), BOTH[1:]),
    Case("a saved dataset with train", saved("", train=[HI], test=[{"prompt": "Ho?"}]), BOTH[:1]),
    Case("a saved dataset without train", saved("", one=[HI], two=[HI]), ("!has the splits one, two",)),
    Case("no such split", saved("@tset", train=[HI], test=[HI]), ("!has no split tset (did you mean test?)",)),
    Case("a folder of shards", folder_of(a__jsonl=lines(HI), b__jsonl=lines({"prompt": "Ho?"})), BOTH),
    Case("a folder of splits and notes", folder_of(train__jsonl=lines(HI), test__jsonl=lines(HI), notes__csv="x\n1\n"), BOTH[:1]),
    Case("a folder of several kinds", folder_of(a__jsonl=lines(HI), b__csv="prompt\nHo?\n"), ("!files of several kinds",)),
    Case("a folder of nothing", folder_of(readme__txt="x"), ("!is no dataset",)),
    Case("a run's folder", folder_of(run__yaml="{}", manifest__json="{}"), ("!is the folder of a run",)),
    Case("a file system of fsspec", remote("a.jsonl", TWO), BOTH),
    Case("no such file there", lambda _: "memory://inputs/none.jsonl", ("!no such file or folder",)),
    Case("an unknown file system", lambda _: "s4://bucket/a.jsonl", ("!got the file system 's4'",)),
    Case("no such file", lambda folder: str(folder / "none.jsonl"), ("!no such file or folder",)),
    Case("another ending", raw("a.txt", "Hi?"), ("!got the ending '.txt'",)),
    Case("an empty file", raw("a.jsonl", ""), ("!has no rows",)),
)  # fmt: skip

SHAPES = (
    Case("text", jsonl(HI), BOTH[:1]),
    Case("messages", jsonl({"messages": TALK}, {"prompt": TALK}), (TOLD, TOLD)),
    Case("one message", jsonl({"prompt": user("Hi?")}), BOTH[:1]),
    Case("a message's columns", jsonl({"prompt": {"role": ["system", "user"], "content": ["Be brief.", "Hi?"]}}), (TOLD,)),
    Case("ShareGPT", jsonl({"conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Hi?"}]}), (TOLD,)),
    Case("roles of others", jsonl({"messages": [{"role": "developer", "content": "Be brief."}, {"role": "User", "content": "Hi?"}]}), (TOLD,)),
    Case("turns of a model", jsonl({"messages": [user("Hi?"), {"role": "model", "content": "Yo"}, user("Ho?")]}), ("user: Hi? | assistant: Yo | user: Ho?",)),
    Case("an unknown role", jsonl({"messages": [{"role": "robot", "content": "Hi?"}]}), ("!wrong_roles",)),
    Case("content in parts", jsonl({"messages": [user([{"type": "text", "text": "Hi?"}, {"type": "text", "text": "You."}])]}), ("user: Hi?\nYou.",)),
    Case("a picture among the parts", jsonl({"messages": [user([{"type": "text", "text": "Hi?"}, {"type": "image_url", "image_url": {"url": "x"}}])]}), ("!not_text",)),
    Case("unknown keys of messages", jsonl({"messages": [{**user("Hi?"), "weight": 1, "reasoning_content": "hm"}]}), BOTH[:1]),
    Case("messages as JSON", jsonl({"messages": json.dumps(TALK)}, {"prompt": json.dumps(TALK)}), (TOLD, TOLD)),
    Case("messages as JSON twice", jsonl({"prompt": json.dumps(json.dumps(TALK))}), (TOLD,)),
    Case("messages as Python writes them", jsonl({"messages": str(TALK)}, {"prompt": str(TALK)}), (TOLD, TOLD)),
    Case("a broken conversation as a string", jsonl({"prompt": str(TALK)[:-9]}, {"messages": str(TALK)[:-9]}), ("!bad_conversation",) * 2),
    Case("messages as numpy writes them", jsonl({"prompt": f"array({TALK}, dtype=object)"}), ("!bad_conversation",)),
    Case("messages that are text", jsonl({"messages": "Hi?"}), ("!bad_conversation",)),
    Case("text that is JSON", jsonl({"prompt": '[{"a": 1}] adds up to?'}, {"prompt": '{"a": 1}'}), ('user: [{"a": 1}] adds up to?', 'user: {"a": 1}')),
    Case("a dialogue in one text", jsonl({"prompt": f"{HH}Yo\n\nHuman: Ho?\n\nAssistant:"}), ("user: Hi? | assistant: Yo | user: Ho?",)),
    Case("text that begins like a dialogue", jsonl({"prompt": "Human: a word of Latin?"}), ("user: Human: a word of Latin?",)),
    Case("a column of system messages", jsonl({"system": "Be brief.", **HI}), (TOLD,)),
    Case("two system messages", jsonl({"messages": [*TALK[:1], *TALK]}), ("!wrong_roles",)),
    Case("prompt beside a whole conversation", jsonl({**HI, "messages": [user("Hi?"), bot("Yo")]}), BOTH[:1]),
    Case("prompt beside a conversation that says more", jsonl({**HI, "messages": [*TALK, bot("Yo")]}), (TOLD,)),
    Case("prompt beside another conversation", jsonl({**HI, "messages": [user("Ho?")]}), BOTH[:1]),
    Case("the assistant speaks last", jsonl({"messages": [user("Hi?"), bot("Yo")]}, {"conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Yo"}]}), ("user: Hi? => Yo",) * 2),
    Case("the assistant speaks last beside responses", jsonl({"messages": [user("Hi?"), bot("Yo")], "responses": ["Ho"]}), ("!give it as one of `responses`",)),
    Case("the assistant speaks last in a prompt", jsonl({"prompt": [user("Hi?"), bot("Yo")]}), ("!give it as one of `responses`",)),
    Case("given responses", jsonl({**HI, "responses": ["a", bot("b"), [bot("c")], {"text": "d"}]}), ("user: Hi? => a / b / c / d",)),
    Case("responses as whole conversations", jsonl({**HI, "responses": [[user("Hi?"), bot("a")], [user("Hi?"), bot("b")]]}), ("user: Hi? => a / b",)),
    Case("a response to something else", jsonl({**HI, "responses": [[user("Ho?"), bot("a")], "b"]}), ("!does not begin with the prompt", "user: Hi? => b")),
    Case("bad ones among the responses", jsonl({**HI, "responses": ["a", None, "", user("x"), "b"]}), ("!is null", "!is empty", "!got role 'user'", "user: Hi? => a / b")),
    Case("no response that is one", jsonl({**HI, "responses": ["", None]}), ("!bad_response",)),
    Case("responses that are no list", jsonl({**HI, "responses": "a"}, {**HI, "responses": {"m": "a"}}), ("!bad_row",) * 2),
    Case("responses equal but for white space", jsonl({**HI, "responses": ["An apple.", "An apple. ", "An  apple.\n", "A pear."]}), ("user: Hi? => An apple. / A pear.",)),
    Case("chosen and rejected", jsonl({**HI, "chosen": "a", "rejected": "b"}), ("user: Hi? => a / b",)),
    Case("chosen and rejected as conversations", jsonl({**HI, "chosen": [user("Hi?"), bot("a")], "rejected": [user("Hi?"), bot("b")]}), ("user: Hi? => a / b",)),
    Case("chosen and rejected without a prompt", jsonl({"chosen": [*TALK, bot("a")], "rejected": [*TALK, bot("b")]}), (f"{TOLD} => a / b",)),
    Case("chosen and rejected as dialogues", jsonl({"chosen": f"{HH}a", "rejected": f"{HH}b"}), ("user: Hi? => a / b",)),
    Case("chosen and rejected that differ early", jsonl({"chosen": [user("Hi?"), bot("a")], "rejected": [user("Ho?"), bot("b")]}), ("!answer different conversations",)),
    Case("chosen without rejected", jsonl({**HI, "chosen": "a", "rejected": None}), ("!is null", "user: Hi? => a")),
    Case("calls of tools", jsonl({"messages": [user("Hi?"), CALL, {"role": "tool", "content": "21"}]}), (f"user: Hi? | assistant: {CALLED} | tool: 21",)),
    Case("calls of tools in ShareGPT", jsonl({"conversations": [{"from": "human", "value": "Hi?"}, {"from": "function_call", "value": '{"name": "w", "arguments": {"at": "Rome"}}'}, {"from": "observation", "value": "21"}]}), (f"user: Hi? | assistant: {CALLED} | tool: 21",)),
    Case("arguments that are no JSON", jsonl({"messages": [user("Hi?"), {"role": "assistant", "tool_calls": [{"function": {"name": "w", "arguments": "{x"}}]}, user("Ho?")]}), ("!malformed_tool_call",)),
    Case("tools as JSON", jsonl({**HI, "tools": json.dumps([TOOL])}), (f"user: Hi? +{json.dumps([TOOL])}",)),
    Case("tools and their padding in Arrow", parquet({**HI, "tools": [TOOL]}, {"prompt": "Ho?", "tools": [OTHER]}), (f"user: Hi? +{json.dumps([TOOL])}", f"user: Ho? +{json.dumps([OTHER])}")),
    Case("a null that a schema means", jsonl({**HI, "tools": [{"name": "f", "default": None}]}), ('user: Hi? +[{"name": "f", "default": null}]',)),
    Case("infinity among the tools", raw("a.jsonl", '{"prompt": "Hi?", "tools": [{"max": Infinity}]}\n'), ("!not_finite",)),
    Case("tools nested without end", jsonl({**HI, "tools": [json.loads('{"a":' * 200 + "1" + "}" * 200)]}), ("!nested more than",)),
    Case("ids that are false in Python", jsonl({"id": 0, **HI}, {"id": "", **HI}, {"id": False, **HI}, {"id": 1, **HI}, {"id": 1.0, **HI}), ("user: Hi? @0", "user: Hi? @", "user: Hi? @False", "user: Hi? @1", "user: Hi? @1-2"), ids=True),
    Case("a bad row's own id", jsonl({"id": "g5", "prompt": ""}), ("!empty_prompt",)),
    Case("tags in every form", jsonl({**HI, "tags": "a, b;c"}, {**HI, "tags": ["a", 1]}, {**HI, "tags": '["a", "b c"]'}, {**HI, "tags": None}), ("user: Hi? #a,b,c", "user: Hi? #a,1", "user: Hi? #a,b c", "user: Hi?")),
    Case("a reference", jsonl({**HI, "reference": 42}, {**HI, "reference": [bot("Yo")]}), ("user: Hi? ~42", "user: Hi? ~Yo")),
    Case("other columns", raw("a.jsonl", '{"prompt": "Hi?", "lang": "en", "score": NaN, "none": null}\n'), ('user: Hi? {"lang": "en", "score": null}',)),
    Case("columns of other names", jsonl({"question": "Hi?", "category": "a", "answer": "Yo"}), ("user: Hi? #a ~Yo",), mapped=("prompt=question,tags=category", "reference=answer")),
    Case("a column that is not there", jsonl({"question": "Hi?"}), ("!has no column quesiton (did you mean question?)",), mapped=("prompt=quesiton",)),
    Case("a field that is not there", jsonl({"question": "Hi?"}), ("!got the field 'promt' (did you mean prompt?)",), mapped=("promt=question",)),
    Case("columns of no known name", jsonl({"instruction": "Hi?"}), ("!--map prompt=instruction",)),
    Case("nothing said", jsonl({"prompt": " \n"}, {"prompt": []}, {"prompt": None}, {"messages": [TALK[0]]}), ("!empty_prompt",) * 4),
    Case("a number for a prompt", jsonl({"prompt": 7}), ("!bad_row",)),
    Case("NUL, and half a character", raw("a.jsonl", '{"prompt": "a\\u0000"}\n{"prompt": "a\\ud800"}\n'), ("!nul_byte", "!lone_surrogate")),
    Case("a megabyte and more", jsonl({"prompt": "x" * (1 << 21)}), ("!cell_too_large",)),
)  # fmt: skip
CASES = (*FORMATS, *SHAPES)

GOOD = {"prompt": "Hi?", "chosen": "a", "rejected": "b"}
PAIR = "user: Hi? => a > b"
PAIRS = (
    Case("text", jsonl(GOOD), (PAIR,)),
    Case("CSV", raw("a.csv", "prompt,chosen,rejected\nHi?,a,b\n"), (PAIR,)),
    Case("parquet", parquet(GOOD), (PAIR,)),
    Case("a BOM", raw("a.jsonl", "\ufeff" + lines(GOOD)), (PAIR,)),
    Case("numbers for names", jsonl({**GOOD, "id": 0, "subset": 3}), (f"{PAIR} @0",), ids=True),
    Case("names twice", jsonl({**GOOD, "id": "x"}, {**GOOD, "id": "x"}), (f"{PAIR} @x", f"{PAIR} @x-2"), ids=True),
    Case("conversations", jsonl({"chosen": [*TALK, bot("a")], "rejected": [*TALK, bot("b")]}), (f"{TOLD} => a > b",)),
    Case("prompt beside conversations", jsonl({**HI, "chosen": [user("Hi?"), bot("a")], "rejected": [user("Hi?"), bot("b")]}), (PAIR,)),
    Case("dialogues", jsonl({"chosen": f"{HH}a", "rejected": f"{HH}b"}), (PAIR,)),
    Case("a response that is missing, empty, the user's", jsonl(GOOD, {**GOOD, "rejected": None}, {**GOOD, "rejected": ""}, {**GOOD, "chosen": [user("a")]}), (PAIR, "!is null", "!is empty", "!got role 'user'")),
    Case("equal responses", jsonl(GOOD, {**GOOD, "rejected": " a\n"}), (PAIR, "!are equal")),
    Case("no pair at all", jsonl(HI), ("!holds no labelled pair",)),
    Case("columns of other names", jsonl({"q": "Hi?", "good": "a", "bad": "b"}), (PAIR,), mapped=("prompt=q", "chosen=good", "rejected=bad")),
)  # fmt: skip
VOTE = {"pair": 0, "judge": "j", "swapped": False, "label": "1", "p": 0.75}
SWAP = {**VOTE, "swapped": True, "p": 0.5}
VOTES = (
    Case("JSON lines with a BOM", raw("a.jsonl", "\ufeff" + lines(VOTE, SWAP)), ("0: 1.10 0.00",)),
    Case("CSV", raw("a.csv", "pair,judge,swapped,label,p\n0,j,false,1,0.75\n0,j,True,1,0.5\n"), ("0: 1.10 0.00",)),
    Case("parquet with fractions and nulls", parquet({**VOTE, "pair": 0.0, "text": None}, {**SWAP, "pair": 0.0, "text": None}), ("0: 1.10 0.00",)),
    Case("other columns", jsonl({**VOTE, "model": "x"}, {**SWAP, "model": "x"}), ("0: 1.10 0.00",)),
    Case("columns of other names", jsonl({**VOTE, "item": 5}, {**SWAP, "item": 5}), ("5: 1.10 0.00",), mapped=("pair=item",)),
    Case("labels of other letters", jsonl({**VOTE, "label": "A"}), ("!label: got 'A'",)),
    Case("no probability", raw("a.jsonl", lines(VOTE).replace("0.75", "NaN")), ("!p: got nan",)),
    Case("a bad line", raw("a.jsonl", lines(VOTE) + "{"), ("!is not JSON",)),
)  # fmt: skip
TRAINED = (
    Case("text", jsonl(GOOD), (PAIR,)),
    Case("CSV", raw("a.csv", "prompt,chosen,rejected\nHi?,a,b\n"), (PAIR,)),
    Case("conversations beside a prompt", jsonl({**HI, "chosen": [user("Hi?"), bot("a")], "rejected": [user("Hi?"), bot("b")]}), (PAIR,)),
    Case("dialogues", jsonl({"chosen": f"{HH}a", "rejected": f"{HH}b"}), (PAIR,)),
    Case("kept as strings", jsonl({"prompt": str([user("Hi?")]), "chosen": str([bot("a")]), "rejected": json.dumps([bot("b")])}), (PAIR,)),
    Case("no prompt", jsonl({"chosen": "a", "rejected": "b"}), ("!has no prompt",)),
    Case("rendered by a template", jsonl({**GOOD, "prompt": "<|im_start|>user\nHi?<|im_end|>"}), ("!went through a chat template",)),
    Case("a bad line", raw("a.jsonl", lines(GOOD) + "{\n"), (PAIR, "!is not JSON")),
    Case("ShareGPT targets", jsonl({"conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "a"}]}), ("user: Hi? => a",), sft=True),
    Case("targets as JSON in CSV", raw("a.csv", 'messages\n"' + json.dumps([user("Hi?"), bot("a")]).replace('"', '""') + '"\n'), ("user: Hi? => a",), sft=True),
    Case("a target whose last turn is the user's", jsonl({"messages": [user("Hi?")]}), ("!the last to speak is user",), sft=True),
    Case("columns of other names", jsonl({"q": "Hi?", "good": "a", "bad": "b"}), (PAIR,), mapped=("prompt=q", "chosen=good", "rejected=bad")),
    Case("sides of several turns", jsonl({**HI, "chosen": [bot("a"), user("b"), bot("c")], "rejected": "d"}), ("user: Hi? => assistant: a | user: b | assistant: c > d",)),
    Case("conversations that part early", jsonl({"chosen": [user("Hi?"), bot("a"), user("b"), bot("c")], "rejected": [user("Hi?"), bot("d")]}), ("user: Hi? => assistant: a | user: b | assistant: c > d",)),
    Case("Alpaca pairs", jsonl({"instruction": "Hi?", "input": "", "chosen": "a", "rejected": "b"}), (PAIR,)),
    Case("Alpaca targets", jsonl({"instruction": "Say", "input": "it", "output": "a"}), ("user: Say\nit => a",), sft=True),
    Case("an Alpaca history that is none", jsonl({"instruction": "Hi?", "output": "a", "history": ["b"]}), ("!add prompt and completion",), sft=True),
    Case("a completion of several turns", jsonl({**HI, "completion": [bot("a"), user("b"), bot("c")]}), ("user: Hi? => assistant: a | user: b | assistant: c",), sft=True),
    Case("nulls in columns that may be missing", jsonl({**GOOD, "p_chosen": None, "margin": None, "tools": None, "weight": None, "images": None}), (PAIR,)),
    Case("numbers in CSV", raw("a.csv", "prompt,chosen,rejected,p_chosen,chosen_truncated\nHi?,a,b,0.7,True\nHi?,a,b,,\n"), (PAIR,) * 2),
    Case("images", jsonl({**GOOD, "images": ["a.png"]}), ("!reads text alone",)),
    Case("a picture among the parts", jsonl({**GOOD, "prompt": [user([{"type": "image"}])]}), ("!has a part of type 'image'",)),
)  # fmt: skip
