"""The words of the Chat and Runs tabs that are read as prose or used in more than one place."""

from __future__ import annotations

MESSAGE_HINT = "Ask both sides the same thing. Enter sends."
NO_TURNS = (
    "One question, two answers from one model: as it is, and with your adapter. Ask something, or try one of these:"
)
EXAMPLES = (
    "What is a comet?",
    "Why do cats purr?",
    "Tom has 12 apples and gives away 5. How many are left?",
)
NO_ADAPTER = (
    "The aligned side is silent until there is an adapter. Train on some judgements: a run's first checkpoint can "
    "answer here while the run goes on. Thumbs on the base model's answers are judgements already."
)
NO_ADAPTER_HEAD = "no adapter yet"
ADAPTER_OFF_HEAD = "switched off"
ADAPTER_OFF = "The aligned side is switched off. Choose an adapter above to hear it."
NOT_ANSWERED = "Not answered. Press Retry."
NO_ANSWER = "No answer on this side."
WAITING = "Waiting for the model. Its first answer takes longer, because it is loaded then."
EMPTY_ANSWER = "(an empty answer)"
FINISHES = {
    "length": "cut at the longest answer",
    "stopped": "stopped",
    None: "interrupted",
}
MARKS = {
    "preferred": "Stored: preferred",
    "dispreferred": "Stored: dispreferred",
    "edited": "Stored: your version preferred, the original dispreferred",
}
LEGEND = (
    "Mean log-likelihood: how probable a model finds the answer, averaged over its tokens (nats/token). Closer to 0 is "
    "more probable."
)
WAITS_FOR_MODEL = "Waits for the model, and is answered as soon as that is here."
STILL_WAITS = "Your last message still waits for the model. Fetch it above the box, or press Clear to take it back."
ADAPTER_NONE = "None: base model alone"
ADAPTER_GONE = "{adapter} (not here any more)"
GONE_HEAD = "not here any more"
GONE = "The adapter of this conversation is not here any more. Choose another one above to hear it."
OTHER_ADAPTER = "This conversation keeps its adapter. There is also {adapter}."
SWITCH = "Go on with that one"
