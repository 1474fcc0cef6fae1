"""One value of a YAML text changes, and nothing else."""

import pytest
import yaml

from constitution.errors import UserError
from constitution.source.editing import Value, set_value

TEXT = """\
name: laws  # ours
version: 1
objectives: {good: 1.0, form: 2}
principles:
  # the first
  - id: kind
    objective: good
    text: >
      Be kind,
      always.
    weight: 2.0  # twice
  - {id: brief, objective: form, text: Be brief.}
  - id: last
    objective: good
    text: |
      Two
      lines.
"""


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("objectives", "good"), 3.5),
        (("objectives", "new"), 1.0),
        (("principles", "kind", "weight"), 0.25),
        (("principles", "kind", "text"), 'Be "kind": {always} # \u2028 and\nso on'),
        (("principles", "kind", "veto"), True),
        (("principles", "brief", "text"), "Shorter."),
        (("principles", "brief", "weight"), 4.0),
        (("principles", "last", "text"), "One line."),
        (("principles", "last", "objective"), "form"),
    ],
)
def test_one_value_is_another(keys: tuple[str, ...], value: Value) -> None:
    changed = set_value(TEXT, keys, value)
    expected = yaml.safe_load(TEXT)
    if keys[0] == "objectives":
        expected["objectives"][keys[1]] = value
    else:
        (item,) = (one for one in expected["principles"] if one["id"] == keys[1])
        item[keys[2]] = value
    assert yaml.safe_load(changed) == expected
    for comment in ("# ours", "# the first", "# twice"):
        assert comment in changed
    assert sum(a != b for a, b in zip(TEXT.split("\n")[:5], changed.split("\n")[:5], strict=True)) <= 1


@pytest.mark.parametrize(
    "keys", [("principles", "gone", "text"), ("other", "x"), ("principles", "kind", "text", "more")]
)
def test_a_place_that_is_not_there(keys: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="is not in this file"):
        set_value(TEXT, keys, "x")
