"""The sentence under each figure names what this run's data say."""

from __future__ import annotations

import math

import pytest

from bnf_lab.plots.run_figures import STEP_FIGURES
from bnf_lab.plots.sentences import NO_PAIRS, NO_TOKENS, NOT_YET, STEP_SENTENCES, say_feedback, say_tokens
from bnf_lab.runs.records import MetricPoint, ProbeResponse, TokenHeader, TokenSnapshot


def probe(step, **values):
    return MetricPoint(step, float(step), "probe", **values)


def train(step, **values):
    return MetricPoint(step, float(step), "train", **values)


def said(name, *points):
    return STEP_SENTENCES[name](points).replace("\N{MINUS SIGN}", "-")


def test_every_figure_over_steps_has_its_sentence():
    assert list(STEP_SENTENCES) == list(STEP_FIGURES)


def test_likelihood_says_where_both_lines_began_and_stand():
    first = probe(0, preferred_logp=-0.99, dispreferred_logp=-0.89)
    last = probe(30, preferred_logp=-0.85, dispreferred_logp=-2.3)
    assert said("likelihood", last, train(31, train_preferred_logp=9.0), first) == (
        "Preferred went from -0.99 to -0.85 nats/token by step 30, dispreferred went from -0.89 to -2.30."
    )
    assert said("likelihood", first) == "Preferred is -0.99 nats/token at step 0, dispreferred is -0.89."
    still = probe(5, preferred_logp=-0.991)
    assert said("likelihood", first, still).startswith(
        "Preferred stayed at -0.99 nats/token by step 5, dispreferred is"
    )


def test_lines_that_end_at_different_steps_name_both():
    points = [
        probe(0, preferred_logp=-1.0, dispreferred_logp=-1.0),
        probe(10, preferred_logp=-0.5, dispreferred_logp=-2.0),
        probe(20, preferred_logp=-0.4, dispreferred_logp=math.nan),
    ]
    sentence = said("likelihood", *points)
    assert "to -0.40 nats/token by step 20, " in sentence
    assert sentence.endswith("to -2.00 nats/token by step 10.")


def test_accuracy_is_in_per_cent_and_the_margin_signed():
    points = [probe(0, accuracy=1 / 3, margin=-0.1), probe(1200, accuracy=1.0, margin=1.449)]
    assert said("accuracy", *points) == (
        "At step 1,200 the preferred answer is the likelier one in 100% of the held-out pairs, 33% at step 0; the "
        "margin went from -0.10 to +1.45 nats/token by step 1,200."
    )
    assert said("accuracy", probe(0, preferred_logp=-1.0)) == NO_PAIRS


def test_logits_add_up_to_the_change_of_likelihood():
    point = probe(30, preferred_target_logit_shift=0.5, preferred_logsumexp_shift=0.35)
    assert said("logits", point) == (
        "On preferred answers at step 30 the target logit has moved by +0.50 and the log-sum-exp by +0.35, which makes "
        "+0.15 nats/token."
    )


def test_training_takes_loss_from_the_batches_and_gates_from_the_probe():
    points = [train(1, loss=0.1, grad_norm=17.8), train(30, loss=-0.4, grad_norm=3.0)]
    points += [probe(30, preferred_gate=0.98, dispreferred_gate=0.11)]
    assert said("training", *points) == (
        "The loss went from 0.10 to -0.40 nats by step 30; the gradient norm went from 17.80 to 3.00 by step 30; the "
        "gate at step 30 is 0.98 on preferred and 0.11 on dispreferred tokens."
    )


def test_distribution_says_distance_and_entropy():
    points = [probe(0, kl=0.0, preferred_entropy=1.2), probe(30, kl=0.414, preferred_entropy=0.9)]
    assert said("distribution", *points) == (
        "At step 30 the model is 0.41 nats/token from the base; entropy on preferred answers went from 1.20 to 0.90 "
        "nats by step 30."
    )


@pytest.mark.parametrize("name", STEP_SENTENCES)
@pytest.mark.parametrize("points", [(), (probe(0),), (probe(0, preferred_logp=math.inf, accuracy=math.nan),)])
def test_nothing_measured_is_said_in_words(name, points):
    assert said(name, *points) == (NO_PAIRS if name == "accuracy" else NOT_YET)


def response(verdict, *reference_logps, text="a"):
    texts = tuple(text for _ in reference_logps)
    return ProbeResponse("id", verdict, "p", texts, reference_logps, tuple(0.0 for _ in reference_logps))


def snapshot(logps, weights):
    return TokenSnapshot(30, logps, logps, weights)


HALF = math.log(0.5)


def test_the_feedback_map_says_the_mean_push_of_each_verdict():
    header = TokenHeader((response("preferred", HALF, HALF), response("dispreferred", HALF)))
    moment = snapshot(((HALF, HALF), (HALF,)), ((1.0, 0.5), (0.2,)))
    assert say_feedback(header, moment) == (
        "At step 30, 2 preferred tokens are pushed up by 0.38 on average and 1 dispreferred token is pushed down by "
        "0.10 on average."
    )
    assert say_feedback(TokenHeader(()), snapshot((), ())) == NO_TOKENS


def test_the_tokens_say_how_many_moved_and_which_moved_most():
    header = TokenHeader((response("preferred", -2.0, -1.0, -1.0, text="<b>\n"),))
    sentence = say_tokens(header, snapshot(((-0.5, -3.31, -1.0),), ((1.0, 1.0, 1.0),)), 0)
    assert sentence.replace("\N{MINUS SIGN}", "-") == (
        "At step 30, of 3 tokens 1 became likelier than under the base and 1 less likely; the largest change is -2.31 "
        "nats, at token 2 (“<b>↵”)."
    )
    broken = snapshot(((math.nan, math.nan, math.nan),), ((1.0, 1.0, 1.0),))
    assert say_tokens(header, broken, 0) == NO_TOKENS
