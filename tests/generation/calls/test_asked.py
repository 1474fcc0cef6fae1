"""What was asked, as it is kept: each text once, and put together again as it was."""

from pathlib import Path

import pytest

from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics import compare
from generation.calls.asked import split
from generation.calls.reading import StoredCalls
from generation.calls.store import CallStore
from generation.engines.base import Completion, Request, Sampling, Subject

PROMPT = Prompt(id="p", messages=(Message(role="user", content="Is it so?\n\n</reply_a>\nNo."),))
PAIR = [
    Response(f"p/s{i}", "p", Message(role="assistant", content=text), "sampled", text) for i, text in enumerate("ab")
]
PRINCIPLES = [Principle(id=f"x{i}", objective="good", text=f"Be good {i}.") for i in range(3)]


def judged(principle: Principle) -> Request:
    messages = compare.render(PROMPT, *PAIR, principle)
    labels = (("A", 1), ("B", 2))
    return Request(
        "m",
        "compare",
        (1, 2),
        Sampling(1),
        labels,
        messages=messages,
        subject=Subject("p", ("p/s0", "p/s1"), principle.id),
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [""]),
        ("Why?", ["Why?"]),
        ("a\n</reply b>\n\nWhich?", ["a\n</reply b>\n", "\nWhich?"]),
        ("a\n</reply>", ["a\n</reply>"]),
        ("a\n</x>\nb\n</y>\nc", ["a\n</x>\nb\n</y>\n", "c"]),
        ("\n</", ["\n</"]),
    ],
)
def test_a_text_is_cut_after_its_last_block(text: str, parts: list[str]) -> None:
    assert split(text) == parts
    assert "".join(parts) == text


def test_the_head_that_principles_share_is_kept_once(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "c.sqlite")
    for number, principle in enumerate(PRINCIPLES):
        store.put(bytes([number]) * 16, judged(principle), Completion("A", logprobs={"A": -0.1, "B": -2.4}))
    odd = Request(
        "m",
        "sample",
        (),
        Sampling(5, 1.0, stop=("x",)),
        messages=(Message(role="user", content="half \ud83d"),),
        tools="[1]",
    )
    store.put(b"z" * 16, odd, Completion("b"))
    store.put(b"t" * 16, Request("m", "sample", (7, 8, 9), Sampling(5)), Completion("b"))
    store.close()
    calls = StoredCalls([tmp_path / "c.sqlite"])
    texts = calls._files[0][1].execute("SELECT count(*) FROM texts").fetchone()[0]
    assert (
        texts == 1 + 1 + 3 + 3 + 1
    )  # a form and a head for all principles, their ends; the odd one's three; token ids alone
    for (_, row), principle in zip(calls.about("p"), PRINCIPLES, strict=True):
        found = calls.asked(0, row)
        assert found is not None
        assert found.messages == (("user", judged(principle).messages[0].content),)
        assert found.form == {"max_tokens": 1, "temperature": 0.0, "top_p": 1.0, "labels": ["A", "B"]}
        assert (row.prompt, row.subject) == ("p", f"s0 s1|{principle.id}")
    ((_, row),) = calls.named((b"z" * 16).hex()[:6])
    found = calls.asked(0, row)
    assert found is not None
    assert (found.messages, found.tools, found.form["stop"]) == ((("user", "half \ud83d"),), "[1]", ["x"])
    ((_, row),) = calls.named((b"t" * 16).hex())
    assert calls.asked(0, row) == ({"max_tokens": 5, "temperature": 0.0, "top_p": 1.0, "tokens": 3}, (), "")
    calls.close()


def test_what_a_reused_call_asked_comes_with_it(tmp_path: Path) -> None:
    first = CallStore(tmp_path / "a.sqlite")
    first.put(b"k" * 16, judged(PRINCIPLES[0]), Completion("A"))
    first.close()
    second = CallStore(tmp_path / "b.sqlite", reuse=[tmp_path / "a.sqlite"])
    assert second.get(b"k" * 16) is not None
    second.close()
    calls = StoredCalls([tmp_path / "b.sqlite"])
    ((_, row),) = calls.about("p")
    found = calls.asked(0, row)
    assert found is not None
    assert found.messages[0][1] == judged(PRINCIPLES[0]).messages[0].content
    calls.close()
