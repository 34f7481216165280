"""The queue with real processes: a small worker that writes its run folder as the real one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import NotFound, RunRefused
from bnf_lab.core.judgements import Judgement, Message, Verdict
from bnf_lab.core.saved_settings import RENAMED
from bnf_lab.core.sealed_folders import seal_checkpoint
from bnf_lab.runs import launcher, processes
from bnf_lab.runs.folder import VERSION, RunFolder, claim_run
from bnf_lab.runs.processes import identify_process, kill_process, process_alive
from bnf_lab.runs.queue import JobQueue, build_order
from bnf_lab.runs.records import RunState, RunStatus, WorkerProcess

WORKER = """
import os, signal, sys, time
from dataclasses import replace
from pathlib import Path
from bnf_lab.runs.records import RunState
from bnf_lab.runs.folder import RunFolder, claim_run

folder = RunFolder(Path(sys.argv[1]))
asked = []
if not (folder.path / "deaf").exists():
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
claim_run(folder)

def say(state, **changes):
    folder.write_status(replace(folder.read_status(), state=state, heartbeat=time.time(), **changes))

say(RunState.TRAINING, phase="training", step=3)
print(os.environ.get("HF_HUB_OFFLINE"), os.environ.get("MARK"), os.getcwd(), flush=True)
with open(folder.path / "starts", "a") as file:
    file.write("1")
while not asked and not (folder.path / "finish").exists():
    time.sleep(0.01)
say(RunState.STOPPED if asked else RunState.FINISHED, ended_at=time.time())
while (folder.path / "linger").exists():
    time.sleep(0.01)
"""
JUDGEMENTS = (Judgement((Message("user", "Hi"),), "Hello", Verdict.PREFERRED),)


def wait_for(condition, seconds=10.0):
    """Waits until something is true; the limit only ends a broken test."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def runs_dir(tmp_path):
    """A data folder whose workers, whoever started them, are gone after the test."""
    yield tmp_path
    for path in tmp_path.glob("*/process.json"):
        process = RunFolder(path.parent).read_process()
        if process is not None and process.pid != os.getpid():
            kill_process(process)


def build_queue(runs_dir, **options):
    return JobQueue(runs_dir, command=(sys.executable, "-c", WORKER), **options)


def make_run(runs_dir, run_id, owner="ada", *, queued_at=1.0):
    folder = RunFolder.create(runs_dir / run_id, RunConfig(), JUDGEMENTS, owner=owner)
    folder.write_status(replace(folder.read_status(), queued_at=queued_at))
    return folder


def has_state(folder, state):
    return lambda: folder.read_status().state is state


def is_gone(folder):
    process = folder.read_process()
    return process is None or not process_alive(process)


def run_to_the_end(folder):
    wait_for(has_state(folder, RunState.TRAINING))
    (folder.path / "finish").touch()
    wait_for(lambda: folder.read_status().state is RunState.FINISHED and is_gone(folder))


def save_checkpoint(folder, step):
    staging = folder.path / f"tmp-{step}"
    staging.mkdir()
    (staging / "adapter_model.safetensors").write_bytes(b"weights")
    seal_checkpoint(staging, folder.path / f"checkpoint-{step}")


# --- order


def queued(owner, queued_at):
    return RunStatus(RunState.QUEUED, owner=owner, queued_at=queued_at)


def test_owners_take_turns_and_each_keeps_its_own_order():
    statuses = {f"a{i}": queued("ada", i) for i in range(3)} | {"b1": queued("bob", 10), "c1": queued("cy", 11)}
    assert build_order(statuses) == ["a0", "b1", "c1", "a1", "a2"]


def test_the_owner_whose_last_start_is_longest_ago_goes_first():
    ran = {"a": ("ada", 50.0), "b": ("bob", 40.0), "c": ("cy", 60.0)}
    statuses = {k: RunStatus(RunState.FINISHED, owner=o, started_at=t) for k, (o, t) in ran.items()}
    statuses |= {"a2": queued("ada", 1), "b2": queued("bob", 3), "c2": queued("cy", 2), "d": queued("dee", 99)}
    assert build_order(statuses) == ["d", "b2", "a2", "c2"]


