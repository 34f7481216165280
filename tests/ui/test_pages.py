"""The page as a server sees it: settings, privacy of events, refusals, escaping. The clicks are in the browser test."""

from __future__ import annotations

import inspect
import json
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from bnf_lab.core.config import RunConfig, field_specs
from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair
from bnf_lab.ui import prepare_environment, preview
from bnf_lab.ui import words as common_words
from bnf_lab.ui.fields import collect_config, draw_fields, show_for_method
from bnf_lab.ui.guard import Lane, checked_choice, checked_number, checked_text, guarded, toast_text
from bnf_lab.ui.layout import build_app, launch_settings
from bnf_lab.ui.preferences.tab import build as build_preferences
from bnf_lab.ui.preferences.table import build as build_table
from bnf_lab.ui.preferences.table_rows import Edit
from bnf_lab.ui.session import keep_or_make_token
from tests.support.pages import build_page, handlers, idle_lab

NASTY = "<script>window.hit=1</script><img src=x onerror=window.hit=1> ${window.hit=1}"
PROMPT = (Message("user", NASTY),)
NO_EDIT = Edit()


@pytest.fixture
def lab(tmp_path):
    with idle_lab(tmp_path / "home") as lab:
        yield lab


@pytest.fixture
def page(lab):
    """The Preferences tab in a page of its own, with its handlers by name."""
    return build_page(lab, build_preferences)


def add(lab, token, text=NASTY, verdict=Verdict.PREFERRED):
    judgement = Judgement(PROMPT, text, verdict, source=Source.MARKED)
    lab.judgements.add(lab.owner_of(token), NASTY, [judgement])
    return judgement


def test_launch_settings_close_every_door():
    settings = launch_settings()
    expected = {
        "show_error": False,
        "max_file_size": "20mb",
        "enable_monitoring": False,
        "run_history": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "allowed_paths": [],
        "state_session_capacity": 400,
        "footer_links": [],
    }
    assert {name: settings[name] for name in expected} == expected
    assert settings["app_kwargs"]["openapi_url"] is None


def test_theme_fetches_nothing():
    theme = launch_settings()["theme"]
    assert theme._stylesheets == []
    assert "http" not in theme._get_theme_css().replace("http://www.w3.org/2000/svg", "")


def test_environment_is_private_and_silent(tmp_path, monkeypatch):
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "set before")
    monkeypatch.setenv("GRADIO_ANALYTICS_CACHE_FREQUENCY", "7")
    prepare_environment(tmp_path)
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path)


def test_every_event_is_private_and_has_a_lane(lab):
    lanes = dict(lane.value for lane in Lane)
    app = build_app(lab)
    assert len(app.fns) > 30
    for fn in app.fns.values():
        assert fn.api_visibility == "private", fn.name
        if fn.fn is not None:
            assert fn.concurrency_limit == lanes[fn.concurrency_id], fn.name
    assert app.delete_cache == (600, 3600)
    assert not app.api_open


def test_what_is_chosen_while_an_answer_is_under_way_is_not_lost(lab):
    """Neither dropped, nor sent as an event of its own whose answer could arrive before that to an older choice."""
    sent = [fn for fn in build_app(lab).fns.values() if fn.fn and any(name == "input" for _, name in fn.targets)]
    assert len(sent) > 8
    assert [fn.name for fn in sent if fn.trigger_mode == "once"] == []
    names = [inspect.unwrap(fn.fn).__qualname__ for fn in sent]
    assert len(set(names)) == len(names)


def test_what_a_field_begins_with_is_among_its_choices(lab):
    """Gradio shows an error at the first event of a page that sends anything else."""
    fields = [block for block in build_app(lab).blocks.values() if getattr(block, "choices", None)]
    assert len(fields) > 10
    for field in fields:
        chosen = field.value if isinstance(field.value, list) else [] if field.value is None else [field.value]
        if not getattr(field, "allow_custom_value", False):
            assert set(chosen) <= {value for _, value in field.choices}, field.elem_id


def test_no_html_area_pastes_text_into_script(lab):
    areas = [block for block in build_app(lab).blocks.values() if isinstance(block, gr.HTML)]
    assert areas
    for area in areas:
        assert "{{" not in area.html_template + area.css_template


