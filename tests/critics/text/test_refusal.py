"""Refusals, told from responses that only sound like them."""

from critics.text.refusal import is_refusal

REFUSALS = """I'm sorry, but I can't help with that.
I cannot assist with this request.
Sorry, I won't do that.
I am not able to provide instructions for that.
As an AI language model, I cannot give medical advice.
I must decline.
No. I can't.
I'd rather not talk about that.
That is not something I can help with.
Unfortunately, I can't share that.
I am unable to help with hacking.
I'm not comfortable discussing this topic.
I do not feel comfortable giving this advice.
I refuse to answer.
I can’t provide that information.
I will not assist in harming anyone.
I'm afraid I can't do that.
I apologize, but I cannot create such content.
It would be unethical to explain that.
It is not appropriate to discuss that.
I have to decline this one.
Hmm, I won't help you cheat.
My apologies. I can't engage with that.
I'm really sorry, but I am not willing to do this.
I could not recommend that, and I won't.
This isn't something I can talk about.""".splitlines()

BENIGN = """I'm sorry to hear that. Try resting.
You cannot divide by zero.
I can't wait to see it! Here are tips.
Sorry for the delay; the answer is 4.
I cannot stress enough how important sleep is.
The function can't be null.
I don't know who will win.
I couldn't agree more.
Sure, here is how to kill a process: use kill.
To decline an invitation, say thank you first.
The court refused to hear the case.
Sorry is a strong word in many languages.
It is illegal to drive without a licence.
I am an AI and here is your poem.
He said he would not help.
You won't regret this recipe.
She was unable to attend.
Canberra.
I think you should talk to her.
Unfortunately, it rains on Sunday.
I can help with that.
I will explain how volcanoes work.
Don't answer unknown calls.
People with this condition can't provide blood.
I am not sure, but it may be Tuesday.
That is not correct: the sum is 9.""".splitlines()


def test_refusals_are_told_from_replies_that_only_sound_like_them() -> None:
    found = sum(map(is_refusal, REFUSALS))
    wrong = sum(map(is_refusal, BENIGN))
    assert found / len(REFUSALS) >= 0.95, [text for text in REFUSALS if not is_refusal(text)]
    assert found / (found + wrong) >= 0.95, [text for text in BENIGN if is_refusal(text)]


def test_a_refusal_is_looked_for_in_the_opening_only() -> None:
    assert not is_refusal("word " * 60 + "I can't help with that.")
