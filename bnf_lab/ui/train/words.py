"""The words of the Train and Watch tabs."""

from __future__ import annotations

from bnf_lab.core.config import EMBEDDED_DOWNLOAD

NOTHING_TO_TRAIN = (
    "There is nothing to train on yet. Add a demo set, upload a file or mark some answers; "
    "then come back here and press Start."
)
TO_PREFERENCES = "Go to Preferences"
WHICH_JUDGEMENTS = "Train on"
WHICH_HELP = "All collections are chosen until you leave one out."
SINCE_LAST = ", made since your last run began"
SINCE_BEGINNING = ", all there are"
SINCE = ", made since {moment} UTC"
STARTS_FROM = "Starts from"
AFRESH = "as it is, with a new adapter: nothing of an earlier run is carried on"
MORE_METHODS = "More methods"
FEWER_METHODS = "Fewer methods"
PUSH = "How hard {method} pushes a token, by its probability p now; q is the reference's."
PUSH_RAISES = "raises"
PUSH_LOWERS = "lowers"
ADVANCED = "More settings"
EXPERIMENT = "Experiment"
EXPERIMENT_HELP = (
    "For questions about the methods: how much each one bears of missing pairs, wrong verdicts or another reference; "
    "leave these alone to train on your judgements as they are."
)
REFERENCE_HELP = (
    "What the loss compares with. A run's adapter fits its own base model alone; another model has to share its "
    "tokenizer."
)
BASE_LABEL = "The base model as it is"
REFERENCE_GONE = "{value} (not here any more)"
CHANGED = "Experiment settings differ from their defaults: {settings}."
RUN_NAME = "Name of the run (optional)"
RUN_NAME_HINT = "For example: short answers, first try"
DEFAULTS = "Back to the defaults"
QUICK = "Quick look"
DEFAULT = "Default"
CAREFUL = "Careful"
PRESETS_HELP = "Begin with a set of settings; method and model stay."
TAKE = "Settings of run …"
TAKE_HELP = "Takes over all settings of one of your runs."
YAML = "As a file for the command line"
YAML_LABEL = "settings.yaml"
YAML_HEAD = "# python -m bnf_lab train --config settings.yaml --data ..."
YAML_REFERENCE = "# the reference is a run of this workspace here; the command line takes its folder"
START = "Start training"
MEASURE = "Measure a step"
MEASURING = "Measuring…"
BEFORE_START = "Before you start"
CHECKING = "Checking…"
CHECKING_MORE = "You can start now: the run is checked once more before it begins."
NOT_CHECKED = "This could not be checked. Change a setting to check again."
UNKNOWN = "\N{EN DASH}"
PASSES_HELP = "How often each response is read; sets the steps. Empty: what the steps come to (in grey)."
MEASURE_HELP = (
    "“Measure a step” tells the time: it trains one step on your judgements, keeps nothing, and takes about 20 seconds."
)
READY = "Everything is in order."
BLOCKED = "This keeps the run from starting"
WORTH_KNOWING = "Worth knowing"
NOT_HERE = "The model is not on this machine yet"
FETCHED_ONCE = f"SmolLM2-135M-Instruct is fetched once: {EMBEDDED_DOWNLOAD}, about a minute."
WILL_FETCH_EMBEDDED = (
    f"{FETCHED_ONCE} Press “Fetch the model” below, or start: the run then begins by fetching it. "
    "What is blank above is counted as soon as it is here."
)
IS_FETCHING = f"{FETCHED_ONCE} It is on its way; what is blank above is counted as soon as it is here."
FETCH_FAILED = (
    f"{FETCHED_ONCE} The last try failed; it is said below why, and you can try again. A run would try again, too."
)
WILL_FETCH_HUB = (
    "{model}: the run begins by fetching it from the Hugging Face hub, which takes as long as the model is large. "
    "Without a network, or where the hub has no such model, the run fails and says so. To have it before: "
    "python -m bnf_lab fetch-model {model}"
)
READING = "What the model reads"
READING_HELP = (
    "One pair exactly as it goes into the model. The prompt is grey; the marked tokens are the response, the part that "
    "is trained. The words in pointed brackets are the model's own control tokens."
)
READING_UNKNOWN = "Nothing is read yet."
EMBEDDED_LABEL = "SmolLM2-135M-Instruct (embedded)"
CHOOSE_COLLECTION = "Choose at least one collection to train on."
