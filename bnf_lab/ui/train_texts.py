"""The words of the Train and Watch tabs."""

from __future__ import annotations

from bnf_lab.records import RunState

NOTHING_TO_TRAIN = (
    "There is nothing to train on yet. Add a demo set, upload a file or mark some answers; "
    "then come back here and press Start."
)
TO_PREFERENCES = "Go to Preferences"
WHICH_JUDGEMENTS = "Train on"
WHICH_HELP = "All collections are chosen until you leave one out."
SETTINGS = "Settings"
ADVANCED = "More settings"
RUN_NAME = "Name of the run (optional)"
RUN_NAME_HINT = "For example: short answers, first try"
DEFAULTS = "Back to the defaults"
START = "Start training"
MEASURE = "Measure a step"
MEASURING = "Measuring…"
BEFORE_START = "Before you start"
CHECKING = "Checking…"
NOT_MEASURED = "not known yet"
NOT_FETCHED = "known once the model is here"
MEASURE_HELP = "“Measure a step” trains one step on your judgements, keeps nothing, and takes about 20 seconds."
READY = "Everything is in order."
BLOCKED = "This keeps the run from starting"
WORTH_KNOWING = "Worth knowing"
WILL_FETCH_EMBEDDED = "SmolLM2-135M-Instruct is not here yet: the run begins by fetching it (98 MB)."
WILL_FETCH_HUB = (
    "{model} is not here yet: the run begins by fetching it from the Hugging Face hub, which needs a network and may "
    "take a while."
)
EMBEDDED_LABEL = "SmolLM2-135M-Instruct (embedded)"
CHOOSE_COLLECTION = "Choose at least one collection to train on."

NO_RUN_YET = "No run yet. Choose judgements and settings under Train, then press Start: everything shows up here, live."
TO_TRAIN = "Go to Train"
RUN = "Run"
STOP = "Stop"
RESUME = "Resume"
DELETE = "Delete"
DELETE_SURE = "Delete this run with its adapter, checkpoints and curves? This cannot be undone."
DELETE_YES = "Delete it"
DELETE_NO = "Keep it"

STATES = {
    RunState.QUEUED: "Waiting in the queue",
    RunState.PREPARING: "Preparing",
    RunState.TRAINING: "Training",
    RunState.STOPPING: "Stopping: finishing this step and saving a checkpoint",
    RunState.STOPPED: "Stopped",
    RunState.FINISHED: "Finished",
    RunState.FAILED: "Failed",
}
PHASES = (("fetching", "Fetch"), ("loading", "Load"), ("reference", "Reference pass"), ("training", "Training"))
"""(how the worker's phase begins, what the page calls it), in the order in which a run passes them."""
LAST_THINGS = "scoring, answering and saving"
SAFE_TO_LEAVE = "You can close this page: the run goes on, and everything is here when you come back."
RESUME_HELP = "Resume goes on from the last checkpoint, with the same data order."
FAILURE = "Why it failed"
NOTICE = "The guard noticed"

NOT_HELD_OUT = (
    "There are too few prompts to keep some out of training, so these curves are measured on responses the run trains "
    "on: they show that it learns, not that it generalises."
)
NO_MEASURE = "The first numbers come once the held-out responses have been scored."
TITLES = {
    "likelihood": "Likelihood",
    "accuracy": "Accuracy and margin",
    "logits": "Logit shifts",
    "training": "Loss, gradient and gate",
    "distribution": "Distance and entropy",
    "feedback": "Feedback map",
    "tokens": "Token inspector",
}
TOKENS_TITLE = "Down to single tokens"
TOKENS_NONE = "Tokens appear once the held-out responses have been scored for the first time."
RECORDED_STEP = "Recorded step"
RESPONSE = "Held-out response"
HOVER = "Point at a token to see p, q, weight and logit."

ANSWERS_TITLE = "Now it says"
ANSWERS_INTRO = "The same prompts, answered greedily during the run. The base model's answer stands beside the newest."
ANSWERS_NONE = "The base model's answers come before the first step, the aligned model's at intervals after it."
