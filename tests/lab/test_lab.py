"""The lab as its pages use it: workspaces apart, judgements kept, runs through the real worker, chat and exports."""

from __future__ import annotations

import json
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import ImportRefused, LabError, NotFound, RunRefused
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair
from bnf_lab.data.demo_sets import FOLDER, list_demo_sets
from bnf_lab.lab.chat_records import ChatRequest
from bnf_lab.lab.lab import Lab
from bnf_lab.runs.records import RunState

PATIENCE_SECONDS = 180
CONFIG = RunConfig(
    model="tiny",
    n_steps=3,
    responses_per_step=4,
    n_probe=2,
    lora_rank=4,
    checkpoint_steps=2,
    answer_steps=3,
    quantization="none",
)


@pytest.fixture
def lab(tmp_path: Path, tiny_model_path: Path) -> Iterator[Lab]:
    shutil.copytree(tiny_model_path, tmp_path / "home" / "models" / "tiny")
    lab = Lab(tmp_path / "home")
    yield lab
    lab.close()


@pytest.fixture
def owner(lab: Lab) -> str:
    return lab.owner_of(lab.new_workspace())


def add_pairs(lab: Lab, owner: str, n: int = 12) -> None:
    for i in range(n):
        prompt = (Message("user", f"Say {i}."),)
        lab.judgements.add(owner, "Marked", build_pair(prompt, f"It is {i}.", "Er, well, hm.", source=Source.EDIT))


def wait_until_over(lab: Lab, owner: str, run_id: str) -> RunState:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        status = lab.runs.folder(owner, run_id).read_status()
        if status.state.is_over:
            return status.state
        time.sleep(0.1)
    raise AssertionError(lab.runs.folder(owner, run_id).log.read_text(encoding="utf-8"))


@pytest.mark.parametrize("token", ["", "short", "x" * 42, "x" * 44, "../" + "x" * 40, 7, None, "ä" * 43])
def test_tokens_the_lab_never_gave_are_refused(lab: Lab, token: object) -> None:
    with pytest.raises(NotFound, match="Reload"):
        lab.owner_of(token)


def test_the_owner_does_not_reveal_the_token(lab: Lab) -> None:
    token = lab.new_workspace()
    assert token not in lab.owner_of(token)
    assert lab.owner_of(token) == lab.owner_of(token) != lab.owner_of(lab.new_workspace())


def test_pages_talk_to_the_labs_parts(lab: Lab) -> None:
    parts = {"judgements", "runs", "models", "drafts", "mappings", "marking", "chats", "writer", "ahead", "guides"}
    own = {"home", "scratch", "close", "new_workspace", "owner_of"}
    assert {name for name in dir(lab) if not name.startswith("_")} == parts | own


def test_the_data_folder_is_for_this_user_only(lab: Lab) -> None:
    for folder in (lab.home / "tmp", lab.scratch):
        assert folder.stat().st_mode & 0o077 == 0


def test_demo_sets_are_added_once(lab: Lab, owner: str) -> None:
    for demo in list_demo_sets():
        assert lab.judgements.import_demo(owner, demo.name).taken == demo.n_rows
    with pytest.raises(ImportRefused, match="already"):
        lab.judgements.import_demo(owner, list_demo_sets()[0].name)
    with pytest.raises(NotFound, match="There are: "):
        lab.judgements.import_demo(owner, "../../etc/passwd")
    assert not lab.judgements.find(lab.owner_of(lab.new_workspace()))


def test_judgements_come_back_from_their_export(lab: Lab, owner: str, tmp_path: Path) -> None:
    add_pairs(lab, owner, 3)
    lab.judgements.add(owner, "Chat", [Judgement((Message("user", "Alone?"),), "Yes.", Verdict.DISPREFERRED)])
    pairs, single = lab.judgements.export(owner, "pairs"), lab.judgements.export(owner, "unpaired")
    assert len(pairs.read_text(encoding="utf-8").splitlines()) == 3
    other = lab.owner_of(lab.new_workspace())
    report = lab.judgements.check_file(pairs, "pairs.jsonl")
    assert report.taken == 3
    lab.judgements.keep(other, report)
    assert lab.judgements.totals(other).pairs == 3
    assert lab.judgements.check_file(single, "single.jsonl").taken >= 1
    with pytest.raises(LabError, match="no pairs"):
        lab.judgements.export(lab.owner_of(lab.new_workspace()), "pairs")


def test_preflight_counts_and_names_what_is_wrong(lab: Lab, owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lab.models._environment, "BNF_LAB_HUB_OFFLINE", "0")
    empty = lab.runs.preflight(owner, CONFIG, None)
    assert "no judgement" in empty.problems[0]
    add_pairs(lab, owner, 20)
    check = lab.runs.preflight(owner, CONFIG, None)
    assert (check.n_responses, check.n_pairs, check.n_probe_pairs) == (40, 20, 2)
    assert check.n_train_responses == 36
    assert check.n_tokens > 36
    assert check.problems == ()
    assert 0 < check.memory_gib < check.free_gib
    assert check.seconds is None  # nothing was measured on this machine yet
    cut = lab.runs.preflight(owner, RunConfig(model="tiny", max_tokens=16, n_probe=2), None)
    assert cut.n_truncated == 40
    assert "16 tokens" in " ".join(cut.warnings)
    for i in range(4):
        prompt = (Message("user", f"One {i}"),)
        lab.judgements.add(owner, "Single", [Judgement(prompt, "A", Verdict.PREFERRED)])
    assert "needs pairs" in lab.runs.preflight(owner, RunConfig(model="tiny", method="dpo"), ["Single"]).problems[0]
    assert "preferred" in lab.runs.preflight(owner, CONFIG, ["Single"]).warnings[0]
    missing = lab.runs.preflight(owner, RunConfig(model="owner/not-here"), None)
    assert missing.n_tokens is None
    assert missing.problems == ()
    assert "by its path" in lab.runs.preflight(owner, RunConfig(model="/etc"), None).problems[0]
    assert "no model 'nowhere'" in lab.runs.preflight(owner, RunConfig(model="nowhere"), None).problems[0]
    with pytest.raises(RunRefused, match="by its path"):
        lab.runs.start(owner, RunConfig(model="/etc"), None, "")


