"""The report opens without a network, says what is missing, and no text that people wrote becomes markup."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from dataclasses import replace

import pytest
from plotly.offline import get_plotlyjs

from bnf_lab.core.config import RunConfig
from bnf_lab.experiments.measures import MEASURES
from bnf_lab.experiments.report import build_report
from bnf_lab.experiments.tables import ANSWER_CHARS, build_csv
from bnf_lab.experiments.verdicts import describe_outcome, judge_claims
from tests.support.browser import Watcher, open_browser, wait_until
from tests.support.fake_experiment import HOSTILE_DATA, fake_experiment, fake_recipe, fake_results

SMALL = {
    "data": ("demo:short_answers",),
    "seeds": 2,
    "arms": ({"method": ("bnf", "dpo"), "learning_rate": (1e-4, 1e-3)},),
}


@pytest.fixture(scope="module")
def experiment():
    return fake_experiment()


@pytest.fixture(scope="module")
def page(experiment):
    return build_report(experiment)


@pytest.fixture(scope="module")
def own(page):
    """The page without plotly's script."""
    return page.replace(get_plotlyjs(), "")


def small(results=None, **changes):
    recipe = fake_recipe(**{**SMALL, **changes})
    return fake_experiment(recipe, None if results is None else results(fake_results(recipe)))


