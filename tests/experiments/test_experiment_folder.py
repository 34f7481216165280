"""The experiment folder keeps one version of each data set, and a crash leaves it as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import Message, Source, Verdict
from bnf_lab.experiments.folder import ExperimentFolder, hash_judgements
from tests.support.disks import full_disk
from tests.support.judged import make_pairs

PAIRS = make_pairs()


@pytest.fixture
def folder(tmp_path: Path) -> ExperimentFolder:
    folder = ExperimentFolder(tmp_path / "new" / "experiment")
    folder.claim_data({"pairs": PAIRS})
    return folder


def test_other_data_is_refused_and_more_data_is_not(folder: ExperimentFolder) -> None:
    for other in (make_pairs(14), (replace(PAIRS[0], response="Else."), *PAIRS[1:])):
        with pytest.raises(RunRefused, match="experiment holds cells of another version of pairs. Choose another"):
            folder.claim_data({"pairs": other})
    folder.claim_data({"pairs": make_pairs()})  # the same, read again
    folder.claim_data({"another": make_pairs(3), "pairs": PAIRS})
    with pytest.raises(RunRefused, match="another version of another, pairs"):
        folder.claim_data({"another": make_pairs(4), "pairs": make_pairs(4)})


def test_a_full_disk_leaves_what_was_noted(folder: ExperimentFolder) -> None:
    noted = (folder.path / "data.json").read_text()
    more = {"pairs": PAIRS, "another": make_pairs(3)}
    with full_disk(), pytest.raises(OSError, match="too large"):
        folder.claim_data(more)
    assert (folder.path / "data.json").read_text() == noted
    folder.claim_data(more)
    assert json.loads((folder.path / "data.json").read_text()).keys() == more.keys()


@pytest.mark.parametrize("content", ['{"pairs": "ab', "[]", "\x00", ""])
def test_notes_that_somebody_damaged_are_refused_in_words(folder: ExperimentFolder, content: str) -> None:
    (folder.path / "data.json").write_text(content)
    with pytest.raises(RunRefused, match=r"experiment: data\.json cannot be read, .* Choose another folder"):
        folder.claim_data({"pairs": PAIRS})
    assert (folder.path / "data.json").read_text() == content


def test_the_hash_of_data_knows_what_is_said_and_nothing_else() -> None:
    hashes = {hash_judgements(PAIRS)}
    assert hashes == {hash_judgements(make_pairs())}  # other ids, times and pair ids
    assert hash_judgements([replace(j, id="x" + j.id, source=Source.UPLOAD) for j in PAIRS]) in hashes
    first, *rest = PAIRS
    for changed in (
        replace(first, response="Else."),
        replace(first, weight=0.5),
        replace(first, pair_id=None),
        replace(first, verdict=Verdict.DISPREFERRED),
        replace(first, prompt=(Message("system", "Name number 0."),)),
        replace(first, pair_id=PAIRS[2].pair_id),
    ):
        hashes.add(hash_judgements([changed, *rest]))
    hashes |= {hash_judgements(rest), hash_judgements(PAIRS[::-1]), hash_judgements([])}
    assert len(hashes) == 10
