"""Public sets of two answers side by side and a column that says which is better."""

from __future__ import annotations

from bnf_lab.data.mapping import ImportChoices
from tests.data.samples.pairs import ASKED, GOOD, JUDGED, POOR
from tests.data.samples.record import Sample, talk

BOTH_BAD = "both answers are bad"
TIES = "left out because the two answers tie"
Q, R = ASKED
(G, H), (P, S) = GOOD, POOR


def sided(i, first, second, verdict, values, **more):
    """A row with the good answer first or, in the second row, second."""
    q, g, p = JUDGED[i]
    return {"prompt": q, first: (g, p)[i], second: (p, g)[i], verdict: values[i], **more}


def pku(i, **more):
    harm = {"Endangering National Security": False, "Insulting Behavior": i == 1}
    return {
        **sided(i, "response_0", "response_1", "better_response_id", (0, 1)),
        "prompt_source": "WizardLM",
        "response_0_source": "Alpaca3-70B",
        "response_1_source": "Alpaca3-70B",
        "is_response_0_safe": True,
        "is_response_1_safe": i == 0,
        "response_0_harm_category": harm,
        "response_1_harm_category": harm,
        "response_0_severity_level": 0,
        "response_1_severity_level": 0,
        "safer_response_id": 0,
        "response_0_sha256": "39c2",
        "response_1_sha256": "4b8e",
        **more,
    }


def arena(winner, first, second, **more):
    return {
        "question_id": "58210e39b3fd4441a2bd4a518bb44c2d",
        "model_a": "chatglm-6b",
        "model_b": "koala-13b",
        "winner": winner,
        "judge": "arena_user_973",
        "conversation_a": first,
        "conversation_b": second,
        "turn": 1,
        "anony": True,
        "language": "English",
        "tstamp": 1682351591.1322,
        **more,
    }


MODERATED = {
    "openai_moderation": {"categories": {"hate": False}, "category_scores": {"hate": 1e-6}, "flagged": False},
    "toxic_chat_tag": {"roberta-large": {"flagged": False, "probability": 0.01}},
}
ARENA = [
    arena("model_a", talk(Q, G), talk(Q, P)),
    arena("model_b", talk(R, S), talk(R, H)),
    arena("tie", talk(Q, "Yes."), talk(Q, "Yes!")),
    arena("tie (bothbad)", talk(Q, P), talk(Q, "A brick.")),
    arena("model_a", talk(Q, "One.", R, H), talk(Q, "Two.", R, S), turn=2),
]
ARENA_JUDGED = [
    (Q, G, P),
    (R, H, S),
    (Q, "-" + P),
    (Q, "-A brick."),
    (f"{Q} | assistant: One. | {R}", "+" + H),
    (f"{Q} | assistant: Two. | {R}", "-" + S),
]
ARENA_SAID = (
    TIES,
    BOTH_BAD,
    "differ before their last turns",
)


def shown(role, text):
    return {"role": role, "content": [{"type": "text", "text": text, "image": None, "mimeType": None}]}


def shown_talk(asked, said):
    return [shown("user", asked), shown("assistant", said)]


def expert(winner, first, second):
    """A row of the Arena's 140k set."""
    a, b = shown_talk(Q, first), shown_talk(Q, second)
    return {
        "id": "0a1",
        "model_a": "x",
        "model_b": "y",
        "winner": winner,
        "evaluation_session_id": "0b",
        "evaluation_order": 1,
        "conversation_a": a,
        "conversation_b": b,
        "full_conversation": [{"user": a[0], "model_side_a": a[1], "model_side_b": b[1]}],
        "conv_metadata": {"sum_user_tokens": 4, "header_count_a": {"h1": 0}},
        "category_tag": {"math_v0.1": {"math": False}},
        "language": "en",
        "is_code": False,
        "timestamp": "2025-06-13T13:30:21",
    }


def web(i, scores):
    q, g, p = JUDGED[i]
    quotes = {"title": ["Fruit (example.com)"], "extract": ["An apple is a fruit, and so is a pear."]}
    tokens = {"prefix": [50, 51], "completion": [52]}
    return {
        "question": {"dataset": "eli5_full", "id": "9u", "full_text": q},
        "quotes_0": quotes,
        "answer_0": (g, p)[i],
        "tokens_0": tokens,
        "score_0": scores[0],
        "quotes_1": quotes,
        "answer_1": (p, g)[i],
        "tokens_1": tokens,
        "score_1": scores[1],
    }


