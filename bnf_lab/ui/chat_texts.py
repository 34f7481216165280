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
    "Numbers are those of the held-out responses, first measurement → last. Margin and log-likelihoods in nats/token; "
    "a log-likelihood closer to 0 means that the model finds the responses more probable."
)
RUN_STATES = {
    "queued": ("wait", "queued"), "preparing": ("wait", "preparing"), "training": ("ok", "training"),
    "stopping": ("wait", "stopping"), "stopped": ("wait", "stopped"), "finished": ("ok", "finished"),
    "failed": ("bad", "failed"),
}
EXPORT_HELP = (
    "The adapter is small and needs the base model beside it (PEFT layout, with a model card). The merged model stands "
    "alone (safetensors); it is offered once its log-probabilities equal the adapter's. That takes a minute or more."
)
NO_ADAPTER_TO_EXPORT = "There is nothing to download yet: the run gets an adapter with its first checkpoint."
DELETE_RUN = "Delete “{name}” with its plots, checkpoints and adapter? Your judgements stay. This cannot be undone."
MERGING = (
    "Merging: the adapter is folded into the base model and the result compared with the adapter, log-probability by "
    "log-probability. The download begins by itself; keep this page open."
)
PACKING = "Packing the adapter…"
RUN_GONE = "No run is chosen, or it was deleted. Choose one from the list."
