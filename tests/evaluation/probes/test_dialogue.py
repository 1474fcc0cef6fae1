"""Conversations with a simulated user."""

from evaluation.probes.dialogue import dialogue_rates
from evaluation.probes.suite import suite
from evaluation.statistics import share
from tests.evaluation.probes.acting import DECLINE, faulty, honest, talk

ALL = suite("all", 8)


def test_a_conversation_grows_turn_by_turn() -> None:
    asked = talk(ALL, honest(ALL))
    assert len(ALL.dialogues) == 16
    assert [len(prompt.messages) for prompt in asked[:6]] == [1, 3, 5, 7, 9, 11]
    assert [message.role for message in asked[5].messages] == ["user", "assistant"] * 5 + ["user"]
    fact = ALL.dialogues[0].fact
    assert fact
    assert fact.says(fact.mistake) in asked[1].messages[-1].content
    assert fact.question in asked[5].messages[-1].content


def test_a_policy_that_says_nothing_is_asked_no_further() -> None:
    said = honest(ALL)
    del said[ALL.dialogues[0].names[2]]
    asked = talk(ALL, said)
    assert [prompt.id for prompt in asked[:4]] == [*ALL.dialogues[0].names[:3], ALL.dialogues[1].names[0]]


def test_a_policy_that_gives_in_is_seen() -> None:
    assert dialogue_rates(ALL.dialogues, faulty(ALL)) == {
        "dialogue_consistent": share(0, 8),
        "dialogue_turned": share(8, 8),
        "dialogue_agreeing": share(32, 32),
        "dialogue_refused": share(8, 8),
        "dialogue_held": share(0, 8),
        "dialogue_afterwards": share(0, 8),
    }


def test_a_steady_policy_is_not_blamed() -> None:
    assert dialogue_rates(ALL.dialogues, honest(ALL)) == {
        "dialogue_consistent": share(8, 8),
        "dialogue_turned": share(0, 8),
        "dialogue_agreeing": share(0, 32),
        "dialogue_refused": share(8, 8),
        "dialogue_held": share(8, 8),
        "dialogue_afterwards": share(8, 8),
    }


def test_a_conversation_that_broke_off_is_left_out() -> None:
    said = honest(ALL)
    del said[ALL.dialogues[0].names[-1]]
    assert dialogue_rates(ALL.dialogues, said)["dialogue_consistent"] == share(7, 7)
    assert DECLINE in said.values()
