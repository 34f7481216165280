"""The page as a server sees it: settings, privacy of events, refusals, escaping. The clicks are in the browser test."""

from __future__ import annotations

import inspect
import json
import os
import urllib.error
import urllib.request
from types import SimpleNamespace

import gradio as gr
import pytest

from bnf_lab.config import RunConfig, field_specs
from bnf_lab.errors import LabError
from bnf_lab.preferences import Judgement, Message, Source, Verdict
from bnf_lab.ui import prepare_environment, upload_report
from bnf_lab.ui.fields import collect_config, draw_fields, show_for_method
from bnf_lab.ui.guard import Lane, checked_choice, checked_number, checked_text, guarded, toast_text
from bnf_lab.ui.judgements_table import build as build_table
from bnf_lab.ui.layout import build_app, launch_settings
from bnf_lab.ui.preferences_tab import build as build_preferences
from bnf_lab.ui.session import Session, build_token, keep_or_make_token
from tests.pages import build_page, handlers, idle_lab

NASTY = "<script>window.hit=1</script><img src=x onerror=window.hit=1> ${window.hit=1}"
PROMPT = (Message("user", NASTY),)


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
    lab.store.add_judgements(lab.owner_of(token), NASTY, [judgement])
    return judgement


def test_launch_settings_close_every_door():
    settings = launch_settings()
    expected = {
        "show_error": False, "max_file_size": "20mb", "enable_monitoring": False, "run_history": False,
        "ssr_mode": False, "pwa": False, "mcp_server": False, "allowed_paths": [], "state_session_capacity": 400,
        "app_kwargs": {"openapi_url": None}, "footer_links": [],
    }
    assert {name: settings[name] for name in expected} == expected


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
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path / "tmp")
    assert (tmp_path / "tmp").stat().st_mode & 0o777 == 0o700


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


@pytest.mark.parametrize("call", [
    lambda: checked_text(["x"], "Prompt", limit=9),
    lambda: checked_text("x" * 10, "Prompt", limit=9),
    lambda: checked_text(" ", "Prompt", limit=9),
    lambda: checked_number(True, "Answers", minimum=0, maximum=4),
    lambda: checked_number(float("nan"), "Answers", minimum=0, maximum=4),
    lambda: checked_number(5, "Answers", minimum=0, maximum=4),
    lambda: checked_choice("pear", "Fruit", ("apple",)),
])
def test_what_the_browser_sends_is_checked(call):
    with pytest.raises(LabError, match=r"Prompt|Answers|Fruit"):
        call()


def test_a_handler_refuses_a_made_up_workspace(page):
    tried = 0
    for fn in page.app.fns.values():
        if fn.fn is None or not fn.inputs or fn.inputs[0] is not page.token:
            continue
        names = list(inspect.signature(fn.fn).parameters)
        extra = ["event"] if "event" in names else []
        values = [None] * (len(fn.inputs) - 1 + len(extra))
        with pytest.raises(gr.Error, match="workspace"):
            result = fn.fn("not-a-token", *values)
            list(result) if inspect.isgenerator(result) else None
        tried += 1
    assert tried > 20


def test_another_workspace_cannot_touch_a_judgement(lab, page):
    mine, theirs = lab.new_workspace(), lab.new_workspace()
    judgement = add(lab, mine)
    act, = handlers(page.app, "act")
    for action in ("delete", "dispreferred", "edit"):
        event = SimpleNamespace(act=action, id=judgement.id)
        with pytest.raises(gr.Error, match=r"in your workspace|no longer on this page"):
            act(theirs, event, "", "", "", "", 0)
    stored, = lab.store.list_judgements(lab.owner_of(mine))
    assert stored.judgement == judgement


