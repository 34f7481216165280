"""Hub data sets from a local stand-in of the hub's file tree; no network."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import threading

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from huggingface_hub.errors import OfflineModeIsEnabled

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data import importers
from bnf_lab.data.formats import hub
from bnf_lab.data.formats.child_rows import ChildFailed, ChildRows
from bnf_lab.data.formats.hub import open_hub_table
from bnf_lab.data.formats.row_worker import Order
from bnf_lab.data.formats.rows import Limits
from tests.support import fake_hub

ROOT = "datasets/owner/name@refs/convert/parquet"


class _Tree(DirFileSystem):
    """A folder in the hub's layout; the reading process is told plain addresses in it."""

    def unstrip_protocol(self, name):
        return self.fs.unstrip_protocol(self._join(name))


def add_split(tmp_path, folder, *sizes, root=ROOT):
    at = 0
    for shard, size in enumerate(sizes):
        rows = [{"prompt": f"Q{at + i}", "chosen": "yes", "rejected": "no"} for i in range(1, size + 1)]
        at += size
        path = tmp_path / root / folder / f"{shard:04}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)


@pytest.fixture
def tree(tmp_path):
    return _Tree(str(tmp_path), fsspec.filesystem("file"))


@pytest.fixture
def here(monkeypatch):
    """Lets this process do what another one does, which takes seconds to load `datasets`."""
    from bnf_lab.data.formats import hub_worker

    def read(module, order, label, limits, *, seconds, environment):
        output = io.TextIOWrapper(tempfile.TemporaryFile(), encoding="utf-8")  # noqa: SIM115 - lives as long as rows
        with contextlib.redirect_stdout(output):
            try:
                answer = hub_worker.read(Order(label, limits, order))
            except (OSError, ValueError, pa.ArrowException) as error:
                raise ChildFailed(type(error).__name__) from error
        return ChildRows(output.detach(), answer.kind, answer.notes, limits)

    monkeypatch.setattr(hub, "read_in_child", read)


def open_split(tree, split, limits=None, config=None):
    return open_hub_table("owner/name", config, split, limits or Limits(), filesystem=tree)[0]


def numbers(tree, split, limits=None, config=None):
    return [(row.number, row.values["prompt"]) for row in open_split(tree, split, limits, config)]


@pytest.mark.parametrize(
    ("split", "first", "last"),
    [
        ("train", 1, 20),
        ("train[:5]", 1, 5),
        ("train[9:12]", 10, 12),
        ("train[18:]", 19, 20),
        ("train[:999]", 1, 20),
    ],
)
def test_a_split_or_a_part_of_it_is_read_across_files(tmp_path, tree, here, split, first, last):
    add_split(tmp_path, "default/train", 10, 7, 3)
    assert numbers(tree, split) == [(i, f"Q{i}") for i in range(first, last + 1)]


def test_only_the_asked_files_are_opened(tmp_path, tree, here):
    add_split(tmp_path, "default/train", 10, 10)
    (tmp_path / ROOT / "default/train/0001.parquet").write_bytes(b"broken")
    assert len(numbers(tree, "train[:10]")) == 10
    assert open_split(tree, "train[:10]").notes == ("Rows 1 to 10 of more.",)
    with pytest.raises(ImportRefused, match=r"one of its files is damaged \(ArrowInvalid\)"):
        numbers(tree, "train[:11]")


def test_import_hub_gives_a_report(tmp_path, tree, monkeypatch):
    add_split(tmp_path, "default/train", 4)
    monkeypatch.setattr(hub, "HfFileSystem", lambda **_: tree)
    report = importers.import_hub("https://huggingface.co/datasets/owner/name")
    assert (report.file, report.taken, len(report.judgements)) == ("owner/name train", 4, 8)


def test_configurations_are_named_when_one_must_be_chosen(tmp_path, tree, here):
    add_split(tmp_path, "maths/train", 1)
    assert numbers(tree, "train") == [(1, "Q1")]
    add_split(tmp_path, "poems/train", 2)
    with pytest.raises(ImportRefused, match=r"choose a configuration\. It has 'maths', 'poems'"):
        numbers(tree, "train")
    assert len(numbers(tree, "train", config="poems")) == 2
    with pytest.raises(ImportRefused, match=r"no split 'test'\. It has 'train'"):
        numbers(tree, "test", config="poems")


def test_what_is_not_read_is_said(tmp_path, tree, here):
    add_split(tmp_path, "default/train", 10, 10)
    for split, limits, n, said in (
        ("train", Limits(), 20, "Rows 1 to 20 of 20."),
        ("train[2:12]", Limits(rows=15), 10, "Rows 3 to 12 of 20."),
        ("train", Limits(rows=20), 20, "Rows 1 to 20 of 20."),
        ("train", Limits(rows=15), 15, "Rows 1 to 15 of 20. One import takes 15 rows at most; the rest is not read: "),
        ("train[4:]", Limits(rows=15), 15, "Rows 5 to 19 of 20. One import takes 15 rows at most; the rest is not "),
    ):
        table = open_split(tree, split, limits)
        assert len(list(table)) == n
        assert table.notes[0].startswith(said)
    assert "ask for [19:]" in table.notes[0]


def test_the_limit_of_bytes_ends_the_reading_and_is_said(tmp_path, tree, here):
    add_split(tmp_path, "default/train", 1_000, 1_000)
    table = open_split(tree, "train", Limits(inflated_bytes=20_000))
    n = len(list(table))
    assert 100 < n < 1_000
    rest = f"One import takes 0.02 MB at most; the rest is not read: ask for [{n}:]."
    assert table.notes == (f"Rows 1 to {n} of 2,000. {rest}",)


