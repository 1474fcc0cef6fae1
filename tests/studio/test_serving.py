"""What the command line names is opened, or all that is wrong with it is told."""

from pathlib import Path

import pytest

from constitution.errors import UserError
from studio.serving import MIN_TOKEN, open_studio, token_of
from studio.settings import StudioSettings
from studio.subject import Kind


def test_all_that_is_wrong_is_told_at_once(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("[]")
    wrong = StudioSettings(subject=tmp_path / "x", against=tmp_path / "y", tested=tmp_path / "report.json")
    with pytest.raises(UserError) as error:
        open_studio(wrong)
    assert [Path(problem.place).name for problem in error.value.problems] == ["x", "y", "report.json"]
    right = open_studio(StudioSettings(subject=finished / "constitution.yaml", against=finished))
    assert right.subject.kind is Kind.CONSTITUTION
    assert right.against is not None
    assert right.against.kind is Kind.RUN


def test_a_token_is_new_at_each_start_or_long_enough(finished: Path, tmp_path: Path) -> None:
    own = StudioSettings(subject=finished)
    assert token_of(own) != token_of(own)
    assert len(token_of(own)) >= MIN_TOKEN
    with pytest.raises(UserError, match="is reached from other machines"):
        token_of(StudioSettings(subject=finished, host="0.0.0.0"))
    file = tmp_path / "token"
    for text, good in (("x" * MIN_TOKEN + "\n", True), ("x" * (MIN_TOKEN - 1), False), ("ü" * MIN_TOKEN, False)):
        file.write_text(text)
        given = StudioSettings(subject=finished, host="0.0.0.0", token_file=file)
        if good:
            assert token_of(given) == text.strip()
        else:
            with pytest.raises(UserError, match="at least"):
                token_of(given)
