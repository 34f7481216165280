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

SECTION_UPLOAD = "Upload"
SECTION_DEMO = "Demo sets"
SECTION_MARK = "Mark answers"
SECTION_TABLE = "Judgements"

NOTHING_JUDGED = (
    "Nothing judged yet. The quickest start is a demo set; or upload a file, or let the model answer and mark what "
    "it wrote."
)
TO_TRAIN = "Train on these"

DEMO_INTRO = "Ready-made judgements to start with. One click adds a set to yours."
DEMO_ADD = "Add to my judgements"
DEMO_ADDED = "Added"

MARK_INTRO = (
    "Write a prompt, let the model answer, then say which answers you prefer. One marked answer is enough; "
    "a preferred and a dispreferred one of the same prompt become a pair."
)
MARK_KEYS = (
    "Keys: <kbd>1</kbd> to <kbd>4</kbd> preferred · <kbd>Shift</kbd>+<kbd>1</kbd> to <kbd>4</kbd> dispreferred · "
    "<kbd>N</kbd> next prompt"
)
MARK_EMPTY = "The answers will appear here. Type a prompt above and press “Write answers”."
MARK_WAITING = "Waiting for the model; before its first answer it is loaded."
MARK_PROMPT_HINT = "For example: How do I keep basil alive on a windowsill?"
PROMPTS_HELP = "One prompt a line (.txt), or JSONL with a “prompt” in each line."

TABLE_EMPTY = "No judgements yet. Add a demo set, upload a file or mark some answers; each one appears here at once."
TABLE_NO_MATCH = "No judgement matches these filters. Clear one of them to see more."
MARKS = {"preferred": "preferred", "dispreferred": "dispreferred", "edited": "your version preferred"}

UPLOAD_INTRO = (
    "JSONL, JSON, CSV or Parquet up to 20 MB: pairs, single answers with a label, ratings, rankings, or chat "
    "transcripts. The layout is recognised from the content."
)
REPORT_STORED = "Stored. Read as {schema}."
REPORT_MAPPING = "The columns are not recognised. Say below which is which."
REPORT_RATINGS = "These are ratings. Choose below from which rating an answer is preferred; nothing is stored yet."
REPORT_NOTHING = "Nothing was stored: no row could be taken. Mend the rows below and upload again."
COLUMNS_TITLE = "Which column is which?"
COLUMNS_HELP = "These are the first rows."
KINDS = {
    "pairs": "a preferred and a dispreferred answer",
    "labels": "one answer with a true / false label",
    "ratings": "one answer with a rating",
}
RATINGS_TITLE = "From which rating is an answer preferred?"
RATINGS_HELP = "Answers rated below it are stored as dispreferred."
