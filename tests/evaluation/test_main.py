"""The command line of all evaluations: what it lists."""

import pytest

from evaluation.__main__ import COMMANDS, main


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("judge", "plan.samples: 2"),
        ("audit", "position_inconsistent: 0.3"),
        ("policy", "plan.samples: 2"),
        ("attack", "plan.samples: 2"),
        ("diff", "--show: 10"),
        ("verify", "--sample: 10000"),
        ("reasoning", "--sums: 60"),
        ("episodes", "plan.samples: 2"),
    ],
)
def test_every_setting_is_printed_with_its_meaning(name: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--settings"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert line in lines
    keys = [
        one
        for one in lines
        if one and not one.startswith(" ") and not one.endswith(" KEY=VALUE:") and one != "Options:"
    ]
    assert len(keys) == sum(one.startswith("    ") for one in lines)  # each has a meaning
    assert len(keys) >= len(COMMANDS[name].options.model_fields)


def test_every_command_is_tried() -> None:
    assert {*COMMANDS} == {"judge", "audit", "policy", "attack", "verify", "diff", "reasoning", "episodes"}
