"""Hub data sets from a local stand-in of the hub's file tree; no network."""

import threading

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from huggingface_hub.errors import OfflineModeIsEnabled

from bnf_lab import hub, importers
from bnf_lab.errors import ImportRefused
from bnf_lab.hub import open_hub_table
from bnf_lab.rows import Limits

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


def numbers(tree, split, limits=None, config=None):
    rows, _ = open_hub_table("owner/name", config, split, limits or Limits(), filesystem=tree)
    return [(row.number, row.values["prompt"]) for row in rows]


@pytest.mark.parametrize(("split", "first", "last"), [
    ("train", 1, 20), ("train[:5]", 1, 5), ("train[9:12]", 10, 12), ("train[18:]", 19, 20), ("train[:999]", 1, 20),
])
def test_a_split_or_a_part_of_it_is_read_across_files(tmp_path, tree, split, first, last):
    add_split(tmp_path, "default/train", 10, 7, 3)
    assert numbers(tree, split) == [(i, f"Q{i}") for i in range(first, last + 1)]


def test_only_the_asked_files_are_opened(tmp_path, tree):
    add_split(tmp_path, "default/train", 10, 10)
    (tmp_path / ROOT / "default/train/0001.parquet").write_bytes(b"broken")
    assert len(numbers(tree, "train[:10]")) == 10
    with pytest.raises(ImportRefused, match="not a Parquet file"):
        numbers(tree, "train[:11]")


def test_import_hub_gives_a_report(tmp_path, tree, monkeypatch):
    add_split(tmp_path, "default/train", 4)
    monkeypatch.setattr(hub, "HfFileSystem", lambda **_: tree)
    report = importers.import_hub("https://huggingface.co/datasets/owner/name")
    assert (report.file, report.taken, len(report.judgements)) == ("owner/name train", 4, 8)


def test_configurations_are_named_when_one_must_be_chosen(tmp_path, tree):
    add_split(tmp_path, "maths/train", 1)
    assert numbers(tree, "train") == [(1, "Q1")]
    add_split(tmp_path, "poems/train", 2)
    with pytest.raises(ImportRefused, match=r"choose a configuration\. It has 'maths', 'poems'"):
        numbers(tree, "train")
    assert len(numbers(tree, "train", config="poems")) == 2
    with pytest.raises(ImportRefused, match=r"no split 'test'\. It has 'train'"):
        numbers(tree, "test", config="poems")


@pytest.mark.parametrize("limits", [Limits(rows=15), Limits(inflated_bytes=50)])
def test_limits_hold_over_all_files_together(tmp_path, tree, limits):
    add_split(tmp_path, "default/train", 10, 10)
    with pytest.raises(ImportRefused):
        numbers(tree, "train", limits)
    assert len(numbers(tree, "train[:12]", Limits(rows=15))) == 12


@pytest.mark.parametrize("dataset_id", [
    "", "/etc/passwd", "../name", "owner/name/more", "owner/na me", "./data", "owner/name@main", "x" * 300,
    "https://example.org/owner/name",
])
def test_an_id_that_is_none_is_refused_without_looking(dataset_id):
    with pytest.raises(ImportRefused, match="is not an id"):
        open_hub_table(dataset_id, None, "train", Limits(), filesystem=None)


@pytest.mark.parametrize(("config", "split"), [
    ("../x", "train"), ("a/b", "train"), (None, "train[:10%]"), (None, "../x"), (None, ""), (None, "a/b"),
])
def test_other_names_are_checked_too(tree, config, split):
    with pytest.raises(ImportRefused, match=r"cannot be the name|is not a split"):
        open_hub_table("owner/name", config, split, Limits(), filesystem=tree)


def test_an_unknown_data_set_is_a_clear_error(tree):
    with pytest.raises(ImportRefused, match="owner/name: the hub has no public data set"):
        numbers(tree, "train")


@pytest.mark.parametrize(("error", "words"), [
    (OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE"),
    (ConnectionError("/root/secret"), "cannot be reached"),
    (RuntimeError("strange"), "cannot be reached"),
])
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