@pytest.fixture
def server(lab, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "home" / "tmp"))
    app = build_app(lab)
    _, url, _ = app.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_settings())
    yield url.rstrip("/")
    app.close(verbose=False)


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_server_tells_and_gives_nothing_away(server):
    assert json.loads(get(f"{server}/gradio_api/info")[1]) == {"named_endpoints": {}, "unnamed_endpoints": {}}
    assert get(f"{server}/openapi.json")[0] == 404
    assert get(f"{server}/monitoring/summary")[0] in (403, 404)
    for path in ("/etc/hostname", __file__, "/proc/self/environ"):
        assert get(f"{server}/gradio_api/file={path}")[0] == 403
    status, start = get(server)
    assert status == 200
    assert "fonts.googleapis.com/css" not in start


def test_a_link_is_previewed_as_the_labs_own(server):
    start = get(f"{server}/?tab=watch")[1]
    shown = re.findall(r'<meta (?:property|name)="((?:og|twitter):[^"]+)" content="([^"]*)"', start)
    assert len(shown) == len(dict(shown))
    assert dict(shown)["og:title"] == common_words.TITLE
    assert dict(shown)["og:description"] == common_words.TAGLINE
    assert "gradio" not in str(shown).lower()
    picture = dict(shown)["og:image"]
    assert picture == dict(shown)["twitter:image"]
    assert picture.startswith(server)
    with urllib.request.urlopen(picture, timeout=10) as answer:
        assert answer.headers["content-type"] == "image/png"
        assert answer.read(8) == b"\x89PNG\r\n\x1a\n"


def test_a_preview_names_the_address_the_reader_uses_and_escapes_it():
    made = preview.with_own_preview("<html><head></head></html>", 'https://lab.example/"><script>')
    assert "https://lab.example/&#34;&gt;&lt;script&gt;/preview.png" in made
    assert "<script>" not in made


def test_a_lab_error_is_shown_in_its_own_words_escaped():
    def refuse():
        raise LabError(f"pairs.jsonl line 3: {NASTY}")

    with pytest.raises(gr.Error) as caught:
        guarded(refuse)()
    assert caught.value.message.startswith("pairs.jsonl line 3: &lt;script&gt;")
    assert "<" not in caught.value.message


def test_a_defect_shows_a_number_and_logs_the_rest(caplog):
    def fail():
        yield 1
        raise RuntimeError("/secret/path")

    with pytest.raises(gr.Error) as caught:
        list(guarded(fail)())
    reference = caught.value.message.rsplit(" ", 1)[1].rstrip(".")
    assert "secret" not in caught.value.message
    assert reference in caplog.text
    assert "/secret/path" in caplog.text


def test_toasts_keep_lines_and_no_markup():
    assert toast_text("a\n<b>") == "a<br>&lt;b&gt;"


@pytest.mark.parametrize(
    "call",
    [
        lambda: checked_text(["x"], "Prompt", limit=9),
        lambda: checked_text("x" * 10, "Prompt", limit=9),
        lambda: checked_text(" ", "Prompt", limit=9),
        lambda: checked_number(True, "Answers", minimum=0, maximum=4),
        lambda: checked_number(float("nan"), "Answers", minimum=0, maximum=4),
        lambda: checked_number(5, "Answers", minimum=0, maximum=4),
        lambda: checked_choice("pear", "Fruit", ("apple",)),
    ],
)
def test_what_the_browser_sends_is_checked(call):
    with pytest.raises(LabError, match=r"Prompt|Answers|Fruit"):
        call()


def told(call, *values):
    """Returns what a handler tells of an error, in a toast or in a note beside a field."""
    try:
        result = call(*values)
        result = list(result) if inspect.isgenerator(result) else result
    except gr.Error as error:
        return error.message
    return str(result)


def test_a_handler_refuses_a_made_up_workspace(page):
    tried = 0
    for fn in page.app.fns.values():
        if fn.fn is None or not fn.inputs or fn.inputs[0] is not page.token:
            continue
        names = list(inspect.signature(fn.fn).parameters)
        extra = ["event"] if "event" in names else []
        values = [None] * (len(fn.inputs) - 1 + len(extra))
        assert "no workspace here" in told(fn.fn, "not-a-token", *values)
        tried += 1
    assert tried > 20


