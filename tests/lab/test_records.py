"""The store: nothing acknowledged is lost, nothing of one owner is seen by another."""

from __future__ import annotations

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

from bnf_lab.core.errors import LabError, NotFound, RunRefused, StoreError
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair
from bnf_lab.lab import statements
from bnf_lab.lab.database import Database
from bnf_lab.lab.judgements import CollectionCount, Totals
from bnf_lab.lab.run_register import RunRow
from tests.support.records import open_records

REPOSITORY = Path(__file__).resolve().parents[2]
PREFERRED, DISPREFERRED = Verdict.PREFERRED, Verdict.DISPREFERRED


@pytest.fixture(params=["wal", "delete"])
def store(request, tmp_path):
    opened = open_records(tmp_path / "data" / "lab.sqlite", journal=request.param)
    yield opened
    opened.close()


def judge(response="yes", verdict=PREFERRED, prompt="Why?", **values):
    return Judgement((Message("user", prompt),), response, verdict, **values)


def ids(store, owner="ada", **filters):
    return [s.judgement.id for s in store.judgements.find(owner, **filters)]


# --- judgements


def test_a_judgement_comes_back_as_it_was(store):
    system = Message("system", 'Say "no"\nalways')
    prompt = (system, Message("user", "Zürich — 日本語 🙂 \x00 ''; DROP TABLE judgements"))
    judgement = Judgement(prompt, "a\r\nb", DISPREFERRED, 0.25, "pair", Source.CHAT)
    store.judgements.add("ada", "from a chat", [judgement])
    (stored,) = store.judgements.find("ada")
    assert (stored.judgement, stored.collection) == (judgement, "from a chat")


def test_lists_are_newest_first_and_can_be_paged(store):
    same = [judge(created_at="2029-01-01T00:00:00.000000+00:00") for _ in range(3)]
    old, new = (judge(created_at=f"{year}-01-01T00:00:00.000000+00:00") for year in (2030, 2031))
    store.judgements.add("ada", "c", [new, *same, old])
    expected = [new.id, old.id, *(j.id for j in reversed(same))]
    assert ids(store) == expected
    assert [*ids(store, limit=2), *ids(store, limit=2, offset=2), *ids(store, offset=4)] == expected
    assert store.judgements.count_since("ada", old.created_at) == 1
    assert store.judgements.count_since("ada", "2030-06-01T00:00:00.000000+00:00") == 1
    assert store.judgements.count_since("ada", "") == 5


def test_filters_narrow_lists_and_counts_alike(store):
    pair = build_pair((Message("user", "Sum 2+2"),), "4", "5", source=Source.DEMO)
    single = judge("It is 100% so_", DISPREFERRED, "Is it?", source=Source.VOTE)
    store.judgements.add("ada", "sums", pair)
    store.judgements.add("ada", "votes", [single])
    cases = (
        ({}, 3),
        ({"collections": ["sums"]}, 2),
        ({"collections": []}, 0),
        ({"collections": ["sums", "votes"]}, 3),
        ({"verdict": PREFERRED}, 1),
        ({"verdict": DISPREFERRED}, 2),
        ({"source": Source.VOTE}, 1),
        ({"text": "sum"}, 2),
        ({"text": "IS IT"}, 1),
        ({"text": ""}, 3),
        ({"text": "0% s"}, 1),
        ({"text": "user"}, 0),
        ({"text": "sum", "verdict": DISPREFERRED}, 1),
        ({"collections": ["votes"], "text": "4"}, 0),
    )
    for filters, n in cases:
        assert len(store.judgements.find("ada", **filters)) == n, filters
        assert store.judgements.count("ada", **filters) == n, filters
        counts = store.judgements.totals("ada", **filters)
        assert counts.preferred + counts.dispreferred == n, filters
    with pytest.raises(TypeError):
        store.judgements.count("ada", colection=["sums"])


@pytest.mark.parametrize("text", ["%", "_", "\\", "%%", "a%c", "a_c", "\\%", "' OR 1=1 --", '"', "*", "["])
def test_a_text_filter_means_its_characters(store, text):
    store.judgements.add("ada", "c", [judge("abc"), judge(f"x{text}y")])
    assert [s.judgement.response for s in store.judgements.find("ada", text=text)] == [f"x{text}y"]


