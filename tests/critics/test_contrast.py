"""The conversations in which a response's likelihood is read."""

from constitution.principles import Principle
from constitution.records import Message, Prompt
from critics import contrast

KIND = Principle(id="kind", objective="good", text="Be kind.", antithesis="Be rude.")
SYSTEM, HI = Message(role="system", content="You are a gardener."), Message(role="user", content="Hi, my basil droops.")
HELLO = Message(role="user", content=contrast.GREETING)


def under(text: str, message: Message) -> tuple[Message, ...]:
    return (Message(role="system", content=text), message)


def test_the_conversation_is_read_under_the_principle_its_antithesis_or_without_what_was_asked() -> None:
    asked = Prompt(id="p", messages=(HI,))
    assert contrast.conditions(asked, KIND) == (under("Be kind.", HI), under("Be rude.", HI))
    assert contrast.plain(asked, KIND) == (under("Be kind.", HI),)
    assert contrast.relevance(asked, KIND) == (under("Be kind.", HI), under("Be kind.", HELLO))


def test_a_prompts_own_system_message_stays_with_its_conversation() -> None:
    asked = Prompt(id="p", messages=(SYSTEM, HI))
    assert contrast.relevance(asked, KIND) == (
        under("You are a gardener.\n\nBe kind.", HI),
        under("Be kind.", HELLO),
    )