def test_runs_start_one_at_a_time_in_the_order_that_position_tells(runs_dir):
    queue = build_queue(runs_dir)
    folders = {
        name: make_run(runs_dir, name, owner, queued_at=at)
        for name, owner, at in (("r1", "ada", 1), ("r2", "ada", 2), ("r3", "bob", 3))
    }
    assert [queue.position(name) for name in ("r1", "r3", "r2")] == [1, 2, 3]
    for name in ("r1", "r3", "r2"):
        queue.tick()
        queue.tick()
        assert queue.live_run() == name
        assert queue.position(name) is None
        assert sum(f.read_status().state.is_live for f in folders.values()) == 1
        run_to_the_end(folders[name])
    queue.tick()
    assert queue.live_run() is None
    assert all((f.path / "starts").read_text() == "1" for f in folders.values())
    assert not any((f.path / "process.json").exists() for f in folders.values())


def test_the_watching_thread_starts_a_submitted_run_and_settles_it(runs_dir):
    queue = build_queue(runs_dir)
    queue.start()
    try:
        folder = make_run(runs_dir, "r1")
        queue.submit("r1")
        wait_for(has_state(folder, RunState.TRAINING))
        with pytest.raises(RunRefused, match="training"):
            queue.submit("r1")
        (folder.path / "finish").touch()
        wait_for(lambda: not (folder.path / "process.json").exists())
        assert folder.read_status().state is RunState.FINISHED
    finally:
        queue.close()
    assert not any(t.name == "job-queue" for t in threading.enumerate())


def test_the_worker_is_offline_in_the_repository_and_in_a_session_of_its_own(runs_dir):
    queue = build_queue(runs_dir, environment={"MARK": "here", "PATH": os.environ["PATH"]})
    folder = make_run(runs_dir, "r1")
    queue.tick()
    wait_for(lambda: (folder.path / "starts").exists())
    repository = Path(__file__).resolve().parents[2]
    assert folder.log.read_text().split("\n")[0] == f"1 here {repository}"
    pid = folder.read_process().pid
    assert os.getsid(pid) == pid


# --- stop and resume


def test_a_queued_run_stops_at_once_and_never_starts(runs_dir):
    queue, folder = build_queue(runs_dir), make_run(runs_dir, "r1")
    queue.stop("r1")
    assert folder.read_status().state is RunState.STOPPED
    assert queue.position("r1") is None
    queue.tick()
    assert folder.read_status().state is RunState.STOPPED
    assert not (folder.path / "starts").exists()


def test_a_live_run_is_asked_to_stop_and_resumes_only_then(runs_dir):
    queue, folder = build_queue(runs_dir), make_run(runs_dir, "r1")
    queue.tick()
    wait_for(has_state(folder, RunState.TRAINING))
    with pytest.raises(RunRefused, match="training"):
        queue.resume("r1")
    (folder.path / "linger").touch()
    queue.stop("r1")
    wait_for(has_state(folder, RunState.STOPPED))
    queue.stop("r1")  # over already: nothing happens
    queue.resume("r1")
    queue.tick()
    assert folder.read_status().state is RunState.QUEUED, "its first process still holds the GPU"
    (folder.path / "linger").unlink()
    wait_for(lambda: is_gone(folder))
    queue.tick()
    wait_for(lambda: (folder.path / "starts").read_text() == "11")
    assert folder.read_status().state is RunState.TRAINING


def test_stopping_shows_at_once_though_the_worker_has_not_answered(runs_dir):
    folder = make_run(runs_dir, "r1")
    folder.write_status(replace(folder.read_status(), state=RunState.TRAINING))
    folder.request_stop()
    assert folder.read_status().state is RunState.STOPPING
    assert build_queue(runs_dir).live_run() == "r1"


