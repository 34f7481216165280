"""Windows and macOS by stand-in: every module loads, and a run folder is made, claimed and read, without Unix.

A child process first loads everything once, so that the libraries have what they want of this machine. Then Unix is
taken away, and the lab's own modules are loaded anew. It is no Windows; what only Windows does is in the tests of the
modules that do otherwise there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

WITHOUT_UNIX = """
import importlib, os, pkgutil, signal, sys
sys.path.insert(0, os.getcwd())
sys.modules["lm_eval"] = None  # optional
import bnf_lab

def load_all():
    names = [m.name for m in pkgutil.walk_packages(bnf_lab.__path__, "bnf_lab.")]
    return {name: importlib.import_module(name) for name in [*names, "app"]}

first = load_all()
assert len(first) > 100, len(first)
for name in [n for n in sys.modules if n.split(".")[0] in ("bnf_lab", "app")]:
    del sys.modules[name]

for name in ("fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "syslog", "posix"):
    sys.modules[name] = None
GONE = {
    signal: "SIGKILL SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGCHLD SIGSTOP SIGALRM alarm sigwait",
    os: "fork setsid getsid getuid geteuid getgid getpgid killpg pread pwrite nice sysconf uname statvfs mkfifo chown"
    " fchmod sched_getaffinity sched_yield sync waitid O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_CLOEXEC",
}
kept = {module: {n: getattr(module, n) for n in names.split()} for module, names in GONE.items()}
for module, names in kept.items():
    for name in names:
        delattr(module, name)
import bnf_lab
loaded = load_all()
assert list(loaded) == list(first)
"""
"""What Windows lacks is gone while the lab's modules load."""

A_RUN = """
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock
import psutil

class Windows:
    def __init__(self, module, gone, **there):
        self.__dict__.update(there, _module=module, _gone=gone)
    def __getattr__(self, name):
        if name in self._gone:
            raise AttributeError(name)
        return getattr(self._module, name)

for module, names in kept.items():  # the libraries get back what they work with here, the lab does not
    for name, value in names.items():
        setattr(module, name, value)
stand_ins = {id(m): Windows(m, names) for m, names in kept.items()} | {id(sys): Windows(sys, (), platform="win32")}
for module in loaded.values():
    for name, value in list(vars(module).items()):
        if id(value) in stand_ins:
            setattr(module, name, stand_ins[id(value)])

from bnf_lab.core import machine, sealed_folders
from bnf_lab.core.config import RunConfig
from bnf_lab.runs import estimates, folder, launcher
from bnf_lab.runs.records import MetricPoint, RunState, RunStatus
assert launcher.sys.platform == "win32" and not hasattr(folder.os, "getsid")

run = folder.RunFolder.create(Path(tempfile.mkdtemp()) / "r1", RunConfig(), [])
folder.claim_run(run)
run.append_metric(MetricPoint(1, 0.5, "train", loss=1.0))
run.append_metric(MetricPoint(2, 0.5, "train", loss=1.0))
assert [p.step for p in run.read_metrics()] == [1, 2]
assert launcher.settle_worker(run), "this process is the worker, and lives"
run.write_status(RunStatus(RunState.TRAINING))
launcher.stop_worker(run)
assert run.is_stop_requested
staging = run.path / "tmp-1"
(staging / "rng").mkdir(parents=True)
(staging / "rng" / "state").write_bytes(b"state")
sealed_folders.seal_checkpoint(staging, run.path / "checkpoint-1")
assert sealed_folders.verify_checkpoint(run.path / "checkpoint-1")
assert machine._read_cpu().total_gib > 0
with mock.patch.object(psutil.Process, "memory_info", lambda self: SimpleNamespace(peak_wset=2**30)):
    assert estimates.read_peak_gib(SimpleNamespace(type="cpu")) == 1.0
from bnf_lab.data.formats import row_worker
from bnf_lab.data.importers import import_file
row_worker._limit_itself(1)
pairs = run.path / "pairs.jsonl"
pairs.write_text('{"prompt": "Hi", "chosen": "Hello.", "rejected": "Er."}\\n' * 3000)
assert import_file(pairs, name="pairs.jsonl").taken >= 1
print("done")
"""
"""The lab's modules believe that they are on Windows, and a run is made, claimed, stopped and read."""


def run_without_unix(code: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    command = [sys.executable, "-c", WITHOUT_UNIX + code]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


@pytest.mark.slow
def test_every_module_loads_and_a_run_folder_works_without_unix() -> None:
    answer = run_without_unix(A_RUN)
    assert (answer.returncode, answer.stdout.splitlines()[-1:]) == (0, ["done"]), answer.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_no_room_names_what_the_standard_library_has_only_elsewhere(platform: str) -> None:
    """mypy knows which names of `os`, `signal` and the like each system has; types are checked elsewhere."""
    options = ["--platform", platform, "--follow-imports=skip", f"--cache-dir=.mypy_cache/{platform}"]
    command = [sys.executable, "-m", "mypy", *options, "bnf_lab", "app.py"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert re.search(r"checked \d+ source files|no issues found in \d+", answer.stdout), answer.stdout + answer.stderr
    missing = [line for line in answer.stdout.splitlines() if "Module has no attribute" in line]
    assert not missing


@pytest.mark.parametrize(("platform", "ends"), [("linux", "ValueError"), ("darwin", "")])
def test_a_limit_that_macos_refuses_is_left_out_there_alone(platform: str, ends: str) -> None:
    code = (
        "import resource, sys\n"
        "from bnf_lab.data.formats import row_worker\n"
        "honest = resource.setrlimit\n"
        "def refuse(kind, limits):\n"
        "    if kind == resource.RLIMIT_AS:\n"
        "        raise ValueError('current limit exceeds maximum limit')\n"
        "    honest(kind, limits)\n"
        "resource.setrlimit = refuse\n"
        f"sys.platform = {platform!r}\n"
        "row_worker._limit_itself(12345)\n"
        "print(resource.getrlimit(resource.RLIMIT_FSIZE)[0])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ends in answer.stderr
    assert answer.stdout == ("" if ends else "12345\n")
