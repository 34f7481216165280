"""The one verdict of a run: what is praised, what is warned of, and what has become history."""

from __future__ import annotations

from bnf_lab.runs.records import AnswerPoint, MetricPoint
from bnf_lab.runs.verdict import describe_best, describe_history, describe_warnings, judge_run, score_point


def probe(step, accuracy, margin=0.0, logp=-1.0):
    return score_point(
        MetricPoint(
            step, 0.0, "probe", accuracy=accuracy, margin=margin, preferred_logp=logp, preferred_logp_reference=-1.0
        )
    )


def answers(step, *texts):
    return [
        AnswerPoint(step, f"p{i}", text, 1, is_empty=not text, is_repeating="no no" in text)
        for i, text in enumerate(texts)
    ]


BASE = answers(0, "fine", "fine", "fine")


def test_a_checkpoint_that_answers_nothing_is_never_the_best():
    points = [probe(0, 0.3), probe(10, 1.0, 5.0)]
    verdict = judge_run(points, [*BASE, *answers(10, "", "", "fine")], saved=[10])
    assert verdict.best is None
    assert describe_best(verdict).startswith("No saved checkpoint can be recommended")
    assert verdict.tone == "bad"
    assert "2 of 3 sample answers came out empty" in describe_warnings(verdict)[0]
    assert "lower learning rate" in describe_warnings(verdict)[0]


def test_the_best_is_the_soundest_by_accuracy_then_margin_then_the_later():
    points = [probe(0, 0.3), probe(10, 1.0, 9.0), probe(20, 0.9, 1.0), probe(30, 0.9, 2.0), probe(40, 0.9, 2.0)]
    said = [*BASE, *answers(10, "", "", ""), *answers(20, "a", "b", "c")]
    assert judge_run(points, said, saved=[10, 20, 30, 40]).best.step == 40
    assert judge_run(points, said, saved=[10, 20, 30]).best.step == 30
    assert judge_run(points, said, saved=[10, 20]).best.step == 20
    assert judge_run(points, said, saved=[]).best is None


def test_what_a_later_step_disproved_is_history():
    points = [probe(0, 0.3), probe(10, 0.8), probe(20, 0.9)]
    verdict = judge_run(points, [*BASE, *answers(10, "no no", "", "c"), *answers(20, "a", "b", "c")], saved=[20])
    assert verdict.warnings == ()
    assert verdict.tone == "ok"
    (past,) = verdict.history
    assert (past.step, past.gone_at) == (10, 20)
    assert describe_history(verdict) == (
        "Step 10: 2 of 3 sample answers came out repeating itself or empty. Gone since step 20.",
    )


def test_preferred_responses_that_lost_their_likelihood_are_not_sound():
    verdict = judge_run([probe(0, 0.3), probe(10, 1.0, 3.0, logp=-2.5)], BASE, saved=[10])
    assert verdict.best is None
    assert "less likely than before training by 1.5 nats/token" in verdict.warnings[0].text


def test_a_prompt_that_the_base_model_cannot_answer_does_not_count():
    said = [*answers(0, "fine", ""), *answers(10, "fine", "")]
    verdict = judge_run([probe(0, 0.3), probe(10, 0.8)], said, saved=[10])
    assert (verdict.best.step, verdict.best.n_answers, verdict.warnings) == (10, 1, ())


def test_before_anything_is_scored_nothing_is_said():
    verdict = judge_run([], [], saved=[3])
    assert (verdict.first, verdict.last, verdict.best, verdict.tone) == (None, None, None, "wait")
    assert describe_best(verdict) == ""


def test_unpaired_data_have_no_best_by_accuracy():
    verdict = judge_run([probe(0, None), probe(10, None)], BASE, saved=[10])
    assert (verdict.best, verdict.tone) == (None, "ok")