def text_of(own):
    body = re.sub(r"<(script|style).*?</\1>", "", own, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def figures_of(page):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    found = re.search(r'id="figures">(.*?)</script>', page, re.S).group(1)
    return json.loads(found, parse_constant=refuse)


def rows_of(experiment):
    return list(csv.DictReader(io.StringIO(build_csv(experiment))))


# --- one page ---------------------------------------------------------------------------------------------------------


def test_page_holds_plotly_once_and_is_small_otherwise(page, own):
    assert page.count(get_plotlyjs()) == 1
    assert "plotly.js v" not in own
    assert len(own.encode()) < 1_000_000
    assert page.count("<script") == page.count("</script>") == 3 + get_plotlyjs().count("<script")


def test_page_loads_nothing_from_elsewhere(own):
    for load in (r"\bsrc\s*=\s*[\"']?(https?:)?//", r"<[^>]*\b(src|href)\s*=", r"url\(", "@import", "<link", "<iframe"):
        assert not re.search(load, own, re.I), load
    assert "default-src 'none'" in own


def test_texts_of_people_are_text(own):
    for danger in ("<script>alert", "<img", "<svg", "<b>of losses", "onload=alert(3)></script"):
        assert danger not in own
    assert "&lt;img src=x onerror=" in own
    assert "49 &amp;" not in own and "{{ 7*7 }}" in own  # no template in a text is carried out
    assert "</script>" not in re.search(r'id="figures">(.*?)</script>', own, re.S).group(1)
    assert HOSTILE_DATA in [html.unescape(heading) for heading in re.findall(r"<h2>(.*?)</h2>", own)]


def test_page_can_be_saved_as_utf_8(page):
    assert page.encode("utf-8").decode("utf-8") == page


def test_long_answers_are_clipped(own):
    said = re.findall(r'<div class="said">(.*?)</div>', own, re.S)
    assert said
    assert max(len(html.unescape(text)) for text in said) == ANSWER_CHARS + 1


# --- what it says -----------------------------------------------------------------------------------------------------


def test_verdict_comes_first_with_word_and_symbol(own):
    text = text_of(own)
    order = [
        text.index(part)
        for part in (
            "96 of 96 cells",
            "Verdict",
            "holds",
            "within noise",
            "does not hold",
            "not measured",
            "BNF does not collapse.",
            "Held-out accuracy",
            "Numbers",
            "Sample answers",
            "How it was done",
        )
    ]
    assert order == sorted(order)
    for words in (
        "✓ holds",
        "≈ within noise",
        "✗ does not hold",
        "accuracy 0.97 (0.86 to 1.00)",
        "1 h 4 min of computing",
    ):
        assert words in text
    assert "Not complete" not in text


def test_every_figure_has_its_place_and_data(page, own):
    figures = figures_of(page)
    assert [f["id"] for f in figures] == re.findall(r'class="plot" id="(.*?)"', own)
    assert len(figures) == 2 * (2 + 4)
    assert all(f["data"] for f in figures)


def test_table_has_a_row_a_group_with_its_numbers(experiment, own):
    rows = re.findall(r"<tr><td.*?</tr>", own, re.S)
    assert len(rows) == len(experiment.groups) == 32
    group = experiment.groups[0]
    accuracy = group.estimates["accuracy"]
    cells = [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in re.findall(r"<td.*?</td>", rows[0], re.S)]
    assert cells[:5] == [
        "short_answers",
        "BNF",
        "0.0001",
        "3 of 3",
        f"{accuracy.mean:.3f} {accuracy.low:.3f} to {accuracy.high:.3f}",
    ]
    assert cells[-1] == "0 of 3"


def test_method_is_told(own):
    text = text_of(own)
    for words in (
        "n_steps: 16",
        "more than 1 nat/token",
        "Clopper and Pearson",
        "Holm's correction",
        "sha256 " + "ab" * 32,
        "torch 2.13.0",
        "CPU, 8 GiB",
        "Each cell is short",
        "lora_rank 16",
    ):
        assert words in text


def test_missing_and_failed_cells_are_said_on_top_and_shown():
    def lose(results):
        broken = replace(results[0], state="failed", problem="The disk is full <b>.", values={}, pair_margins=())
        return [broken, *(r for r in results[1:] if r.cell.config.method == "bnf")]

    experiment = small(lose)
    text = text_of(build_report(experiment).replace(get_plotlyjs(), ""))
    assert "Not complete: 3 of 8 cells; 1 failed, 4 not run." in text
    assert "failed: short_answers, BNF, learning rate 0.0001, seed 0 The disk is full <b>." in text
    assert text.index("Not complete") < text.index("Verdict")
    assert "1 of 2 1 failed" in text
    assert text.count(" 0 of 2" + 7 * " \u2013") == 2  # DPO: no run, no number
    states = [row["state"] for row in rows_of(experiment)]
    assert sorted(states) == ["failed"] + ["finished"] * 3 + ["missing"] * 4


def test_a_run_that_diverged_is_a_result_not_a_gap():
    def diverge(results):
        return [replace(results[0], state="failed", problem="not finite", values={"collapsed": 1.0}), *results[1:]]

    text = text_of(build_report(small(diverge)).replace(get_plotlyjs(), ""))
    assert "8 of 8 cells" in text
    assert "Not complete" not in text
    assert "1 of 2" in text


def test_a_line_looks_the_same_however_much_has_run():
    def lose(results):
        return [r for r in results if r.cell.config.method == "dpo"]

    whole, part = (figures_of(build_report(e))[0]["data"] for e in (small(), small(lose)))
    looks = [
        {t["name"]: (t["line"], t["marker"]["symbol"]) for t in data if "DPO" in t["name"]} for data in (whole, part)
    ]
    assert looks[0] == looks[1] != {}
    assert not any("BNF" in trace["name"] for trace in part)


def test_a_report_resolves_no_setting_again(experiment, monkeypatch):
    def refuse(values):
        raise AssertionError("a setting is resolved once, when the cells are made")

    monkeypatch.setattr(RunConfig, "from_dict", refuse)
    assert "BNF stays healthy" in judge_claims(experiment.recipe, experiment.groups)[0].text
    assert describe_outcome(experiment.recipe, experiment.groups)
    assert build_report(experiment)
    assert build_csv(experiment)


def test_nothing_run_yet_is_a_page_too():
    experiment = replace(small(lambda results: []), claims=(), verdict=())
    text = text_of(build_report(experiment).replace(get_plotlyjs(), ""))
    assert "Not complete: 0 of 8 cells; 8 not run." in text
    assert "Nothing can be said yet." in text


@pytest.mark.parametrize(
    ("changes", "n_figures"),
    [
        ({"name": "shifts", "arms": ({"method": ("bnf", "dpo")},), "along": "method"}, 3 + 2),
        (
            {
                "name": "noise",
                "arms": (
                    {"method": ("bnf", "dpo"), "label_noise": (0.0, 0.2)},
                    {"method": ("bnf", "dpo"), "contradictions": (0.5,)},
                ),
                "along": "label_noise",
            },
            3 + 4,
        ),
        (
            {"data": ("demo:short_answers", "demo:small_code"), "arms": ({"method": ("bnf", "dpo")},), "along": "data"},
            2 + 2,
        ),
        (
            {
                "arms": ({"reference": ("base", "run:/x</script>")}, {"reference_temperature": (0.5, 2.0)}),
                "compare": "reference",
                "along": "reference_temperature",
            },
            2 + 2,
        ),
    ],
    ids=["shifts", "noise", "domains", "reference"],
)
def test_other_recipes_have_their_figures(changes, n_figures):
    recipe = fake_recipe(**{"seeds": 2, "data": ("demo:short_answers",), "claims": (), **changes})
    figures = figures_of(build_report(fake_experiment(recipe)))
    assert len(figures) == n_figures


# --- CSV --------------------------------------------------------------------------------------------------------------


def test_csv_holds_every_cell_and_measure(experiment):
    rows = rows_of(experiment)
    assert len(rows) == 96
    assert list(rows[0]) == ["data", "method", "learning_rate", "seed", "state", "problem", "step", *MEASURES]
    results = {r.cell.name: r for group in experiment.groups for r in group.results}
    for row, cell in zip(rows, experiment.recipe.cells(), strict=True):
        result = results[cell.name]
        assert (row["data"], row["method"], float(row["learning_rate"]), int(row["seed"]), int(row["step"])) == (
            cell.data,
            cell.config.method,
            cell.config.learning_rate,
            cell.seed,
            result.step,
        )
        assert {name: float(row[name]) for name in MEASURES if row[name]} == result.values


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_of_the_csv_is_a_formula(start):
    experiment = small(lambda results: [replace(r, problem=f'{start}1+1,"x"\nmore') for r in results])
    for row in rows_of(experiment):
        assert row["problem"] == f'\'{start}1+1,"x"\nmore'
        assert float(row["dispreferred_shift"]) < 0  # a negative number stays a number


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_page_works_in_a_browser_without_a_network(page, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    with open_browser() as browser:
        watcher = Watcher()
        context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark", offline=True)
        opened = context.new_page()
        watcher.attach(opened)
        opened.goto(file.as_uri())
        wait_until(lambda: opened.evaluate("document.querySelectorAll('.plot .main-svg').length") >= 12, "the figures")
        assert not watcher.problems and not watcher.foreign
        assert opened.evaluate("document.documentElement.scrollWidth") <= 390
        ink = "getComputedStyle(document.querySelector('.xtick text')).fill"
        dark = opened.evaluate(ink)
        opened.emulate_media(color_scheme="light")
        wait_until(lambda: opened.evaluate(ink) != dark, "figures in the colour of a light page")
        assert opened.evaluate(ink) == opened.evaluate("getComputedStyle(document.body).color")
        opened.get_by_role("button", name="KL to base").click()
        values = opened.evaluate("[...document.querySelectorAll('tbody tr')].map(r => Number(r.cells[9].dataset.v))")
        assert values == sorted(values)