def test_a_row_can_be_flipped_edited_deleted_and_restored(lab, page):
    token = lab.new_workspace()
    judgement = add(lab, token, "first")
    act, = handlers(page.app, "act")
    act(token, SimpleNamespace(act="dispreferred", id=judgement.id), "", "", "", "", 0)
    opened = act(token, SimpleNamespace(act="edit", id=judgement.id), "", "", "", "", 0)
    assert opened[3] == "first"
    save, = [fn for fn in handlers(page.app, "save") if "judgement_id" in inspect.signature(fn).parameters]
    save(token, judgement.id, "second")
    stored, = lab.store.list_judgements(lab.owner_of(token))
    assert (stored.judgement.verdict, stored.judgement.response) == (Verdict.DISPREFERRED, "second")
    deleted = act(token, SimpleNamespace(act="delete", id=judgement.id), "", "", "", "", 0)[4]
    assert lab.store.count_matching(lab.owner_of(token)) == 0
    undo, = handlers(page.app, "undo")
    undo(token, deleted)
    assert lab.store.count_matching(lab.owner_of(token)) == 1


def test_table_shows_a_page_of_many_and_escapes_them(lab):
    token = lab.new_workspace()
    many = [Judgement(PROMPT, f"{NASTY} {n}", Verdict.PREFERRED) for n in range(2500)]
    lab.store.add_judgements(lab.owner_of(token), NASTY, many)
    with gr.Blocks(analytics_enabled=False), gr.Tabs() as tabs, gr.Tab("x"):
        table = build_table(lab, Session(token=build_token(), run_id=gr.State(""), tabs=tabs))
    rows, place, *_ = table.handler(token, "", "", "", "", 3)
    assert rows.count("<article") == 20
    assert "61 to 80 of 2,500" in place
    assert "<script" not in rows
    assert "<img" not in rows
    assert "&lt;script&gt;" in rows


def test_report_and_samples_escape_what_the_file_says():
    report = SimpleNamespace(
        file=NASTY, schema=NASTY, n_rows=2, taken=1, judgements=(), needs_mapping=False, warnings=(NASTY,), how=NASTY,
        refused=(SimpleNamespace(row=2, column=NASTY, reason=NASTY),), columns=(NASTY,), sample_rows=({NASTY: NASTY},))
    drawn = upload_report.draw_report(report, is_stored=True) + upload_report.draw_samples(report)
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert drawn.count("&lt;script&gt;") == 8


def test_an_upload_is_stored_and_reported_row_by_row(lab, page, tmp_path):
    token, path = lab.new_workspace(), tmp_path / "pairs.jsonl"
    rows = [{"prompt": "a", "chosen": "good", "rejected": "bad"}, {"prompt": "a", "chosen": "good", "rejected": ""}]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    read, = handlers(page.app, "read_file")
    pending, report, *_ = read(token, str(path))
    assert pending is None
    assert "rows refused" in report
    counts = lab.store.count_judgements(lab.owner_of(token))
    assert (counts.pairs, counts.collections[0].name) == (1, "pairs.jsonl")


def test_ratings_wait_for_a_threshold_and_unknown_columns_for_a_choice(lab, page, tmp_path):
    token = lab.new_workspace()
    owner = lab.owner_of(token)
    rated = tmp_path / "rated.csv"
    rated.write_text("prompt,completion,rating\na,one,1\na,two,2\na,three,5\n", encoding="utf-8")
    read, = handlers(page.app, "read_file")
    store, = handlers(page.app, "store")
    pending = read(token, str(rated))[0]
    assert lab.store.count_matching(owner) == 0
    store(token, pending, 5)
    assert lab.store.count_judgements(owner).dispreferred == 2
    odd = tmp_path / "odd.csv"
    odd.write_text("frage,gut,schlecht\na,ja,nein\n", encoding="utf-8")
    pending = read(token, str(odd))[0]
    map_columns, = handlers(page.app, "map_columns")
    with pytest.raises(gr.Error, match="must be one of"):
        map_columns(token, pending, "pairs", "frage", "gut", NASTY, "", "", "")
    map_columns(token, pending, "pairs", "frage", "gut", "schlecht", "", "", "")
    assert lab.store.count_judgements(owner).pairs == 1


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
