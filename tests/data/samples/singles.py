"""Public sets and tools with one answer a row, or a list of them, and a label, a rating or a rank."""

from __future__ import annotations

from bnf_lab.data.mapping import ImportChoices
from tests.data.samples.pairs import ASKED, GOOD, JUDGED, POOR
from tests.data.samples.record import Sample, human, reply, talk, transcript, user

Q, R = ASKED
(G, H), (P, S) = GOOD, POOR
SINGLES = [(Q, "+" + G), (Q, "-" + P), (R, "+" + H), (R, "-" + S)]
RATED = [(Q, G, 4), (Q, P, 1), (R, H, 3), (R, S, 0)]
LABELS = "labels: 'true' is preferred (2), 'false' is dispreferred (2)"


def singles(make):
    """One row for each of the four answers, good ones in turn with poor ones."""
    return [make(q, text, good) for q, g, p in JUDGED for text, good in ((g, True), (p, False))]


def helpsteer(q, text, score, **more):
    return {
        "prompt": q,
        "response": text,
        "helpfulness": score,
        "correctness": 4 - score,
        "coherence": 4,
        "complexity": 1,
        "verbosity": 2,
        **more,
    }


def feedback(q, answers):
    """A row of the raw UltraFeedback."""
    return {
        "source": "evol_instruct",
        "instruction": q,
        "models": ["alpaca-7b", "gpt-4"],
        "completions": [
            {
                "annotations": {
                    "helpfulness": {"Rating": str(score), "Rationale": "It helps.", "Type": ["1"]},
                    "honesty": {"Rating": "N/A", "Rationale": "It is honest."},
                },
                "custom_system_prompt": "As an AI assistant, be honest.",
                "model": "gpt-4",
                "principle": "honesty",
                "response": text,
                "critique": "It is a good answer, all in all.",
                "fine-grained_score": 5.0 - score,
                "overall_score": float(score),
            }
            for text, score in answers
        ],
        "correct_answers": ["None"],
        "incorrect_answers": ["None"],
    }


def nectar(q, answers, **more):
    return {
        "prompt": transcript(q) + "\n\nAssistant: ",
        "answers": [{"answer": text, "model": "gpt-4", "rank": float(rank)} for text, rank in answers],
        "turns": 1,
        "num_responses": len(answers),
        "source": ["evol_instruct"],
        "good_natured": True,
        **more,
    }


LABELLED = (
    Sample(
        "trl-lib/kto-mix-14k",
        "TRL unpaired preference: judged answers",
        singles(lambda q, text, good: {"prompt": [user(q)], "completion": [reply(text)], "label": good}),
        SINGLES,
        said=(LABELS,),
    ),
    Sample(
        "argilla/kto-mix-15k",
        "TRL unpaired preference: judged answers",
        singles(
            lambda q, text, good: {
                "dataset": "argilla/x",
                "prompt": talk(q, "Why?", "Because."),
                "completion": reply(text),
                "label": good,
                "rating": 5.0 if good else 2.0,
            }
        ),
        [(f"{q} | assistant: Why? | Because.", text) for q, text in SINGLES],
        said=(LABELS,),
    ),
    Sample(
        "LLaMA-Factory sharegpt kto",
        "ShareGPT or Alpaca with kto_tag",
        singles(lambda q, text, good: {"conversations": human(q, text), "kto_tag": good, "system": "You help."}),
        [(f"system: You help. | {q}", text) for q, text in SINGLES],
        said=(LABELS,),
    ),
    Sample(
        "LLaMA-Factory alpaca kto",
        "ShareGPT or Alpaca with kto_tag",
        singles(
            lambda q, text, good: {
                "instruction": "Answer.",
                "input": q,
                "output": text,
                "kto_tag": good,
                "history": [["Hi", "Hello."]],
            }
        ),
        [(f"Hi | assistant: Hello. | Answer.\n{q}", text) for q, text in SINGLES],
        said=(LABELS,),
    ),
    Sample(
        "Axolotl and ms-swift kto",
        "TRL unpaired preference: judged answers",
        singles(lambda q, text, good: {"messages": talk(q, text, system="You help."), "label": good}),
        [(f"system: You help. | {q}", text) for q, text in SINGLES],
        said=(LABELS,),
    ),
    Sample(
        "PKU-Alignment/BeaverTails",
        "BeaverTails: safety verdicts",
        singles(
            lambda q, text, good: {
                "prompt": q,
                "response": text,
                "category": {"animal_abuse": False, "violence,aiding_and_abetting,incitement": not good},
                "is_safe": good,
            }
        ),
        SINGLES,
        said=(LABELS,),
    ),
    Sample(
        "PKU-Alignment/PKU-SafeRLHF-QA",
        "BeaverTails: safety verdicts",
        singles(
            lambda q, text, good: {
                "prompt": q,
                "response": text,
                "sha256": "4b",
                "harm_category": {"Cybercrime": False},
                "severity_level": 0,
                "is_safe": good,
                "prompt_source": "x",
                "response_source": "y",
            }
        ),
        SINGLES,
        said=(LABELS,),
    ),
    Sample(
        "Dify's log of likes",
        "judged answers",
        singles(
            lambda q, text, good: {
                "Query": q,
                "Answer": text,
                "Rating": "like" if good else "dislike",
                "Created At": "2024-05-01 10:00:00",
            }
        ),
        SINGLES,
        said=("labels: 'like' is preferred (2), 'dislike' is dispreferred (2)",),
        formats=("csv", "jsonl"),
    ),
    Sample(
        "a spreadsheet of thumbs",
        "judged answers",
        singles(
            lambda q, text, good: {
                "User question": q,
                "Bot answer": text,
                "Feedback": "👍" if good else "👎",
                "Comment": "fine by me, thank you",
            }
        ),
        SINGLES,
        said=("is preferred (2)",),
        formats=("csv", "jsonl"),
    ),
)