def act(page, token, doing, ids, edit=NO_EDIT, **data):
    """Presses a button of the table; returns what is being edited, what was deleted, the undo button and the note."""
    (handler,) = handlers(page.app, "act")
    return handler(token, SimpleNamespace(act=doing, ids=ids, **data), edit)


def test_another_workspace_cannot_touch_a_judgement(lab, page):
    mine, theirs = lab.new_workspace(), lab.new_workspace()
    judgement = add(lab, mine)
    for doing in ("delete", "flip", "edit"):
        *_, note = act(page, theirs, doing, judgement.id, verdicts="dispreferred")
        assert "in your workspace" in note
    edit, *_ = act(page, theirs, "save", judgement.id, fields={"response": "mine now"})
    assert "in your workspace" in edit.problem
    (stored,) = lab.judgements.find(lab.owner_of(mine))
    assert stored.judgement == judgement


def test_a_row_can_be_flipped_edited_deleted_and_restored(lab, page):
    token = lab.new_workspace()
    judgement = add(lab, token, "first")
    act(page, token, "flip", judgement.id, verdicts="dispreferred")
    edit, *_ = act(page, token, "edit", judgement.id)
    assert edit == Edit(judgement.id)
    edit, *_ = act(page, token, "save", judgement.id, edit, fields={"response": "second"})
    assert edit == Edit()
    (stored,) = lab.judgements.find(lab.owner_of(token))
    assert (stored.judgement.verdict, stored.judgement.response) == (Verdict.DISPREFERRED, "second")
    deleted = act(page, token, "delete", judgement.id)[1]
    assert lab.judgements.count(lab.owner_of(token)) == 0
    (undo,) = handlers(page.app, "undo")
    undo(token, deleted)
    assert lab.judgements.count(lab.owner_of(token)) == 1


def draw_table(lab, page, token, *filters, edit=NO_EDIT):
    """Returns the rows and their place in words, the labels of both exports, and how many would be deleted."""
    table = page.tab
    rows, place, _, _, _, pairs, unpaired, delete, *_ = table.handler(token, *(filters or ("", "", "", "", 0)), edit)
    return rows, place, pairs.value, unpaired.value, delete.value


@pytest.fixture
def table(lab):
    return build_page(lab, build_table)


def test_table_shows_a_page_of_many_and_escapes_them(lab, table):
    token = lab.new_workspace()
    many = [Judgement(PROMPT, f"{NASTY} {n}", Verdict.PREFERRED) for n in range(2500)]
    lab.judgements.add(lab.owner_of(token), NASTY, many)
    rows, place, *_ = table.tab.handler(token, "", "", "", "", 3, Edit())
    assert rows.count("<article") == 20
    assert "61 to 80 of 2,500" in place
    assert "<script" not in rows
    assert "<img" not in rows
    assert "&lt;script&gt;" in rows


def test_a_pair_is_one_row_with_the_difference_marked_and_is_flipped_as_one(lab, table):
    token = lab.new_workspace()
    owner = lab.owner_of(token)
    pair = build_pair(PROMPT, f"It is 19. {NASTY}", f"It is 20. {NASTY}", source=Source.DEMO)
    lab.judgements.add(owner, "sums", pair)
    rows, _, pairs, unpaired, delete = draw_table(lab, table, token)
    assert rows.count("<article") == 1
    assert (rows.count("<mark>19</mark>"), rows.count("<mark>20</mark>"), rows.count("<mark>")) == (1, 1, 2)
    assert "<script" not in rows
    assert "<img" not in rows
    assert (pairs, unpaired) == ("Export 1 pair (JSONL)", "Export 2 single judgements (JSONL)")
    assert delete == "Delete all shown (2 judgements)"
    ids, verdicts = re.search(r'data-act="flip" data-ids="([^"]+)" data-verdicts="([^"]+)"', rows).groups()
    act(table, token, "flip", ids, verdicts=verdicts)
    (unit,) = lab.judgements.find_units(owner)
    assert [j.response[:9] for j in unit.judgements] == ["It is 20.", "It is 19."]
    lab.judgements.delete(owner, [pair[0].id])
    assert "in your workspace" in act(table, token, "flip", ids, verdicts=verdicts)[-1]
    assert draw_table(lab, table, token)[2] == "Export 0 pairs (JSONL)"