@pytest.mark.slow
def test_measuring_a_step_gives_the_estimate(lab: Lab, owner: str) -> None:
    add_pairs(lab, owner)
    assert lab.runs.measure(owner, CONFIG, None) > 0
    assert lab.runs.preflight(owner, CONFIG, None).seconds > 0
    assert not list(lab.home.glob("measure-*"))


@pytest.mark.slow
def test_a_run_from_start_to_chat_and_export(lab: Lab, owner: str) -> None:
    add_pairs(lab, owner)
    assert lab.runs.count_new_judgements(owner) == 24
    run_id = lab.runs.start(owner, CONFIG, None, "First")
    assert lab.runs.count_new_judgements(owner) == 0
    stranger = lab.owner_of(lab.new_workspace())
    for forbidden in (lab.runs.stop, lab.runs.resume, lab.runs.delete, lab.runs.folder, lab.runs.queue_position):
        with pytest.raises(NotFound):
            forbidden(stranger, run_id)
    assert wait_until_over(lab, owner, run_id) is RunState.FINISHED
    (summary,) = lab.runs.summaries(owner)
    assert (summary.name, summary.method, summary.collections) == ("First", "bnf", ("Marked",))
    assert summary.preferred_logp != summary.preferred_logp_before
    assert lab.runs.summaries(stranger) == []
    choices = {choice.checkpoint: choice for choice in lab.runs.adapters(owner)}
    assert {"final", "best", "checkpoint-2", "checkpoint-3"} == set(choices)
    assert choices["final"].hash == choices["checkpoint-3"].hash != choices["checkpoint-2"].hash
    base, aligned = lab.runs.pane_labels(owner, "tiny", run_id, "final")
    assert (base, run_id in aligned, choices["final"].hash in aligned) == ("tiny", True, True)

    history = (Message("user", "Say 3."),)
    request = ChatRequest(history, history, "tiny", run_id, "final", temperature=0, max_new_tokens=4)
    *_, last = lab.writer.reply(owner, request)
    assert last.is_done
    assert last.base.n_tokens > 0
    assert last.aligned.logp_aligned is not None
    with pytest.raises(NotFound):
        next(iter(lab.writer.reply(stranger, request)))

    with zipfile.ZipFile(lab.runs.export_adapter(owner, run_id)) as archive:
        names = {Path(name).name for name in archive.namelist()}
        settings = json.loads(archive.read(next(n for n in archive.namelist() if n.endswith("adapter_config.json"))))
    assert str(lab.home) not in json.dumps(settings)
    assert settings["base_model_name_or_path"] == "tiny"
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "README.md"} | tokenizer
    with zipfile.ZipFile(lab.runs.export_merged(owner, run_id)) as archive:
        names = {Path(name).name for name in archive.namelist()}
        config = json.loads(archive.read(next(n for n in archive.namelist() if n.endswith("/config.json"))))
    assert {"model.safetensors", "tokenizer.json", "README.md"} <= names
    assert config["model_type"] == "llama"

    lab.runs.delete(owner, run_id)
    assert lab.runs.summaries(owner) == []
    assert not (lab.home / "runs" / run_id).exists()


@pytest.mark.slow
def test_a_queued_run_can_be_stopped_resumed_and_deleted(lab: Lab, owner: str) -> None:
    add_pairs(lab, owner)
    first = lab.runs.start(owner, RunConfig(model="tiny", n_steps=2000, quantization="none"), None, "")
    second = lab.runs.start(owner, CONFIG, None, "")
    assert lab.runs.queue_position(owner, second) in (1, 2)
    lab.runs.stop(owner, second)
    assert lab.runs.folder(owner, second).read_status().state is RunState.STOPPED
    lab.runs.stop(owner, first)
    assert wait_until_over(lab, owner, first) is RunState.STOPPED
    lab.runs.resume(owner, second)
    assert wait_until_over(lab, owner, second) is RunState.FINISHED
    with pytest.raises(RunRefused):
        lab.runs.resume(owner, second)


def test_a_run_that_cannot_be_trained_is_refused_before_it_exists(lab: Lab, owner: str) -> None:
    with pytest.raises(RunRefused, match="no judgement"):
        lab.runs.start(owner, CONFIG, None, "")
    assert lab.runs.summaries(owner) == []
    assert not [p for p in (lab.home / "runs").iterdir() if p.is_dir()]


def test_the_demo_sets_lie_in_the_assets() -> None:
    assert FOLDER.is_dir()
