"""Preference data of our own making for `benchmarks.verify`: sound sets, and each kind of corruption done to one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Row = dict[str, Any]
Splits = Mapping[str, list[Row]]
Corrupt = Callable[[list[Row], random.Random], Splits]
_VOCABULARY = """
time year people way day man thing woman life child world school state family student group country problem hand part place
case week company system program question work government number night point home water room mother area money story fact
month lot right study book eye job word business issue side kind head house service friend father power hour game line end
member law car city community name president team minute idea kid body information back parent face others level office door
health person art war history party result change morning reason research girl guy moment air teacher force education foot
boy age policy music be have do say get make go know take see come think look want give use find tell ask seem feel try leave
call good new first last long great little own other old big high small large next early young important few public bad same
able of in for on with at by from up about into over after the a an this that and or but if because as until while
"""
WORDS = _VOCABULARY.split()
VERDICTS = (
    "{why} Therefore, Response {X} is better.",
    "{why}\n\nFinal verdict: [[{X}]]",
    "{why} Overall, I prefer response {X}.",
    "{why}\nWinner: {X}",
)


REFUSAL, WRONG = "I'm sorry, but I can't help with that.", "Sorry, something went wrong here."


def sentence(draw: random.Random, words: int) -> str:
    """Words in a row that say nothing."""
    return " ".join(draw.choices(WORDS, k=max(3, words))).capitalize() + "."


def text(draw: random.Random, words: int) -> str:
    """Sentences of about so many words."""
    found = []
    while words > 0:
        found.append(sentence(draw, min(words, draw.randint(6, 18))))
        words -= 12
    return " ".join(found)


def simulated(rows: int, seed: int) -> list[Row]:
    """Pairs with ratings of 1 to 10, a judge's words and the order it saw: a fair judge that errs, and favours length a little."""
    draw = random.Random(seed)
    found = []
    for number in range(rows):
        sizes = [max(20, int(draw.lognormvariate(4, 0.5))) for _ in range(2)]
        good = [draw.gauss(0, 1) + 0.3 * (size > 60) for size in sizes]
        rated = [min(10, max(1, round(6 + 1.5 * value + draw.gauss(0, 0.7)))) for value in good]
        while rated[0] == rated[1]:
            rated = [min(10, max(1, round(6 + 1.5 * value + draw.gauss(0, 1.5)))) for value in good]
        first = rated[0] > rated[1]
        template = draw.choice(VERDICTS)
        found.append(
            {
                "prompt": text(draw, draw.randint(8, 40)),
                "response_a": text(draw, sizes[0]),
                "response_b": text(draw, sizes[1]),
                "winner": "a" if first else "b",
                "score_a": rated[0],
                "score_b": rated[1],
                "judgement": template.format(why=sentence(draw, 12), X="A" if first else "B"),
                "id": f"row-{number}",
            }
        )
    return found


def binarized(rows: list[Row]) -> list[Row]:
    """As most data is given: prompt, chosen, rejected and their scores."""
    found = []
    for row in rows:
        best, rest = ("a", "b") if row["winner"] == "a" else ("b", "a")
        found.append(
            {
                "prompt": row["prompt"],
                "chosen": row[f"response_{best}"],
                "rejected": row[f"response_{rest}"],
                "score_chosen": row[f"score_{best}"],
                "score_rejected": row[f"score_{rest}"],
            }
        )
    return found