def test_counts_know_complete_pairs_and_distinct_prompts(store):
    prompt = (Message("user", "Q"),)
    whole, broken = build_pair(prompt, "a", "b", source=Source.DEMO), build_pair(prompt, "c", "d", source=Source.DEMO)
    half = build_pair(prompt, "e", "f", source=Source.DEMO)[0]
    store.judgements.add("ada", "one", [*whole, *broken, half, judge("g", pair_id=""), judge("h", pair_id="")])
    store.judgements.add("ada", "two", [judge("n", DISPREFERRED, "Other")])
    store.judgements.set_verdict("ada", broken[1].id, PREFERRED)
    assert store.judgements.totals("ada") == Totals(
        6, 2, 1, 3, (CollectionCount("one", 6, 1, 1), CollectionCount("two", 0, 1, 0))
    )
    assert store.judgements.totals("ada", verdict=PREFERRED).pairs == 0
    store.judgements.delete("ada", [whole[0].id])
    assert store.judgements.totals("ada").pairs == 0
    assert store.judgements.totals("nobody") == Totals(0, 0, 0, 0, ())


def test_verdict_and_response_can_be_changed(store):
    judgement = judge("no")
    store.judgements.add("ada", "c", [judgement])
    store.judgements.set_verdict("ada", judgement.id, DISPREFERRED)
    store.judgements.set_response("ada", judgement.id, "No, because …")
    expected = replace(judgement, verdict=DISPREFERRED, response="No, because …")
    assert store.judgements.find("ada")[0].judgement == expected
    assert store.judgements.count("ada", text="because") == 1


def test_deleting_can_be_undone_and_is_all_or_nothing(store):
    judgements = [judge(str(i)) for i in range(4)]
    store.judgements.add("ada", "c", judgements)
    before, gone = ids(store), [judgements[1].id, judgements[2].id]
    store.judgements.delete("ada", [*gone, gone[0]])
    store.judgements.delete("ada", gone)  # a second tab may do it again
    assert ids(store) == [i for i in before if i not in gone]
    assert store.judgements.count_since("ada", "") == 2
    with pytest.raises(NotFound):
        store.judgements.set_verdict("ada", gone[0], PREFERRED)
    with pytest.raises(NotFound, match="Only 1 of these 2"):
        store.judgements.delete("ada", [judgements[0].id, "nowhere"])
    assert len(ids(store)) == 2
    store.judgements.restore("ada", gone)
    assert ids(store) == before
    store.judgements.delete("ada", [])
    assert ids(store) == before


def test_a_revision_happens_whole_or_not_at_all(store):
    kept, turned, new = judge("kept"), judge("turned"), judge("new")
    store.judgements.add("ada", "c", [kept, turned])
    now_bad = replace(turned, verdict=DISPREFERRED, pair_id="p")
    for lost in ({"changed": [now_bad, judge("nowhere")]}, {"deleted": [kept.id, "nowhere"]}, {"added": [new, kept]}):
        with pytest.raises((NotFound, StoreError)):
            store.judgements.revise("ada", "c", **{"added": [new], "changed": [now_bad], "deleted": [kept.id], **lost})
        assert store.judgements.get("ada", [kept.id, turned.id, new.id]) == {kept.id: kept, turned.id: turned}
    store.judgements.revise("ada", "c", added=[new], changed=[now_bad], deleted=[kept.id])
    assert store.judgements.get("ada", [kept.id, turned.id, new.id]) == {turned.id: now_bad, new.id: new}
    for stranger in ("bob", ""):
        with pytest.raises(NotFound):
            store.judgements.revise(stranger, "c", changed=[turned])
        assert store.judgements.get(stranger, [turned.id]) == {}


def test_a_batch_is_stored_whole_or_not_at_all(store):
    judgement = judge()
    store.judgements.add("ada", "c", [judgement])
    with pytest.raises(StoreError, match="same id"):
        store.judgements.add("ada", "c", [judge(), judge(), judgement])
    assert ids(store) == [judgement.id]
    with pytest.raises(StoreError, match="surrogate"):
        store.judgements.add("ada", "c", [judge(), judge("\ud800")])
    assert ids(store) == [judgement.id]
    store.judgements.add("bob", "c", [judgement])  # ids are each owner's own
    with pytest.raises(StoreError):
        store.judgements.add("", "c", [judge()])


# --- owners


