"""Every unit and term of the Watch tab in two sentences, opened by the "?" beside it. Pure: names -> markup.

The sentences stand on the page once (`draw_glossary`) and open in the browser's own popover: by mouse, touch or Enter
on the button, closed by Escape or by a press elsewhere. A button can so be drawn anew without closing what it opened.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from bnf_lab.ui.markup import fill, joined


@dataclass(frozen=True)
class Term:
    """A word of the page and what it means."""

    name: str
    means: str


TERMS = {
    "nats": Term(
        "nats/token",
        "The mean of the natural logarithm of the probabilities that the model gives to an answer's tokens. At -1 an "
        "average token has probability 0.37, at -2 only 0.14; nearer to 0 is likelier.",
    ),
    "preferred": Term(
        "preferred, dispreferred",
        "Answers that you judged good and answers that you judged bad. Training should keep or raise the likelihood "
        "of the first and lower that of the second.",
    ),
    "reference": Term(
        "reference",
        "The base model as it was before training, frozen. Its log-likelihood of the same answers is what every "
        "change is measured against.",
    ),
    "accuracy": Term(
        "accuracy",
        "The share of held-out pairs in which the model finds the preferred answer likelier than the dispreferred "
        "one. 50% is what chance would give.",
    ),
    "margin": Term(
        "margin",
        "By how many nats/token the preferred answer of a held-out pair is likelier than the dispreferred one, on "
        "average. Below zero the model still leans to the dispreferred answers.",
    ),
    "held_out": Term(
        "held-out",
        "Judgements that are kept out of training and only scored. What improves on them was learnt, not memorised.",
    ),
    "shift": Term(
        "shift",
        "What the model under training gives minus what the reference gives on the same tokens. Zero means unchanged.",
    ),
    "logit": Term(
        "target logit",
        "The model's raw score for the token that the answer really has at its place, before scores become "
        "probabilities. Raising it makes that token likelier.",
    ),
    "logsumexp": Term(
        "log-sum-exp",
        "The logarithm of the sum of the exponentials of all tokens' logits: what a logit is measured against. A "
        "token's log-probability is its logit minus this.",
    ),
    "other_logits": Term(
        "other logits",
        "The mean raw score of all tokens that the answer does not have at that place. If it rises together with the "
        "target logit, nothing is gained.",
    ),
    "loss": Term(
        "loss",
        "The number that training lowers, here of each step's own batch. Dispreferred answers enter with a minus "
        "sign, so it may well be below zero.",
    ),
    "gradient": Term(
        "gradient norm",
        "How strongly one step pulls at the adapter's weights. Sudden high peaks mean that the learning rate is too "
        "large.",
    ),
    "gate": Term(
        "gate",
        "The mean of BNF's weight over tokens, from 0 to 1. Near 1 the tokens are still pushed with full strength, "
        "near 0 they have moved far enough below the reference and are left alone.",
    ),
    "kl": Term(
        "KL",
        "The Kullback-Leibler divergence: how far the model's predictions are from the reference's, in nats/token. It "
        "is 0 at the start and grows with every change, good or bad.",
    ),
    "entropy": Term(
        "entropy",
        "How undecided the model is about the next token, in nats. At 0 it is certain; far above its start it rambles.",
    ),
    "push": Term(
        "push",
        "How strongly, and in which direction, BNF moves a token's logit: minus the derivative of the loss by that "
        "logit. Above zero the token is made likelier, below zero less likely.",
    ),
    "tent": Term(
        "tent",
        "The push that BNF gives as the token's probability goes from 0 to 1. It is largest where the model agrees "
        "with the reference (p = q) and falls to zero on both sides, so nothing is pushed without end.",
    ),
    "p_and_q": Term(
        "p and q",
        "The probability that the model under training (p) and the reference (q) give to a token at its place. "
        "p above q means that the token has become likelier.",
    ),
    "nll": Term(
        "NLL and DPO",
        "What two other losses would push: plain likelihood up or down (NLL), and DPO divided by its beta. Both are "
        "drawn in grey, for comparison.",
    ),
    "weight": Term(
        "weight w",
        "BNF's own factor of a token, from 0 to 1: the odds of p over the odds of q, at most 1. A small w means that "
        "the token is already much less likely than under the reference.",
    ),
}
"""The one table of terms; `FIGURE_TERMS` says which of them a figure uses."""

FIGURE_TERMS = {
    "likelihood": ("nats", "preferred", "reference", "held_out"),
    "accuracy": ("accuracy", "margin", "nats", "shift"),
    "logits": ("logit", "logsumexp", "other_logits", "shift"),
    "training": ("loss", "gradient", "gate"),
    "distribution": ("kl", "entropy", "nats"),
    "feedback": ("push", "tent", "p_and_q", "nll"),
    "tokens": ("shift", "p_and_q", "weight", "logit"),
}


def draw_glossary() -> Markup:
    """Returns what the buttons open; it belongs on the page once."""
    return joined(
        fill('<div popover id="{}" class="lab-meaning"><b>{}</b><p>{}</p></div>', _id(key), term.name, term.means)
        for key, term in TERMS.items()
    )


def ask(key: str) -> Markup:
    """Returns the "?" that stands beside a term."""
    return fill(
        '<button type="button" class="lab-ask-term" popovertarget="{}" aria-label="What is {}?">?</button>',
        _id(key),
        TERMS[key].name,
    )


def ask_terms(figure: str) -> Markup:
    """Returns the terms of a figure, each with its "?"."""
    return fill(
        '<p class="lab-terms">{}</p>',
        joined(fill("<span>{} {}</span>", TERMS[key].name, ask(key)) for key in FIGURE_TERMS[figure]),
    )


def _id(key: str) -> str:
    return f"means-{key.replace('_', '-')}"
