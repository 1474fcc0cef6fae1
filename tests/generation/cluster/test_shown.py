"""What is shown of all shards."""

from io import StringIO

from generation.calls.prices import Price, Spent, Tariff
from generation.cluster.attempts import Attempts, Ended
from generation.cluster.nodes import Seen
from generation.cluster.shown import ClusterProgress
from generation.pipeline.progress import Snapshot
from generation.shard import shards


def test_shards_prompts_failures_and_cost_are_added_up() -> None:
    done, first, second = shards(3)
    attempts = Attempts([first, second], most=3)
    assert len(list(attempts.start(1))) == 1
    stream = StringIO()
    with ClusterProgress([4, 5, 6], [done], Tariff({"m": Price(prompt=1, completion=1)}), stream) as progress:
        progress.update(attempts, {first: Seen("node", Snapshot(3, 1, 7, 2, Spent(9, 90, 0, 10, 0.5)))}, [])
        assert progress.line().startswith(
            "1/3 shards done, 1 under way, 1 waiting | 7/15 prompts (1 failed) | 9 calls, 100 tokens, 0.5000 USD | 0:"
        )
        assert list(progress.table().columns[0].cells) == ["1/3"]
        attempts.ended(Ended(first, True, "node"), 5)
        progress.update(attempts, {}, [first])
    assert stream.getvalue().startswith("2/3 shards done, 0 under way, 1 waiting | 9/15 prompts (1 failed)")
