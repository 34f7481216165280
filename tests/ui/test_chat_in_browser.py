"""Chat in a real Chromium: a conversation keeps its model, and training on new judgements means exactly these."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Verdict, now
from bnf_lab.core.sealed_folders import seal_checkpoint
from bnf_lab.lab.chat_records import AnswerScore, ChatUpdate, PaneUpdate
from bnf_lab.lab.conversation import Settings
from bnf_lab.lab.lab import Lab
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.processes import identify_process
from bnf_lab.runs.records import RunState, RunStatus
from tests.support.browser import LabPage, Server, Watcher, in_every_view, open_page, running_server, wait_until
from tests.support.pages import idle_lab
from tests.support.workspaces import add_run, app_with_workspace

OLDER = [Judgement((Message("user", f"Question {n}"),), f"Answer {n}", Verdict.PREFERRED) for n in range(5)]


class Place:
    """A lab with a conversation with a finished run ("calm") and one that trains ("busy"), whose worker only sleeps."""

    def __init__(self, home: Path, worker: int) -> None:
        self.home = home
        with idle_lab(home) as lab:
            self.token = lab.new_workspace()
            self.owner = lab.owner_of(self.token)
            lab.judgements.add(self.owner, "mine", OLDER)
            add_run(lab, self.token, "calm")
            self.busy = RunFolder.create(lab.runs.queue.path_of("busy"), RunConfig(), OLDER, owner=self.owner)
            lab.runs.register.add(self.owner, "busy", "busy", now())
            self.busy.write_status(RunStatus(RunState.TRAINING, owner=self.owner, step=5, total_steps=30))
            self.busy.write_process(identify_process(worker))
            self._talk(lab)

    def _talk(self, lab: Lab) -> None:
        def reply(*_: Any, **__: Any) -> Iterator[ChatUpdate]:
            panes = [PaneUpdate(text, 3, 9.0, "end", AnswerScore(-1.0, -0.5)) for text in ("It is ice.", "Ice.")]
            yield ChatUpdate(*panes, is_done=True)

        lab.writer.reply = reply  # type: ignore[method-assign]
        for message in ("What is a comet?", "And a star?"):
            lab.chats.ask(self.owner, message, Settings(adapter="calm/final"))
            for _ in lab.chats.answer(self.owner):
                pass

    def add_checkpoint(self, step: int) -> None:
        staging = self.busy.path / f"tmp-{step}"
        staging.mkdir()
        (staging / "adapter_model.safetensors").write_bytes(b"weights %d" % step)
        seal_checkpoint(staging, self.busy.path / f"checkpoint-{step}")


@pytest.fixture
def place(slow: None, tmp_path: Path) -> Iterator[Place]:
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1800)"])
    try:
        yield Place(tmp_path / "home", worker.pid)
    finally:
        worker.kill()
        worker.wait()


@pytest.fixture
def server(place: Place) -> Iterator[Server]:
    with running_server(place.home, program=app_with_workspace(place.token)) as server:
        yield server


@pytest.fixture
def page(server: Server, browser: Browser, view: dict[str, Any]) -> Iterator[LabPage]:
    watcher = Watcher()
    page = open_page(browser, f"{server.url}?tab=chat", watcher, **view)
    page.wait("document.querySelectorAll('.chat-turn').length === 2")
    yield page
    page.page.context.close()
    assert watcher.problems == []


def is_offered(page: LabPage, text: str) -> bool:
    """Opens the list of adapters, looks for an entry and closes the list."""
    page.page.locator("#chat-adapter input").click()
    found = page.page.get_by_role("option", name=text).count() == 1
    page.page.locator("#chat-adapter input").blur()
    return found


@in_every_view
def test_a_conversation_stays_with_its_model_while_two_checkpoints_come_in(page: LabPage, place: Place) -> None:
    heads = page.page.locator("#chat-heads .chat-head").all_inner_texts()
    assert "calm" in heads[1]
    chosen = page.page.locator("#chat-adapter input").input_value()
    for step in (5, 10):
        place.add_checkpoint(step)
        wait_until(partial(is_offered, page, f"busy · checkpoint {step}"), f"checkpoint {step} in the list")
    assert page.page.locator("#chat-adapter input").input_value() == chosen
    assert page.page.locator("#chat-heads .chat-head").all_inner_texts() == heads
    page.reload()
    page.wait_text("#chat-heads .chat-head", "calm")
    assert page.page.locator("#chat-heads .chat-head").all_inner_texts() == heads


@in_every_view
def test_training_on_two_new_judgements_is_about_these_two(page: LabPage) -> None:
    for place in range(2):
        page.page.locator(".chat-answer.aligned .chat-thumb.preferred").nth(place).click()
        page.wait("n => document.querySelectorAll('.chat-answer.aligned .lab-chip').length === n", place + 1)
    page.wait_text("#chat-train", "Train on 2 new judgements")
    page.click("chat-train")
    page.wait("document.querySelector('#train-page')?.offsetParent")
    page.wait_text("#train-preflight", "Starts from")
    page.wait_text("#train-preflight", "2 of 2 responses")
    chosen = page.page.locator("#train-collections label:has(input:checked)").all_inner_texts()
    assert [text.split(",")[0] for text in chosen] == ["2 new judgements"]


def test_both_answers_are_judged_and_settings_changed_while_an_event_is_under_way(page: LabPage) -> None:
    turn = "document.querySelector('.chat-turn')"
    press = turn + ".querySelector('.chat-answer.{} .chat-thumb.{}').click()"
    page.act_while_one_waits(press.format("base", "dispreferred"), press.format("aligned", "preferred"))
    chips = [".chat-turn:first-of-type .chat-answer.base", ".chat-turn:first-of-type .chat-answer.aligned"]
    for reloaded in (False, True):
        if reloaded:
            page.reload()
        for at, verdict in zip(chips, ("dispreferred", "preferred"), strict=True):
            page.wait_text(f"{at} .lab-chip", verdict)
    page.page.locator("#chat-options > button").click()
    at = "#chat-options input[type=number]"
    put = (
        "{const box = document.querySelectorAll('AT')[NUMBER]; box.value = 0.5;"
        "box.dispatchEvent(new Event('input', {bubbles: true})); box.dispatchEvent(new Event('blur'))}"
    ).replace("AT", at)
    page.wait("at => document.querySelectorAll(at).length >= 2", at)
    page.act_while_one_waits(*(put.replace("NUMBER", str(n)) for n in range(2)))
    page.reload()
    page.page.locator("#chat-options > button").click()
    page.wait("at => document.querySelectorAll(at)[1]?.value === '0.5'", at)
    assert [page.page.locator(at).nth(n).input_value() for n in range(2)] == ["0.5", "0.5"]
