"""The strip of the guided first run: what it shows at each step, and what its buttons do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from bnf_lab.core.config import EMBEDDED_MODEL
from bnf_lab.core.judgements import Judgement, Message, Verdict
from bnf_lab.lab.guide import STEPS, Progress
from bnf_lab.lab.lab import Lab
from bnf_lab.lab.train_drafts import load_draft
from bnf_lab.ui import words
from bnf_lab.ui.guide import draw_guide
from bnf_lab.ui.layout import build_app
from tests.support.pages import handlers, idle_lab

JUDGEMENTS = [Judgement((Message("user", "Hi"),), "Hello", Verdict.PREFERRED)]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with idle_lab(tmp_path / "home") as lab:
        yield lab


def current(strip: str) -> str:
    return "".join(re.findall(r'aria-current="step"><b>(.*?)</b>', strip))


@pytest.mark.parametrize("n_done", range(len(STEPS) + 1))
def test_the_strip_says_what_is_done_and_what_is_next(n_done: int) -> None:
    strip = str(draw_guide(Progress(frozenset(STEPS[:n_done]))))
    assert strip.count('class="done"') == strip.count(f">{words.GUIDE_DONE}<") == n_done
    now = STEPS[n_done] if n_done < len(STEPS) else ""
    assert current(strip) == (words.GUIDE_STEPS[now] if now else "")
    assert (words.GUIDE_GO[now] in strip) if now else ('class="go"' not in strip)
    assert (words.GUIDE_SKIP in strip) is bool(now)
    assert (words.GUIDE_CLOSE in strip) is not bool(now)


def test_while_the_model_comes_nothing_is_to_be_pressed() -> None:
    strip = str(draw_guide(Progress(frozenset(), is_fetching=True)))
    assert words.GUIDE_FETCHING in strip
    assert 'class="go"' not in strip


def test_the_buttons_lead_on_and_skip_ends_it_for_good(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    app, token = build_app(lab), lab.new_workspace()
    owner, fetched = lab.owner_of(token), []
    monkeypatch.setattr(lab.models, "start_fetch", lambda: fetched.append(EMBEDDED_MODEL))
    act, look = (next(h for h in handlers(app, name) if "Guide" in h.__qualname__) for name in ("act", "look"))
    strip, shown, timer = look(token, "")
    assert (strip.visible, timer.active) == (True, True)
    assert look(token, shown) == (gr.skip(),) * 3  # nothing new: nothing is sent
    act(token, shown, SimpleNamespace(act="fetch"))
    assert fetched == [EMBEDDED_MODEL]
    lab.judgements.add(owner, "mine", JUDGEMENTS)
    to_train, *_ = act(token, shown, SimpleNamespace(act="train"))
    assert to_train.selected == "train"
    assert load_draft(lab.drafts, owner).config.n_steps == 10
    _, strip, said, timer = act(token, shown, SimpleNamespace(act="skip"))
    assert (strip.visible, said, timer.active) == (False, "", False)
    assert look(token, "") == (gr.skip(),) * 3
