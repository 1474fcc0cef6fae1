"""Whole flows in a headless browser, by keys alone where a person would: one browser for all of them.

SOLON_SCREENSHOTS=FOLDER keeps pictures of what was seen, in light and dark.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from generation.output.run import open_run
from tests.studio.conftest import check_all, keep, make_run
from tests.studio.test_app import PAGES
from tests.studio.views.test_edit import text
from tests.studio.views.test_live import looped, trained
from tests.studio.views.test_policy import policy_file
from tests.studio.views.test_review import rows

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over the same prompts by another constitution."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "laws.yaml").write_text("# ours\n" + text())
    return make_run(folder, "run", str(folder / "laws.yaml"), "--set", "plan.rounds=0")


def test_every_page_can_be_used_by_all(
    finished: Path, other: Path, serve: Callable[..., str], tab: Page, tmp_path: Path
) -> None:
    for name in ("training", "loop"):
        (tmp_path / name).mkdir()
    prompt = next(open_run(finished).pairs()).prompt_id
    subjects: dict[str, tuple[str, ...]] = {
        serve(finished, other): PAGES,
        serve(trained(tmp_path / "training")): ("/live",),
        serve(looped(tmp_path / "loop", finished)): ("/live",),
        serve(policy_file(tmp_path / "policy.json")): ("/policy",),
    }
    for start, paths in subjects.items():
        tab.goto(start)
        for path in paths:
            tab.goto("/".join(tab.url.split("/")[:3]) + path.format(prompt=prompt))
            check_all(tab)
            keep(
                tab,
                "-".join([*tab.title().rpartition(" · ")[2].split(), *path.partition("?")[0].strip("/").split("/")]),
            )


def press(tab: Page, *keys: str) -> None:
    """Press keys on a page whose scripts have run: its heading is there before they are."""
    tab.wait_for_load_state()
    for key in keys:
        tab.keyboard.press(key)


def test_pairs_are_read_by_keys_alone(finished: Path, serve: Callable[..., str], tab: Page) -> None:
    tab.goto(serve(finished))
    tab.get_by_role("link", name="Pairs", exact=True).click()
    tab.wait_for_url("**/pairs")
    press(tab, "/")
    tab.keyboard.type("kindly")
    press(tab, "Enter")
    expect(tab.get_by_role("status")).to_contain_text("9 of 12 pairs")
    press(tab, "j", "j")
    second = tab.evaluate("document.activeElement.textContent")
    press(tab, "Enter")
    expect(tab.get_by_role("heading", level=1)).to_have_text(f"Pair {second}")
    assert "q=kindly" in tab.url
    press(tab, "j")
    expect(tab.get_by_text("3 of 9")).to_be_visible()
    press(tab, "u")
    expect(tab.get_by_role("status")).to_contain_text("9 of 12 pairs")
    tab.goto(tab.url.partition("/pairs")[0] + "/overview")
    bar = tab.locator("svg.plot a").filter(has_text="given over given").first
    bar.focus()
    press(tab, "Enter")
    expect(tab.get_by_role("status")).to_contain_text("9 of 12 pairs")
    assert tab.title() != "ran"


def test_a_run_is_followed_while_it_goes_on(
    finished: Path, serve: Callable[..., str], tab: Page, tmp_path: Path
) -> None:
    shutil.copy(finished / "run.yaml", tmp_path)
    tab.goto(serve(tmp_path))
    expect(tab.get_by_text("No call yet.")).to_be_visible()
    expect(tab.get_by_text("Following.")).to_be_visible()
    shutil.copy(finished / "calls.sqlite", tmp_path / "moving")
    (tmp_path / "moving").rename(tmp_path / "calls.sqlite")
    expect(tab.get_by_role("cell", name="compare", exact=True)).to_be_visible()
    expect(tab.get_by_text("not finished")).to_be_visible()


def test_a_person_labels_by_keys_alone(finished: Path, serve: Callable[..., str], tab: Page, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    tab.goto(serve(run))
    tab.goto("/".join(tab.url.split("/")[:3]) + "/review?by=eve")
    check_all(tab)
    for key in ("a", "b", "=", "x", "Space"):
        before = tab.locator("#answer").get_attribute("data-line")
        press(tab, key)
        tab.locator(f"#answer:not([data-line='{before}'])").wait_for(state="attached")
        assert tab.evaluate("document.activeElement.id") == "now", "a screen reader goes on from the next pair"
    assert [row["label"] for row in rows(run)] == ["a", "b", "tie", "both_bad", "skip"]
    press(tab, "n")
    tab.keyboard.type("a note with a = b")
    press(tab, "Escape")
    press(tab, "e")
    tab.locator("textarea[data-side=a]").fill("A kinder and a shorter answer.")
    press(tab, "Escape")
    press(tab, "a")
    tab.get_by_text("You said: A is better.").wait_for()
    last = rows(run)[-1]
    assert (last["note"], last["edited"], last["text"]) == ("a note with a = b", "a", "A kinder and a shorter answer.")
    tab.get_by_text("Its votes, and the pair").click()
    check_all(tab)
    keep(tab, "review")
    press(tab, "u")
    tab.get_by_text("You said: skipped.").wait_for()
    assert (rows(run)[-1]["a"], rows(run)[-1]["label"]) == (last["a"], "skip")
    assert len({row["id"] for row in rows(run)}) == 7
    assert tab.title().startswith("Review"), "no text of the run ran"


def test_a_person_edits_and_tries(other: Path, serve: Callable[..., str], tab: Page, tmp_path: Path) -> None:
    file = tmp_path / "laws.yaml"
    file.write_text("# ours\n" + text())
    tab.goto(serve(file, other))
    assert tab.title().startswith("Edit")
    check_all(tab)
    press(tab, "t")
    tab.locator("#text").fill(text().replace("objective: good", "objective: god", 1))
    tab.get_by_text("god", exact=False).locator("visible=true").first.wait_for()
    tab.locator("button[data-line]").first.click()
    assert "objective: god" in tab.evaluate(
        "(() => { const t = document.getElementById('text'); return t.value.slice(t.selectionStart, t.selectionEnd); })()"
    )
    tab.locator("#text").fill("# kept\n" + text())
    tab.get_by_text("No errors, no warnings.").wait_for()
    press(tab, "Escape")
    press(tab, "f")
    weight = tab.locator("#form input[data-keys*=kind][type=number]")
    weight.fill("30")
    weight.press("Tab")
    tab.locator("#effect details.moved").first.wait_for(state="attached")
    assert "weight: 30" in tab.locator("#text").input_value()
    assert "# kept" in tab.locator("#text").input_value()
    tab.locator("#effect details.moved summary").first.click()
    check_all(tab)
    keep(tab, "edit")
    tab.locator("#save").click()
    tab.get_by_text("Saved.").wait_for()
    assert "weight: 30" in file.read_text()
    tab.locator("#price").click()
    tab.locator("#planned").wait_for()
    assert tab.locator("#planned").inner_text() == "0", "a weight takes no call"
    tab.locator("#prompt").fill("Why is the sky blue?")
    tab.locator(".given").first.fill("It scatters light.")
    tab.locator(".given").last.fill("Because.")
    tab.locator("#try-it").click()
    tab.locator("#tried caption").wait_for(timeout=90_000)
    assert sorted(tab.locator("#tried td:first-child").all_inner_texts()) == ["brief", "calm", "kind"]
    check_all(tab)
    tab.get_by_role("link", name="Open it as a run").click()
    tab.get_by_role("heading", name="Overview").wait_for()
    tab.get_by_role("link", name="Pairs", exact=True).click()
    tab.get_by_text("1 of 1 pairs").wait_for()
    assert tab.url.endswith("/within/tried/pairs")
