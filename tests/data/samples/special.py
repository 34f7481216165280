"""Public sets with a shape of their own: summaries, the Arena's lists, steps of solutions, trees."""

from __future__ import annotations

import json

from tests.data.samples.pairs import ASKED, GOOD, POOR
from tests.data.samples.record import Sample, talk

Q, R = ASKED
(G, H), (P, S) = GOOD, POOR
TIES = "left out because the two answers tie"
POST = "I ate an apple while I baked bread, and now I cannot stop."
STEPS = "steps are rated one by one"


def summaries(choice, *, article=None, **more):
    info = {"id": "t3_1", "post": None if article else POST, "title": "TIFU by eating", "subreddit": "tifu"}
    return {
        "info": {**info, "site": None, "article": article},
        "summaries": [{"text": f" {text}", "policy": "sup1", "note": "ok"} for text in (G, P)],
        "choice": choice,
        "worker": "ikNm",
        "batch": "batch3",
        "split": "train",
        "extra": {"confidence": 8},
        **more,
    }


def axis(text, overall):
    return {
        "info": {"id": "t3_1", "post": POST, "title": "TIFU by eating", "subreddit": "tifu", "site": None},
        "summary": {
            "text": f" {text}",
            "policy": "sup1",
            "note": "It names the apple.",
            "axes": {"overall": overall, "accuracy": 6, "coverage": 5, "coherence": 7, "compatible": None},
        },
        "worker": "ikNm",
        "batch": "batch1",
        "split": "valid2",
    }


def lists(first, second, won, asked=(Q,)):
    return {
        "id": 30192,
        "model_a": "gpt-4",
        "model_b": "koala",
        "prompt": json.dumps(asked),
        "response_a": json.dumps(first),
        "response_b": json.dumps(second),
        "winner_model_a": int(won == "a"),
        "winner_model_b": int(won == "b"),
        "winner_tie": int(won == "tie"),
    }


def step(*rated, chosen=None, human=None):
    completions = [{"text": text, "rating": rating, "flagged": False} for text, rating in rated]
    return {"completions": completions, "human_completion": human, "chosen_completion": chosen}


def solution(finish, *steps, phase=2):
    question = {"problem": "How much is 2 + 3 + 4?", "ground_truth_answer": "9"}
    if phase == 2:
        question |= {"pre_generated_steps": ["First step.", "Second."], "pre_generated_answer": "9"}
    return {
        "labeler": "340d",
        "timestamp": "2022-07-17T16:56:51.323252",
        "generation": 9 if phase == 2 else None,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": question,
        "label": {"steps": list(steps), "total_time": 278270, "finish_reason": finish},
    }


PROBLEM = "How much is 2 + 3 + 4?"
NO_STEPS = "neither right nor wrong"

SETS = (
    Sample(
        "openai/summarize_from_feedback (comparisons)",
        "Summarize-from-feedback: the better of two summaries",
        [summaries(0), summaries(1, article="An article.")],
        [(f"TIFU by eating\n\n{POST}", " " + G, " " + P), ("TIFU by eating\n\nAn article.", " " + P, " " + G)],
    ),
    Sample(
        "openai/summarize_from_feedback (axis)",
        "Summarize-from-feedback: ratings by overall",
        [axis(G, 7), axis(P, 2), axis(S, None)],
        [(f"TIFU by eating\n\n{POST}", "+ " + G), (f"TIFU by eating\n\n{POST}", "- " + P)],
        said=("preferred from a rating of 4.5",),
        refused={3: "a rating is"},
        decides=("overall", "accuracy", "coverage", "coherence"),
    ),
    Sample(
        "trl-internal-testing/tldr-preference-trl-style",
        "TRL preference: pairs of messages",
        [
            summaries(
                0,
                prompt=f"SUBREDDIT: r/tifu\n\nPOST: {POST}\n\nTL;DR:",
                chosen=talk(f"SUBREDDIT: r/tifu\n\nPOST: {POST}\n\nTL;DR:", G),
                rejected=talk(f"SUBREDDIT: r/tifu\n\nPOST: {POST}\n\nTL;DR:", P),
            )
        ],
        [(f"SUBREDDIT: r/tifu\n\nPOST: {POST}\n\nTL;DR:", G, P)],
    ),
    Sample(
        "lmarena-ai/arena-human-preference-55k",
        "Chatbot Arena (55k): the better of two conversations",
        [
            lists((G,), (P,), "a"),
            lists((S,), (H,), "b", (R,)),
            lists((G,), (P,), "tie"),
            lists((None,), (P,), "b"),
            lists((G, H), (P, S), "a", (Q, R)),
        ],
        [(Q, G, P), (R, H, S), (f"{Q} | assistant: {G} | {R}", "+" + H), (f"{Q} | assistant: {P} | {R}", "-" + S)],
        said=(TIES, "a text is empty", "differ before their last turns"),
        refused={3: "tie", 4: "missing"},
        formats=("csv", "jsonl", "parquet"),
    ),
    Sample(
        "openai/prm800k (phase 2)",
        "PRM800K: solutions by their steps",
        [
            solution("solution", step(("First, 2 + 3 is 5.", 1), chosen=0), step(("So it is 9.\n\n# Answer\n\n9", 1))),
            solution("found_error", step(("First, 2 + 3 is 5.", 1), chosen=0), step(("So it is 8.", -1))),
            solution("give_up", step(("Let me think.", 0), chosen=0)),
            solution("bad_problem", step(("Let me think.", None))),
        ],
        [
            (PROBLEM, "+First, 2 + 3 is 5.\nSo it is 9.\n\n# Answer\n\n9"),
            (PROBLEM, "-First, 2 + 3 is 5.\nSo it is 8."),
        ],
        said=(STEPS, TIES),
        refused={3: NO_STEPS, 4: NO_STEPS},
        formats=("jsonl", "json"),
    ),
    Sample(
        "openai/prm800k (phase 1)",
        "PRM800K: solutions by their steps",
        [
            solution(
                "solution",
                step(("First, 2 + 3 is 6.", -1), ("First, 2 + 3 is 5.", 1), ("I like sums.", 0), chosen=1),
                step(
                    ("So it is 8.", -1), human={"text": "So it is 9.", "rating": None, "source": "x", "flagged": False}
                ),
                phase=1,
            )
        ],
        [(PROBLEM, "+First, 2 + 3 is 5.\nSo it is 9.")],
        said=(STEPS, "only one class"),
        formats=("jsonl", "json"),
    ),
    Sample(
        "trl-lib/prm800k",
        "TRL stepwise supervision: solutions by their steps",
        [
            {"prompt": PROBLEM, "completions": ["2 + 3 is 5.", "5 + 4 is 9."], "labels": [True, True]},
            {
                "prompt": PROBLEM,
                "completions": ["2 + 3 is 5.", "5 + 4 is 8.", "It is 8."],
                "labels": [True, False, False],
            },
        ],
        [(PROBLEM, "+2 + 3 is 5.\n5 + 4 is 9."), (PROBLEM, "-2 + 3 is 5.\n5 + 4 is 8.")],
        said=(STEPS,),
    ),
)


