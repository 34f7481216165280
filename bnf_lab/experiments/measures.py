"""The numbers that an experiment's cells are compared by: names, labels and units. Knows nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A number that cells are compared by; `better` is "more", "less" or "" where neither is."""

    label: str
    unit: str = ""
    better: str = ""


MEASURES: dict[str, Measure] = {
    "accuracy": Measure("Held-out accuracy", "share of pairs", "more"),
    "margin": Measure("Held-out margin", "nats/token", "more"),
    "collapsed": Measure("Collapsed", "share of runs", "less"),
    "broken_answers": Measure("Broken answers", "share of sample answers", "less"),
    "preferred_shift": Measure("Preferred log-likelihood, shift", "nats/token", "more"),
    "dispreferred_shift": Measure("Dispreferred log-likelihood, shift", "nats/token", "less"),
    "margin_shift": Measure("Margin of shifts", "nats/token", "more"),
    "accuracy_shift": Measure("Accuracy of shifts", "share of pairs", "more"),
    "preferred_target_logit_shift": Measure("Preferred target logit, shift"),
    "preferred_logsumexp_shift": Measure("Preferred log-sum-exp, shift"),
    "preferred_other_logits_shift": Measure("Preferred other logits, shift"),
    "dispreferred_target_logit_shift": Measure("Dispreferred target logit, shift"),
    "dispreferred_logsumexp_shift": Measure("Dispreferred log-sum-exp, shift"),
    "dispreferred_other_logits_shift": Measure("Dispreferred other logits, shift"),
    "kl": Measure("KL to the base", "nats/token", "less"),
    "entropy": Measure("Entropy on preferred responses", "nats"),
    "loss_variance": Measure("Variance of the training loss"),
    "grad_norm": Measure("Mean gradient norm, before clipping"),
    "answer_words": Measure("Answer length", "words"),
    "repetition": Measure("Repetition in answers", "share of word triples", "less"),
    "seconds": Measure("Time of the run", "s"),
}
