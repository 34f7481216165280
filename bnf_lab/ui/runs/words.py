"""What the Runs tab says."""

from __future__ import annotations

RUNS_EMPTY = (
    "No runs yet. Collect some judgements in Preferences, then start a run in Train; it appears here with its numbers, "
    "ready to open, chat with and download."
)
RUNS_INTRO = (
    "Numbers are those of the held-out responses, first measurement → last. Margin and log-likelihoods in nats/token; "
    "a log-likelihood closer to 0 means that the model finds the responses more probable. Press a heading to sort."
)
RUN_STATES = {
    "queued": ("wait", "queued"),
    "preparing": ("wait", "preparing"),
    "training": ("ok", "training"),
    "stopping": ("wait", "stopping"),
    "stopped": ("wait", "stopped"),
    "finished": ("ok", "finished"),
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

DAMAGED = "folder damaged"
GAPS = "records damaged"
DIVERGED = "diverged"
FLAWED = "something wrong"
SOUND = "sound"
RECOVERED = "sound again"

NOTHING_FOUND = "No run matches “{text}”. Every word has to be in a run's name, data, tags, note, method or state."
ACTIONS = "Actions"
ROWS_SHOWN = "{shown:,} of {found:,} runs are shown. Choose more rows above, or search."
TABLE_LABEL = "List of runs"
OPEN_RUN = "Open {name} in Watch"
SEARCH = "Search"
SEARCH_HELP = "name, data, tag, note, method, state"
COLUMNS = "Columns and rows"
ROWS = "Rows"
NAME, TAGS, NOTE, SAVE = "Name", "Tags", "Note", "Save"
TAGS_HELP = "commas between them"
NOTE_HELP = "what it was for, what came of it"
SAVED = "Saved."
SETTINGS = "Settings of this run"
SETTINGS_HELP = "What its method reads. Bold: not the lab's default."
NO_SETTINGS = "The settings of this run cannot be read."
FIGURE = "Figure"
FIGURES_HELP = (
    "The report is one page with settings, verdict, curves and answers; it opens without a network. The CSV holds "
    "every measured number."
)
GUARD_HELP = "What the guard found in the sample answers and the likelihoods"
RATE_HELP = "Learning rate"
PER_STEP_HELP = "Responses per step"
TIME_HELP = "Time spent training, over all resumes"
ACCURACY_HELP = "Share of held-out pairs in which the preferred answer is the likelier one"
MARGIN_HELP = "Log-likelihood of preferred minus dispreferred responses, nats/token"
LOGP_HELP = "Log-likelihood, nats/token; closer to 0 is likelier"
STILL = "not moving"
