"""Before rows are trained on, it is told where the model's template writes them in its own way, and what it is told is the settings'."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.families import FAMILIES, tokenizer_of
from benchmarks.tiny import TEMPLATE, some_targets
from constitution.errors import UserError
from constitution.records import Function, Message, ToolCall
from generation.engines.checkpoint import load_tokenizer
from generation.models.encoder import Encoder
from generation.models.files import resolve
from training.data.columns import Pair, RowPrompt
from training.data.encode import encode_pairs
from training.data.labels import Labels
from training.data.template import kinds_of
from training.recipes.config import DPO, SFT
from training.run import job

ASKED = RowPrompt("p", (Message(role="user", content="why ?"),))
CALL = Message(role="assistant", tool_calls=(ToolCall(function=Function(name="look", arguments={})),))
OPENS = TEMPLATE.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")
SWITCHES = TEMPLATE.replace(
    "<|im_start|>assistant\n{% endif %}",
    "<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}is {% endif %}{% endif %}",
).replace("{{ message['content'] }}", "{% if message['role'] == 'assistant' and enable_thinking is defined %}is {% endif %}{{ message['content'] }}")  # fmt: skip


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(ASKED, set(), id="a-prompt"),
        pytest.param((ASKED, (Message(role="assistant", content="it is"),)), set(), id="an-answer"),
        pytest.param(ASKED._replace(tools=({"name": "look"},)), {"calls"}, id="tools"),
        pytest.param((ASKED, (CALL,)), {"calls"}, id="a-call"),
        pytest.param((ASKED, ((CALL,), (CALL,))), {"calls"}, id="calls-of-several-sides"),
        pytest.param((ASKED, (Message(role="assistant", content="a", reasoning_content="b"),)), {"thoughts"}, id="thoughts"),
        pytest.param((ASKED, (Message(role="assistant", content="<think>b</think>a"),)), {"thoughts"}, id="thoughts-in-the-text"),
    ],
)  # fmt: skip
def test_what_rows_have_beside_answers(row: Any, expected: set[str]) -> None:
    assert kinds_of([row]) == {"answers", *expected}


@pytest.fixture
def prepare(tiny: Path, tmp_path: Path, write_rows: Callable[..., Path]) -> Callable[..., job.Job]:
    def prepared(template: str, **settings: Any) -> job.Job:
        model = tmp_path / "model"
        shutil.copytree(tiny, model, dirs_exist_ok=True)
        tokenizer = load_tokenizer(resolve(str(model)))
        tokenizer.chat_template = template
        tokenizer.save_pretrained(model)
        data = {str(write_rows(some_targets(24))): 1.0}
        return job.prepare(
            SFT.model_validate({"model": str(model), "data": data, "batch_size": 8, **settings}), tmp_path / "out"
        )

    return prepared


def test_a_difference_is_told(prepare: Callable[..., job.Job], capsys: pytest.CaptureFixture[str]) -> None:
    prepare(TEMPLATE)
    assert "chat template" not in capsys.readouterr().err
    prepare(OPENS)
    told = (
        "model: its chat template writes '<think>\\n' before an answer is sampled, and not in a chat that is answered"
    )
    assert told in capsys.readouterr().err


def test_a_template_that_opens_no_turn_is_refused(prepare: Callable[..., job.Job]) -> None:
    with pytest.raises(UserError, match="does not open the assistant's turn"):
        prepare(TEMPLATE.partition("{% if add_generation_prompt %}")[0] + "{{ eos_token }}")


def test_a_template_without_a_generation_prompt_is_trained_as_one_with_it(prepare: Callable[..., job.Job]) -> None:
    bare, plain = (
        prepare(template).train.rows[0].example for template in (TEMPLATE.partition("{% if add_g")[0], TEMPLATE)
    )
    assert bare == plain


def test_the_template_is_told_what_the_settings_say(prepare: Callable[..., job.Job]) -> None:
    plain = prepare(SWITCHES).train.rows[0].example
    told = prepare(SWITCHES, chat_template_kwargs={"enable_thinking": False}).train.rows[0].example
    assert (len(told.prompt), told.responses) == (len(plain.prompt) + 1, plain.responses)


def test_a_call_that_lost_its_end_is_learnt_without_it() -> None:
    encoder = Encoder(tokenizer_of(FAMILIES["qwen2.5"]))
    call, text = (CALL,), (Message(role="assistant", content="hello"),)
    cut = Pair(ASKED, text, call, 1.0, 0.0, 1.0, (False, True))
    (row,) = encode_pairs([cut], encoder, DPO(), Labels()).rows
    whole = encoder.written(ASKED.messages, [text, call])
    assert [list(response) for response in row.example.responses] == [side.tokens[:-1] for side in whole.sides]
