"""Uploads in a real Chromium: what is shown before it is stored, every kind of answer, mappings that come back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import (
    ROOT,
    LabPage,
    Server,
    Watcher,
    in_every_view,
    open_page,
    pair_rows,
    running_server,
)

PAIRS = (
    ("What is the largest planet?", "Jupiter.", "Saturn."),
    ("What do bees make?", "Honey.", "Jam."),
    ("How many days has a week?", "Seven.", "Six."),
    ("Who wrote Hamlet?", "Shakespeare.", "Goethe."),
)
IS_EMPTY = "at => document.querySelector(at).innerText.trim() === ''"


@pytest.fixture(scope="module")
def server(slow: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture
def page(server: Server, browser: Browser, view: dict[str, Any]) -> Iterator[LabPage]:
    """A browser, and so a workspace, of its own; nothing may go wrong in it and nothing may leave the machine."""
    watcher = Watcher()
    lab = open_page(browser, server.url, watcher, accept_downloads=True, **view)
    lab.section("Upload")
    yield lab
    assert lab.page.locator(".toast-body.error").all_inner_texts() == []
    lab.page.context.close()
    assert watcher.problems == []
    assert watcher.foreign == []
    assert "Traceback" not in server.tail()


def write(path: Path, text: str | list[Any]) -> Path:
    lines = [text] if isinstance(text, str) else [json.dumps(row) + "\n" for row in text]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def choose(page: LabPage, path: Path) -> None:
    """Chooses a file as a person does: takes the one before away first."""
    clear = page.page.locator("#upload-file button[aria-label='Clear']")
    if clear.count():
        clear.click()
    page.page.locator("#upload-file input[type=file]").set_input_files(path)


def add(page: LabPage, n: int) -> None:
    page.wait_text("#upload-add", f"Add {n} judgements")
    page.click("upload-add")
    page.wait_text("#upload-status", f"{n} judgements added")


def act(page: LabPage, label: str) -> None:
    """Presses a button of a question or an offer."""
    page.page.locator("#upload-panel .lab-button, #upload-panel .lab-choice").filter(has_text=label).first.click()


def press(group: str, label: str) -> str:
    """Returns the script that chooses a radio button."""
    return f"[...document.querySelectorAll('#upload-{group} label')].find(e => e.innerText.includes('{label}')).click()"


def put(page: LabPage, part: str, place: str) -> None:
    """Types a place into a field of the mapping."""
    box = page.page.locator(f"#upload-part-{part} input").first
    box.fill(place)
    box.press("Enter")
    box.blur()


def test_pairs_are_shown_before_they_are_stored(page: LabPage, tmp_path: Path) -> None:
    bad = {"prompt": "What is the sun?", "chosen": "A star.", "rejected": "", "system": "Be brief."}
    rows = [dict(zip(("prompt", "chosen", "rejected"), pair, strict=True), system="Be brief.") for pair in PAIRS]
    choose(page, write(tmp_path / "mine.jsonl", [*rows, bad]))
    page.wait_text("#upload-head", "Read as TRL preference: pairs")
    assert "JSON lines" in page.text("#upload-head")
    assert page.text("#upload-head .lab-numbers") == "4 of 5 rows taken 1 row refused 4 preferred 4 dispreferred"
    examples = page.page.locator("#upload-examples .lab-example")
    assert examples.count() == 3
    said = "system Be brief. user What is the largest planet? preferred Jupiter. dispreferred Saturn."
    assert " ".join(examples.first.inner_text().split()) == said
    left, right = (examples.first.locator(".lab-side").nth(n).bounding_box() for n in (0, 1))
    assert left and right and left["y"] == right["y"] and left["x"] < right["x"]
    assert "rejected" in page.text("#upload-details .lab-refused tbody")
    assert page.judged() == {}
    add(page, 8)
    page.wait_judged({"preferred": 4, "dispreferred": 4, "pair": 4, "prompt": 4})
    assert not page.page.locator("#upload-panel").is_visible()
    page.reload()
    page.wait_judged({"preferred": 4, "dispreferred": 4, "pair": 4, "prompt": 4})


def test_two_quick_clicks_add_once(page: LabPage, tmp_path: Path) -> None:
    choose(page, write(tmp_path / "twice.jsonl", pair_rows(PAIRS)))
    page.wait_text("#upload-add", "Add 8 judgements")
    page.page.evaluate("() => { const add = document.querySelector('#upload-add'); add.click(); add.click(); }")
    page.wait_text("#upload-status", "8 judgements added")
    page.wait_judged({"preferred": 4, "dispreferred": 4, "pair": 4, "prompt": 4})


@in_every_view
def test_a_refusal_stays_until_the_next_choice(page: LabPage, tmp_path: Path) -> None:
    page.page.locator("#upload-file input[type=file]").set_input_files(write(tmp_path / "paper.pdf", "%PDF-1.7 \n"))
    page.wait_text("#upload-status .lab-trouble", "PDF document")
    page.page.wait_for_timeout(1500)  # longer than any other event of the page takes
    assert "PDF document" in page.text("#upload-status")
    choose(page, write(tmp_path / "good.jsonl", pair_rows(PAIRS)))
    page.wait_text("#upload-add", "Add 8 judgements")
    page.wait(IS_EMPTY, "#upload-status")
    page.page.locator("#upload-file button[aria-label='Clear']").click()
    page.wait("!document.querySelector('#upload-panel')?.offsetParent")


def test_labels_that_are_not_clear_are_asked(page: LabPage, tmp_path: Path) -> None:
    marks = ("good", "good", "meh", "0")
    rows = [{"prompt": f"q{n}", "response": f"a{n}", "label": mark} for n, mark in enumerate(marks)]
    choose(page, write(tmp_path / "marks.jsonl", rows))
    page.wait_text("#upload-head form", "good (2)")
    assert not page.page.locator("#upload-add").is_visible()
    act(page, "Use these meanings")
    page.wait_text("#upload-trouble .lab-trouble", "at least one value")
    form = page.page.locator("#upload-head form")
    form.get_by_role("group", name="good (2)").get_by_label("Preferred", exact=True).check()
    form.get_by_role("group", name="0 (1)").get_by_label("Dispreferred", exact=True).check()
    act(page, "Use these meanings")
    page.wait_text("#upload-head .lab-numbers", "3 of 4 rows taken")
    page.wait(IS_EMPTY, "#upload-trouble")
    page.wait_text("#upload-head .lab-said", "what the labels mean")
    page.page.get_by_role("button", name="Take back: what the labels mean").click()
    page.wait_text("#upload-head form", "good (2)")
    form.get_by_role("group", name="good (2)").get_by_label("Dispreferred", exact=True).check()
    page.page.keyboard.press("Enter")  # answers as its button does, and does not leave the page
    add(page, 2)
    page.wait_judged({"preferred": 0, "dispreferred": 2, "pair": 0, "prompt": 2})


def test_a_part_is_chosen_and_taken_back(page: LabPage, tmp_path: Path) -> None:
    rows = [dict(zip(("prompt", "chosen", "rejected"), pair, strict=True)) for pair in PAIRS]
    path = write(tmp_path / "splits.json", json.dumps({"train": rows[:3], "test": rows[3:]}))
    choose(page, path)
    page.wait_text("#upload-head form", "Which part of the file?")
    page.page.locator("#upload-head form").get_by_label("test").check()
    act(page, "Use this part")
    page.wait_text("#upload-add", "Add 2 judgements")
    page.page.get_by_role("button", name="Take back: part").click()
    page.wait_text("#upload-head form", "Which part of the file?")
    page.page.locator("#upload-head form").get_by_label("train").check()
    act(page, "Use this part")
    add(page, 6)
    page.wait_judged({"preferred": 3, "dispreferred": 3, "pair": 3, "prompt": 3})


def test_columns_are_mapped_by_paths_with_a_preview_while_choosing(page: LabPage, tmp_path: Path) -> None:
    rows = [
        {"frage": f"Was ist {n}?", "antworten": [{"text": "eins", "sterne": 5}, {"text": "zwei", "sterne": n}]}
        for n in range(3)
    ]
    rows.append({"frage": "Und 3?", "antworten": [{"text": "eins", "sterne": 5}, {"text": "zwei"}]})
    choose(page, write(tmp_path / "odd.jsonl", rows))
    page.wait_text("#upload-mapping", "Which column is which?")
    page.page.locator("#upload-kind").get_by_label("with ratings").check()
    put(page, "prompt", "frage")
    put(page, "response", "antworten[].text")
    page.wait_text("#upload-examples", "Choose a column for rating")
    put(page, "rating", "antworten[].stars")
    page.wait_text("#upload-note-rating", "nothing stands at 'antworten[].stars'")
    put(page, "rating", "bewertung")
    page.wait_text("#upload-note-rating", "no column of this name")
    assert not page.page.locator("#upload-add").is_visible()
    page.page.locator("#upload-part-rating input").first.click()
    page.page.get_by_role("option", name="antworten[].sterne").click()
    page.wait_text("#upload-add", "Add 6 judgements")
    page.wait_text("#upload-note-rating", "1 row refused. row 4")
    assert "no column of this name" not in page.text("#upload-note-rating")
    assert page.page.locator("#upload-examples .lab-example").count() == 3
    page.act_while_one_waits(press("centring", "own answers"), press("weighting", "the further away"))
    page.wait_text("#upload-examples .lab-side-head", "weight")
    page.act_while_one_waits(press("weighting", "all alike"), press("weighting", "the further away"))
    page.wait_text("#upload-head", "each prompt's own mean")
    page.wait_text("#upload-examples .lab-side-head", "weight")
    add(page, 6)
    page.wait_judged({"preferred": 3, "dispreferred": 3, "pair": 0, "prompt": 3})


def test_a_file_of_which_no_row_fits_can_be_mapped(page: LabPage, tmp_path: Path) -> None:
    rows = [{"prompt": "", "topic": f"topic{n}", "chosen": a, "rejected": b} for n, (_, a, b) in enumerate(PAIRS)]
    choose(page, write(tmp_path / "none.jsonl", rows))
    page.wait_text("#upload-head", "no row fits")
    put(page, "prompt", "topic")
    put(page, "preferred", "chosen")
    put(page, "dispreferred", "chosen")
    page.wait_text("#upload-note-dispreferred", "chosen for Preferred answer too")
    put(page, "dispreferred", "rejected")
    add(page, 8)


def test_a_saved_mapping_comes_back_and_is_the_shells(page: LabPage, server: Server, tmp_path: Path) -> None:
    rows = [{"frage": q, "gut": a, "schlecht": b} for q, a, b in PAIRS]
    choose(page, write(tmp_path / "first.jsonl", rows))
    page.wait_text("#upload-mapping", "Which column is which?")
    for part, place in (("prompt", "frage"), ("preferred", "gut"), ("dispreferred", "schlecht")):
        put(page, part, place)
    page.wait_text("#upload-add", "Add 8 judgements")
    mapping = page.download("upload-save", tmp_path)
    add(page, 8)
    second = write(tmp_path / "second.jsonl", [{**row, "frage": f"{row['frage']} Please."} for row in rows])
    choose(page, second)
    page.wait_text("#upload-head .lab-offer", "Use the mapping of first.jsonl?")
    act(page, "Use it")
    add(page, 8)
    page.wait_judged({"preferred": 8, "dispreferred": 8, "pair": 8, "prompt": 8})
    command = [sys.executable, "-m", "bnf_lab", "check", str(second), "--map", str(mapping), "--json"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    record = json.loads(answer.stdout)
    assert (record["taken"], record["preferred"], record["dispreferred"]) == (4, 4, 4)
    choose(page, write(tmp_path / "third.jsonl", [{**row, "more": 1} for row in rows]))
    page.wait_text("#upload-mapping", "Which column is which?")
    assert "Use the mapping" not in page.text("#upload-head")
    page.page.locator("#upload-otherwise button").first.click()
    page.page.locator("#upload-mapping-file").wait_for(state="attached")
    page.page.locator("input[type=file]").last.set_input_files(mapping)
    page.wait_text("#upload-add", "Add 8 judgements")


def test_a_file_that_is_too_large_is_refused_in_words_that_stay(page: LabPage, tmp_path: Path) -> None:
    path = tmp_path / "<b>huge.jsonl"
    path.write_bytes(b"x" * 21_000_000)
    page.page.locator("#upload-file input[type=file]").set_input_files(path)
    page.wait_text("#upload-status .lab-trouble", "it is 21 MB large; a file may have 20 MB")
    assert "<b>huge.jsonl" in page.text("#upload-status")
    choose(page, write(tmp_path / "small.jsonl", pair_rows(PAIRS)))
    page.wait_text("#upload-add", "Add 8 judgements")


def test_two_layouts_that_fit_are_chosen_by_their_first_rows(page: LabPage, tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response": f"answer {n}", "rating": n, "rank": n + 1} for n in range(4)]
    choose(page, write(tmp_path / "both.jsonl", rows))
    page.wait_text("#upload-head form", "It can be read in several ways")
    cards = page.page.locator("#upload-head .lab-choice")
    assert [" ".join(text.split()) for text in cards.all_inner_texts()] == [
        "ratings dispreferred: 'answer 0' dispreferred: 'answer 1' preferred: 'answer 2'",
        "rankings preferred: 'answer 0' preferred: 'answer 1' dispreferred: 'answer 2'",
    ]
    act(page, "rankings")
    page.wait_text("#upload-examples .lab-example", "preferred weight")
    page.page.locator("#upload-otherwise button").first.click()
    page.page.locator("#upload-layouts").get_by_role("button", name="ratings").click()
    page.wait_text("#upload-head", "Read as ratings")
    page.page.locator("#upload-otherwise button").first.click()
    page.page.get_by_role("button", name="Say which column is which").click()
    put(page, "prompt", "response")
    page.wait_text("#upload-head", "You say which column is which")
    act(page, "Back to what was recognised")
    page.wait_text("#upload-add", "Add 4 judgements")
    page.wait("!document.querySelector('#upload-mapping')?.offsetParent")


def test_columns_of_text_and_scores_that_contradict_are_answered_in_place(page: LabPage, tmp_path: Path) -> None:
    rows = [
        {
            "question": f"What does letter {n} ask for?",
            "letter": f"Please send me {n} apples.",
            "remark": f"this is a remark on {n}",
            "chosen": "A letter.",
            "rejected": f"{n} apples.",
            "chosen_score": 1,
            "rejected_score": 4,
        }
        for n in range(3)
    ]
    choose(page, write(tmp_path / "letters.jsonl", rows))
    form = page.page.locator("#upload-head form")
    form.get_by_role("group", name="letter").get_by_label("Part of the prompt").check()
    act(page, "Go on")
    page.wait_text("#upload-trouble", "Say of each of these columns")
    form.get_by_role("group", name="remark").get_by_label("Leave out").check()
    act(page, "Go on")
    page.wait_text("#upload-examples .lab-turns", "What does letter 0 ask for? Please send me 0 apples.")
    assert "A letter." in page.text("#upload-examples .lab-side.preferred")
    act(page, "Turn these 3 pairs round")
    page.wait_text("#upload-examples .lab-side.preferred", "0 apples.")
    add(page, 6)
