"""The guided first run: what is done is read from the store; it ends for good, and never begins where a lab is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Verdict, now
from bnf_lab.lab.guide import STEPS
from bnf_lab.lab.lab import Lab
from bnf_lab.lab.models import ModelStatus
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import RunState, RunStatus
from tests.support.pages import idle_lab

JUDGEMENTS = [Judgement((Message("user", "Hi"),), "Hello", Verdict.PREFERRED)]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with idle_lab(tmp_path / "home") as lab:
        yield lab


@pytest.fixture
def me(lab: Lab) -> str:
    return lab.owner_of(lab.new_workspace())


def add_run(lab: Lab, owner: str, state: RunState) -> None:
    folder = RunFolder.create(lab.runs.queue.path_of("one"), RunConfig(), JUDGEMENTS, owner=owner)
    folder.write_status(RunStatus(state, owner=owner, step=1, total_steps=1))
    lab.runs.register.add(owner, "one", "one", now())


def test_each_step_is_done_when_the_store_says_so(lab: Lab, me: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab.guides.progress(me).now == "fetch"
    lab.judgements.add(me, "mine", JUDGEMENTS)
    progress = lab.guides.progress(me)
    assert (progress.done, progress.now) == ({"add"}, "fetch")  # by hand, before the model is here
    monkeypatch.setattr(lab.models, "status", lambda: ModelStatus("fetching", "", 0.5))
    assert lab.guides.progress(me).is_fetching
    monkeypatch.setattr(lab.models, "status", lambda: ModelStatus("ready", "", 1.0))
    assert lab.guides.progress(me).now == "train"
    lab.guides.see(me)  # nothing to see yet
    assert lab.guides.progress(me).now == "train"
    add_run(lab, me, RunState.FINISHED)
    assert lab.guides.progress(me).now == "show"
    lab.guides.see(me)
    assert lab.guides.progress(me).done == set(STEPS)


def test_a_run_that_still_trains_is_not_seen_yet(lab: Lab, me: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.models, "status", lambda: ModelStatus("ready", "", 1.0))
    lab.guides.progress(me)
    lab.judgements.add(me, "mine", JUDGEMENTS)
    add_run(lab, me, RunState.TRAINING)
    lab.guides.see(me)
    assert lab.guides.progress(me).now == "show"


def test_once_ended_it_never_comes_back_and_restarts_keep_it(lab: Lab, me: str, tmp_path: Path) -> None:
    somebody = lab.owner_of(lab.new_workspace())
    lab.guides.progress(somebody)
    lab.judgements.add(somebody, "mine", JUDGEMENTS)
    lab.guides.end(me)
    assert lab.guides.progress(me) is None
    lab.close()
    with idle_lab(tmp_path / "home") as again:
        assert again.guides.progress(me) is None
        assert again.guides.progress(somebody).done >= {"add"}


def test_a_workspace_in_use_never_sees_it(lab: Lab, me: str) -> None:
    lab.judgements.add(me, "mine", JUDGEMENTS)
    assert lab.guides.progress(me) is None
    lab.judgements.delete(me, [j.judgement.id for j in lab.judgements.find(me)])
    assert lab.guides.progress(me) is None
