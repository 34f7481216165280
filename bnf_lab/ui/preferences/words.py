"""What the Preferences tab says."""

from __future__ import annotations

from bnf_lab.core.numbers import counted

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
DEMO_ADD = "Add {title}"
DEMO_ADDED = "Added: {title}"

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
MARK_AHEAD = "Written while you judged."
MARK_PROMPT_HINT = "For example: How do I keep basil alive on a windowsill?"

TABLE_EMPTY = "No judgements yet. Add a demo set, upload a file or mark some answers; each one appears here at once."
TABLE_NO_MATCH = "No judgement matches these filters. Clear one of them to see more."
SEARCH = "Search"
SEARCH_HINT = "Search prompts and answers"
FLIP, FLIP_PAIR = "Flip", "Flip the pair"
DELETE, DELETE_PAIR = "Delete", "Delete the pair"
DELETE_SHOWN = "Delete all shown ({what})"
EXPORT = "Export {what} (JSONL)"
EXPORT_NOUNS = {"pairs": "pair", "unpaired": "single judgement"}
EXPORTED = "The file holds {what}."
EMPTY_ANSWER = "(empty)"
ALL_OF_IT = "All {n:,} characters"
EDIT_SHOWS_ALL = "… (Edit shows all of it)"
SPACES_ONLY = "the answers differ in spaces only"
SAVE_ANSWER, CANCEL = "Save the answer", "Cancel"
OWN_VERSION = "your version {verdict}"
MODEL_WROTE = "The model wrote:"

UPLOAD_INTRO = (
    "JSON, JSON lines, CSV, TSV, text, Excel or Parquet up to 20 MB: pairs, judged answers, ratings, rankings, chat "
    "transcripts, exports of labelling tools. The content tells the layout; nothing is stored before you have seen it."
)
FILE = "File"
TOO_LARGE = "{name}: it is {size} large; a file may have {limit}. Split it, or compress it with gzip."
HUB = "From the Hugging Face hub"
DATASET, CONFIG, SPLIT = "Data set", "Config", "Split"
DATASET_HINT = "trl-lib/ultrafeedback_binarized"
HUB_LOOK = "Look at it"
DID_NOT_WORK = "That did not work."
BROKE_OFF = "The file or data set did not arrive. Choose it again; if it happens again, the server's log says why."
CLOSED = "This import is no longer open. Choose the file or data set again."
NOTHING_TO_ADD = "There is nothing to add yet. Answer what is asked, or map the columns."
CHANGED = "{file} no longer reads as it was shown here. Nothing was added; look at it again below."
NOT_ASKED = "This question is no longer open. Look at what is asked now."

MAPPING_BEGUN = "You say which column is which. Nothing is stored yet."
READ_AS = "Read as"
READ_BY_HAND = "Read by the columns that you chose"
ASKING = "One question first. Nothing is stored yet."
NO_ROW_FITS = "It looks like {layout}, but no row fits. The rows below say why; or map the columns yourself."
UNKNOWN = "The columns are not recognised. Say below which is which."
UNREADABLE = "No row could be read. Mend the rows below and choose the file again."
ADDED = "{judgements} added to yours. Find them under Judgements."
EXAMPLES = "The first judgements, as they will be kept"
WORTH_KNOWING = "Worth knowing"
HOW_READ = "How it was read"
UNUSED = "Columns not used: {columns}."
SOURCE = "Layout described at {source}."
MORE_ROWS = "… and {n:,} more."

ANSWER = "Answer"
SAID = "You said:"
TAKE_BACK = "Take back"
SAID_PART = "part “{part}”"
SAID_LAYOUT = "another layout"
SAID_LABELS = "what the labels mean"
SAID_COLUMNS = "which column is which"
SAID_LEFT_OUT = "left out: {columns}"
SAID_IN_PROMPT = "part of the prompt: {columns}"
SAID_TURNED = "contradicted pairs turned round"

PART = "Part"
PART_TITLE = "Which part of the file?"
PART_USE = "Use this part"
PART_MISSING = "Choose one of the parts first."
LAYOUT = "Layout"
LAYOUT_TITLE = "It can be read in several ways. Which one is meant?"
LAYOUT_NOTHING = "Nothing could be taken from the first rows."
LABELS_TITLE = "What do the values mean?"
LABELS_HELP = "Values that stay at “leave out” are not taken."
LABELS_USE = "Use these meanings"
LABELS_MISSING = "Say of at least one value that it is preferred or dispreferred."
MEANINGS = {"preferred": "Preferred", "dispreferred": "Dispreferred", "leave out": "Leave out"}
SIDE_BETTER = "{column} is better"
COLUMN_TITLE = "What about these columns?"
COLUMN_HELP = "Or say which column is which yourself, under “Not this?”."
COLUMN_USE = "Go on"
COLUMN_MISSING = "Say of each of these columns whether it is part of the prompt or left out."
COLUMN_OPTIONS = {"in prompt": "Part of the prompt", "leave out": "Leave out"}
DECIDES = "Decided by"
DECIDES_HELP = "What makes an answer the better one."
CONTRADICTED = "In {pairs} the scores say the opposite: the dispreferred answer has the higher one."
TURN_ONE, TURN_MANY = "Turn this pair round", "Turn these {n:,} pairs round"

OTHERWISE = "Not this? Read it another way"
OTHERWISE_LAYOUTS = "Its rows would also fit:"
OTHERWISE_NONE = "Its rows fit no other layout that is known."
MAPPING_BACK = "Back to what was recognised"
MAP_COLUMNS = "Say which column is which"
MAPPING_FILE = "Use a mapping file"
SAVE_MAPPING = "Save this mapping"
REMEMBERED = "You mapped a file with these columns before. Use the mapping of {name}?"
REMEMBERED_USE = "Use it"

COLUMNS_TITLE = "Which column is which?"
COLUMNS_HELP = (
    "These are the first rows. A place is a column or a path into one: data.answer, completions[].text for every entry "
    "of a list."
)
ROW_IS = "Each row is"
KINDS = {
    "pairs": "a preferred and a dispreferred answer",
    "labels": "an answer with a label",
    "ratings": "an answer, or several, with ratings",
    "ranks": "an answer, or several, with ranks",
}
PARTS = {
    "prompt": "Prompt",
    "preferred": "Preferred answer",
    "dispreferred": "Dispreferred answer",
    "response": "Answer",
    "label": "Label",
    "rating": "Rating",
    "rank": "Rank (1 is best)",
    "system": "System message",
    "weight": "Weight",
}
OPTIONAL = "{part} (if any)"
NO_PLACE = "(none)"
PLACE_UNKNOWN = "There is no column of this name."
PLACE_TWICE = "This one is chosen for {part} too."
PLACE_REFUSED = "{rows} refused. {reason}"
STILL_MISSING = "Choose a column for {parts}; then the first judgements appear here."

CENTRING = "Compare with"
CENTRINGS = {"global": "one rating for all", "prompt": "the mean of each prompt's own answers"}
WEIGHTING = "Weights"
WEIGHTINGS = {"equal": "all alike", "distance": "the further away, the heavier"}
THRESHOLD = "Preferred from"


def add_button(n_judgements: int) -> str:
    """Returns what the button says that stores them."""
    return f"Add {counted(n_judgements, 'judgement')}"
