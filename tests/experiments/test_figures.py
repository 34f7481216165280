"""The figures of an experiment hold the records' numbers; lines are told apart by more than colour."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.methods import METHODS
from bnf_lab.experiments.figures import (
    CEILING,
    CURVE_POINTS,
    FLOOR,
    LOGIT_SHIFTS,
    SHIFTS,
    curve_figures,
    curve_setting,
    is_clipped,
    logit_shift_figure,
    measure_figure,
)
from bnf_lab.experiments.lines import build_lines, lines_of, value_label
from bnf_lab.experiments.recipes import Cell
from bnf_lab.experiments.records import CurvePoint, Estimate, Group
from bnf_lab.experiments.verdicts import build_groups
from tests.support.fake_experiment import fake_recipe, fake_results

RECIPE = fake_recipe(data=("demo:short_answers",), seeds=2)


@pytest.fixture(scope="module")
def groups():
    return build_groups(RECIPE.cells(), fake_results(RECIPE))


@pytest.fixture(scope="module")
def lines(groups):
    return build_lines(RECIPE, groups)


def bare(arm, **estimates):
    cell = Cell("demo:short_answers", arm, RunConfig.from_dict(arm))
    return Group((cell,), (), {name: Estimate(*e) for name, e in estimates.items()})


def moved(group, data):
    return replace(group, cells=tuple(replace(cell, data=data) for cell in group.cells))


def bare_lines(recipe, *groups):
    return build_lines(recipe, groups)


def named(figure, name, row=1):
    axis = "y" if row == 1 else f"y{row}"
    return next(t for t in figure.data if t.name == name and t.yaxis == axis)


# --- lines ------------------------------------------------------------------------------------------------------------


def test_a_line_a_compared_value_in_order_of_the_axis(lines):
    assert [line.name for line in lines] == ["BNF", "DPO", "Likelihood up / down", "SimPO"]
    assert [g.arm["learning_rate"] for g in lines[0].groups] == [1e-4, 3e-4, 1e-3, 3e-3]


def test_no_two_of_all_methods_look_alike():
    recipe = fake_recipe(arms=({"method": tuple(METHODS)},), along="method")
    lines = bare_lines(recipe, *(bare({"method": name}) for name in METHODS))
    assert len({line.symbol for line in lines}) == len({(line.color, line.dash) for line in lines}) == len(METHODS)


def test_further_settings_make_lines_of_their_own():
    recipe = fake_recipe(
        arms=({"method": ("bnf",), "label_noise": (0.0, 0.4)}, {"method": ("bnf",), "beta": (0.5,)}),
        along="label_noise",
    )
    lines = bare_lines(
        recipe,
        bare({"method": "bnf", "label_noise": 0.4}),
        bare({"method": "bnf", "label_noise": 0.0}),
        bare({"method": "bnf", "beta": 0.5}),
    )
    assert [(line.name, len(line.groups)) for line in lines] == [("BNF, beta 0.1", 2), ("BNF, beta 0.5", 1)]
    assert [g.arm["label_noise"] for g in lines[0].groups] == [0.0, 0.4]


def test_settings_come_from_arm_recipe_and_defaults():
    recipe = fake_recipe(data=("d",), settings={"beta": 0.3}, arms=({"method": ("dpo",)},), along="method")
    (group,) = build_groups(recipe.cells(), [])
    assert [group.setting(n) for n in ("data", "method", "beta", "simpo_beta")] == ["d", "dpo", 0.3, 2.0]
    assert value_label("hybrid_term", "simpo") == "SimPO"


def test_a_line_keeps_its_look_where_another_is_missing(groups):
    found = build_lines(RECIPE, groups)
    other = [moved(g, "other") for g in groups if g.arm["method"] == "simpo"]
    assert [line.color for line in lines_of(build_lines(RECIPE, [*groups, *other]), "other")] == [found[3].color]


# --- measures along a setting -----------------------------------------------------------------------------------------


def test_accuracy_with_intervals_on_a_log_axis(lines):
    figure = measure_figure(RECIPE, lines, ["accuracy"])
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis.ticktext) == ["0.0001", "0.0003", "0.001", "0.003"]
    for line in lines:
        trace = named(figure, line.name)
        for k, group in enumerate(line.groups):
            estimate = group.estimates["accuracy"]
            assert trace.y[k] == pytest.approx(estimate.mean, rel=1e-4)
            assert trace.y[k] + trace.error_y.array[k] == pytest.approx(estimate.high, rel=1e-3)
            assert trace.y[k] - trace.error_y.arrayminus[k] == pytest.approx(estimate.low, rel=1e-3)


def test_lines_do_not_hide_each_other_and_stay_near_their_value(lines):
    figure = measure_figure(RECIPE, lines, ["accuracy"])
    for k, rate in enumerate((1e-4, 3e-4, 1e-3, 3e-3)):
        places = [named(figure, line.name).x[k] for line in lines]
        assert len(set(places)) == len(lines)
        assert all(abs(math.log10(place / rate)) < 0.2 for place in places)


def test_collapsed_runs_are_crossed_out(lines):
    figure = measure_figure(RECIPE, lines, ["accuracy"])
    crosses = named(figure, "some runs collapsed")
    expected = [g.estimates["accuracy"].mean for line in lines for g in line.groups if g.estimates["collapsed"].mean]
    assert 0 < len(expected) < 16
    assert list(crosses.y) == pytest.approx(expected, rel=1e-4)
    assert crosses.marker.symbol not in {line.symbol for line in lines}


def test_a_ruined_run_does_not_flatten_the_others(lines):
    figure = measure_figure(RECIPE, lines, SHIFTS)
    drawn = [y for t in figure.data for y in t.y if y is not None]
    assert min(drawn) == FLOOR
    group = lines[2].groups[3]
    assert is_clipped("preferred_shift", group)
    trace = named(figure, lines[2].name)
    assert trace.marker.symbol[3] == "triangle-down"
    assert f"{group.estimates['preferred_shift'].mean:.4g}" in trace.customdata[3]


def test_a_missing_value_leaves_a_gap_and_bars_end_at_the_edge():
    recipe = fake_recipe(arms=({"method": ("bnf",), "learning_rate": (1e-4, 1e-3, 1e-2)},))
    lines = bare_lines(
        recipe,
        bare({"method": "bnf", "learning_rate": 1e-4}, preferred_shift=(-11.0, -30.0, -1.0, 3)),
        bare({"method": "bnf", "learning_rate": 1e-3}),
        bare({"method": "bnf", "learning_rate": 1e-2}, preferred_shift=(math.nan, None, None, 1)),
    )
    trace = named(measure_figure(recipe, lines, ["preferred_shift"]), "BNF")
    assert list(trace.y) == [-11.0, None, None]
    assert trace.error_y.arrayminus[0] == -11 - FLOOR
    assert trace.customdata[1] == "not measured"


def test_one_value_only_is_drawn_as_bars_with_names_below():
    recipe = fake_recipe(arms=({"method": ("bnf", "dpo"), "learning_rate": (1e-3,)},))
    lines = bare_lines(
        recipe,
        *(
            bare({"method": m, "learning_rate": 1e-3}, accuracy=(y, y - 0.1, y + 0.1, 9))
            for m, y in (("bnf", 0.8), ("dpo", 0.6))
        ),
    )
    figure = measure_figure(recipe, lines, ["accuracy"])
    assert [(t.type, t.y[0]) for t in figure.data] == [("bar", 0.8), ("bar", 0.6)]
    assert list(figure.layout.xaxis.ticktext) == ["BNF", "DPO"]


@pytest.mark.parametrize(
    ("name", "values", "kind", "texts"),
    [
        ("reference_temperature", (0.5, 1.0, 2.0), "linear", ["0.5", "1", "2"]),
        ("n_steps", (10, 100), "log", ["10", "100"]),
        ("reference", ("base", "run:<b>"), "linear", ["base", "run:&lt;b&gt;"]),
    ],
)
def test_the_axis_suits_its_values(name, values, kind, texts):
    recipe = fake_recipe(arms=({"method": ("bnf",), name: values},), along=name)
    lines = bare_lines(recipe, *(bare({"method": "bnf", name: v}, accuracy=(0.5, 0.4, 0.6, 9)) for v in values))
    axis = measure_figure(recipe, lines, ["accuracy"]).layout.xaxis
    assert axis.type == kind
    assert list(axis.ticktext) == texts


def test_names_without_an_order_are_not_joined_by_a_line():
    recipe = fake_recipe(arms=({"method": ("bnf",), "reference": ("base", "run:x")},), along="reference")
    lines = bare_lines(
        recipe, *(bare({"method": "bnf", "reference": v}, accuracy=(0.5, 0.4, 0.6, 9)) for v in ("base", "run:x"))
    )
    assert named(measure_figure(recipe, lines, ["accuracy"]), "BNF").mode == "markers"


def test_wide_variances_get_a_log_axis():
    def scale(*means):
        recipe = fake_recipe(arms=({"method": ("bnf",), "label_noise": (0.0, 0.4)},), along="label_noise")
        lines = bare_lines(
            recipe,
            *(
                bare({"method": "bnf", "label_noise": n}, loss_variance=(m, None, None, 1))
                for n, m in zip((0.0, 0.4), means, strict=True)
            ),
        )
        return measure_figure(recipe, lines, ["loss_variance"]).layout.yaxis.type

    assert scale(0.01, 10.0) == "log"
    assert scale(0.1, 0.2) is scale(0.0, 10.0) is None


def test_nothing_measured_says_so(lines):
    figure = measure_figure(RECIPE, lines, ["repetition"])
    assert figure.layout.annotations[0].text == "Not measured yet."


# --- logits and curves ------------------------------------------------------------------------------------------------


def test_logit_shifts_are_bars_a_method(lines):
    figure = logit_shift_figure(RECIPE, lines)
    assert len(figure.data) == len(LOGIT_SHIFTS) == 6
    first = lines[0].groups[0].estimates["preferred_target_logit_shift"]
    assert figure.data[0].y[0] == pytest.approx(first.mean, rel=1e-4)
    assert list(figure.layout.xaxis.ticktext)[1] == "BNF, learning rate 0.0003"


def test_curves_are_of_the_claimed_setting_else_of_the_middle(lines):
    assert curve_setting(RECIPE, lines) == 1e-3
    assert curve_setting(replace(RECIPE, claims=()), lines[:2]) in (3e-4, 1e-3)
    assert curve_setting(RECIPE, bare_lines(RECIPE, bare({"method": "bnf", "learning_rate": 1e-3}))) is None


def test_curves_are_thin_clipped_and_on_one_scale(groups):
    long = tuple(CurvePoint(k, -k / 10, None if k % 2 else k / 10, 0.5) for k in range(1001))
    changed = [replace(g, results=tuple(replace(r, curve=long) for r in g.results)) for g in groups]
    figures = curve_figures(RECIPE, build_lines(RECIPE, changed), 1e-3)
    assert [name for name, _ in figures] == ["BNF", "DPO", "Likelihood up / down", "SimPO"]
    assert len({figure.layout.yaxis.range for _, figure in figures}) == 1
    for trace in figures[0][1].data:
        assert len(trace.x) <= CURVE_POINTS
        assert FLOOR <= min(trace.y) <= max(trace.y) <= CEILING
    assert figures[0][1].data[0].customdata[-1] == "-100"
    assert len(figures[0][1].data) == 2 * RECIPE.seeds
