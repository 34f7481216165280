"""What the upload section's events do: nothing is stored unasked, what browsers send is checked, texts are escaped."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from bnf_lab.core.errors import ImportRefused, StoreError
from bnf_lab.data.mapping import KINDS, OPTIONAL, ColumnMapping, ImportChoices, read_choices
from bnf_lab.data.ratings import CENTRINGS, WEIGHTINGS, RatingRule
from bnf_lab.lab.lab import Lab
from bnf_lab.ui.preferences import words
from bnf_lab.ui.preferences.mapping_panel import PARTS, parts_of
from bnf_lab.ui.preferences.pending import MEANINGS, Tickets
from bnf_lab.ui.preferences.tab import build as build_preferences
from tests.support.pages import build_page, handlers, idle_lab

NASTY = "<script>window.hit=1</script><img src=x onerror=window.hit=1> ${window.hit=1}"
PAIR = {"prompt": "a", "chosen": "good", "rejected": "bad"}
RATED = [{"prompt": "a", "completion": f"c{n}", "rating": n} for n in (1, 2, 5)]
STEERING = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
STEERED = [{"prompt": "a", "response": f"r{n}", **dict.fromkeys(STEERING, n), "verbosity": -n} for n in (1, 2)]
MIXED = [{"prompt": f"p{n}", "completion": f"c{n}", "label": label} for n, label in enumerate(("good", "meh", "0"))]


@dataclass
class Section:
    """The section as one browser drives it: what its handlers returned, by the id of the element they drew."""

    lab: Lab
    page: SimpleNamespace
    folder: Path
    token: str
    shown: dict[str, Any] = field(default_factory=dict)
    pending: Any = None

    def handler(self, name: str) -> Callable[..., Any]:
        return next(fn for fn in handlers(self.page.app, name) if fn.__module__.endswith("upload_handlers"))

    def call(self, name: str, *values: Any) -> Section:
        answer = self.handler(name)(self.token, *values)
        for updates in answer if isinstance(answer, Iterator) else [answer]:
            for component, update in updates.items():
                if isinstance(component, gr.State):
                    self.pending = update
                self.shown[component.elem_id] = update
        return self

    def choose(self, rows: list[dict[str, Any]] | str, name: str = "rows.jsonl") -> Section:
        path = self.folder / name
        path.write_text(rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return self.call("read_file", str(path))

    def act(self, act: str, value: Any = "", fields: Any = None) -> Section:
        return self.call("reply", SimpleNamespace(act=act, value=value, fields=fields), self.pending)

    def map(self, kind: str, **places: str) -> Section:
        return self.call("map_columns", self.pending, kind, *(places.get(part, "") for part in PARTS))

    def add(self) -> Section:
        return self.call("add", self.pending)

    @property
    def owner(self) -> str:
        return self.lab.owner_of(self.token)

    @property
    def n_stored(self) -> int:
        return self.lab.judgements.count(self.owner)


def save(section: Section) -> Path:
    """Presses "Save this mapping", whose handler is wrapped by the export button."""
    (offer,) = [fn.fn for fn in section.page.app.fns.values() if fn.name == "offer" and len(fn.inputs) == 2]
    return Path(offer(section.token, section.pending))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with idle_lab(tmp_path / "home") as lab:
        yield lab


@pytest.fixture
def section(lab: Lab, tmp_path: Path) -> Section:
    return Section(lab, build_page(lab, build_preferences), tmp_path, lab.new_workspace())


def test_nothing_is_stored_before_the_click_and_then_once(section: Section) -> None:
    section.choose([PAIR, {**PAIR, "rejected": ""}])
    assert section.n_stored == 0
    assert "TRL preference: pairs" in section.shown["upload-head"]
    assert "1</b><span>row refused" in section.shown["upload-head"]
    assert section.shown["upload-add"].value == "Add 2 judgements"
    section.add()
    assert section.n_stored == 2
    assert section.lab.judgements.totals(section.owner).collections[0].name == "rows.jsonl"
    assert "2 judgements added" in section.shown["upload-status"]
    section.add()
    assert section.n_stored == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pairs.tsv", "prompt\tchosen\trejected\na\tgood\tbad\n"),
        ("pairs.txt", json.dumps([PAIR])),
        ("pairs", f"{json.dumps(PAIR)}\n"),
    ],
)
def test_what_a_file_is_is_told_by_its_content(section: Section, name: str, text: str) -> None:
    section.choose(text, name).add()
    assert section.n_stored == 2


def test_many_clicks_at_once_store_once(section: Section) -> None:
    section.choose([PAIR] * 300)
    add = section.handler("add")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: add(section.token, section.pending), range(8)))
    assert section.n_stored == 600


def test_a_ticket_is_taken_once_and_can_be_given_back() -> None:
    tickets = Tickets()
    assert [tickets.take("a"), tickets.take("a"), tickets.take("b")] == [True, False, True]
    tickets.give_back("a")
    assert tickets.take("a")


def test_what_could_not_be_stored_is_said_and_can_be_tried_again(
    section: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    section.choose([PAIR])

    def full(*_: Any) -> None:
        raise StoreError("The disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(section.lab.judgements, "keep", full)
        section.add()
    assert "The disk is full." in section.shown["upload-trouble"]
    assert section.n_stored == 0
    section.add()
    assert section.n_stored == 2


def test_a_file_that_is_gone_or_changed_is_not_stored_unseen(section: Section) -> None:
    section.choose([PAIR])
    (section.folder / "rows.jsonl").write_text((json.dumps(PAIR) + "\n") * 3, "utf-8")
    section.add()
    assert "no longer reads as it was shown" in section.shown["upload-trouble"]
    assert (section.n_stored, section.shown["upload-add"].value) == (0, "Add 6 judgements")
    section.add()
    assert section.n_stored == 6
    section.choose([PAIR])
    (section.folder / "rows.jsonl").unlink()
    section.add()
    assert "cannot be found" in section.shown["upload-trouble"]
    assert section.n_stored == 6


def test_there_is_nothing_to_add_while_something_is_asked(section: Section) -> None:
    section.choose(MIXED).add()
    assert "nothing to add yet" in section.shown["upload-trouble"]
    section.act("labels", "", {"0": "preferred"})
    section.add()
    assert section.n_stored == 1


def test_a_refusal_is_drawn_and_what_was_open_is_closed(section: Section) -> None:
    section.choose([PAIR])
    section.choose("%PDF-1.7 \n", "paper.pdf")
    assert "PDF document" in section.shown["upload-status"]
    assert section.pending is None
    assert section.shown["upload-panel"].visible is False
    section.choose([PAIR])
    assert section.shown["upload-status"] == ""
    section.call("load_mapping", section.pending, str(section.folder / "paper.pdf"))
    assert "no mapping file" in section.shown["upload-trouble"]
    assert section.pending.choices == ImportChoices()


def test_without_an_open_import_nothing_can_be_answered(section: Section) -> None:
    for name, values in (
        ("add", (None,)),
        ("decide", (None, "x")),
        ("rate", (None, "global", "equal", 1)),
        ("map_columns", (None, "pairs", *PARTS)),
        ("load_mapping", (None, "x")),
        ("reply", (SimpleNamespace(act="turn"), None)),
    ):
        section.shown.clear()
        assert "no longer open" in section.call(name, *values).shown["upload-trouble"]
    with pytest.raises(gr.Error, match="no longer open"):
        save(section)


@pytest.mark.parametrize(
    ("rows", "act", "value", "fields", "words_of_it"),
    [
        (MIXED, "labels", "", {"0": "wonderful"}, "must be one of"),
        (MIXED, "labels", "", {"0": ["preferred"]}, "must be one of"),
        (MIXED, "labels", "", "preferred", "at least one value"),
        (MIXED, "labels", "", {"9": "preferred"}, "at least one value"),
        (MIXED, "part", "", {"part": "train"}, "no longer open"),
        (MIXED, "column", "", {}, "no longer open"),
        (MIXED, "layout", "nectar", None, "must be one of"),
        (MIXED, "layout", {"a": 1}, None, "must be one of"),
        (MIXED, "forget", "ratings", None, "must be one of"),
        (MIXED, "forget", ["labels"], None, "must be one of"),
        (MIXED, "delete everything", "", None, "must be one of"),
        (MIXED, None, "", None, "must be one of"),
    ],
)
def test_an_answer_that_was_not_asked_for_is_refused(
    section: Section, rows: list[Any], act: Any, value: Any, fields: Any, words_of_it: str
) -> None:
    section.choose(rows)
    before = section.pending
    section.act(act, value, fields)
    assert words_of_it in section.shown["upload-trouble"]
    assert section.pending == before


@pytest.mark.parametrize(
    "values",
    [
        ("median", "equal", 2),
        ("global", "heavy", 2),
        ("global", "equal", 99),
        ("global", "equal", "2"),
        (None, None, 2),
    ],
)
def test_ratings_take_what_the_panel_can_hold(section: Section, values: tuple[Any, ...]) -> None:
    section.choose(RATED)
    assert "must be" in section.call("rate", section.pending, *values).shown["upload-trouble"]


def test_ratings_are_read_as_the_panel_says(section: Section) -> None:
    section.choose(RATED)
    assert section.shown["upload-ratings"].visible is True
    assert section.shown["upload-threshold"].value == 2
    section.shown.clear()
    section.call("rate", section.pending, "global", "distance", 5)
    assert "from" not in section.shown["upload-head"].split("Preferred")[0]
    assert "above a rating of 5" in section.shown["upload-head"]
    assert "upload-threshold" not in section.shown  # a hand is on it
    section.call("rate", section.pending, "prompt", "distance", 5)
    assert section.shown["upload-threshold"].visible is False
    section.add()
    stored = [entry.judgement for entry in section.lab.judgements.find(section.owner)]
    assert sorted((j.response, str(j.verdict), round(j.weight, 2)) for j in stored) == [
        ("c1", "dispreferred", 0.71),
        ("c2", "dispreferred", 0.29),
        ("c5", "preferred", 1.0),
    ]


def test_what_the_person_chooses_is_not_written_back_to_the_page(section: Section) -> None:
    """It may have been chosen anew while the answer was under way."""
    section.choose(STEERED)
    section.shown.clear()
    section.call("decide", section.pending, "verbosity")
    assert section.pending.choices.decides == "verbosity"
    assert "upload-decides" not in section.shown
    section.shown.clear()
    section.call("rate", section.pending, "prompt", "equal", 1)
    assert section.shown["upload-ratings"].visible is True
    assert {"upload-centring", "upload-weighting"}.isdisjoint(section.shown)


def test_what_is_said_while_another_answer_is_read_undoes_nothing(
    section: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    section.choose(STEERED)
    before, is_reading, may_read = section.pending, threading.Event(), threading.Event()
    read = section.lab.judgements.check_file

    def read_slowly(*values: Any, **options: Any) -> Any:
        is_reading.set()
        assert may_read.wait(60)
        return read(*values, **options)

    monkeypatch.setattr(section.lab.judgements, "check_file", read_slowly)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(section.handler("decide"), section.token, before, "verbosity")
        assert is_reading.wait(60)
        second = threads.submit(section.handler("rate"), section.token, before, "prompt", "distance", 1)
        may_read.set()
        first.result(60)
        shown = {part.elem_id or type(part).__name__: update for part, update in second.result(60).items()}
    kept, centring = shown["State"], shown["upload-centring"]
    assert kept.choices == ImportChoices(decides="verbosity", ratings=RatingRule(None, "prompt", "distance"))
    assert centring.value == "prompt"  # the answer that came between wrote what it was before


@pytest.mark.parametrize("ratings", [(3,), (3, 3), (2.5, 2.5), (9e14, -9e14), (5e-324, 1e-323), (0.1, 0.2), (1, 2)])
def test_ratings_of_any_spread_can_be_read_and_changed(section: Section, ratings: tuple[float, ...]) -> None:
    section.choose([{"prompt": "a", "completion": f"c{n}", "rating": rating} for n, rating in enumerate(ratings)])
    assert section.shown["upload-add"].value == words.add_button(len(ratings))
    drawn = section.shown["upload-threshold"]
    level = section.pending.seen.threshold if drawn.visible else "what was there before"
    assert drawn.visible is (min(ratings) < max(ratings))
    section.call("rate", section.pending, "global", "distance", level)
    assert section.pending.choices.ratings.weighting == "distance"


def test_a_threshold_outside_the_ratings_can_still_be_moved(section: Section) -> None:
    section.choose(RATED)
    (section.folder / "mapping.json").write_text('{"ratings": {"threshold": 9}}', "utf-8")
    section.call("load_mapping", section.pending, str(section.folder / "mapping.json"))
    assert (section.shown["upload-threshold"].maximum, section.shown["upload-threshold"].value) == (9, 9)
    section.call("rate", section.pending, "global", "distance", 9)
    section.call("rate", section.pending, "global", "distance", 4)
    assert "above a rating of 4" in section.shown["upload-head"]


def test_what_decides_is_chosen_among_what_is_offered(section: Section) -> None:
    section.choose(STEERED)
    assert section.shown["upload-decides"].visible is True
    section.call("decide", section.pending, "verbosity")
    assert section.pending.choices.decides == "verbosity"
    assert "ratings by verbosity" in section.shown["upload-head"]
    assert "must be one of" in section.call("decide", section.pending, "colour").shown["upload-trouble"]


ODD = [{"frage": f"q{n}", "gut": f"ja {n}", "schlecht": f"nein {n}", "platz": n} for n in range(3)]


def test_a_mapping_says_what_is_missing_and_wrong_beside_each_field(section: Section) -> None:
    section.choose(ODD)
    assert section.shown["upload-mapping"].visible is True
    section.map("pairs", preferred="gut")
    assert "Choose a column for dispreferred answer" in section.shown["upload-examples"]
    assert section.shown["upload-add"].visible is False
    section.map("pairs", preferred="gut", dispreferred="gut", prompt="Frage")
    assert "Preferred answer too" in section.shown["upload-note-dispreferred"]
    assert "no column of this name" in section.shown["upload-note-prompt"]
    section.map("pairs", preferred="gut", dispreferred="schlecht", prompt="frage", weight="gut[].x")
    assert "nothing stands at" in section.shown["upload-note-weight"]
    assert section.pending.choices.columns is None
    section.map("pairs", preferred="gut", dispreferred="schlecht", prompt="frage", weight="platz")
    assert "2 rows refused. row 1" in section.shown["upload-note-weight"]
    assert section.shown["upload-add"].value == "Add 2 judgements"
    section.map("pairs", preferred="gut", dispreferred="schlecht", prompt="frage", rank="platz")
    assert section.shown["upload-note-weight"] == ""
    assert section.pending.choices.columns == ColumnMapping("pairs", "frage", "gut", "schlecht")
    section.add()
    assert section.lab.judgements.totals(section.owner).pairs == 3


def test_rankings_are_mapped_on_the_page(section: Section) -> None:
    rows = [{"frage": "q", "antwort": f"a{n}", "platz": n} for n in (1, 2, 3, 4)]
    section.choose(rows).map("ranks", prompt="frage", response="antwort", rank="platz").add()
    assert section.lab.judgements.totals(section.owner).preferred == 2


def test_meanings_of_labels_are_asked_again_for_another_column(section: Section) -> None:
    rows = [{"f": "q", "a": f"t{n}", "x": "top", "y": "flop"} for n in range(2)]
    section.choose(rows).map("labels", prompt="f", response="a", label="x")
    section.act("labels", "", {"0": "preferred"})
    assert section.shown["upload-add"].value == "Add 2 judgements"
    section.map("labels", prompt="f", response="a", label="y")
    assert section.pending.choices.labels == {}
    assert "flop (2)" in section.shown["upload-head"]


@pytest.mark.parametrize(
    ("kind", "places"),
    [("triples", ()), (None, ()), ("pairs", (["frage"],)), ("pairs", ("x" * 500,)), ("pairs", (7,))],
)
def test_a_mapping_takes_what_its_fields_can_hold(section: Section, kind: Any, places: tuple[Any, ...]) -> None:
    section.choose(ODD)
    section.call("map_columns", section.pending, kind, *places, *([""] * (len(PARTS) - len(places))))
    assert re.search("must be|at most", section.shown["upload-trouble"])


def test_every_kind_part_and_choice_of_the_data_room_has_words() -> None:
    assert list(words.KINDS) == list(KINDS)
    assert set(words.PARTS) == set(PARTS)
    assert all(set(parts_of(kind)) == {*KINDS[kind][1], *OPTIONAL} for kind in KINDS)
    assert (tuple(words.CENTRINGS), tuple(words.WEIGHTINGS)) == (CENTRINGS, WEIGHTINGS)
    assert tuple(words.MEANINGS) == tuple(MEANINGS)


def test_a_mapping_is_offered_again_to_its_owner_alone(section: Section, lab: Lab) -> None:
    section.choose(ODD, "first.jsonl").map("pairs", prompt="frage", preferred="gut", dispreferred="schlecht")
    path = save(section)
    assert path.is_relative_to(section.lab.home / "tmp")
    assert read_choices(path) == section.pending.choices
    shuffled = [dict(reversed(row.items())) for row in ODD]
    section.choose(shuffled, "second.jsonl")
    assert "Use the mapping of first.jsonl?" in section.shown["upload-head"]
    assert section.choose([{**row, "more": 1} for row in ODD]).shown["upload-head"].count("Use the mapping") == 0
    other = replace(section, token=lab.new_workspace(), shown={})
    assert "Use the mapping" not in other.choose(ODD).shown["upload-head"]


def test_a_saved_mapping_is_used_for_the_same_columns_whatever_the_part(section: Section) -> None:
    section.choose(ODD, "first.jsonl").map("pairs", prompt="frage", preferred="gut", dispreferred="schlecht")
    section.lab.mappings.save(section.owner, section.pending.seen.columns, "first.jsonl", section.pending.choices)
    section.choose(json.dumps({"train": ODD, "test": ODD[:1]}), "second.json")
    section.act("part", "", {"part": "train"})
    assert "Use the mapping of first.jsonl?" in section.shown["upload-head"]
    section.act("memory")
    assert section.pending.choices.part == "train"
    assert section.shown["upload-add"].value == "Add 6 judgements"
    assert "Use the mapping" not in section.shown["upload-head"]
    section.act("forget", "columns")
    assert "Use the mapping of first.jsonl?" in section.shown["upload-head"]
    section.act("forget", "part")
    assert section.pending.choices == ImportChoices()


def test_a_hub_set_is_looked_at_the_same_way(section: Section, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ImportRefused("owner/name: the hub cannot be reached.")

    monkeypatch.setattr(section.lab.judgements, "check_hub", refuse)
    section.call("read_hub", "owner/name", "", "train")
    assert "cannot be reached" in section.shown["upload-status"]
    section.call("read_hub", "", "", "train")
    assert "Data set is empty" in section.shown["upload-status"]

    def read(dataset_id: str, *, config: str | None, split: str, choices: ImportChoices) -> Any:
        assert (dataset_id, config, split) == ("owner/name", None, "train[:2]")
        return section.lab.judgements.check_file(section.folder / "rows.jsonl", "owner/name train[:2]", choices=choices)

    (section.folder / "rows.jsonl").write_text(json.dumps(PAIR) + "\n", "utf-8")
    monkeypatch.setattr(section.lab.judgements, "check_hub", read)
    section.call("read_hub", " owner/name ", " ", "train[:2]").add()
    assert section.lab.judgements.totals(section.owner).collections[0].name == "name train[:2]"


def test_a_file_too_large_to_travel_is_named_safely(section: Section) -> None:
    def too_large(name: Any, size: Any) -> Section:
        return section.call("refuse_large", SimpleNamespace(name=name, size=size))

    assert "21 MB large" in too_large(NASTY, 21_000_000).shown["upload-status"]
    assert "<script" not in section.shown["upload-status"]
    for name, size in ((None, 1), ("x" * 5000, 1), ("a", "b"), ("a", float("nan")), ("a", -1)):
        with pytest.raises(gr.Error, match="File"):
            too_large(name, size)


@pytest.mark.parametrize(
    "rows",
    [
        [{"prompt": NASTY, "chosen": NASTY + "1", "rejected": NASTY, NASTY: "x"}, {"prompt": NASTY}],
        [{NASTY: NASTY, "b": NASTY}],
        [{"prompt": "a", "completion": "b", "label": label} for label in (NASTY[:30], "good", "0")],
        [{"prompt": "q", "response_a": "a", "response_b": "b", "winner": NASTY[:30]}, {"winner": "blue"}],
        [{"question": "What?", f"{NASTY} text": "so many words here", "chosen": "a", "rejected": "b"}] * 3,
    ],
)
def test_whatever_a_file_says_is_escaped(section: Section, rows: list[dict[str, Any]]) -> None:
    section.choose(rows, f"{NASTY.replace('/', '')}.jsonl")
    section.lab.mappings.save(section.owner, section.pending.seen.columns, NASTY, ImportChoices(leave_out=(NASTY,)))
    section.choose(rows, f"{NASTY.replace('/', '')}.jsonl")
    assert "&lt;script&gt;" in section.shown["upload-head"]
    section.act("memory")
    drawn = [update for update in section.shown.values() if isinstance(update, str)]
    assert len(drawn) > 5
    for text in drawn:
        assert "<script" not in text
        assert "<img" not in text


def test_a_file_of_several_parts_and_names_that_are_markup(section: Section) -> None:
    section.choose(json.dumps({NASTY: [PAIR], "b": [PAIR]}), "parts.json")
    assert "<script" not in section.shown["upload-head"]
    section.act("part", "", {"part": NASTY})
    assert section.shown["upload-add"].value == "Add 2 judgements"
    assert "<script" not in section.shown["upload-head"]


def test_whatever_goes_wrong_is_said_on_the_page_and_stays(
    section: Section, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*values: Any, **options: Any) -> Any:
        raise RuntimeError("/secret/path")

    read = section.lab.judgements.check_file
    monkeypatch.setattr(section.lab.judgements, "check_file", fail)
    section.choose([PAIR])
    said = section.shown["upload-status"]
    assert "unexpected problem" in said
    assert "secret" not in said
    assert "/secret/path" in caplog.text
    monkeypatch.setattr(section.lab.judgements, "check_file", read)
    section.choose([PAIR])
    assert section.shown["upload-status"] == ""
    section.pending = None  # as after a restart of the server
    section.act("turn")
    assert words.CLOSED in section.shown["upload-trouble"]
    assert section.n_stored == 0
