"""The store: nothing acknowledged is lost, nothing of one owner is seen by another."""

import json
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bnf_lab import statements
from bnf_lab.database import Database
from bnf_lab.errors import NotFound, StoreError
from bnf_lab.preferences import Judgement, Message, Source, Verdict, build_pair
from bnf_lab.store import CollectionCount, Counts, RunRow, Store

REPOSITORY = Path(__file__).resolve().parents[1]
PREFERRED, DISPREFERRED = Verdict.PREFERRED, Verdict.DISPREFERRED


@pytest.fixture(params=["wal", "delete"])
def store(request, tmp_path):
    opened = Store(tmp_path / "data" / "lab.sqlite", journal=request.param)
    yield opened
    opened.close()


def judge(response="yes", verdict=PREFERRED, prompt="Why?", **values):
    return Judgement((Message("user", prompt),), response, verdict, **values)


def ids(store, owner="ada", **filters):
    return [s.judgement.id for s in store.list_judgements(owner, **filters)]


# --- judgements


def test_a_judgement_comes_back_as_it_was(store):
    system = Message("system", 'Say "no"\nalways')
    prompt = (system, Message("user", "Zürich — 日本語 🙂 \x00 ''; DROP TABLE judgements"))
    judgement = Judgement(prompt, "a\r\nb", DISPREFERRED, 0.25, "pair", Source.CHAT)
    store.add_judgements("ada", "from a chat", [judgement])
    (stored,) = store.list_judgements("ada")
    assert (stored.judgement, stored.collection) == (judgement, "from a chat")


def test_lists_are_newest_first_and_can_be_paged(store):
    same = [judge(created_at="2029-01-01T00:00:00.000000+00:00") for _ in range(3)]
    old, new = (judge(created_at=f"{year}-01-01T00:00:00.000000+00:00") for year in (2030, 2031))
    store.add_judgements("ada", "c", [new, *same, old])
    expected = [new.id, old.id, *(j.id for j in reversed(same))]
    assert ids(store) == expected
    assert [*ids(store, limit=2), *ids(store, limit=2, offset=2), *ids(store, offset=4)] == expected
    assert store.new_judgements_since("ada", old.created_at) == 1
    assert store.new_judgements_since("ada", "2030-06-01T00:00:00.000000+00:00") == 1
    assert store.new_judgements_since("ada", "") == 5


def test_filters_narrow_lists_and_counts_alike(store):
    pair = build_pair((Message("user", "Sum 2+2"),), "4", "5", source=Source.DEMO)
    single = judge("It is 100% so_", DISPREFERRED, "Is it?", source=Source.VOTE)
    store.add_judgements("ada", "sums", pair)
    store.add_judgements("ada", "votes", [single])
    cases = (
        ({}, 3), ({"collections": ["sums"]}, 2), ({"collections": []}, 0), ({"collections": ["sums", "votes"]}, 3),
        ({"verdict": PREFERRED}, 1), ({"verdict": DISPREFERRED}, 2), ({"source": Source.VOTE}, 1),
        ({"text": "sum"}, 2), ({"text": "IS IT"}, 1), ({"text": ""}, 3), ({"text": "0% s"}, 1), ({"text": "user"}, 0),
        ({"text": "sum", "verdict": DISPREFERRED}, 1), ({"collections": ["votes"], "text": "4"}, 0),
    )  # fmt: skip
    for filters, n in cases:
        assert len(store.list_judgements("ada", **filters)) == n, filters
        assert store.count_matching("ada", **filters) == n, filters
        counts = store.count_judgements("ada", **filters)
        assert counts.preferred + counts.dispreferred == n, filters
    with pytest.raises(TypeError):
        store.count_matching("ada", colection=["sums"])


@pytest.mark.parametrize("text", ["%", "_", "\\", "%%", "a%c", "a_c", "\\%", "' OR 1=1 --", '"', "*", "["])
def test_a_text_filter_means_its_characters(store, text):
    store.add_judgements("ada", "c", [judge("abc"), judge(f"x{text}y")])
    assert [s.judgement.response for s in store.list_judgements("ada", text=text)] == [f"x{text}y"]