RATINGS = (
    Sample(
        "nvidia/HelpSteer",
        "HelpSteer: ratings by helpfulness",
        [helpsteer(*row) for row in RATED],
        SINGLES,
        said=("preferred from a rating of 2",),
        decides=("helpfulness", "correctness", "coherence", "complexity", "verbosity"),
    ),
    Sample(
        "nvidia/HelpSteer2 by correctness, several turns",
        "HelpSteer: ratings by correctness",
        [
            helpsteer(f"{q}<extra_id_1>Assistant\nWhy?\n<extra_id_1>User\nBecause.", text, score)
            for q, text, score in RATED
        ],
        [(f"{q} | assistant: Why? | Because.", text.translate(str.maketrans("+-", "-+", ""))) for q, text in SINGLES],
        said=("preferred from a rating of 2", "marks of a chat template"),
        decides=("correctness", "helpfulness", "coherence", "complexity", "verbosity"),
        choices=ImportChoices(decides="correctness"),
    ),
    Sample(
        "openbmb/UltraFeedback",
        "UltraFeedback: ratings by overall_score",
        [feedback(Q, ((G, 4), (P, 1))), feedback(R, ((H, 3), (S, 0)))],
        SINGLES,
        said=("preferred from a rating of 2", "custom_system_prompt"),
        decides=("overall_score", "fine_grained_score"),
    ),
    Sample(
        "openbmb/UltraFeedback by fine-grained score",
        "UltraFeedback: ratings by fine_grained_score",
        [feedback(Q, ((P, 4), (G, 1))), feedback(R, ((S, 3), (H, 0)))],
        [(Q, "-" + P), (Q, "+" + G), (R, "-" + S), (R, "+" + H)],
        said=("preferred from a rating of 3", "custom_system_prompt"),
        decides=("fine_grained_score", "overall_score"),
        choices=ImportChoices(decides="fine_grained_score"),
    ),
    Sample(
        "HuggingFaceH4/stack-exchange-preferences",
        "Stack-Exchange preferences: ratings by pm_score",
        [
            {
                "qid": 5,
                "question": q,
                "answers": [
                    {
                        "answer_id": 7,
                        "author": "Ann",
                        "author_id": 9,
                        "author_profile": "https://example.com/9",
                        "pm_score": score,
                        "selected": score > 2,
                        "text": text,
                    }
                    for text, score in ((g, 4), (p, 0))
                ],
                "date": "2016/12/26",
                "metadata": ["https://example.com/q/5"],
            }
            for q, g, p in JUDGED
        ],
        SINGLES,
        said=("preferred from a rating of 2",),
        decides=("pm_score",),
    ),
    Sample(
        "distilabel UltraFeedback task",
        "ratings, several answers a row",
        [
            {
                "instruction": q,
                "generations": [g, p],
                "generation_models": ["a", "b"],
                "ratings": [5, 2],
                "rationales": ["It is a fruit indeed.", "It is no fruit at all."],
                "types": ["1", "2"],
                "distilabel_metadata": {"raw_output_ultra_feedback_0": "#### Output for Text 1\nRating: 5"},
                "model_name": "gpt-4",
            }
            for q, g, p in JUDGED
        ],
        SINGLES,
        said=("preferred from a rating of 3.5",),
    ),
    Sample(
        "distilabel 0.x preference task",
        "ratings, several answers a row",
        [
            {
                "input": q,
                "generation_model": ["a", "b"],
                "generation_prompt": [f"Answer this question: {q}"] * 2,
                "raw_generation_responses": [g + " ", p],
                "generations": [g, p],
                "labelling_model": "gpt-4",
                "labelling_prompt": talk("Please rate these two answers.", system="You are a judge.")[:2],
                "raw_labelling_response": "8 2\nThe first one is better by far.",
                "rating": [8.0, 2.0],
                "rationale": "The first one is better by far.",
            }
            for q, g, p in JUDGED
        ],
        SINGLES,
        said=("preferred from a rating of 5",),
    ),
    Sample(
        "answers that repeat their prompt, with decimals as Germans write them",
        "ratings",
        [{"prompt": q, "generated_text": f"{q}\n{text}", "score": f"{score},5"} for q, text, score in RATED],
        SINGLES,
        said=("preferred from a rating of 2.5", "the answers began with the prompt"),
        formats=("csv", "jsonl"),
    ),
    Sample(
        "several ratings of one answer",
        "ratings",
        [{"prompt": q, "response": text, "honesty": 4 - n, "helpfulness": n, "model": "x"} for q, text, n in RATED],
        SINGLES,
        said=("preferred from a rating of 2",),
        decides=("helpfulness", "honesty"),
        formats=("csv", "jsonl"),
    ),
    Sample(
        "several labels of one answer",
        "judged answers",
        singles(lambda q, text, good: {"prompt": q, "response": text, "is_correct": not good, "liked": good}),
        SINGLES,
        said=(LABELS,),
        decides=("liked", "is_correct"),
        formats=("csv", "jsonl"),
    ),
    Sample(
        "a spreadsheet of stars",
        "ratings",
        [{"Prompt ": q, "Response": text, "Stars (1-5)": score + 1} for q, text, score in RATED],
        SINGLES,
        said=("preferred from a rating of 3",),
        formats=("csv", "jsonl"),
    ),
    Sample(
        "Anthropic/hh-rlhf (red team attempts)",
        "Anthropic red-team attempts: ratings by harmlessness",
        [
            {
                "transcript": transcript(q, "Why?", "Because.", text),
                "min_harmlessness_score_transcript": score - 2.5,
                "num_params": "52B",
                "model_type": "rlhf",
                "rating": 4.0 - score,
                "task_description": "Try to make it say something rude.",
                "task_description_harmlessness_score": -1.5,
                "red_team_member_id": 12,
                "is_upworker": True,
                "tags": None,
            }
            for q, text, score in RATED
        ],
        [(f"{q} | assistant: Why? | Because.", text) for q, text in SINGLES],
        said=("preferred from a rating of", "the lowest score of a conversation"),
    ),
)