def test_a_long_pair_shows_where_it_differs(lab, table):
    token = lab.new_workspace()
    pair = build_pair(PROMPT, "and so on, " * 300 + "19", "and so on, " * 300 + "20", source=Source.DEMO)
    lab.judgements.add(lab.owner_of(token), "sums", pair)
    rows, *_ = draw_table(lab, table, token)
    shown = re.search(r'<div class="lab-answer-text">(.*?)</div>', rows, re.S).group(1)
    assert "<mark>19</mark>" in shown
    assert len(shown) < 700
    assert "All 3,302 characters" in rows


def test_an_edit_is_drawn_in_its_row_and_what_is_refused_stays_in_it(lab, table):
    token = lab.new_workspace()
    judgement = add(lab, token, "first")
    rows, *_ = draw_table(lab, table, token, edit=Edit(judgement.id))
    assert rows.index("<article") < rows.index("<textarea") < rows.index("</article")
    assert "first</textarea>" in rows
    assert "aria-invalid" not in rows
    edit, *_ = act(table, token, "save", judgement.id, fields={"response": "x" * 100_001})
    assert "100,001 characters; at most 100,000" in edit.problem
    edit, *_ = act(table, token, "save", judgement.id, fields={"response": " "})
    rows, *_ = draw_table(lab, table, token, edit=edit)
    assert 'aria-invalid="true" aria-describedby="edit-problem"' in rows
    assert "Answer is empty" in rows
    assert lab.judgements.find(lab.owner_of(token))[0].judgement.response == "first"


def test_an_export_obeys_the_filters_and_says_how_many_it_holds(lab, table, monkeypatch):
    said = []
    monkeypatch.setattr("bnf_lab.ui.preferences.table.tell", said.append)
    token = lab.new_workspace()
    for n, name in enumerate(("one", "two", "two")):
        pair = build_pair((Message("user", f"Q{n}"),), f"good {n}", f"bad {n}", source=Source.DEMO)
        lab.judgements.add(lab.owner_of(token), name, pair)
    assert draw_table(lab, table, token, "", "", "", "two", 0)[2:4] == (
        "Export 2 pairs (JSONL)",
        "Export 4 single judgements (JSONL)",
    )
    pairs, _ = handlers(table.app, "offer")
    path = pairs(token, "bad 1", "", "", "", 0)
    assert '"good 1"' in Path(path).read_text(encoding="utf-8")
    assert said == ["The file holds 1 pair."]


def test_a_search_that_is_too_long_is_refused_beside_its_box(table, lab):
    token = lab.new_workspace()
    search = next(fn for fn in table.app.fns.values() if fn.fn and fn.fn.__name__ == "from_start")
    *_, note = search.fn(token, "x" * 201, "", "", "", 0, Edit())
    assert "201 characters; at most 200" in note
    assert 'id="judgement-search-wrong" data-marks' in note
    *_, note = search.fn(token, "x", "", "", "", 0, Edit())
    assert note == ""


def test_a_browser_keeps_a_good_token_and_loses_a_bad_one(lab):
    token = lab.new_workspace()
    assert keep_or_make_token(lab, token) == token
    for bad in ("", None, 7, "x" * 44, {"a": 1}):
        assert len(keep_or_make_token(lab, bad)) == 43


def test_fields_cover_every_setting_and_collect_the_defaults():
    with gr.Blocks(analytics_enabled=False):
        fields = draw_fields("essential", choices={"model": [("Embedded", "embedded")]}) | draw_fields("advanced")
        fields |= draw_fields("experiment")
    assert set(fields) == set(field_specs())
    assert collect_config(fields, [component.value for component in fields.values()]) == RunConfig()
    shown = dict(zip(fields, show_for_method(fields, "bnf"), strict=True))
    assert shown["beta"]["visible"] is False
    assert shown["learning_rate"]["visible"] is True
