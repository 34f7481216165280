"""The words on the page that more than one place uses, and those long enough to be read as prose."""

from __future__ import annotations

from bnf_lab.core.config import EMBEDDED_DOWNLOAD

TITLE = "BNF Lab"
TAGLINE = "Align a small language model with your own preferences, and see why it works."

TAB_PREFERENCES = "Preferences"
TAB_TRAIN = "Train"
TAB_WATCH = "Watch"
TAB_CHAT = "Chat"
TAB_RUNS = "Runs"

ERROR_TITLE = "That did not work"
DEFECT_TITLE = "Something broke"
DEFECT = "The lab met an unexpected problem. Nothing you stored is lost. Try again; reference {reference}."

FETCH = "Fetch the model"
FETCH_AGAIN = "Try again"
MODEL_MISSING = (
    f"The model is not on this machine yet. It is fetched once ({EMBEDDED_DOWNLOAD}, about a minute); what you asked"
    " for then goes on by itself."
)
MODEL_COMING = "The model is being fetched; what you asked for then goes on by itself."
MODEL_STATES = {
    "missing": f"not fetched yet ({EMBEDDED_DOWNLOAD})",
    "fetching": "fetching",
    "ready": "SmolLM2-135M ready",
    "failed": "could not be fetched",
}
NO_RUN = "none training"

GUIDE = "Your first run"
GUIDE_STEPS = {"fetch": "Fetch", "add": "Add", "train": "Train", "show": "Show me"}
GUIDE_DONE = "done"
GUIDE_SAYS = {
    "fetch": f"A small model is fetched once: {EMBEDDED_DOWNLOAD}, about a minute.",
    "add": "Add a demo set: pairs of a better and a worse answer. Your own files and marks come in the same way.",
    "train": "“Quick look” shows within minutes whether all is well; then “Start training”.",
    "show": "Watch the likelihoods part while it trains; then ask the base model and yours the same question.",
    "": "That was the whole way: from answers that somebody prefers to a model that gives them.",
}
GUIDE_FETCHING = "The model is on its way; you can go on meanwhile."
GUIDE_GO = {"fetch": FETCH, "add": "Choose a demo set", "train": "Set up a quick look", "show": "Ask both models"}
GUIDE_SKIP = "Skip the guide"
GUIDE_CLOSE = "Close"

UNKNOWN_RUN = "The run {run} of this address is not in this workspace: it was deleted, or made in another browser."
NEWEST_INSTEAD = "The newest run is shown instead."
NO_RUN_INSTEAD = "There is no run here yet."
