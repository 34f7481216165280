"""The whole journey in a real Chromium on the embedded model: judge, train, watch, chat, export, survive a kill -9.

The tests are the steps of one person's visit, in order and on one page. Once a step has failed, those after it are
skipped: they would only wait for what did not happen.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import (
    PLOT,
    LabPage,
    Server,
    Watcher,
    open_browser,
    open_page,
    pair_rows,
    running_server,
    wait_until,
)

PAIRS = (
    ("What is the largest planet?", "Jupiter.", "Jupiter is a planet, and planets are large, and it is very large."),
    ("Who wrote Hamlet?", "William Shakespeare.", "Hamlet is a play. Many people have read it and written about it."),
    ("What do bees make?", "Honey.", "Bees are insects which fly around a lot and make a number of things."),
    ("How many days has a week?", "Seven.", "A week has days, and there are several of them, one after another."),
)
BAD_ROW = '{"prompt": "What is the sun?", "chosen": "A star.", "rejected": ""}\n'
EDITED = "The sky is blue because air scatters blue light more than red light."
QUESTION = "Which animal says moo, and where does it live?"
ADAPTER_NAME = re.compile(r"(final|checkpoint-\d+) · sha256 [0-9a-f]{8}")


@dataclass
class Journey:
    """What the steps share."""

    server: Server
    page: LabPage
    watcher: Watcher
    folder: Path
    seen: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def journey(embedded_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    home, folder, watcher = tmp_path_factory.mktemp("journey"), tmp_path_factory.mktemp("files"), Watcher()
    shutil.copytree(embedded_home / "models", home / "models", symlinks=True)
    with open_browser() as browser, running_server(home) as server:
        yield Journey(server, open_page(browser, server.url, watcher, accept_downloads=True), watcher, folder)


@pytest.fixture(autouse=True)
def step(request: pytest.FixtureRequest, journey: Journey) -> Iterator[None]:
    """Skips what comes after a failed step; after each one, looks for a stack trace or an error on the page."""
    failed_before = journey.seen.setdefault("failed before", request.session.testsfailed)
    if request.session.testsfailed > failed_before:
        pytest.skip("an earlier step of the journey failed")
    yield
    assert "Traceback" not in journey.page.page.inner_text("body")
    assert journey.page.page.locator(".toast-body.error").all_inner_texts() == []


def test_an_upload_keeps_good_rows_and_reports_the_bad_one(journey):
    page = journey.page
    path = journey.folder / "mine.jsonl"
    path.write_text(pair_rows(PAIRS) + BAD_ROW, encoding="utf-8")
    page.section("Upload")
    page.page.locator("#upload-file input[type=file]").set_input_files(path)
    page.wait_text("#upload-head", "4 of 5 rows taken")
    page.wait_text("#upload-details .lab-refused td", "5")
    assert "rejected" in page.text("#upload-details .lab-refused tbody")
    assert page.judged() == {}
    page.click("upload-add")
    page.wait_text("#preferences-counts", "4 pairs")
    page.wait_judged({"preferred": 4, "dispreferred": 4, "pair": 4, "prompt": 4})


def test_the_model_answers_and_its_answers_are_marked_by_key_and_by_edit(journey):
    page = journey.page
    page.section("Mark answers")
    page.fill("mark-prompt", "Why is the sky blue?")
    page.page.locator("#mark-length input").first.fill("32")
    page.click("mark-write")
    page.wait("document.querySelector('#mark-prefer-1')?.disabled === false")
    answers = [page.page.locator(f"#mark-answer-{n} textarea").input_value() for n in (1, 2)]
    assert all(answer.strip() for answer in answers) and answers[0] != answers[1]
    page.page.keyboard.press("1")
    page.wait_text("#mark-cards .lab-chip", "preferred")
    page.wait_text("#preferences-counts", "5 preferred")
    page.click("mark-edit-2")
    page.wait(
        "!document.querySelector('#mark-answer-2 textarea').readOnly"
        " && !document.querySelector('#mark-answer-2 textarea').disabled"
    )
    page.page.locator("#mark-answer-2 textarea").fill(EDITED)
    page.page.get_by_role("button", name="Save as preferred").locator("visible=true").click()
    page.wait_text("#mark-cards .lab-chip", "your version preferred")
    page.wait_text("#preferences-counts", "6 preferred")
    page.wait_judged({"preferred": 6, "dispreferred": 5, "pair": 5, "prompt": 5})


def test_a_demo_set_is_added_with_one_click(journey):
    page = journey.page
    page.section("Demo sets")
    page.click("demo-short_answers")
    page.wait_text("#demo-short_answers", "Added")
    page.wait("Number(document.querySelector('#preferences-counts b').textContent.replace(',', '')) > 100")
    journey.seen["judged"] = page.judged()


def test_a_run_is_set_up_and_started(journey):
    page = journey.page
    page.tab("Train")
    set_up(page, n_steps=6, checkpoint_steps=3, answer_steps=3)
    page.fill("train-name", "first run")
    page.click("train-start")
    page.wait("document.querySelector('#watch-page')?.offsetParent !== null")
    page.wait_text("#watch-status", "training")


def test_plots_move_and_keep_the_zoom(journey):
    page = journey.page
    page.wait_points("likelihood", more_than=1)
    journey.seen["first likelihood"] = likelihood(page)
    page.drag("likelihood", 0.1, 0.6)
    zoomed = page.x_range("likelihood")
    n_points = page.wait_points("likelihood", more_than=page.n_points("likelihood"))
    assert page.x_range("likelihood") == zoomed
    assert n_points >= 3


def test_the_run_finishes_with_parted_likelihoods(journey):
    page = journey.page
    page.wait_text("#watch-status", "Finished")
    page.page.locator("#watch-more button").first.click()
    page.wait_points("training", more_than=0)
    assert last_steps(page, "likelihood", "training") == [6, 6]
    assert likelihood(page) != journey.seen["first likelihood"]
    assert "Accuracy" in page.text("#watch-summary")


def test_the_token_inspector_follows_its_slider(journey):
    page = journey.page
    newest = page.wait(f"({TOKENS})()")
    page.page.locator("#watch-step input[type=range]").focus()
    page.page.keyboard.press("Home")
    page.wait_text("#watch-at", "Step 0")
    base = page.wait(
        f"old => {{ const now = ({TOKENS})(); return JSON.stringify(now) !== old && now; }}",
        json.dumps(newest, ensure_ascii=False, separators=(",", ":")),
    )
    assert [token["text"] for token in base] == [token["text"] for token in newest]
    assert {token["colour"] for token in base} != {token["colour"] for token in newest}
    assert all("p" in token["tip"] for token in newest)
    assert page.n_points("feedback") > 0


def test_now_it_says_shows_the_base_and_later_answers(journey):
    said = journey.page.text("#watch-answers")
    assert "Base" in said
    assert "Step 6" in said


def test_chat_answers_on_both_sides_and_says_who_answers(journey):
    page = journey.page
    page.tab("Chat")
    page.wait_text("#chat-heads .chat-head.aligned", "sha256")
    assert page.text("#chat-heads .chat-head.base b") == "SmolLM2-135M-Instruct"
    assert ADAPTER_NAME.search(page.text("#chat-heads .chat-head.aligned b"))
    page.page.locator("#chat-message textarea").fill(QUESTION)
    page.page.keyboard.press("Enter")
    for side in ("base", "aligned"):
        page.wait_text(f".chat-answer.{side} .chat-likelihood", "nats/token")
        assert "tokens/s" in page.text(f".chat-answer.{side} .chat-numbers")
    journey.seen["answers"] = chat_answers(page)
    assert all(journey.seen["answers"])


def test_a_thumb_becomes_a_judgement(journey):
    page = journey.page
    page.page.locator(".chat-answer.aligned .chat-thumb.preferred").click()
    page.wait_text(".chat-answer.aligned .lab-chip", "preferred")
    page.wait_text("#chat-train", "1 new judgement")
    page.tab("Preferences")
    before = journey.seen["judged"]
    page.wait_text("#preferences-counts", f"{before['preferred'] + 1} preferred")
    journey.seen["judged"] = before | {"preferred": before["preferred"] + 1, "prompt": before["prompt"] + 1}
    page.wait_judged(journey.seen["judged"])


def test_a_refresh_loses_nothing(journey):
    page = journey.page
    page.reload()
    page.wait_judged(journey.seen["judged"])
    page.tab("Chat")
    page.wait_text("#chat-log", QUESTION)
    assert chat_answers(page) == journey.seen["answers"]
    page.wait_text(".chat-answer.aligned .lab-chip", "preferred")


def test_the_adapter_is_downloaded(journey):
    page = journey.page
    page.tab("Runs")
    page.wait_text("#runs-table", "first run")
    with zipfile.ZipFile(page.download("runs-export-adapter", journey.folder)) as archive:
        assert archive.testzip() is None
        names = {Path(name).name for name in archive.namelist()}
    assert names >= {"adapter_model.safetensors", "adapter_config.json", "README.md"}


def test_killing_the_server_hurts_neither_run_nor_judgements(journey):
    page, server = journey.page, journey.server
    page.tab("Train")
    page.page.get_by_label("short_answers").uncheck()
    set_up(page, n_steps=4, checkpoint_steps=2, answer_steps=4)
    page.fill("train-name", "second run")
    page.click("train-start")
    run_dir = wait_until(
        lambda: next((p.parent for p in server.data_dir.glob("runs/*/process.json")), None),
        "the second run's worker to start",
    )
    page.wait_text("#watch-status", "training")
    journey.watcher.is_server_away = True
    server.kill()
    worker = json.loads((run_dir / "process.json").read_text(encoding="utf-8"))["pid"]
    os.kill(worker, 0)  # raises if the worker went with the server
    server.start()
    page.open()
    journey.watcher.is_server_away = False
    page.wait_judged(journey.seen["judged"])
    page.tab("Watch")
    page.wait_text("#watch-status", "Finished")
    assert last_steps(page, "likelihood") == [4]
    assert json.loads((run_dir / "status.json").read_text(encoding="utf-8"))["step"] == 4
    page.tab("Runs")
    page.wait_text("#runs-table", "second run")


def test_nothing_went_wrong_on_the_page_and_nothing_left_the_machine(journey):
    assert journey.watcher.problems == []
    assert journey.watcher.foreign == []
    assert "Traceback" not in journey.server.tail()


TOKENS = """() => {
  const cells = [...document.querySelectorAll('#watch-tokens .lab-tokens span')];
  return cells.length ? cells.map(cell => (
    {text: cell.textContent, tip: cell.dataset.tip, colour: cell.style.backgroundColor})) : null;
}"""


def set_up(page: LabPage, **settings: int) -> None:
    """Sets a short run, scored after every step on few held-out pairs; waits until it may be started."""
    page.wait("document.querySelector('#train-start')?.disabled === false")
    page.page.locator("#train-advanced button").first.click()
    for name, value in {"responses_per_step": 4, "n_probe": 3, "probe_share": 0.9, **settings}.items():
        page.fill(f"field-{name}", value)
    page.wait_text("#train-preflight", "for the plots")
    page.wait("document.querySelector('#train-start')?.disabled === false")


def likelihood(page: LabPage) -> list[float]:
    """Returns the last preferred and dispreferred value of the likelihood plot."""
    return page.page.evaluate("""() => ['preferred', 'dispreferred'].map(name => document
      .querySelector('#plot-likelihood .js-plotly-plot').data.find(line => line.name === name).y.at(-1))""")


def last_steps(page: LabPage, *plots: str) -> list[int]:
    """Returns the last step that each of these plots shows; how many it shows depends on the time scoring takes."""
    return [page.page.evaluate(f"Math.max(...({PLOT})('{name}').data.flatMap(line => line.x || []))") for name in plots]


def chat_answers(page: LabPage) -> list[str]:
    return [page.text(f".chat-answer.{side} .chat-text") for side in ("base", "aligned")]