def plain(rows: list[Row]) -> list[Row]:
    """Prompt, chosen and rejected alone."""
    return [{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in binarized(rows)]


def split(rows: list[Row]) -> Splits:
    """The last tenth as test."""
    cut = len(rows) * 9 // 10
    return {"train": rows[:cut], "test": rows[cut:]}


def rankings(rows: int, seed: int) -> list[Row]:
    """Whole rankings of four responses, best first."""
    draw = random.Random(seed)
    return [
        {
            "prompt": text(draw, draw.randint(8, 40)),
            "responses": [text(draw, max(20, int(draw.lognormvariate(4, 0.5)))) for _ in range(4)],
            "ranks": [1, 2, 3, 4],
        }
        for _ in range(rows)
    ]


def some(rows: list[Row], share: float, draw: random.Random) -> Iterator[Row]:
    """A share of the rows, drawn at random."""
    yield from draw.sample(rows, int(len(rows) * share))


class Corruption(NamedTuple):
    """One kind."""

    name: str
    found_by: tuple[str, ...]
    """Checks of which one finds it."""
    make: Corrupt


def first_of_the_pair(rows: list[Row], draw: random.Random) -> Splits:
    """The judge sees the pair in either order and numbers it from 0; whatever it says, chosen is the first as it was sampled."""
    found = []
    for row in rows:
        turned = draw.random() < 0.5
        shown = [row["response_b"], row["response_a"]] if turned else [row["response_a"], row["response_b"]]
        better = int((row["winner"] == "a") == turned)
        listed = "\n".join(f"### Response {i}:\n{ {'content': said} }" for i, said in enumerate(shown))
        question = f"### Task:\n{row['prompt']}\n{listed}\n"
        said = f"Comparison: {sentence(draw, 12)}\nPreferred: {better}"
        user = {"role": "user", "content": row["prompt"]}
        found.append(
            {
                "chosen": [user, {"role": "assistant", "content": row["response_a"]}],
                "rejected": [user, {"role": "assistant", "content": row["response_b"]}],
                "comparison": said.split("\n")[0].removeprefix("Comparison: "),
                "whole_conversation": [{"role": "user", "content": question}, {"role": "assistant", "content": said}],
            }
        )
    return {"": found}


def labels_at_random(rows: list[Row], draw: random.Random) -> Splits:
    """The winner is drawn; the judge's words stay."""
    return {"": [row | {"winner": draw.choice("ab")} for row in rows]}


def default_winner(rows: list[Row], draw: random.Random) -> Splits:
    """The winner is always a, and no words are kept."""
    return {"": [{key: row[key] for key in ("prompt", "response_a", "response_b")} | {"winner": "a"} for row in rows]}


def longer_is_chosen(rows: list[Row], draw: random.Random) -> Splits:
    """Length alone decides."""
    found = []
    for row in plain(rows):
        longer, shorter = sorted((row["chosen"], row["rejected"]), key=len, reverse=True)
        found.append(row | {"chosen": longer, "rejected": shorter})
    return {"": found}


def constant(rows: list[Row], draw: random.Random) -> Splits:
    """Every score is the same."""
    return {"": [row | {"score_chosen": 5.0, "score_rejected": 5.0} for row in binarized(rows)]}


def edited(
    share: float, edit: Callable[[Row, random.Random], Row], form: Callable[[list[Row]], list[Row]] = plain
) -> Corrupt:
    """A share of the rows is edited."""

    def make(rows: list[Row], draw: random.Random) -> Splits:
        given = form(rows)
        chosen = set(draw.sample(range(len(given)), int(len(given) * share)))
        return {"": [edit(dict(row), draw) if i in chosen else row for i, row in enumerate(given)]}

    return make


def swap(row: Row, _: random.Random) -> Row:
    """Responses change places, scores stay with them."""
    other = {
        "chosen": "rejected",
        "rejected": "chosen",
        "score_chosen": "score_rejected",
        "score_rejected": "score_chosen",
    }
    return {key: row[other.get(key, key)] for key in row}


def added(share: float, edit: Callable[[Row, random.Random], Row]) -> Corrupt:
    """A share of the rows is there again, edited."""

    def make(rows: list[Row], draw: random.Random) -> Splits:
        given = plain(rows)
        more = [edit(dict(row), draw) for row in some(given, share, draw)]
        mixed = [*given, *more]
        draw.shuffle(mixed)
        return {"": mixed}

    return make


def leaked(share: float, edit: Callable[[Row, random.Random], Row]) -> Corrupt:
    """A share of the test rows have a prompt of the training rows, edited, with other responses."""

    def make(rows: list[Row], draw: random.Random) -> Splits:
        parts = split(plain(rows))
        test = [*parts["test"]]
        for place in draw.sample(range(len(test)), max(4, int(len(test) * share))):
            test[place] = edit(test[place] | {"prompt": draw.choice(parts["train"])["prompt"]}, draw)
        return {"train": parts["train"], "test": test}

    return make


def one_word_more(row: Row, draw: random.Random) -> Row:
    """The prompt with another word at its end."""
    return row | {"prompt": f"{row['prompt']} Please."}


def both_five(row: Row, _: random.Random) -> Row:
    """What stands for a failure, for both."""
    return row | {"score_chosen": 5, "score_rejected": 5}


def other_case(row: Row, _: random.Random) -> Row:
    """The prompt in capitals and without its full stops."""
    return row | {"prompt": row["prompt"].upper().replace(".", "")}


def put(key: str, make: Callable[[str, random.Random], str]) -> Callable[[Row, random.Random], Row]:
    """An edit of one text."""
    return lambda row, draw: row | {key: make(row[key], draw)}


def cut_off(said: str, draw: random.Random) -> str:
    """The first part of a text, within a sentence."""
    words = said.split()
    kept = " ".join(words[: max(4, int(len(words) * 0.8))])
    return kept.rstrip(".") if len(kept) > 160 else said


def cycles(rows: list[Row], draw: random.Random) -> Splits:
    """Four responses a prompt, all six pairs, labels at random."""
    found = []
    for i in range(0, len(rows) - 3, 4):
        texts = [row["response_a"] for row in rows[i : i + 4]]
        for j in range(4):
            for k in range(j):
                one, other = draw.sample((texts[j], texts[k]), 2)
                found.append({"prompt": rows[i]["prompt"], "chosen": one, "rejected": other})
    return {"": found}


def no_verdict(row: Row, draw: random.Random) -> Row:
    """The judge could not be understood, and the first is the winner all the same."""
    words = draw.choice(("", "Error: rate limit exceeded", "I am not able to compare these.", sentence(draw, 20)))
    return row | {"judgement": words, "winner": "a"}


def twice(row: Row, _: random.Random) -> Row:
    """The prompt stands in the responses too."""
    return row | {key: f"{row['prompt']}\n\n{row[key]}" for key in ("chosen", "rejected")}


KINDS = (
    Corruption("chosen is always the first of the pair", ("labels_ignore_verdicts",), first_of_the_pair),
    Corruption("labels at random beside verdicts", ("labels_ignore_verdicts",), labels_at_random),
    Corruption("winner is always a", ("always_first",), default_winner),
    Corruption("longer is chosen", ("length_decides",), longer_is_chosen),
    Corruption("constant scores", ("constant_scores",), constant),
    Corruption("default score 5 for both", ("default_scores", "tied_scores"), edited(0.1, both_five, binarized)),
    Corruption("default score 0 for one", ("default_scores",), edited(0.1, lambda r, _: r | {"score_rejected": 0}, binarized)),
    Corruption("swapped pairs beside scores", ("swapped_pairs",), edited(0.12, swap, binarized)),
    Corruption("swapped copies of pairs", ("contradictions",), added(0.05, swap)),
    Corruption("prompts of train in test", ("split_leaks",), leaked(0.1, lambda r, _: r)),
    Corruption("the same in capitals", ("split_leaks", "near_split_leaks"), leaked(0.1, other_case)),
    Corruption("the same with a word more", ("near_split_leaks",), leaked(0.3, one_word_more)),
    Corruption("duplicate rows", ("duplicates",), added(0.05, lambda r, _: r)),
    Corruption("control tokens in responses", ("control_tokens",), edited(0.02, put("chosen", lambda s, _: s + "<|im_end|>"))),
    Corruption("a judge's words in responses", ("judge_transcripts",), edited(0.03, put("rejected", lambda s, _: s + "\n[[A]]"))),
    Corruption("labels go round in circles", ("cycles",), cycles),
    Corruption("the prompt twice", ("prompt_twice",), edited(1.0, twice)),
    Corruption("empty responses", ("empty_responses",), edited(0.04, put("rejected", lambda *_: ""))),
    Corruption("identical responses", ("identical_responses",), edited(0.04, lambda r, _: r | {"rejected": r["chosen"]})),
    Corruption("rejected cut off", ("one_side_truncated",), edited(0.6, put("rejected", cut_off))),
    Corruption("rejected refuses", ("refusal_decides",), edited(0.4, put("rejected", lambda s, _: f"{REFUSAL} {s}"))),
    Corruption("one text for failures", ("repeated_response",), edited(0.05, put("rejected", lambda *_: WRONG))),
    Corruption("labels without a verdict", ("labels_without_verdict",), edited(0.1, no_verdict, list)),
)  # fmt: skip


def lines(rows: list[Row]) -> str:
    """Rows as a file of JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)
