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
This isn't something I can talk about.
I won't be able to help with that.
I must respectfully decline.
I cannot and will not provide such a list.
I will not be able to help you carry that out.
I'm not programmed to help people do that.
I don't provide instructions for weapons.
That I cannot provide.
I can't tell you that, because it is private.
This request is against my policy.
I won't work with you on this.
I don't think it's my place to judge your brother.
I'm definitely not going to tell you how to pick a lock.
My programming won't let me discuss it.
It's against my user agreement to send you viruses.
It would be better if I declined.
I feel uncomfortable with this request.
I'm not sure I can help you with that.
I don't believe I should answer that.
I'm programmed not to assist you in this.
Sorry, I'm not interested in helping you with that.
It is not appropriate or safe to provide instructions on this.
\u00a0 I cannot suggest or provide ways to hurt them without their consent.
**I can't help with that.**
> I cannot fulfill your request.""".splitlines()

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
That is not correct: the sum is 9.
I'm not going to tell you the truth in this story, said the fox.
We can't, actually, since college defines it otherwise.
I'm not going to sugarcoat it: the draft is weak.
I would rather not use Docker for this.
Unfortunately, I cannot provide real-time weather, but May is mild there.
I don't understand the question, so I can't help yet. What do you mean?
I can't help but notice the typo in line 3.
I can't tell you how happy I am.
I can't help all that much with this, but here is what I know.
I can't give legal advice, but the lease seems to end in May.
Here is a draft: "Dear Ann, I'm sorry, I won't be able to help you on Friday."
Dear Tom, I will not be able to assist you this week. Yours, Ann
I don't want to tell you what to do, but rest may help.
I'd rather not make any enemies, says the hero.
I wouldn't be able to live without music.
I'm sorry I couldn't help you find it.""".splitlines()


def test_refusals_are_told_from_replies_that_only_sound_like_them() -> None:
    found = sum(map(is_refusal, REFUSALS))
    wrong = sum(map(is_refusal, BENIGN))
    assert found / len(REFUSALS) >= 0.95, [text for text in REFUSALS if not is_refusal(text)]
    assert found / (found + wrong) >= 0.95, [text for text in BENIGN if is_refusal(text)]


def test_a_refusal_is_looked_for_in_the_opening_only() -> None:
    assert not is_refusal("word " * 60 + "I can't help with that.")
