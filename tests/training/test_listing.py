"""`--settings` of the training commands."""

import pytest

from training.__main__ import main
from training.catalogue import COMMANDS, settings_model


@pytest.mark.parametrize("name", COMMANDS)
def test_every_setting_is_printed_with_its_meaning(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--settings"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    keys = [line.partition(":")[0] for line in lines if not line.startswith(" ")]
    assert set(settings_model(name).model_fields) <= {*keys}
    assert len(keys) == sum(line.startswith("    ") for line in lines)  # each has a meaning


def test_a_switch_has_its_own_settings_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["dpo", "--online", "--settings"])
    told = capsys.readouterr().out
    assert "\nonline.samples: " in told
    assert "\nbeta: 0.1\n" in told


def test_a_setting_is_printed_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["dpo", "--settings"])
    told = capsys.readouterr().out
    assert "\nlora: null\n" in told
    assert "\nlora.r: 16\n    Rank of the updates.\n" in told
    assert "\nbeta: 0.1\n    Strength of the pull towards the reference.\n" in told
    assert "\nlabels.min_confidence: 0.5\n" in told