def test_no_method_reaches_another_owners_records(store):
    judgement = judge("ada's")
    store.judgements.add("ada", "secret", [judgement])
    store.runs.add("ada", "r1", "my run", "2030", collections=["secret"])
    store.chats.save("ada", "chat", {"text": "ada's"})
    store.drafts.save("ada", "mark", {"text": "ada's"})
    empty = Totals(0, 0, 0, 0, ())
    for stranger in ("bob", "", "%", "ada' --", "ADA"):
        assert store.judgements.find(stranger) == []
        assert store.judgements.find(stranger, collections=["secret"], text="ada") == []
        assert (store.judgements.totals(stranger), store.judgements.count(stranger)) == (empty, 0)
        assert store.judgements.count_since(stranger, "") == 0
        assert store.runs.find(stranger) == []
        assert store.chats.load(stranger, "chat") is None
        assert store.drafts.load(stranger, "mark") is None
        for attempt in (
            lambda who: store.judgements.set_verdict(who, judgement.id, DISPREFERRED),
            lambda who: store.judgements.set_response(who, judgement.id, "mine now"),
            lambda who: store.judgements.delete(who, [judgement.id]),
            lambda who: store.judgements.restore(who, [judgement.id]),
            lambda who: store.runs.get(who, "r1"),
            lambda who: store.runs.rename(who, "r1", "mine now"),
            lambda who: store.runs.delete(who, "r1"),
        ):
            with pytest.raises(NotFound):
                attempt(stranger)
    with pytest.raises(StoreError):
        store.runs.add("bob", "r1", "mine now", "2031")
    store.chats.save("bob", "chat", {"text": "bob's"})
    store.drafts.save("bob", "mark", {"text": "bob's"})
    assert store.judgements.find("ada")[0].judgement == judgement
    assert store.runs.find("ada") == [RunRow("r1", "my run", "2030", ("secret",))]
    assert store.chats.load("ada", "chat") == store.drafts.load("ada", "mark") == {"text": "ada's"}


# --- runs, chats, drafts


def test_runs_are_listed_newest_first_renamed_and_deleted(store):
    store.runs.add("ada", "r1", "first", "2030-01-01")
    store.runs.add("ada", "r2", "", "2031-01-01", collections=("b", "a"))
    store.runs.rename("ada", "r1", "renamed")
    assert store.runs.get("ada", "r2") == RunRow("r2", "", "2031-01-01", ("b", "a"))
    assert [(r.run_id, r.name) for r in store.runs.find("ada")] == [("r2", ""), ("r1", "renamed")]
    store.runs.delete("ada", "r2")
    with pytest.raises(NotFound, match="r2"):
        store.runs.get("ada", "r2")


def test_a_runs_note_and_tags_are_kept_and_go_with_it(store):
    store.runs.add("ada", "r1", "first", "2026-01-01")
    assert (store.runs.get("ada", "r1").note, store.runs.get("ada", "r1").tags) == ("", ())
    store.runs.remark("ada", "r1", "second", "Größe\nmatters", ("a b", "ü"))
    store.runs.rename("ada", "r1", "third")
    row = store.runs.get("ada", "r1")
    assert (row.name, row.note, row.tags) == ("third", "Größe\nmatters", ("a b", "ü"))
    assert store.runs.find("ada") == [row]
    for note, tags in (("x" * 2001, ()), ("", ("x" * 31,)), ("", tuple("abcdefghijk"))):
        with pytest.raises(RunRefused, match="at most"):
            store.runs.remark("ada", "r1", "fourth", note, tags)
    with pytest.raises(NotFound):
        store.runs.remark("bob", "r1", "mine", "mine", ())
    assert store.runs.get("ada", "r1").name == "third"
    store.runs.delete("ada", "r1")
    store.runs.add("ada", "r1", "anew", "2026-01-01")
    assert store.runs.get("ada", "r1").note == ""


def test_chats_and_drafts_are_kept_apart_and_overwritten(store):
    store.chats.save("ada", "one", {"turns": ["hi", "\x00 ü"]})
    store.chats.save("ada", "two", {})
    store.drafts.save("ada", "one", {"candidates": [None, 1.5]})
    store.chats.save("ada", "one", {"turns": []})
    assert store.chats.load("ada", "one") == {"turns": []}
    assert store.drafts.load("ada", "one") == {"candidates": [None, 1.5]}
    assert store.drafts.load("ada", "two") is None
    assert store.chats.load("ada", "two") == {}


# --- the file