def test_counts_know_complete_pairs_and_distinct_prompts(store):
    prompt = (Message("user", "Q"),)
    whole, broken = build_pair(prompt, "a", "b", source=Source.DEMO), build_pair(prompt, "c", "d", source=Source.DEMO)
    half = build_pair(prompt, "e", "f", source=Source.DEMO)[0]
    store.add_judgements("ada", "one", [*whole, *broken, half, judge("g", pair_id=""), judge("h", pair_id="")])
    store.add_judgements("ada", "two", [judge("n", DISPREFERRED, "Other")])
    store.set_verdict("ada", broken[1].id, PREFERRED)
    assert store.count_judgements("ada") == Counts(
        6, 2, 1, 3, (CollectionCount("one", 6, 1, 1), CollectionCount("two", 0, 1, 0))
    )
    assert store.count_judgements("ada", verdict=PREFERRED).pairs == 0
    store.delete_judgements("ada", [whole[0].id])
    assert store.count_judgements("ada").pairs == 0
    assert store.count_judgements("nobody") == Counts(0, 0, 0, 0, ())


def test_verdict_and_response_can_be_changed(store):
    judgement = judge("no")
    store.add_judgements("ada", "c", [judgement])
    store.set_verdict("ada", judgement.id, DISPREFERRED)
    store.set_response("ada", judgement.id, "No, because …")
    expected = replace(judgement, verdict=DISPREFERRED, response="No, because …")
    assert store.list_judgements("ada")[0].judgement == expected
    assert store.count_matching("ada", text="because") == 1


def test_deleting_can_be_undone_and_is_all_or_nothing(store):
    judgements = [judge(str(i)) for i in range(4)]
    store.add_judgements("ada", "c", judgements)
    before, gone = ids(store), [judgements[1].id, judgements[2].id]
    store.delete_judgements("ada", [*gone, gone[0]])
    store.delete_judgements("ada", gone)  # a second tab may do it again
    assert ids(store) == [i for i in before if i not in gone]
    assert store.new_judgements_since("ada", "") == 2
    with pytest.raises(NotFound):
        store.set_verdict("ada", gone[0], PREFERRED)
    with pytest.raises(NotFound, match="Only 1 of these 2"):
        store.delete_judgements("ada", [judgements[0].id, "nowhere"])
    assert len(ids(store)) == 2
    store.restore_judgements("ada", gone)
    assert ids(store) == before
    store.delete_judgements("ada", [])
    assert ids(store) == before


def test_a_batch_is_stored_whole_or_not_at_all(store):
    judgement = judge()
    store.add_judgements("ada", "c", [judgement])
    with pytest.raises(StoreError, match="same id"):
        store.add_judgements("ada", "c", [judge(), judge(), judgement])
    assert ids(store) == [judgement.id]
    with pytest.raises(StoreError, match="surrogate"):
        store.add_judgements("ada", "c", [judge(), judge("\ud800")])
    assert ids(store) == [judgement.id]
    store.add_judgements("bob", "c", [judgement])  # ids are each owner's own
    with pytest.raises(StoreError):
        store.add_judgements("", "c", [judge()])


# --- owners


def test_no_method_reaches_another_owners_records(store):
    judgement = judge("ada's")
    store.add_judgements("ada", "secret", [judgement])
    store.add_run("ada", "r1", "my run", "2030", collections=["secret"])
    store.save_chat("ada", "chat", {"text": "ada's"})
    store.save_draft("ada", "mark", {"text": "ada's"})
    empty = Counts(0, 0, 0, 0, ())
    for stranger in ("bob", "", "%", "ada' --", "ADA"):
        assert store.list_judgements(stranger) == []
        assert store.list_judgements(stranger, collections=["secret"], text="ada") == []
        assert (store.count_judgements(stranger), store.count_matching(stranger)) == (empty, 0)
        assert store.new_judgements_since(stranger, "") == 0
        assert (store.list_runs(stranger), store.list_chats(stranger)) == ([], [])
        assert store.load_chat(stranger, "chat") is None
        assert store.load_draft(stranger, "mark") is None
        for attempt in (
            lambda who: store.set_verdict(who, judgement.id, DISPREFERRED),
            lambda who: store.set_response(who, judgement.id, "mine now"),
            lambda who: store.delete_judgements(who, [judgement.id]),
            lambda who: store.restore_judgements(who, [judgement.id]),
            lambda who: store.get_run(who, "r1"),
            lambda who: store.rename_run(who, "r1", "mine now"),
            lambda who: store.delete_run(who, "r1"),
        ):
            with pytest.raises(NotFound):
                attempt(stranger)
    with pytest.raises(StoreError):
        store.add_run("bob", "r1", "mine now", "2031")
    store.save_chat("bob", "chat", {"text": "bob's"})
    store.save_draft("bob", "mark", {"text": "bob's"})
    assert store.list_judgements("ada")[0].judgement == judgement
    assert store.list_runs("ada") == [RunRow("r1", "my run", "2030", ("secret",))]
    assert store.load_chat("ada", "chat") == store.load_draft("ada", "mark") == {"text": "ada's"}