def node(i, text, replies=(), role="assistant", **more):
    return {
        "message_id": f"m{i}",
        "user_id": "u",
        "created_date": "2023-02-05T14:23:50.983374+00:00",
        "text": text,
        "role": role,
        "lang": "en",
        "review_count": 3,
        "review_result": True,
        "deleted": False,
        "synthetic": False,
        "model_name": None,
        "detoxify": None,
        "emojis": {"+1": 4},
        "labels": {"quality": {"value": 0.7, "count": 3}},
        "replies": list(replies),
        **more,
    }


def tree(root):
    return {"message_tree_id": root["message_id"], "tree_state": "ready_for_export", "prompt": root}


TREES = [
    tree(
        node(
            1,
            Q,
            [
                node(2, G, [node(5, "Why?", [node(6, "So.", rank=0), node(7, "No.", rank=1)], "prompter")], rank=0),
                node(3, P, rank=1),
                node(4, "Gone.", rank=2, deleted=True),
            ],
            "prompter",
        )
    ),
    tree(node(8, R, [node(9, H, rank=None)], "prompter")),
    tree(node(10, "Alone?", [], "prompter")),
]
TREE_JUDGED = [
    (Q, "+" + G),
    (Q, "-" + P),
    (f"{Q} | assistant: {G} | Why?", "+So."),
    (f"{Q} | assistant: {G} | Why?", "-No."),
]


def flat(i, parent, text, rank=None, role="assistant", **more):
    return {
        "message_id": f"m{i}",
        "parent_id": parent,
        "user_id": "u",
        "created_date": "2023-02-05T14:23:50.983374+00:00",
        "text": text,
        "role": role,
        "lang": "en",
        "review_count": 3,
        "review_result": True,
        "deleted": False,
        "rank": rank,
        "synthetic": False,
        "model_name": None,
        "detoxify": {"toxicity": 0.0004, "insult": 0.0002},
        "message_tree_id": "m1",
        "tree_state": "ready_for_export",
        "emojis": {"name": ["+1"], "count": [1]},
        "labels": {"name": ["spam"], "value": [0.0], "count": [3]},
        **more,
    }


FLAT = [
    flat(1, None, Q, role="prompter"),
    flat(2, "m1", G, 0.0),
    flat(3, "m1", P, 1.0),
    flat(4, "m1", "Gone.", 2.0, deleted=True),
    flat(5, "m2", "Why?", role="prompter"),
    flat(6, "m5", "So.", 0.0),
    flat(7, "m5", "No.", 1.0),
    flat(8, "m99", "Lost.", 0.0),
    flat(9, "m99", "Lost too.", 1.0),
    flat(10, None, R, role="prompter"),
    flat(11, "m10", H),
]

OASST = (
    Sample(
        "OpenAssistant/oasst2 (trees)",
        "OpenAssistant trees: ranked siblings",
        TREES,
        TREE_JUDGED,
        said=("ranks (1 = best)", "left out because nobody has judged them", "answers without a rank"),
        refused={2: "nothing in it is judged", 3: "nothing in it is judged"},
        formats=("jsonl", "json"),
    ),
    Sample(
        "OpenAssistant/oasst1 (messages)",
        "OpenAssistant messages: ranked siblings",
        FLAT,
        TREE_JUDGED,
        said=("ranks (1 = best)", "left out because nobody has judged them"),
        refused={4: "no rank", 8: "'m99', which is not in the file", 9: "'m99'", 10: "no rank", 11: "no rank"},
    ),
)

SAMPLES = (*SETS, *OASST)
