"""The figures hold the numbers of the records, in the lab's style, and stay small."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace

import pytest

from bnf_lab.core.errors import MAX_MESSAGE_CHARS, NotFound, RunRefused
from bnf_lab.plots import curves
from bnf_lab.plots.style import POINT_LIMIT, UIREVISION, reach_to
from bnf_lab.plots.tokens import compute_tent
from bnf_lab.runs.records import MetricPoint, ProbeResponse, TokenHeader, TokenSnapshot

STEP_FIGURES = (
    curves.likelihood_figure,
    curves.logit_figure,
    curves.distribution_figure,
    curves.accuracy_figure,
    curves.training_figure,
)
CURVES = tuple(f.name for f in fields(MetricPoint) if f.name not in ("step", "source"))


def probe_point(step, **values):
    """A point in which field number k has the value step + k/100, so no two curves are alike."""
    filled = {name: step + k / 100 for k, name in enumerate(CURVES)}
    return MetricPoint(**{**filled, "step": step, "source": "probe", **values})


def both_sources(step, **values):
    point = probe_point(step, **values)
    return [point, replace(point, source="train")]


def trace(figure, uid):
    return next(t for t in figure.data if t.uid == uid)


def tokens(logps, reference_logps, verdicts=("preferred", "dispreferred"), prompts=("p", "p"), texts=None):
    """Header and snapshot of responses whose weights follow from the log-probabilities."""

    def odds(logp):
        return math.exp(logp) / -math.expm1(logp)

    responses = tuple(
        ProbeResponse(
            f"j{row}",
            verdicts[row],
            prompts[row],
            tuple(texts or (f"t{k}" for k in range(len(q)))),
            tuple(q),
            tuple(10.0 for _ in q),
        )
        for row, q in enumerate(reference_logps)
    )
    weights = tuple(
        tuple(min(1.0, odds(a) / odds(b)) for a, b in zip(p, q, strict=True))
        for p, q in zip(logps, reference_logps, strict=True)
    )
    logits = tuple(tuple(11.5 for _ in row) for row in logps)
    return TokenHeader(responses), TokenSnapshot(3, tuple(map(tuple, logps)), logits, weights)


QUARTER, HALF = math.log(0.25), math.log(0.5)


# --- every record field has a curve ---------------------------------------------------------------------------------


def test_every_metric_field_is_drawn_or_listed_as_table_only():
    points = both_sources(0) + both_sources(1)
    drawn = {t.uid for figure in STEP_FIGURES for t in figure(points).data}
    assert drawn | curves.TABLE_ONLY == set(CURVES)
    assert not drawn & curves.TABLE_ONLY


def test_each_curve_holds_its_own_fields_values_at_its_own_steps():
    points = [p for step in (0, 4, 9) for p in both_sources(step)]
    for figure in STEP_FIGURES:
        for t in figure(points).data:
            offset = CURVES.index(t.uid) / 100
            assert list(t.x) == [0, 4, 9]
            assert list(t.y) == pytest.approx([offset, 4 + offset, 9 + offset])


def test_probe_and_training_batch_are_never_mixed():
    points = [probe_point(0), replace(probe_point(5), source="train")]
    likelihood = curves.likelihood_figure(points)
    assert list(trace(likelihood, "preferred_logp").x) == [0]
    assert list(trace(likelihood, "train_preferred_logp").x) == [5]
    training = curves.training_figure(points)
    assert list(trace(training, "loss").x) == [5]
    assert list(trace(training, "dispreferred_gate").x) == [0]


def test_points_out_of_order_are_drawn_in_order_of_steps():
    figure = curves.likelihood_figure([probe_point(8), probe_point(2)])
    assert list(trace(figure, "preferred_logp").x) == [2, 8]


# --- style ----------------------------------------------------------------------------------------------------------


def all_figures():
    header, snapshot = tokens([[QUARTER]], [[HALF]])
    points = both_sources(0) + both_sources(1)
    return [
        *(figure(points) for figure in STEP_FIGURES),
        *(figure([]) for figure in STEP_FIGURES),
        curves.feedback_map(header, snapshot),
        curves.length_histogram([1, 2], [5]),
        curves.rating_histogram([1.0, 2.0], 2.0),
        curves.empty_figure("nothing yet"),
    ]


def test_uirevision_is_one_constant_so_zoom_survives_an_update():
    assert {figure.layout.uirevision for figure in all_figures()} == {UIREVISION}


def test_backgrounds_are_transparent_and_no_heavy_template_is_sent():
    for figure in all_figures():
        sent = json.loads(figure.to_json())["layout"]
        assert sent["paper_bgcolor"] == sent["plot_bgcolor"] == "rgba(0,0,0,0)"
        assert set(sent["template"]) == {"layout"}


def test_figures_are_plain_json_without_packed_arrays_or_nan():
    for figure in all_figures():
        text = figure.to_json()
        assert "bdata" not in text
        json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in a figure"))


def test_trace_order_is_the_same_with_and_without_values():
    full = curves.likelihood_figure(both_sources(0))
    sparse = curves.likelihood_figure([MetricPoint(0, 0.0, "train", train_preferred_logp=-1.0)])
    assert [t.uid for t in full.data] == [t.uid for t in sparse.data]
    assert len({t.uid for t in full.data}) == len(full.data)


def test_a_panel_without_values_keeps_its_line_so_that_plotly_keeps_the_panel():
    before_the_first_step = curves.training_figure([probe_point(0)])
    assert list(trace(before_the_first_step, "loss").x) == [None]
    assert trace(before_the_first_step, "loss").mode == "lines"


def test_preferred_and_dispreferred_differ_in_more_than_colour():
    figure = curves.likelihood_figure(both_sources(0))
    up, down = trace(figure, "preferred_logp"), trace(figure, "dispreferred_logp")
    assert up.line.color != down.line.color
    assert up.marker.symbol != down.marker.symbol
    assert trace(figure, "preferred_logp_reference").line.dash == "dash"
    assert trace(figure, "train_preferred_logp").line.width < up.line.width


def test_logit_curves_of_one_panel_differ_in_dash():
    figure = curves.logit_figure([probe_point(0)])
    first_panel = [t for t in figure.data if t.uid.startswith("preferred")]
    assert len({t.line.dash for t in first_panel}) == len(first_panel) == 3


def test_axes_name_their_units():
    points = both_sources(0)
    assert "nats/token" in curves.likelihood_figure(points).layout.yaxis.title.text
    accuracy = curves.accuracy_figure(points)
    assert "share" in accuracy.layout.yaxis.title.text
    assert "nats/token" in accuracy.layout.yaxis2.title.text
    distribution = curves.distribution_figure(points)
    assert "nats/token" in distribution.layout.yaxis.title.text
    assert "nats" in distribution.layout.yaxis2.title.text
    assert "tokens" in curves.length_histogram([1], [2], "tokens").layout.xaxis.title.text


@pytest.mark.parametrize("figure", STEP_FIGURES)
def test_the_step_axis_reaches_to_the_last_planned_step_from_the_start(figure):
    low, high = reach_to(figure(both_sources(0)), 30).layout.xaxis.range
    assert -1 < low <= 0 and 30 <= high < 31
    assert reach_to(figure(both_sources(40)), 30).layout.xaxis.range[1] >= 40  # never less than was measured
    assert reach_to(figure(both_sources(0)), 0).layout.xaxis.range is None
    assert reach_to(figure([]), 30).layout.xaxis.range is None


def test_bounded_quantities_have_fixed_axes():
    low, high = curves.accuracy_figure([probe_point(0)]).layout.yaxis.range
    assert low <= 0 < 1 <= high
    low, high = curves.training_figure([probe_point(0)]).layout.yaxis3.range
    assert low <= 0 < 1 <= high


def test_there_is_one_plain_sentence_for_each_plot():
    assert set(curves.READING) == {
        "likelihood",
        "logits",
        "distribution",
        "accuracy",
        "training",
        "feedback",
        "tokens",
        "lengths",
        "ratings",
    }
    for sentence in curves.READING.values():
        assert sentence.endswith(".") and 40 < len(sentence) < 200


# --- bands, holes, odd inputs -----------------------------------------------------------------------------------------


def test_the_band_is_filled_from_its_lower_to_its_upper_edge():
    figure = curves.likelihood_figure([probe_point(0, preferred_logp_p10=-2.0, preferred_logp_p90=-0.5)])
    uids = [t.uid for t in figure.data]
    upper = trace(figure, "preferred_logp_p90")
    assert uids.index("preferred_logp_p90") == uids.index("preferred_logp_p10") + 1
    assert upper.fill == "tonexty"
    assert list(trace(figure, "preferred_logp_p10").y) == [-2.0] and list(upper.y) == [-0.5]
    assert upper.legendgroup == trace(figure, "preferred_logp").legendgroup


def test_a_band_with_one_missing_edge_is_left_out_at_that_step():
    points = [probe_point(0), probe_point(1, preferred_logp_p10=None), probe_point(2)]
    figure = curves.likelihood_figure(points)
    assert list(trace(figure, "preferred_logp_p10").x) == list(trace(figure, "preferred_logp_p90").x) == [0, 2]


@pytest.mark.parametrize("hole", [None, math.nan, math.inf])
def test_unmeasured_and_non_finite_values_are_bridged(hole):
    points = [probe_point(0), probe_point(1, preferred_logp=hole, kl=hole), probe_point(2)]
    assert list(trace(curves.likelihood_figure(points), "preferred_logp").x) == [0, 2]
    assert list(trace(curves.distribution_figure(points), "kl").x) == [0, 2]


@pytest.mark.parametrize("figure", STEP_FIGURES)
def test_no_points_say_so_in_words(figure):
    empty = figure([])
    assert not empty.data
    assert len(empty.layout.annotations) == 1 and empty.layout.annotations[0].text.endswith(".")


@pytest.mark.parametrize("figure", STEP_FIGURES)
def test_a_single_point_is_visible_as_a_symbol(figure):
    for t in figure(both_sources(0)).data:
        assert t.line.width == 0 or "markers" in t.mode


def test_accuracy_without_pairs_says_what_is_missing():
    figure = curves.accuracy_figure([MetricPoint(0, 0.0, "probe", preferred_logp=-1.0)])
    assert not figure.data and "pairs" in figure.layout.annotations[0].text


def test_an_empty_figure_shows_text_not_markup():
    assert curves.empty_figure("<a href='x'>").layout.annotations[0].text == "&lt;a href='x'&gt;"


# --- size -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("figure", STEP_FIGURES)
def test_long_runs_stay_small_on_the_wire(figure):
    points = [p for step in range(3 * POINT_LIMIT) for p in both_sources(step, preferred_logp=-step / 7)]
    drawn = figure(points)
    assert max(len(t.x) for t in drawn.data) <= POINT_LIMIT
    assert len(drawn.to_json()) < 100_000


def test_values_are_rounded_to_five_digits():
    figure = curves.likelihood_figure([probe_point(0, preferred_logp=-0.123456789)])
    assert list(trace(figure, "preferred_logp").y) == [-0.12346]


def test_thin_keeps_first_and_last_within_the_limit():
    for n in range(200):
        kept = curves.thin(range(n), limit=7)
        assert len(kept) <= 7
        assert kept == sorted(set(kept))
        if n:
            assert kept[0] == 0 and kept[-1] == n - 1
        if n <= 7:
            assert kept == list(range(n))


def test_thin_moves_nothing_already_drawn():
    before = curves.thin(range(8), limit=7)
    n_halved = 0
    for n in range(9, 300):
        after = curves.thin(range(n), limit=7)
        old, new = set(before[:-1]), set(after[:-1])
        n_halved += not old <= new
        # Either every drawn item stays, or every second one does; the newest may join.
        assert old <= new or set(before[:-1:2]) <= new
        assert len(new - old) <= 1
        before = after
    assert n_halved == 5  # the stride goes 2, 4, 8, 16, 32, 64


def test_thin_refuses_a_limit_it_cannot_keep():
    with pytest.raises(ValueError, match="at least 2"):
        curves.thin(range(5), limit=1)


# --- feedback map -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_tent_is_the_loss_gradient_of_its_formula(q):
    corners = compute_tent(q)
    for k in range(1, 20):
        p = k / 20
        weight = min(1.0, (p / (1 - p)) / (q / (1 - q)))
        (x0, y0), (x1, y1) = corners[:2] if p <= q else corners[1:]
        assert y0 + (p - x0) / (x1 - x0) * (y1 - y0) == pytest.approx(weight * (1 - p))


def test_tokens_lie_where_the_formula_puts_them():
    # p = 1/4 under q = 1/2: odds 1/3 over 1, so w = 1/3 and the push is 1/3 * 3/4 = 1/4.
    header, snapshot = tokens([[QUARTER, HALF], [QUARTER]], [[HALF, QUARTER], [HALF]])
    figure = curves.feedback_map(header, snapshot)
    assert list(trace(figure, "preferred").x) == pytest.approx([0.25, 0.5])
    assert list(trace(figure, "preferred").y) == pytest.approx([0.25, 0.5])
    assert list(trace(figure, "dispreferred").y) == pytest.approx([-0.25])


def test_the_axis_states_the_sign():
    layout = curves.feedback_map(*tokens([[HALF]], [[HALF]])).layout
    assert "-dL/dz" in layout.yaxis.title.text
    places = {note.text: note.y for note in layout.annotations}
    assert places["pushed up"] > places["pushed down"]


def test_tents_stand_at_the_quantiles_of_q_on_both_sides():
    references = [[math.log(k / 12) for k in range(1, 12)]]
    figure = curves.feedback_map(*tokens(references, references))
    for share, place in ((0.1, 2), (0.5, 6), (0.9, 10)):
        tent = trace(figure, f"tent_{share:g}")
        q = place / 12
        assert [v for v in tent.x if v is not None] == pytest.approx([0, q, 1, 0, q, 1], rel=1e-4)
        assert [v for v in tent.y if v is not None] == pytest.approx([0, 1 - q, 0, 0, q - 1, 0], rel=1e-4)


def test_likelihood_is_the_straight_line_and_dpo_half_of_it_before_training():
    figure = curves.feedback_map(*tokens([[HALF], [HALF]], [[HALF], [HALF]]))
    assert list(trace(figure, "nll").y) == [1, 0, None, -1, 0]
    assert list(trace(figure, "dpo").y) == [0.5, 0, None, -0.5, 0]


def test_dpo_line_sinks_with_the_summed_margin():
    # The pair's margin is beta * (2 ln 2 - (-ln 2)) = ln 2 at beta = 1/3, and sigma(-ln 2) = 1/3.
    header, snapshot = tokens([[HALF, HALF], [QUARTER]], [[QUARTER, QUARTER], [HALF]])
    figure = curves.feedback_map(header, snapshot, beta=1 / 3)
    assert trace(figure, "dpo").y[0] == pytest.approx(1 / 3, rel=1e-4)


def test_dpo_without_pairs_shows_the_untrained_weight():
    figure = curves.feedback_map(*tokens([[HALF]], [[QUARTER]], verdicts=("preferred",), prompts=("p",)))
    assert trace(figure, "dpo").y[0] == 0.5


def test_tokens_are_plain_text_in_the_hover():
    figure = curves.feedback_map(*tokens([[HALF, HALF]], [[HALF, HALF]], texts=("<b>&", "\n")))
    assert [row[0] for row in trace(figure, "preferred").customdata] == ["&lt;b&gt;&amp;", "↵"]


def test_many_tokens_stay_within_the_limit():
    row = [math.log(0.123456789)] * 2000
    figure = curves.feedback_map(*tokens([row, row], [row, row]))
    assert len(trace(figure, "preferred").x) <= POINT_LIMIT
    assert len(figure.to_json()) < 100_000


def test_certain_tokens_draw_without_a_crash():
    header, snapshot = tokens([[QUARTER]], [[HALF]])
    certain = replace(snapshot, logps=((0.0,),), weights=((1.0,),))
    assert list(trace(curves.feedback_map(header, certain), "preferred").y) == [0]


def test_a_broken_models_tokens_still_make_readable_json():
    header, snapshot = tokens([[QUARTER, HALF]], [[HALF, HALF]])
    broken = replace(snapshot, logps=((math.nan, -math.inf),), weights=((math.nan, 0.0),))
    sent = curves.feedback_map(header, broken).to_json()
    points = json.loads(sent, parse_constant=lambda word: pytest.fail(f"{word} in a figure"))["data"][-2]
    assert points["x"] == [None, 0] and points["y"] == [None, 0]


def test_a_run_without_tokens_says_so():
    figure = curves.feedback_map(TokenHeader(()), TokenSnapshot(0, (), (), ()))
    assert not figure.data and figure.layout.annotations


# --- token inspector --------------------------------------------------------------------------------------------------


def test_token_cells_hold_the_hand_worked_values():
    (cell,) = curves.token_cells(*tokens([[QUARTER], [HALF]], [[HALF], [QUARTER]]), 0)
    assert (cell.p, cell.q, cell.weight) == pytest.approx((0.25, 0.5, 1 / 3))
    assert cell.shift == pytest.approx(-math.log(2))
    assert (cell.logit, cell.logit_shift) == (11.5, 1.5)
    for part in ("0.25", "0.5", "-0.69 nats", "0.33", "11.50 (+1.50)"):
        assert part in cell.tooltip


def test_token_colour_says_direction_and_size():
    up, down, same = (
        curves.token_cells(*tokens([[p]], [[q]]), 0)[0].color
        for p, q in ((HALF, QUARTER), (QUARTER, HALF), (HALF, HALF))
    )
    assert up.startswith("rgba(0,114,178,0.") and down.startswith("rgba(213,94,0,0.")
    assert same.endswith(",0)")
    far, farther = (curves.token_cells(*tokens([[p]], [[HALF]]), 0)[0].color for p in (-5.0, -50.0))
    assert far == farther == "rgba(213,94,0,0.65)"


def test_line_breaks_in_tokens_are_visible_and_still_break():
    (cell,) = curves.token_cells(*tokens([[HALF]], [[HALF]], texts=("a\n",)), 0)
    assert cell.text == "a↵\n"


def test_token_legend_uses_the_cells_colours():
    legend = curves.token_legend()
    assert legend[0][0] == "rgba(213,94,0,0.65)" and legend[-1][0] == "rgba(0,114,178,0.65)"
    assert all(words for _, words in legend)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_response_that_was_not_recorded_is_refused(index):
    with pytest.raises(NotFound, match=f"response {index + 1} .*recorded 2"):
        curves.token_cells(*tokens([[HALF], [HALF]], [[HALF], [HALF]]), index)


def test_a_snapshot_of_other_tokens_is_refused_in_words():
    header, snapshot = tokens([[HALF]], [[HALF]])
    torn = replace(snapshot, weights=((0.5, 0.5),))
    for draw in (lambda: curves.feedback_map(header, torn), lambda: curves.token_cells(header, torn, 0)):
        with pytest.raises(RunRefused, match="weights has 2 values") as refusal:
            draw()
        assert len(str(refusal.value)) <= MAX_MESSAGE_CHARS


# --- histograms -------------------------------------------------------------------------------------------------------


def test_lengths_are_counted_once_each_and_by_verdict():
    figure = curves.length_histogram([3, 3, 5], [900], "tokens")
    assert sum(trace(figure, "preferred").y) == 3 and sum(trace(figure, "dispreferred").y) == 1
    assert max(trace(figure, "preferred").y) == 3  # 3 and 5 share a bin of a 900 token range
    assert "3" in trace(figure, "preferred").name


def test_short_lengths_get_a_bar_each():
    figure = curves.length_histogram([1, 2, 2], [4])
    assert list(trace(figure, "preferred").y) == [1, 2]


def test_a_huge_set_makes_a_small_histogram():
    assert len(curves.length_histogram(list(range(100_000)), list(range(100_000))).to_json()) < 10_000


def test_ratings_split_at_the_threshold():
    figure = curves.rating_histogram([1, 2, 2, 3, 3, 3], 3)
    assert list(trace(figure, "dispreferred").x) == [1, 2] and list(trace(figure, "dispreferred").y) == [1, 2]
    assert list(trace(figure, "preferred").x) == [3] and list(trace(figure, "preferred").y) == [3]
    assert figure.layout.shapes[0].x0 == figure.layout.shapes[0].x1 == 2.5  # between the bars it divides


def test_no_rating_bar_holds_both_verdicts():
    ratings = [k * 0.037 for k in range(400)]
    figure = curves.rating_histogram(ratings, 4.21)
    low, high = trace(figure, "dispreferred"), trace(figure, "preferred")
    assert max(low.x) + low.width / 2 <= 4.21 <= min(high.x) - high.width / 2
    assert figure.layout.shapes[0].x0 == 4.21
    assert sum(low.y) == sum(r < 4.21 for r in ratings) and sum(high.y) == sum(r >= 4.21 for r in ratings)
    assert len(low.x) + len(high.x) <= 32


@pytest.mark.parametrize(
    ("ratings", "threshold"), [([2.0], 2.0), ([2.0], 9.0), ([5.0, 5.0], 1.0), ([math.nan, 1.0], 0.0)]
)
def test_odd_ratings_draw(ratings, threshold):
    figure = curves.rating_histogram(ratings, threshold)
    assert sum(sum(t.y) for t in figure.data) == sum(math.isfinite(r) for r in ratings)


def test_nothing_to_count_says_so():
    for figure in (curves.length_histogram([], []), curves.rating_histogram([], 3.0)):
        assert not figure.data and figure.layout.annotations