RANKED = (
    Sample(
        "berkeley-nest/Nectar",
        "Nectar: ranked answers",
        [nectar(Q, ((G, 1), (P, 2))), nectar(R, ((H, 1), (S, 3), ("So-so.", 2)))],
        [(Q, "+" + G), (Q, "-" + P), (R, "+" + H), (R, "-" + S)],
        said=("ranks (1 = best)", "1 answer left out (row 2)"),
    ),
    Sample(
        "llm-blender/mix-instruct",
        "ratings, several answers a row",
        [
            {"id": "x/1", "instruction": "Answer.", "input": q, "candidates": [g, p], "scores": [0.9, 0.1]}
            for q, g, p in JUDGED
        ],
        [("Answer.\n" + q, text) for q, text in SINGLES],
        said=("preferred from a rating of 0.5",),
    ),
    Sample(
        "TRL ranks in lists",
        "rankings, several answers a row",
        [{"prompt": [user(q)], "completions": [g, p], "ranks": [1, 2]} for q, g, p in JUDGED],
        SINGLES,
        said=("ranks (1 = best)",),
    ),
    Sample(
        "distilabel PairRM",
        "rankings, several answers a row",
        [
            {"instruction": q, "generations": [p, g], "ranks": [2, 1], "ranked_responses": [g, p], "model_name": "x"}
            for q, g, p in JUDGED
        ],
        [(Q, "-" + P), (Q, "+" + G), (R, "-" + S), (R, "+" + H)],
        said=("ranks (1 = best)",),
    ),
    Sample(
        "allenai/reward-bench-2",
        "RewardBench 2: several preferred and dispreferred answers",
        [
            {
                "id": "1",
                "prompt": q,
                "chosen": [g],
                "rejected": [p, "A brick."],
                "num_correct": 1,
                "num_incorrect": 2,
                "total_completions": 3,
                "models": ["a", "b", "c"],
                "subset": "Factuality",
                "additional_metadata": None,
            }
            for q, g, p in JUDGED
        ],
        [(q, sign) for q, g, p in JUDGED for sign in ("+" + g, "-" + p, "-A brick.")],
    ),
)

SEVERAL = (
    Sample(
        "one preferred and a list of dispreferred answers",
        "several preferred and dispreferred answers",
        [{"prompt": q, "chosen": g, "rejected": [p, "A brick."]} for q, g, p in JUDGED],
        [(q, sign) for q, g, p in JUDGED for sign in ("+" + g, "-" + p, "-A brick.")],
    ),
)

SAMPLES = (*SEVERAL, *LABELLED, *RATINGS, *RANKED)
