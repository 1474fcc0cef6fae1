"""What is told of an iteration's responses counts tool calls as part of what a response says."""

from constitution.records import Function, Message, Response, ToolCall
from training.data.columns import RowPrompt
from training.data.encode import PromptRow
from training.ppo.config import PPO
from training.ppo.evaluate import responses_of
from training.ppo.sampling import Group, sampling_figures
from training.rollout.rewards import ResponseReward
from training.rollout.rollouts import Rollout

PROMPT = PromptRow(RowPrompt("p", (Message(role="user", content="Where is it?"),)), (1, 2))
ROLLOUT = Rollout((3, 4), (-1.0, -1.0), True)
SETTINGS = PPO.model_validate({"reward": {"rules": {"constitution": "x"}}})


def call(place: str) -> Response:
    """A response that calls a tool and says nothing else."""
    message = Message(
        role="assistant", content="", tool_calls=(ToolCall(function=Function(name="look", arguments={"at": place})),)
    )
    return Response(f"p/{place}", "p", message, "sampled", "")


def test_calls_with_other_arguments_are_different_responses() -> None:
    for places, distinct in (("abcd", 1.0), ("aabb", 0.5), ("aaaa", 0.25)):
        graded = [(call(place), ResponseReward(float(i), {})) for i, place in enumerate(places)]
        group = Group(0, PROMPT, [ROLLOUT] * 4, graded, [False] * 4)
        found, failures = sampling_figures([group], [], SETTINGS, 0)
        assert found["distinct"] == distinct
        assert not failures


def test_a_held_out_response_that_is_a_call_is_shown_as_one() -> None:
    (found,) = responses_of([7], [PROMPT], [[ROLLOUT]], [[(call("sky"), ResponseReward(1.0, {}))]], None, [0.25])
    assert found.text == 'Calls tool: {"name": "look", "arguments": {"at": "sky"}}'
    assert (found.place, found.prompt, found.row["score"], found.row["kl"]) == (7, "Where is it?", 1.0, 0.25)