def test_everything_is_there_after_opening_again(store, tmp_path):
    store.judgements.add("ada", "c", [judge()])
    store.close()
    store.close()
    with pytest.raises(StoreError):
        store.judgements.count("ada")
    again = open_records(tmp_path / "data" / "lab.sqlite")
    assert again.judgements.count("ada") == 1
    again.close()


def test_the_file_is_durable_private_and_versioned(tmp_path):
    path = tmp_path / "lab.sqlite"
    store = open_records(path)
    with store.database.reading() as connection:
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
        open_records(path)


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
    monkeypatch.setattr("bnf_lab.lab.database.BUSY_SECONDS", 0.05)
    first = open_records(tmp_path / "lab.sqlite", journal="delete")
    with pytest.raises(StoreError, match="Another process"):
        open_records(tmp_path / "lab.sqlite", journal="delete")
    first.close()
    open_records(tmp_path / "lab.sqlite", journal="delete").close()


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
        open_records(path)
    assert str(tmp_path) not in str(refusal.value)


def test_a_full_disk_is_told_and_leaves_the_store_usable(tmp_path):
    store = open_records(tmp_path / "lab.sqlite")
    store.judgements.add("ada", "c", [judge("kept")])
    for connection in store.database._connections:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreError, match="disk is full"):
        store.judgements.add("ada", "c", [judge("x" * 100_000)])
    assert [s.judgement.response for s in store.judgements.find("ada")] == ["kept"]
    store.judgements.set_response("ada", ids(store)[0], "room for this")
    store.close()


# --- many at once, and crashes

WRITER = """
import sys
from pathlib import Path
from bnf_lab.core.judgements import Judgement, Message, Verdict
from tests.support.records import open_records
store = open_records(Path(sys.argv[1]), journal=sys.argv[3])
for _ in range(int(sys.argv[2])):
    judgement = Judgement((Message("user", "Q"),), "A", Verdict.PREFERRED)
    store.judgements.add("ada", "c", [judgement])
    print(judgement.id, flush=True)
"""


def start_writer(path, n, journal="wal"):
    command = [sys.executable, "-c", WRITER, str(path), str(n), journal]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True)


@pytest.mark.slow
def test_several_processes_write_a_new_file_at_once_and_nothing_is_lost(tmp_path):
    path = tmp_path / "lab.sqlite"
    writers = [start_writer(path, 25) for _ in range(4)]
    acknowledged = [line for writer in writers for line in writer.communicate()[0].split()]
    assert [writer.returncode for writer in writers] == [0] * 4
    store = open_records(path)
    assert sorted(ids(store)) == sorted(acknowledged)
    assert len(acknowledged) == 100
    store.close()


def test_many_threads_write_and_read_at_once(store):
    errors, barrier = [], threading.Barrier(12)

    def work(number):
        try:
            barrier.wait()
            for i in range(8):
                store.judgements.add(f"owner{number % 3}", "c", [judge(f"{number}-{i}"), judge(f"{number}-{i}b")])
                assert store.judgements.count(f"owner{number % 3}") % 2 == 0, "half a transaction was seen"
                store.drafts.save("all", "same", {"by": number})
                store.drafts.load("all", "same")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [store.judgements.count(f"owner{i}") for i in range(3)] == [64, 64, 64]


def test_a_reader_does_not_wait_for_a_writer(tmp_path):
    store = open_records(tmp_path / "lab.sqlite")
    store.judgements.add("ada", "c", [judge()])
    with store.database.writing() as connection:
        connection.execute("DELETE FROM judgements")
        assert store.judgements.count("ada") == 1
    assert store.judgements.count("ada") == 0
    store.close()


def test_waiting_writers_leave_room_for_readers(tmp_path, monkeypatch):
    monkeypatch.setattr("bnf_lab.lab.database.BUSY_SECONDS", 0.3)
    store, errors, barrier = open_records(tmp_path / "lab.sqlite"), [], threading.Barrier(9)

    def write(number):
        barrier.wait()
        try:
            store.drafts.save("ada", f"draft {number}", {})
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    with store.database.writing():
        barrier.wait()
        for _ in range(200):
            store.judgements.count("ada")
        time.sleep(0.5)  # longer than a writer that had used up a connection would wait
    for thread in threads:
        thread.join()
    assert errors == []
    store.close()


