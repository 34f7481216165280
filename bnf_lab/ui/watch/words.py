"""What the Watch tab says."""

from __future__ import annotations

from bnf_lab.runs.records import RunState

NO_RUN_YET = "No run yet. Choose judgements and settings under Train, then press Start: everything shows up here, live."
TO_TRAIN = "Go to Train"
RUN = "Run"
STOP = "Stop run"
RESUME = "Resume run"
DELETE = "Delete run"
DELETE_SURE = "Delete this run with its adapter, checkpoints and curves? This cannot be undone."
DELETE_YES = "Delete this run"
DELETE_NO = "Keep this run"

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
PROGRESS = "Progress of the run"
LAST_THINGS = "scoring, answering and saving"
SAFE_TO_LEAVE = "You can close this page: the run goes on, and everything is here when you come back."
RESUME_HELP = "Resume goes on from the last checkpoint, with the same data order."
FAILURE = "Why it failed"
NOTICE = "The guard noticed"
OBSTACLE = "To look at only"
DAMAGED = "The run folder is damaged"
STILL = "The run does not move"
CANNOT_SHOW = "The lab cannot show this run ({kind}); its log has the details. Other runs are not touched by it."

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
CURVES_TITLE = "Likelihood and accuracy"
MORE_CURVES = "More curves"
MORE_TITLE = "Logits, training and distance"
TOKENS_TITLE = "Down to single tokens"
TOKENS_NONE = "Tokens appear once the held-out responses have been scored for the first time."
RECORDED_STEP = "Recorded step"
RESPONSE = "Held-out response"
TOKENS_LABEL = "Tokens of the held-out response"
HOVER = "Point at a token, tap it, or go from one to the next with the arrow keys, to see its values."

ANSWERS_TITLE = "Now it says"
ANSWERS_INTRO = "The same prompts, answered greedily during the run. The base model's answer stands beside the newest."
ANSWERS_BETWEEN = "In between ({n})"
ANSWERS_NEVER = "This run wrote no sample answers."
ANSWERS_NONE = "The base model's answers come before the first step, the aligned model's at intervals after it."