# --- runs, chats, drafts


def test_runs_are_listed_newest_first_renamed_and_deleted(store):
    store.add_run("ada", "r1", "first", "2030-01-01")
    store.add_run("ada", "r2", "", "2031-01-01", collections=("b", "a"))
    store.rename_run("ada", "r1", "renamed")
    assert store.get_run("ada", "r2") == RunRow("r2", "", "2031-01-01", ("b", "a"))
    assert [(r.run_id, r.name) for r in store.list_runs("ada")] == [("r2", ""), ("r1", "renamed")]
    store.delete_run("ada", "r2")
    with pytest.raises(NotFound, match="r2"):
        store.get_run("ada", "r2")


def test_chats_and_drafts_are_kept_apart_and_overwritten(store):
    store.save_chat("ada", "one", {"turns": ["hi", "\x00 ü"]})
    store.save_chat("ada", "two", {})
    store.save_draft("ada", "one", {"candidates": [None, 1.5]})
    store.save_chat("ada", "one", {"turns": []})
    assert store.load_chat("ada", "one") == {"turns": []}
    assert store.load_draft("ada", "one") == {"candidates": [None, 1.5]}
    assert store.load_draft("ada", "two") is None
    assert [(c.chat_id, c.record) for c in store.list_chats("ada")] == [("one", {"turns": []}), ("two", {})]


# --- the file


def test_everything_is_there_after_opening_again(store, tmp_path):
    store.add_judgements("ada", "c", [judge()])
    store.close()
    store.close()
    with pytest.raises(StoreError):
        store.count_matching("ada")
    again = Store(tmp_path / "data" / "lab.sqlite")
    assert again.count_matching("ada") == 1
    again.close()


def test_the_file_is_durable_private_and_versioned(tmp_path):
    path = tmp_path / "lab.sqlite"
    store = Store(path)
    with store._database.reading() as connection:
        pragmas = {n: connection.execute(f"PRAGMA {n}").fetchone()[0] for n in ("journal_mode", "synchronous")}
        waits = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        assert connection.execute("PRAGMA user_version").fetchone()[0] == len(statements.MIGRATIONS)
    assert (pragmas, waits) == ({"journal_mode": "wal", "synchronous": 2}, 10_000)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    store.close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(StoreError, match="version 99"):
        Store(path)


def test_an_older_file_is_brought_up_to_date_once(tmp_path):
    path = tmp_path / "old.sqlite"
    steps = [["CREATE TABLE a (x)"], ["ALTER TABLE a ADD y", "INSERT INTO a VALUES (1, 2)"]]
    Database(path, steps[:1]).close()
    for _ in range(2):
        database = Database(path, steps)
        with database.reading() as connection:
            assert [tuple(row) for row in connection.execute("SELECT * FROM a")] == [(1, 2)]
        database.close()


def test_delete_journal_keeps_the_file_for_one_process(tmp_path, monkeypatch):
    monkeypatch.setattr("bnf_lab.database.BUSY_SECONDS", 0.05)
    first = Store(tmp_path / "lab.sqlite", journal="delete")
    with pytest.raises(StoreError, match="Another process"):
        Store(tmp_path / "lab.sqlite", journal="delete")
    first.close()
    Store(tmp_path / "lab.sqlite", journal="delete").close()


@pytest.mark.parametrize("harm", ["garbage", "folder", "read-only folder is a file"])
def test_a_file_that_is_no_database_is_a_clear_error_without_a_path(tmp_path, harm):
    path = tmp_path / "lab.sqlite"
    if harm == "garbage":
        path.write_bytes(b"this is not a database" * 100)
    elif harm == "folder":
        path.mkdir()
    else:
        path.write_text("")
        path = path / "lab.sqlite"
    with pytest.raises(StoreError) as refusal:
        Store(path)
    assert str(tmp_path) not in str(refusal.value)