@pytest.mark.slow
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
        store = open_records(path, journal=journal)
        assert acknowledged <= set(ids(store))
        assert len(ids(store)) - len(acknowledged) <= 4, "at most one a kill was stored but not yet acknowledged"
        with store.database.reading() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        store.close()


def test_records_are_plain_json_in_the_file(tmp_path):
    store = open_records(tmp_path / "lab.sqlite")
    store.judgements.add("ada", "c", [judge()])
    with store.database.reading() as connection:
        row = connection.execute("SELECT owner, prompt FROM judgements").fetchone()
    assert (row["owner"], json.loads(row["prompt"])) == ("ada", [{"role": "user", "content": "Why?"}])
    store.close()


def units(store, **options):
    return [tuple(j.response for j in unit.judgements) for unit in store.judgements.find_units("ada", **options)]


def test_a_pair_is_one_unit_preferred_first_and_a_page_never_cuts_one(store):
    pairs = [build_pair((Message("user", f"Q{n}"),), f"good {n}", f"bad {n}", source=Source.DEMO) for n in range(3)]
    store.judgements.add("ada", "sums", [judgement for pair in pairs for judgement in reversed(pair)])
    store.judgements.add("ada", "votes", [judge("alone")])
    everything = [("alone",), *((f"good {n}", f"bad {n}") for n in (2, 1, 0))]
    assert units(store) == everything
    assert store.judgements.count_units("ada") == 4
    assert [units(store, limit=1, offset=n)[0] for n in range(4)] == everything
    assert units(store, verdict=DISPREFERRED) == [("bad 2",), ("bad 1",), ("bad 0",)]
    assert store.judgements.count_units("ada", verdict=DISPREFERRED) == 3
    store.judgements.set_verdict("ada", pairs[1][1].id, PREFERRED)  # no pair any more: each half stands alone
    assert sorted(units(store, text="1")) == [("bad 1",), ("good 1",)]


def test_words_of_one_half_find_the_whole_pair(store):
    pair = build_pair((Message("user", "What do bees make?"),), "Honey", "Jam", source=Source.DEMO)
    other = build_pair((Message("user", "And wasps?"),), "Paper", "Wax", source=Source.DEMO)
    store.judgements.add("ada", "c", [*pair, *other])
    store.judgements.add("bob", "c", [replace(half, pair_id=other[0].pair_id, response="jam") for half in pair])
    assert units(store, text="jam") == [("Honey", "Jam")]
    assert store.judgements.totals("ada", text="jam").pairs == 1
    assert units(store, text="jam", verdict=PREFERRED) == []
    store.judgements.delete("ada", [pair[1].id])
    assert units(store, text="jam") == []


def test_a_pair_is_flipped_whole_or_not_at_all(store):
    pair = build_pair((Message("user", "Q"),), "a", "b", source=Source.DEMO)
    store.judgements.add("ada", "c", pair)
    flipped = {judgement.id: judgement.verdict.flipped for judgement in pair}
    store.judgements.set_verdicts("ada", flipped)
    assert units(store) == [("b", "a")]
    store.judgements.set_verdicts("ada", flipped)  # a second click of the same button changes nothing more
    assert units(store) == [("b", "a")]
    before = store.judgements.find("ada")
    with pytest.raises(NotFound, match="in your workspace"):
        store.judgements.set_verdicts("ada", {pair[0].id: PREFERRED, "f" * 32: DISPREFERRED})
    assert store.judgements.find("ada") == before
    with pytest.raises(NotFound):
        store.judgements.set_verdicts("bob", flipped)


def test_an_export_holds_what_the_filters_leave(store):
    for n, name in enumerate(("one", "two", "two")):
        pair = build_pair((Message("user", f"Q{n}"),), f"a{n}", f"b{n}", source=Source.DEMO)
        store.judgements.add("ada", name, pair)

    def n_lines(kind, **filters):
        return len(store.judgements.export("ada", kind, **filters).read_text(encoding="utf-8").splitlines())

    assert (n_lines("pairs"), n_lines("unpaired")) == (3, 6)
    assert (n_lines("pairs", collections=["two"]), n_lines("unpaired", collections=["two"])) == (2, 4)
    assert (n_lines("pairs", text="b1"), n_lines("unpaired", verdict=PREFERRED)) == (1, 3)
    with pytest.raises(LabError, match="no pairs to export. Clear a filter"):
        store.judgements.export("ada", "pairs", verdict=PREFERRED)
