"""The words of the Chat and Runs tabs that are read as prose or used in more than one place."""

from __future__ import annotations

MESSAGE_HINT = "Ask both models the same thing. Enter sends, Shift+Enter starts a new line."
NO_TURNS = (
    "One question, two answers from one model: as it is, and with your adapter. Ask something, or try one of these:"
)
EXAMPLES = (
    "What is a comet?",
    "Why do cats purr?",
    "Tom has 12 apples and gives away 5. How many are left?",
)
NO_ADAPTER = (
    "Nothing answers here yet. Train on your judgements first; a saved checkpoint of a run can answer while the run "
    "still trains. A thumb on the base model's answers already counts as a judgement."
)
NO_ADAPTER_HEAD = "no adapter yet"
ADAPTER_OFF_HEAD = "switched off"
ADAPTER_OFF = "The aligned side is switched off. Choose an adapter above to hear it."
NOT_ANSWERED = "Not answered: the page was closed or the server ended. Press Retry."
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
MODEL_MISSING = "The model is not on this machine yet. Fetch it once (98 MB), then ask."
MODEL_FETCHING = "The model is being fetched. You can ask as soon as it is here."
STILL_ANSWERING = "An answer is still being written. Wait for it or press Stop, then send again."
NOTHING_TO_RETRY = "There is no message to answer again. Type one and press Send."
EDIT_UNCHANGED = "The answer is unchanged. Change it, or give it a thumb."
ADAPTER_NONE = "None: base model alone"

RUNS_EMPTY = (
    "No runs yet. Collect some judgements in Preferences, then start a run in Train; it appears here with its numbers, "
    "ready to open, chat with and download."
)
RUNS_INTRO = (
    "Numbers are those of the held-out responses, first measurement → last. Log-likelihoods and margin in nats/token."
)
DELETE_RUN = "Delete “{name}” with its plots, checkpoints and adapter? Your judgements stay. This cannot be undone."
MERGING = (
    "Merging: the adapter is folded into the base model, written as safetensors, and its log-probabilities are "
    "compared with the adapter's. This takes a minute or two."
)
