"""The words on the page that more than one place uses, and those long enough to be read as prose."""

from __future__ import annotations

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
MODEL_STATES = {
    "missing": "not fetched yet (98 MB)",
    "fetching": "fetching",
    "ready": "SmolLM2-135M ready",
    "failed": "could not be fetched",
}
NO_RUN = "none training"