def test_a_part_behind_the_end_is_refused(tmp_path, tree, here):
    add_split(tmp_path, "default/train", 10)
    with pytest.raises(ImportRefused, match=r"no row is there; the split has 10\. Choose another part"):
        numbers(tree, "train[10:]")


def test_pictures_and_vectors_are_not_fetched_as_values(tmp_path, tree, here):
    row = {"prompt": "a", "image": {"bytes": b"\x89PNG", "path": "a.png"}, "vector": [0.5] * 64, "ranks": [1, 2]}
    path = tmp_path / ROOT / "default/train/0000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([row]), path)
    table = open_split(tree, "train")
    (read,) = table
    assert read.values == {"prompt": "a", "image": {"bytes": "<4 bytes>", "path": "a.png"}, "ranks": [1, 2]}
    assert table.notes[1] == "Not read: 'vector' (vectors of numbers)."
    assert table.kind == "Hub data set, its Parquet copy"


def test_the_reading_process_has_no_token_and_no_home_of_the_person(tmp_path, tree, monkeypatch):
    add_split(tmp_path, "default/train", 1)
    seen = {}

    def look(module, order, label, limits, *, seconds, environment):
        seen.update(environment)
        return []

    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("HF_HOME", "/root/secret")
    monkeypatch.setattr(hub, "read_in_child", look)
    open_split(tree, "train")
    assert "secret" not in "".join(seen.values())
    assert seen["HF_HUB_DISABLE_IMPLICIT_TOKEN"] == "1"


def test_over_http_only_the_asked_files_are_fetched_and_no_token_is_sent(tmp_path):
    add_split(tmp_path, "default/train", 10, 7, 3, root="")
    code = (
        "from bnf_lab.data.importers import import_hub\n"
        "print([j.prompt[0].content for j in import_hub('owner/name', split='train[8:12]').judgements])"
    )
    with fake_hub.serve(tmp_path) as served:
        variables = {"HF_ENDPOINT": served.address, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_secret"}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **variables}
        )
    assert done.stdout.strip() == str([f"Q{i}" for i in (9, 9, 10, 10, 11, 11, 12, 12)]), done.stderr
    assert {token for _, _, token in served.requests} == {None}
    fetched = [path.rsplit("/", 1)[-1] for path, part, _ in served.requests if part]
    assert fetched.count("0002.parquet") == 1  # its summary


def test_a_copy_that_holds_a_part_of_the_split_says_so(tmp_path, tree, here):
    add_split(tmp_path, "default/partial-train", 3)
    assert open_split(tree, "train").notes == (
        "Rows 1 to 3 of 3.",
        "The hub's Parquet copy holds only the first part of this split.",
    )


def test_the_server_never_loads_datasets():
    libraries = {"datasets", "pandas", "openpyxl", "pyarrow"}
    code = f"import sys, bnf_lab.data.importers; print(sorted({libraries} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_hub_that_never_sends_is_given_up(tmp_path, tree, monkeypatch):
    add_split(tmp_path, "default/train", 1)
    monkeypatch.setattr(hub, "_READ_SECONDS", 0.01)
    with pytest.raises(ImportRefused, match="could not be read within"):
        numbers(tree, "train")


@pytest.mark.parametrize(
    "dataset_id",
    [
        "",
        "/etc/passwd",
        "../name",
        "owner/name/more",
        "owner/na me",
        "./data",
        "owner/name@main",
        "x" * 300,
        "https://example.org/owner/name",
    ],
)
def test_an_id_that_is_none_is_refused_without_looking(dataset_id):
    with pytest.raises(ImportRefused, match="is not an id"):
        open_hub_table(dataset_id, None, "train", Limits(), filesystem=None)


@pytest.mark.parametrize(
    ("config", "split"),
    [
        ("../x", "train"),
        ("a/b", "train"),
        (None, "train[:10%]"),
        (None, "../x"),
        (None, ""),
        (None, "a/b"),
    ],
)
def test_other_names_are_checked_too(tree, config, split):
    with pytest.raises(ImportRefused, match=r"cannot be the name|is not a split"):
        open_hub_table("owner/name", config, split, Limits(), filesystem=tree)


def test_an_unknown_data_set_is_a_clear_error(tree):
    with pytest.raises(ImportRefused, match="owner/name: the hub has no public data set"):
        numbers(tree, "train")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE"),
        (ConnectionError("/root/secret"), "cannot be reached"),
        (RuntimeError("strange"), "cannot be reached"),
    ],
)
def test_without_a_network_the_error_says_what_to_do(tree, monkeypatch, error, words):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(tree, "ls", fail)
    with pytest.raises(ImportRefused, match=words) as caught:
        numbers(tree, "train")
    assert "secret" not in str(caught.value)
    assert "as a file" in str(caught.value)


def test_a_hub_that_does_not_answer_is_given_up(tree, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(tree, "ls", lambda *_a, **_k: release.wait(30) and [])
    monkeypatch.setattr(hub, "_FIND_SECONDS", 0.05)
    with pytest.raises(ImportRefused, match="did not answer"):
        numbers(tree, "train")
    release.set()


def test_the_servers_own_token_is_never_used(monkeypatch):
    seen = {}

    def connect(**options):
        seen.update(options)
        raise OfflineModeIsEnabled("offline")

    monkeypatch.setattr(hub, "HfFileSystem", connect)
    with pytest.raises(OfflineModeIsEnabled):
        open_hub_table("owner/name", None, "train", Limits())
    assert seen["token"] is False