def test_a_full_disk_is_told_and_leaves_the_store_usable(tmp_path):
    store = Store(tmp_path / "lab.sqlite")
    store.add_judgements("ada", "c", [judge("kept")])
    for connection in store._database._connections:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreError, match="disk is full"):
        store.add_judgements("ada", "c", [judge("x" * 100_000)])
    assert [s.judgement.response for s in store.list_judgements("ada")] == ["kept"]
    store.set_response("ada", ids(store)[0], "room for this")
    store.close()


# --- many at once, and crashes

WRITER = """
import sys
from pathlib import Path
from bnf_lab.preferences import Judgement, Message, Verdict
from bnf_lab.store import Store
store = Store(Path(sys.argv[1]), journal=sys.argv[3])
for _ in range(int(sys.argv[2])):
    judgement = Judgement((Message("user", "Q"),), "A", Verdict.PREFERRED)
    store.add_judgements("ada", "c", [judgement])
    print(judgement.id, flush=True)
"""


def start_writer(path, n, journal="wal"):
    command = [sys.executable, "-c", WRITER, str(path), str(n), journal]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True)


def test_several_processes_write_a_new_file_at_once_and_nothing_is_lost(tmp_path):
    path = tmp_path / "lab.sqlite"
    writers = [start_writer(path, 25) for _ in range(4)]
    acknowledged = [line for writer in writers for line in writer.communicate()[0].split()]
    assert [writer.returncode for writer in writers] == [0] * 4
    store = Store(path)
    assert sorted(ids(store)) == sorted(acknowledged)
    assert len(acknowledged) == 100
    store.close()


def test_many_threads_write_and_read_at_once(store):
    errors, barrier = [], threading.Barrier(12)

    def work(number):
        try:
            barrier.wait()
            for i in range(8):
                store.add_judgements(f"owner{number % 3}", "c", [judge(f"{number}-{i}"), judge(f"{number}-{i}b")])
                assert store.count_matching(f"owner{number % 3}") % 2 == 0, "half a transaction was seen"
                store.save_draft("all", "same", {"by": number})
                store.load_draft("all", "same")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [store.count_matching(f"owner{i}") for i in range(3)] == [64, 64, 64]


def test_a_reader_does_not_wait_for_a_writer(tmp_path):
    store = Store(tmp_path / "lab.sqlite")
    store.add_judgements("ada", "c", [judge()])
    with store._database.writing() as connection:
        connection.execute("DELETE FROM judgements")
        assert store.count_matching("ada") == 1
    assert store.count_matching("ada") == 0
    store.close()


def test_waiting_writers_leave_room_for_readers(tmp_path, monkeypatch):
    monkeypatch.setattr("bnf_lab.database.BUSY_SECONDS", 0.3)
    store, errors, barrier = Store(tmp_path / "lab.sqlite"), [], threading.Barrier(9)

    def write(number):
        barrier.wait()
        try:
            store.save_draft("ada", f"draft {number}", {})
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    with store._database.writing():
        barrier.wait()
        for _ in range(200):
            store.count_matching("ada")
        time.sleep(0.5)  # longer than a writer that had used up a connection would wait
    for thread in threads:
        thread.join()
    assert errors == []
    store.close()


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_kill_9_loses_no_acknowledged_judgement(tmp_path, journal):
    path, acknowledged = tmp_path / "lab.sqlite", set()
    for n_lines in (1, 4, 9, 15):
        writer = start_writer(path, 100_000, journal)
        acknowledged |= {writer.stdout.readline().strip() for _ in range(n_lines)}
        writer.kill()
        # what still lies in the pipe was acknowledged too; a last line may be torn
        acknowledged |= {line for line in writer.communicate()[0].split() if len(line) == 32}
        assert "" not in acknowledged
        store = Store(path, journal=journal)
        assert acknowledged <= set(ids(store))
        assert len(ids(store)) - len(acknowledged) <= 4, "at most one a kill was stored but not yet acknowledged"
        with store._database.reading() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        store.close()


def test_records_are_plain_json_in_the_file(tmp_path):
    store = Store(tmp_path / "lab.sqlite")
    store.add_judgements("ada", "c", [judge()])
    with store._database.reading() as connection:
        row = connection.execute("SELECT owner, prompt FROM judgements").fetchone()
    assert (row["owner"], json.loads(row["prompt"])) == ("ada", [{"role": "user", "content": "Why?"}])
    store.close()