SAMPLES = (
    Sample(
        "nvidia/HelpSteer2 (preference)",
        "HelpSteer2: signed preferences",
        [
            sided(
                i,
                "response_1",
                "response_2",
                "preference_strength",
                (-2, 3),
                split="train",
                preference_statement="@Response 1 is better than @Response 2.",
                preference_elaboration="It names a fruit, which was asked for.",
                three_most_similar_preferences=[{"statement": "It is better.", "elaboration": "Yes.", "strength": -2}],
                all_preferences_unprocessed=[{"strength": -2, "statement": "It is.", "elaboration": "Yes, it is."}],
            )
            for i in (0, 1)
        ],
        JUDGED,
    ),
    Sample(
        "nvidia/HelpSteer3 (preference)",
        "HelpSteer3: signed preferences",
        [
            {
                "domain": "general",
                "language": "english",
                "context": talk(Q, "Why?", "Because."),
                "response1": first,
                "response2": second,
                "overall_preference": sign,
                "individual_preference": [
                    {"score": sign, "reasoning": "It is better.", "feedback1": "It names one.", "feedback2": "No."}
                ],
            }
            for first, second, sign in ((G, P, -3), (P, G, 1), (G, P, 0))
        ],
        [(f"{Q} | assistant: Why? | Because.", G, P)] * 2,
        said=(TIES, "1 duplicate"),
        refused={3: "tie"},
    ),
    Sample(
        "stanfordnlp/SHP",
        "SHP: the better of two comments",
        [
            {
                "post_id": "qt3nxl",
                "domain": "askculinary_train",
                "upvote_ratio": 0.98,
                "history": (Q, R)[i],
                "c_root_id_A": "hkh1",
                "c_root_id_B": "hkh2",
                "created_at_utc_A": 1636822112,
                "created_at_utc_B": 1636822110,
                "score_A": (340, 12)[i],
                "score_B": (166, 40)[i],
                "human_ref_A": (G, S)[i],
                "human_ref_B": (P, H)[i],
                "labels": (1, 0)[i],
                "seconds_difference": 2.0,
                "score_ratio": 2.048192771,
            }
            for i in (0, 1)
        ],
        JUDGED,
    ),
    Sample(
        "PKU-Alignment/PKU-SafeRLHF",
        "PKU-SafeRLHF: the better of two responses",
        [pku(0), pku(1)],
        JUDGED,
        decides=("better_response_id", "safer_response_id"),
    ),
    Sample(
        "PKU-Alignment/PKU-SafeRLHF by safety",
        "PKU-SafeRLHF: the safer of two responses",
        [pku(0), pku(1)],
        [JUDGED[0], (R, S, H)],
        decides=("safer_response_id", "better_response_id"),
        choices=ImportChoices(decides="safer_response_id"),
    ),
    Sample(
        "PKU-Alignment/PKU-SafeRLHF-single-dimension",
        "PKU-SafeRLHF: the better of two responses",
        [sided(i, "response_0", "response_1", "better_response_id", (0, 1), prompt_source="x") for i in (0, 1)],
        JUDGED,
    ),
    Sample(
        "lmsys/chatbot_arena_conversations",
        "Chatbot Arena: the better of two conversations",
        [{**row, **MODERATED} for row in ARENA],
        ARENA_JUDGED,
        said=ARENA_SAID,
        refused={3: "tie"},
    ),
    Sample(
        "lmarena-ai/arena-human-preference-100k",
        "Chatbot Arena: the better of two conversations",
        [
            {
                **row,
                "conv_metadata": {"sum_assistant_a_tokens": 10, "header_count_a": {"h1": 0}},
                "is_code": False,
                "is_refusal": False,
                "dedup_tag": {"high_freq": False, "sampled": True},
                "category_tag": {"if_v0.1": {"if": False, "score": 1}},
                "judge_hash": "c1f3",
            }
            for row in ARENA
        ],
        ARENA_JUDGED,
        said=ARENA_SAID,
        refused={3: "tie"},
    ),
    Sample(
        "lmarena-ai/arena-human-preference-140k",
        "Chatbot Arena: the better of two conversations",
        [expert("model_a", G, P), expert("model_b", "A brick.", "A pear."), expert("both_bad", "A pipe.", "A car.")],
        [(Q, G, P), (Q, "A pear.", "A brick."), (Q, "-A pipe."), (Q, "-A car.")],
        said=(BOTH_BAD,),
    ),
    Sample(
        "lmsys/mt_bench_human_judgments",
        "Chatbot Arena: the better of two conversations",
        [
            {
                "question_id": 81,
                "model_a": "alpaca-13b",
                "model_b": "gpt-3.5-turbo",
                "winner": winner,
                "judge": "author_2",
                "conversation_a": talk(Q, P, R, S),
                "conversation_b": talk(Q, G, R, H),
                "turn": turn,
            }
            for winner, turn in (("model_b", 1), ("model_b", 2), ("tie", 1))
        ],
        [
            (Q, G, P),
            (f"{Q} | assistant: {G} | {R}", "+" + H),
            (f"{Q} | assistant: {P} | {R}", "-" + S),
        ],
        said=(TIES, "differ before their last turns", "judged at an earlier turn"),
        refused={3: "tie"},
    ),
    Sample(
        "openai/webgpt_comparisons",
        "WebGPT comparisons: the answer with the higher score",
        [web(0, (0.5, -0.5)), web(1, (-1.0, 1.0)), web(0, (0.0, 0.0))],
        JUDGED,
        said=(TIES,),
        refused={3: "tie"},
    ),
    Sample(
        "tatsu-lab/alpaca_farm",
        "AlpacaFarm: the better of two outputs",
        [
            {
                "instruction": q,
                "input": "",
                "output_1": (g, p)[i],
                "output_2": (p, g)[i],
                "preference": i + 1,
                "raw_preference": i + 1,
            }
            for i, (q, g, p) in enumerate(JUDGED)
        ],
        JUDGED,
    ),
    Sample(
        "a spreadsheet with columns A and B",
        "two answers and which is better",
        [
            {
                "Timestamp": "2024/05/01 10:00:00",
                "Prompt": q,
                "Response A": (g, p)[i],
                "Response B": (p, g)[i],
                "Which is better?": ("Response A", "Response B")[i],
            }
            for i, (q, g, p) in enumerate(JUDGED)
        ],
        JUDGED,
        formats=("csv", "jsonl"),
    ),
    Sample(
        "a spreadsheet with sentences as verdicts",
        "two answers and which is better",
        [
            {"Question": q, "Answer 1": a, "Answer 2": b, "Preferred": said}
            for q, a, b, said in ((Q, G, P, "Answer 1 is better"), (R, S, H, "2 is better"), (Q, G, H, "Both are bad"))
        ],
        [(Q, G, P), (R, H, S), (Q, "-" + G), (Q, "-" + H)],
        said=(BOTH_BAD, "contradictory verdicts"),
        formats=("csv", "jsonl"),
    ),
    Sample(
        "a tool with left and right",
        "two answers and which is better",
        [
            {"question": q, "answer_left": a, "answer_right": b, "winner": w, "annotator": "x"}
            for q, a, b, w in ((Q, G, P, "left"), (R, S, H, "RIGHT"), (Q, G, H, "tie"))
        ],
        JUDGED,
        said=(TIES,),
        refused={3: "tie"},
        formats=("csv", "jsonl"),
    ),
    Sample(
        "a choice whose column has any name (Label Studio, JSON-MIN)",
        "two answers and which is better",
        [
            {"id": i, "prompt": q, "answer1": a, "answer2": b, "pw": w, "lead_time": 4.2}
            for i, (q, a, b, w) in enumerate(((Q, G, P, "left"), (R, S, H, "right"), (Q, G, H, "tie")))
        ],
        JUDGED,
        said=(TIES,),
        refused={3: "tie"},
        formats=("csv", "jsonl"),
    ),
    Sample(
        "a choice by the model's name",
        "two answers and which is better",
        [
            {"prompt": q, "model_a": "x-7b", "model_b": "y-7b", "response_a": a, "response_b": b, "winner": w}
            for q, a, b, w in ((Q, G, P, "model_a"), (R, S, H, "model_b"))
        ],
        JUDGED,
        formats=("csv", "jsonl"),
    ),
    Sample(
        "a choice by the names of two models",
        "two answers and which is better",
        [
            {"prompt": q, "model_1": "x-7b", "model_2": "y-7b", "answer_1": a, "answer_2": b, "winner": w}
            for q, a, b, w in ((Q, G, P, "x-7b"), (R, S, H, "y-7b"), (Q, G, P, "tie"))
        ],
        JUDGED,
        said=(TIES,),
        refused={3: "tie"},
        formats=("csv", "jsonl"),
    ),
    Sample(
        "a spreadsheet with columns A and B alone",
        "two answers and which is better",
        [{"Prompt": q, "A": a, "B": b, "Better": w} for q, a, b, w in ((Q, G, P, "A"), (R, S, H, "b"))],
        JUDGED,
        formats=("csv", "jsonl"),
    ),
    Sample(
        "a choice by the answer's own text",
        "two answers and which is better",
        [
            {"prompt": q, "response_a": a, "response_b": b, "preferred_response": w}
            for q, a, b, w in ((Q, G, P, G), (R, S, H, H))
        ],
        JUDGED,
        formats=("csv", "jsonl"),
    ),
)