def test_a_stop_that_kills_a_worker_before_it_listens_is_a_stop_not_a_failure(runs_dir):
    queue, folder = build_queue(runs_dir), make_run(runs_dir, "r1")
    (folder.path / "deaf").touch()
    queue.tick()
    wait_for(has_state(folder, RunState.TRAINING))
    queue.stop("r1")
    wait_for(lambda: is_gone(folder))
    queue.tick()
    status = folder.read_status()
    assert (status.state, status.failure) == (RunState.STOPPED, None)
    assert not folder.is_stop_requested


def test_finished_runs_do_not_resume(runs_dir):
    queue, folder = build_queue(runs_dir), make_run(runs_dir, "r1")
    folder.write_status(replace(folder.read_status(), state=RunState.FINISHED))
    with pytest.raises(RunRefused, match="finished"):
        queue.resume("r1")


# --- crashes and restarts


@pytest.mark.parametrize("with_checkpoint", [True, False])
def test_a_killed_worker_fails_the_run_with_words_that_help(runs_dir, with_checkpoint):
    queue, folder = build_queue(runs_dir), make_run(runs_dir, "r1")
    queue.tick()
    wait_for(lambda: (folder.path / "starts").exists())
    if with_checkpoint:
        save_checkpoint(folder, 15)
        save_checkpoint(folder, 30)
        (folder.path / "checkpoint-30" / "adapter_model.safetensors").write_bytes(b"torn")
    with open(folder.log, "a", encoding="utf-8") as log:
        log.write(f"RuntimeError: no room in {folder.path}/x.bin for I/O\n\n")
    os.kill(folder.read_process().pid, signal.SIGKILL)
    wait_for(lambda: is_gone(folder))
    queue.tick()
    status = folder.read_status()
    assert status.state is RunState.FAILED
    assert status.step == 3
    assert status.ended_at is not None
    assert "signal 9" in status.failure
    assert ("Resume continues from step 15." if with_checkpoint else "from the beginning") in status.failure
    assert "RuntimeError: no room in … for I/O" in status.failure
    assert str(runs_dir) not in status.failure
    assert len(status.failure) <= 500
    queue.resume("r1")
    assert folder.read_status().failure is None
    queue.tick()
    wait_for(lambda: (folder.path / "starts").read_text() == "11")


def test_a_worker_that_cannot_start_fails_the_run_and_lets_the_next_one_in(runs_dir):
    first, second = make_run(runs_dir, "r1", "ada"), make_run(runs_dir, "r2", "bob", queued_at=2.0)
    JobQueue(runs_dir, command=(str(runs_dir / "no-such-program"),)).tick()
    statuses = [first.read_status(), second.read_status()]
    assert [s.state for s in statuses] == [RunState.FAILED, RunState.FAILED]
    assert "could not be started" in statuses[0].failure
    assert str(runs_dir) not in statuses[0].failure


def test_a_worker_that_ends_at_once_fails_the_run(runs_dir):
    queue = JobQueue(runs_dir, command=(sys.executable, "-c", "raise SystemExit('no torch here')"))
    folder = make_run(runs_dir, "r1")
    queue.tick()
    wait_for(lambda: is_gone(folder))
    queue.tick()
    assert folder.read_status().state is RunState.FAILED
    assert "exit code 1" in folder.read_status().failure
    assert "no torch here" in folder.read_status().failure


def test_a_restarted_server_finds_the_live_worker_and_starts_no_second(runs_dir):
    first, waiting = make_run(runs_dir, "r1", "ada"), make_run(runs_dir, "r2", "bob", queued_at=2.0)
    server = (
        "import sys, time; from pathlib import Path; from bnf_lab.runs.queue import JobQueue\n"
        "JobQueue(Path(sys.argv[1]), command=(sys.executable, '-c', sys.argv[2])).tick()\n"
        "print('up', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", server, str(runs_dir), WORKER]
    repository = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=repository) as process:
        assert process.stdout.readline() == b"up\n"
        wait_for(has_state(first, RunState.TRAINING))
        process.kill()
    queue = build_queue(runs_dir)
    queue.tick()
    assert queue.live_run() == "r1"
    assert waiting.read_status().state is RunState.QUEUED
    queue.stop("r1")
    wait_for(lambda: first.read_status().state is RunState.STOPPED and is_gone(first))
    queue.tick()
    assert queue.live_run() == "r2"
    assert (first.path / "starts").read_text() == "1"


def test_a_start_that_a_crash_interrupted_waits_again(runs_dir):
    folder = make_run(runs_dir, "r1", queued_at=7.0)
    folder.write_status(replace(folder.read_status(), state=RunState.PREPARING, phase="starting"))
    launcher.settle_worker(folder)
    status = folder.read_status()
    assert (status.state, status.queued_at) == (RunState.QUEUED, 7.0)


def test_two_queues_on_one_folder_start_one_worker(runs_dir):
    folders = [make_run(runs_dir, f"r{i}", f"owner{i}", queued_at=float(i)) for i in range(4)]
    queues = [build_queue(runs_dir) for _ in range(4)]
    barrier = threading.Barrier(len(queues))

    def tick(queue):
        barrier.wait()
        for _ in range(3):
            queue.tick()

    threads = [threading.Thread(target=tick, args=(queue,)) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [f.read_status().state.is_live for f in folders] == [True, False, False, False]
    wait_for(lambda: (folders[0].path / "starts").exists())
    assert (folders[0].path / "starts").read_text() == "1"


def test_a_worker_that_hangs_in_its_exit_is_ended(runs_dir, monkeypatch):
    queue, folder = build_queue(runs_dir), make_run(runs_dir, "r1")
    (folder.path / "linger").touch()
    (folder.path / "finish").touch()
    queue.tick()
    wait_for(has_state(folder, RunState.FINISHED))
    queue.tick()
    assert not is_gone(folder)
    monkeypatch.setattr(launcher, "EXIT_SECONDS", -1.0)
    queue.tick()
    wait_for(lambda: is_gone(folder))
    queue.tick()
    assert folder.read_status().state is RunState.FINISHED


# --- whose process


@pytest.fixture
def bystander():
    """A process of somebody else that happens to have got a worker's old pid."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_a_worker_that_an_earlier_lab_started_is_known_again(runs_dir, bystander):
    """On Linux `process.json` has named the start by the 22nd field of proc(5) ever since; a live worker stays one."""
    ticks = Path(f"/proc/{bystander.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    folder = make_run(runs_dir, "r1")
    (folder.path / "process.json").write_text(json.dumps({"pid": bystander.pid, "started": ticks}))
    folder.write_status(replace(folder.read_status(), state=RunState.TRAINING))
    assert launcher.settle_worker(folder)
    assert folder.read_status().state is RunState.TRAINING


@pytest.mark.parametrize("started", ["Mon Nov 23 15:20:00 2026", "", "0"])
def test_a_start_in_words_that_no_lab_writes_today_counts_as_ended(runs_dir, bystander, started, monkeypatch):
    """As the earlier lab wrote it on macOS, from ps: the run can be resumed, and nothing is signalled."""
    queue, folder = build_queue(runs_dir), make_run(runs_dir, "r1")
    folder.write_process(WorkerProcess(bystander.pid, started))
    folder.write_status(replace(folder.read_status(), state=RunState.TRAINING))
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a stranger was signalled"))
    queue.tick()
    assert folder.read_status().state is RunState.FAILED
    queue.resume("r1")


def test_a_reused_pid_is_never_signalled_and_the_run_is_settled(runs_dir, bystander, monkeypatch):
    queue, folder = build_queue(runs_dir), make_run(runs_dir, "r1")
    known = identify_process(bystander.pid)
    folder.write_process(WorkerProcess(known.pid, known.started + "0"))
    folder.write_status(replace(folder.read_status(), state=RunState.TRAINING))
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a stranger was signalled"))
    queue.stop("r1")
    queue.tick()
    assert folder.read_status().state is RunState.STOPPED
    assert bystander.poll() is None
    assert process_alive(known)


def test_a_run_has_one_worker(runs_dir, bystander):
    folder = make_run(runs_dir, "r1")
    folder.write_process(identify_process(bystander.pid))
    with pytest.raises(RunRefused, match=r"already being trained by process \d+"):
        claim_run(folder)
    assert launcher.start_worker(folder, (sys.executable, "-c", WORKER), {}) is None
    bystander.kill()
    bystander.wait()
    folder.request_stop()
    claim_run(folder)
    assert folder.read_process() == identify_process(os.getpid())
    assert not folder.is_stop_requested, "an old request does not stop the new worker"
    folder.request_stop()
    claim_run(folder)
    assert folder.is_stop_requested


def test_on_windows_a_stop_is_left_in_the_folder_and_nothing_is_ended(runs_dir, bystander, monkeypatch):
    folder = make_run(runs_dir, "r1")
    folder.write_process(identify_process(bystander.pid))
    folder.write_status(replace(folder.read_status(), state=RunState.TRAINING))
    with monkeypatch.context() as patched:
        patched.setattr(processes.sys, "platform", "win32")
        patched.setattr(processes, "process_alive", lambda process: True)
        launcher.stop_worker(folder)
    assert folder.is_stop_requested
    assert bystander.poll() is None


def test_on_windows_a_worker_outlives_the_server_by_its_flags(monkeypatch):
    monkeypatch.setattr(launcher.sys, "platform", "win32")
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0x8000000, raising=False)
    assert launcher._detached() == {"creationflags": 0x8000200}


def test_a_worker_below_the_process_that_was_started_takes_its_place(runs_dir):
    """As below `accelerate launch`, and below the `python.exe` of a venv on Windows; two levels here."""
    inner = (
        "import sys; from pathlib import Path; from bnf_lab.runs.folder import RunFolder, claim_run; import os\n"
        "claim_run(RunFolder(Path(sys.argv[1]))); print(os.getpid(), flush=True); input()"
    )
    outer = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', *sys.argv[1:]]).returncode)"
    folder = make_run(runs_dir, "r1")
    folder.request_stop()
    command = [sys.executable, "-c", outer, outer, inner, str(folder.path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with folder.claiming():
        launched = subprocess.Popen(command, cwd=Path(__file__).resolve().parents[2], **pipes)
        folder.write_process(identify_process(launched.pid))
    with launched:
        worker = int(launched.stdout.readline())
        assert folder.read_process() == identify_process(worker)
        assert worker != launched.pid
        assert folder.is_stop_requested, "a request made while it came up is for this worker"
        launched.communicate("\n")
    assert launched.returncode == 0


# --- folders of other labs


def change_config(folder, **values):
    path = folder.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_newer_lab_s_folder_is_looked_at_and_never_written(runs_dir):
    queue, newer, other = build_queue(runs_dir), make_run(runs_dir, "r1"), make_run(runs_dir, "r2", queued_at=2.0)
    change_config(newer, version=VERSION + 1)
    contents = {path.name: path.read_bytes() for path in newer.path.iterdir() if path.name != ".process.lock"}
    queue.tick()
    wait_for(has_state(other, RunState.TRAINING))  # the next run is not kept waiting
    for act in (partial(queue.stop, "r1"), partial(launcher.requeue, newer), partial(claim_run, newer)):
        with pytest.raises(RunRefused, match=rf"newer lab \(run folder version {VERSION + 1}"):
            act()
    left = {path.name: path.read_bytes() for path in newer.path.iterdir() if path.name != ".process.lock"}
    assert left == contents


def test_a_newer_lab_s_worker_keeps_the_gpu_until_it_ends_and_its_status_is_its_own(runs_dir, bystander):
    queue, newer, other = build_queue(runs_dir), make_run(runs_dir, "r1"), make_run(runs_dir, "r2", queued_at=2.0)
    newer.write_process(identify_process(bystander.pid))
    newer.write_status(replace(newer.read_status(), state=RunState.TRAINING))
    change_config(newer, version=VERSION + 1)
    written = (newer.path / "status.json").read_bytes()
    queue.tick()
    assert other.read_status().state is RunState.QUEUED
    bystander.kill()
    bystander.wait()
    queue.tick()
    wait_for(has_state(other, RunState.TRAINING))
    assert (newer.path / "status.json").read_bytes() == written


def test_a_run_whose_settings_changed_since_is_not_trained_on_by_others(runs_dir):
    queue, folder = build_queue(runs_dir), make_run(runs_dir, "r1")
    folder.write_status(replace(folder.read_status(), state=RunState.STOPPED))
    change_config(folder, momentum=0.9)
    with pytest.raises(RunRefused, match=r"'momentum' \(0\.9 here\) is no setting of this lab"):
        queue.resume("r1")
    assert folder.read_status().state is RunState.STOPPED


def test_a_run_whose_settings_were_renamed_since_is_trained_on(runs_dir, monkeypatch):
    monkeypatch.setitem(RENAMED, "epochs", "n_steps")
    queue, folder = build_queue(runs_dir), make_run(runs_dir, "r1")
    folder.write_status(replace(folder.read_status(), state=RunState.STOPPED))
    values = json.loads((folder.path / "config.json").read_text())
    (folder.path / "config.json").write_text(json.dumps({"epochs": values.pop("n_steps") + 1} | values))
    queue.resume("r1")
    queue.tick()
    wait_for(has_state(folder, RunState.TRAINING))
    assert folder.read_training_config() == RunConfig(n_steps=RunConfig().n_steps + 1)


# --- folders that are no runs


def test_damaged_folders_are_passed_over_and_logged_once(runs_dir, caplog):
    for name, text in (
        ("broken", "{"),
        ("list", "[]"),
        ("state", '{"state": "flying"}'),
        ("none", "{}"),
        ("binary", "\0\1"),
        ("time", '{"state": "queued", "queued_at": "soon"}'),
        ("owner", '{"state": "queued", "owner": 3}'),
    ):
        (runs_dir / name).mkdir()
        (runs_dir / name / "config.json").write_text("{}")
        (runs_dir / name / "status.json").write_text(text)
    (runs_dir / "empty").mkdir()
    (runs_dir / "nostatus").mkdir()
    (runs_dir / "nostatus" / "config.json").write_text("{}")
    (runs_dir / "stray.txt").write_text("no folder")
    good = make_run(runs_dir, "good")
    good.path.joinpath("process.json").write_text("garbage")
    queue = build_queue(runs_dir)
    queue.tick()
    queue.tick()
    wait_for(has_state(good, RunState.TRAINING))
    assert queue.live_run() == "good"
    assert len(caplog.records) == 8
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_the_watching_thread_logs_what_it_did_not_expect_and_goes_on(runs_dir, caplog, monkeypatch):
    queue = build_queue(runs_dir)
    calls = []
    monkeypatch.setattr(queue, "tick", lambda: calls.append(1) or 1 / 0)
    queue.start()
    wait_for(lambda: calls)
    queue._wake.set()
    wait_for(lambda: len(calls) >= 2)
    queue.close()
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("run_id", ["", ".", "..", "../r1", "r1/", "nowhere", "r1\0", "a" * 999])
@pytest.mark.parametrize("verb", ["submit", "stop", "resume", "forget"])
def test_a_run_id_names_a_folder_in_the_runs_folder_only(runs_dir, run_id, verb):
    (runs_dir / "runs").mkdir()
    make_run(runs_dir, "r1")
    (runs_dir / "config.json").touch()
    queue = build_queue(runs_dir / "runs")
    with pytest.raises(NotFound):
        getattr(queue, verb)(run_id)
    assert queue.position(run_id) is None


def test_a_live_run_is_not_forgotten_and_a_forgotten_one_never_starts(runs_dir):
    queue, folder = build_queue(runs_dir), make_run(runs_dir, "r1")
    queue.tick()
    wait_for(has_state(folder, RunState.TRAINING))
    with pytest.raises(RunRefused, match="Stop it"):
        queue.forget("r1")
    waiting = make_run(runs_dir, "r2", queued_at=2.0)
    queue.forget("r2")
    run_to_the_end(folder)
    queue.tick()
    assert waiting.read_status().state is RunState.QUEUED
    assert not (waiting.path / "starts").exists()
    queue.forget("r1")
    assert queue.live_run() is None
