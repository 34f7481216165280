"""Public sets and tools that give a preferred and a dispreferred answer in two columns of a row."""

from __future__ import annotations

from tests.data.samples.record import Sample, human, reply, talk, transcript

ASKED = ("Name a fruit.", "Who bakes bread?")
GOOD = ("An apple.", "A baker does.")
POOR = ("A stone.", "A plumber does.")
JUDGED = list(zip(ASKED, GOOD, POOR, strict=True))
TALKED = [(f"{q} | assistant: Why? | Because.", g, p) for q, g, p in JUDGED]
EQUAL = "both answers have the same score"


def rows(make):
    return [make(i, *texts) for i, texts in enumerate(JUDGED)]


def pairs(**more):
    """Rows of plain texts with more columns beside them."""
    return rows(lambda i, q, g, p: {"prompt": q, "chosen": g, "rejected": p, **more})


def whole(*more):
    """Rows of whole conversations."""
    return rows(lambda i, q, g, p: {"chosen": talk(q, *more, g), "rejected": talk(q, *more, p)})


def with_prompt(i, q, g, p):
    return {"prompt": q, "chosen": talk(q, g), "rejected": talk(q, p)}


FEEDBACK = (
    Sample(
        "HuggingFaceH4/ultrafeedback_binarized",
        "UltraFeedback (binarized): pairs of messages with scores",
        rows(
            lambda i, q, g, p: {
                **with_prompt(i, q, g, p),
                "prompt_id": f"f0e{i}" * 8,
                "messages": talk(q, g),
                "score_chosen": 8.5,
                "score_rejected": (8.5, 3.0)[i],
            }
        ),
        JUDGED,
        said=(EQUAL,),
    ),
    Sample(
        "trl-lib/ultrafeedback_binarized",
        "TRL preference: pairs of messages with scores, the prompt within",
        [{**row, "score_chosen": 8.5, "score_rejected": 3.0} for row in whole()],
        JUDGED,
    ),
    Sample(
        "allenai/ultrafeedback_binarized_cleaned",
        "UltraFeedback (binarized): pairs of messages with scores",
        rows(
            lambda i, q, g, p: {
                **with_prompt(i, q, g, p),
                "prompt_id": "0",
                "messages": talk(q, g),
                "score_chosen": 8.5,
                "score_rejected": 2.0,
                "source": "evol_instruct",
            }
        ),
        JUDGED,
    ),
    Sample(
        "argilla/ultrafeedback-binarized-preferences",
        "UltraFeedback (binarized): pairs with scores",
        rows(
            lambda i, q, g, p: {
                "source": "sharegpt",
                "instruction": q,
                "chosen_response": g,
                "rejected_response": p,
                "chosen_avg_rating": 4.75,
                "rejected_avg_rating": 2.0,
                "chosen_model": "gpt-4",
                "rejected_model": "llama-2-7b-chat",
            }
        ),
        JUDGED,
    ),
    Sample(
        "argilla/ultrafeedback-binarized-preferences-cleaned",
        "UltraFeedback (binarized, cleaned): pairs of messages with scores",
        rows(
            lambda i, q, g, p: {
                "source": "flan_v2_niv2",
                **with_prompt(i, q, g, p),
                "chosen-rating": 4.75,
                "chosen-model": "gpt-4",
                "rejected-rating": 2.0,
                "rejected-model": "llama-2-7b-chat",
            }
        ),
        JUDGED,
    ),
    Sample(
        "princeton-nlp/llama3-ultrafeedback-armorm",
        "UltraFeedback (on-policy): pairs of messages",
        rows(
            lambda i, q, g, p: {
                "prompt_id": "ab",
                **with_prompt(i, q, g, p),
                "all_generated_responses": [p, "Some longer text of another answer.", g],
                "all_rm_scores": [0.11, 0.13, 0.17],
            }
        ),
        JUDGED,
    ),
    Sample(
        "snorkelai/Snorkel-Mistral-PairRM-DPO-Dataset",
        "UltraFeedback (on-policy): pairs of messages",
        rows(
            lambda i, q, g, p: {
                "prompt_id": "ab",
                **with_prompt(i, q, g, p),
                "all_generated_responses": [p, "Some longer text of another answer.", g],
                "all_rm_scores": [-1.5, 0.25, 4.0],
            }
        ),
        JUDGED,
    ),
)

TRANSCRIPTS = (
    Sample(
        "Anthropic/hh-rlhf",
        "Anthropic HH: pairs of transcripts",
        rows(
            lambda i, q, g, p: {
                "chosen": transcript(q, "Why?", "Because.", g),
                "rejected": transcript(q, "Why?", "Because.", p),
            }
        ),
        TALKED,
    ),
    Sample(
        "Dahoas/full-hh-rlhf",
        "Anthropic HH: pairs",
        rows(
            lambda i, q, g, p: {
                "prompt": transcript(q) + "\n\nAssistant:",
                "response": " " + g,
                "chosen": " " + g,
                "rejected": " " + p,
            }
        ),
        [(q, " " + g, " " + p) for q, g, p in JUDGED],
    ),
    Sample(
        "Dahoas/static-hh",
        "Anthropic HH: pairs",
        rows(
            lambda i, q, g, p: {
                "prompt": transcript(q, "Why?", "Because.") + "\n\nAssistant: ",
                "response": g,
                "chosen": g,
                "rejected": p,
            }
        ),
        TALKED,
    ),
    Sample(
        "Dahoas/rm-static",
        "Anthropic HH: pairs",
        rows(
            lambda i, q, g, p: {
                "prompt": transcript(q, "Why?", "Because.") + "\n\nAssistant:",
                "response": g,
                "chosen": g,
                "rejected": p,
                "__index_level_0__": i,
            }
        ),
        TALKED,
    ),
    Sample(
        "transcripts with a name before each line",
        "TRL preference: pairs",
        rows(
            lambda i, q, g, p: {
                "chosen": f"User: {q}\nAssistant: Why?\nUser: Because.\nAssistant: {g}",
                "rejected": f"User: {q}\nAssistant: Why?\nUser: Because.\nAssistant: {p}",
            }
        ),
        TALKED,
    ),
    Sample(
        "answers that repeat the conversation with names",
        "TRL preference: pairs",
        rows(
            lambda i, q, g, p: {
                "prompt": f"system: You help.\nuser: {q}\nassistant:",
                "chosen": f"**User:** {q}\n\n**Assistant:** {g}",
                "rejected": f"**User:** {q}\n\n**Assistant:** {p}",
            }
        ),
        [(f"system: You help. | {q}", g, p) for q, g, p in JUDGED],
    ),
    Sample(
        "trl-lib/hh-rlhf-helpful-base",
        "TRL preference: pairs of messages",
        rows(lambda i, q, g, p: {"prompt": talk(q, "Why?", "Because."), "chosen": [reply(g)], "rejected": [reply(p)]}),
        TALKED,
    ),
    Sample(
        "CarperAI/openai_summarize_comparisons",
        "TRL preference: pairs",
        rows(
            lambda i, q, g, p: {
                "prompt": f"SUBREDDIT: r/tifu\nTITLE: {q}\nPOST: I did it.\nTL;DR:",
                "chosen": f"TL;DR:  {g}",
                "rejected": f"TL;DR:  {p}",
            }
        ),
        [
            (f"SUBREDDIT: r/tifu\nTITLE: {q}\nPOST: I did it.\nTL;DR:", f"TL;DR:  {g}", f"TL;DR:  {p}")
            for q, g, p in JUDGED
        ],
    ),
    Sample(
        "trl-lib/tldr-preference",
        "TRL preference: pairs",
        rows(
            lambda i, q, g, p: {
                "prompt": f"SUBREDDIT: r/tifu\n\nTITLE: {q}\n\nPOST: I did it.\n\nTL;DR:",
                "chosen": " " + g,
                "rejected": " " + p,
            }
        ),
        [(f"SUBREDDIT: r/tifu\n\nTITLE: {q}\n\nPOST: I did it.\n\nTL;DR:", " " + g, " " + p) for q, g, p in JUDGED],
    ),
)

MIXTURES = (
    Sample(
        "argilla/distilabel-capybara-dpo-7k-binarized",
        "Capybara-DPO: pairs of messages with scores",
        rows(
            lambda i, q, g, p: {
                "source": "Airoboros",
                "conversation": [{"input": q, "output": "Why?"}, {"input": "Because.", "output": g}],
                "original_response": g,
                "generation_prompt": ["System: You are helpful.", f"User: {q}"],
                "raw_generation_responses": [p, "Another answer that was made."],
                "new_generations": [p, "Another answer that was made."],
                "prompt": f"System: \nUser: {q}\nAssistant: Why?\nUser: Because.\n",
                "chosen": talk(q, "Why?", "Because.", g),
                "rejected": talk(q, "Why?", "Because.", p),
                "rating_chosen": 5,
                "rating_rejected": 4,
                "chosen_model": "original",
                "rejected_model": "notus-7b",
            }
        ),
        TALKED,
        said=("a blank system message was left out",),
    ),
    Sample(
        "trl-lib/Capybara-Preferences",
        "Capybara preferences: pairs of messages with scores, the prompt within",
        [
            {
                "source": "Airoboros",
                **row,
                "chosen_rating": 5.0,
                "chosen_model": "original",
                "rejected_rating": 4.0,
                "rejected_model": "notus-7b",
            }
            for row in whole("Why?", "Because.")
        ],
        TALKED,
    ),
    Sample(
        "Intel/orca_dpo_pairs",
        "Orca DPO pairs: pairs",
        rows(lambda i, q, g, p: {"system": ("", "You help.")[i], "question": q, "chosen": g, "rejected": p}),
        [JUDGED[0], ("system: You help. | " + ASKED[1], GOOD[1], POOR[1])],
    ),
    Sample(
        "argilla/distilabel-intel-orca-dpo-pairs",
        "Orca DPO pairs (distilabel): pairs",
        rows(
            lambda i, q, g, p: {
                "system": "You help.",
                "input": q,
                "chosen": g,
                "rejected": p,
                "generations": [g, p],
                "order": ["chosen", "rejected"],
                "labelling_model": "gpt-4-1106-preview",
                "labelling_prompt": talk("Please rate these answers, all of them.", system="You are a judge.")[:2],
                "raw_labelling_response": "9 9\n\nBoth are quite good answers.",
                "rating": [9.0, (9.0, 2.0)[i]],
                "rationale": "Both are quite good answers.",
                "status": ("tie", "unchanged")[i],
                "original_chosen": g,
                "original_rejected": p,
                "chosen_score": 9.0,
                "in_gsm8k_train": False,
            }
        ),
        [(f"system: You help. | {q}", g, p) for q, g, p in JUDGED],
        said=("the set's own note says that the two answers tie",),
    ),
    Sample(
        "mlabonne/chatml_dpo_pairs",
        "TRL preference: pairs",
        rows(
            lambda i, q, g, p: {
                "prompt": f"<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\n{q}<|im_end|>\n"
                "<|im_start|>assistant\n",
                "chosen": g + "<|im_end|>\n",
                "rejected": p + "<|im_end|>\n",
            }
        ),
        [(f"system: You help. | {q}", g, p) for q, g, p in JUDGED],
        said=("marks of a chat template",),
    ),
    Sample(
        "argilla/OpenHermesPreferences",
        "OpenHermes preferences: pairs of messages",
        rows(
            lambda i, q, g, p: {
                "source": "airoboros2.2",
                "category": "orca",
                "prompt": q,
                "candidates_completions": [p, "An answer by yet another model.", g],
                "candidate_policies": ["a", "b", "c"],
                "ranks": [2, 1, 0],
                "rank_str": "c > b > a",
                "chosen_policy": "c",
                "rejected_policy": "a",
                "chosen": talk(q, g),
                "rejected": talk(q, p),
            }
        ),
        JUDGED,
    ),
    Sample(
        "mlabonne/orpo-dpo-mix-40k",
        "ORPO-DPO mix: pairs of messages",
        rows(
            lambda i, q, g, p: {
                "source": ("toxic-dpo-v0.2", "Airoboros")[i],
                "chosen": talk(q, *("Why?", "Because.")[: 2 * i], g),
                "rejected": talk(q, *("Why?", "Because.")[: 2 * i], p),
                "prompt": q,
                "question": (q, "")[i],
            }
        ),
        [JUDGED[0], TALKED[1]],
    ),
    Sample(
        "argilla/dpo-mix-7k",
        "TRL preference: pairs of messages with scores, the prompt within",
        [{"dataset": "argilla/x", **row, "chosen_rating": 5.0, "rejected_rating": 4.5} for row in whole()],
        JUDGED,
    ),
    Sample(
        "jondurbin/truthy-dpo-v0.1",
        "TRL preference: pairs",
        rows(
            lambda i, q, g, p: {
                "id": "c2",
                "source": "truthy_dpo",
                "system": ("You are an unbiased AI.", "")[i],
                "prompt": q,
                "chosen": g,
                "rejected": p,
            }
        ),
        [("system: You are an unbiased AI. | " + ASKED[0], GOOD[0], POOR[0]), JUDGED[1]],
    ),
    Sample("jondurbin/py-dpo-v0.1", "TRL preference: pairs", pairs(id="7f"), JUDGED),
    Sample("unalignment/toxic-dpo-v0.2", "TRL preference: pairs", pairs(), JUDGED),
    Sample("HumanLLMs/Human-Like-DPO-Dataset", "TRL preference: pairs", pairs(), JUDGED),
    Sample(
        "argilla/distilabel-math-preference-dpo",
        "Argilla or Axolotl: pairs with scores",
        rows(
            lambda i, q, g, p: {
                "metadata": '{"length-input": 171, "length-generations-1": 1000}',
                "instruction": q,
                "chosen_response": g,
                "chosen_rating": 9.0,
                "rejected_response": p,
                "rejected_rating": 7.0,
            }
        ),
        JUDGED,
    ),
    Sample(
        "Vezora/Code-Preference-Pairs",
        "pairs",
        rows(lambda i, q, g, p: {"input": q, "accepted": g, "rejected": p, "ID": i}),
        JUDGED,
    ),
    Sample(
        "a survey of accepted and declined answers",
        "pairs",
        rows(lambda i, q, g, p: {"Query": q, "Accepted": g, "Declined": p}),
        JUDGED,
        formats=("csv", "jsonl"),
    ),
    Sample(
        "Skywork/Skywork-Reward-Preference-80K-v0.2",
        "Skywork-Reward: pairs of messages, the prompt within",
        [{**row, "source": "magpie_ultra"} for row in whole()],
        JUDGED,
    ),
    Sample(
        "allenai/llama-3.1-tulu-3-8b-preference-mixture",
        "Tulu / OLMo preference mix: pairs of messages",
        rows(
            lambda i, q, g, p: {
                "id": "ai2/x-7",
                "source": "ai2-adapt-dev/sft_v3.9_used_on_policy",
                **with_prompt(i, q, g, p),
                "chosen_model": "yi-34b-chat",
                "rejected_model": "tulu-3-8b",
            }
        ),
        JUDGED,
    ),
    Sample(
        "allenai/olmo-2-1124-7b-preference-mix",
        "Tulu / OLMo preference mix: pairs of messages with scores",
        rows(
            lambda i, q, g, p: {
                "prompt": q,
                "id": "ai2/x-7",
                "chosen": talk(q, "Why?", "Because.", g),
                "rejected": talk(q, "Why?", "Because.", p),
                "chosen_rating": 4.8,
                "chosen_model": "yi-34b-chat",
                "rejected_rating": 1.5,
                "rejected_model": "olmo-2",
            }
        ),
        TALKED,
    ),
    Sample(
        "allenai/reward-bench",
        "RewardBench: pairs",
        rows(
            lambda i, q, g, p: {
                "prompt": q,
                "chosen": g,
                "chosen_model": "gpt-4",
                "rejected": p,
                "rejected_model": "alpaca",
                "subset": "alpacaeval-easy",
                "id": i,
            }
        ),
        JUDGED,
    ),
    Sample(
        "RLHFlow/UltraFeedback-preference-standard",
        "TRL preference: pairs of messages with scores, the prompt within",
        [{**row, "rejected_score": 2.0, "chosen_score": 4.5} for row in whole()],
        JUDGED,
    ),
    Sample(
        "openbmb/UltraInteract_pair",
        "UltraInteract pairs: pairs",
        rows(
            lambda i, q, g, p: {
                "task": "Math_CoT",
                "dataset": "gsm8k",
                "trajectory": [
                    {"from": "user", "value": q},
                    {"from": "assistant", "value": "Why?"},
                    {"from": "user", "value": "Because."},
                ],
                "chosen": g,
                "rejected": p,
                "id": f"1c{i}",
                "parent_id": f"1b{i}",
            }
        ),
        TALKED,
    ),
    Sample(
        "lvwerra/stack-exchange-paired",
        "Stack-Exchange pairs: pairs",
        rows(
            lambda i, q, g, p: {
                "qid": i,
                "question": q,
                "date": "2011/01/23",
                "metadata": ["https://meta.example.com/1", "https://example.com"],
                "response_j": g,
                "response_k": p,
            }
        ),
        JUDGED,
    ),
    Sample(
        "nvidia/HelpSteer3 (edit_quality)",
        "HelpSteer3 edits: pairs",
        rows(
            lambda i, q, g, p: {
                "domain": "general",
                "language": "english",
                "context": talk(q, "Why?", "Because."),
                "original_response": "The first answer, before it was edited.",
                "good_edited_response": g,
                "bad_edited_response": p,
                "feedback": ["The response is mostly helpful. It lacks a fruit."],
            }
        ),
        TALKED,
    ),
    Sample(
        "xinlai/Math-Step-DPO-10K",
        "Math-Step-DPO: pairs of whole solutions",
        [
            {
                "dataset": "gsm8k",
                "prompt": "How much is 2 + 3 + 4?",
                "initial_reason_steps": "Let's think step by step.\nStep 1: 2 + 3 = 5.\nStep 2:",
                "chosen": " 5 + 4 = 9.",
                "full_chosen": " 5 + 4 = 9.\nStep 3: The answer is 9.",
                "rejected": " 5 + 4 = 8.",
                "full_rejected": " 5 + 4 = 8.\nStep 3: The answer is 8.",
                "answer": "9",
            }
        ],
        [
            (
                "How much is 2 + 3 + 4?",
                "Let's think step by step.\nStep 1: 2 + 3 = 5.\nStep 2: 5 + 4 = 9.\nStep 3: The answer is 9.",
                "Let's think step by step.\nStep 1: 2 + 3 = 5.\nStep 2: 5 + 4 = 8.\nStep 3: The answer is 8.",
            )
        ],
    ),
)

TRAINERS = (
    Sample(
        "OpenAI preference fine-tuning",
        "OpenAI preference format: pairs of messages",
        rows(
            lambda i, q, g, p: {
                "input": {"messages": talk(q, system="You help."), "tools": [], "parallel_tool_calls": True},
                "preferred_output": [reply(g)],
                "non_preferred_output": [reply(p)],
            }
        ),
        [(f"system: You help. | {q}", g, p) for q, g, p in JUDGED],
        formats=("jsonl", "json"),
    ),
    Sample(
        "OpenAI preference fine-tuning with tools",
        "OpenAI preference format: pairs of messages",
        [
            {
                "input": {
                    "messages": talk("Name a fruit."),
                    "tools": [{"type": "function", "function": {"name": "look_up", "parameters": {}}}],
                },
                "preferred_output": [reply(good, **more)],
                "non_preferred_output": [reply("A stone.")],
            }
            for good, more in (
                ("An apple.", {}),
                (None, {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "look_up"}}]}),
            )
        ],
        JUDGED[:1],
        said=("the list of tools that the model could call is not used",),
        refused={2: "calls a tool"},
        formats=("jsonl", "json"),
    ),
    Sample(
        "Axolotl chatml.intel",
        "Orca DPO pairs: pairs",
        rows(lambda i, q, g, p: {"system": "You help.", "question": q, "chosen": g, "rejected": p}),
        [(f"system: You help. | {q}", g, p) for q, g, p in JUDGED],
    ),
    Sample(
        "Axolotl chatml.argilla",
        "Argilla or Axolotl: pairs",
        rows(
            lambda i, q, g, p: {
                "system": "You help.",
                "instruction": q,
                "chosen_response": g,
                "rejected_response": p,
            }
        ),
        [(f"system: You help. | {q}", g, p) for q, g, p in JUDGED],
    ),
    Sample(
        "Axolotl chatml.icr",
        "TRL preference: pairs",
        rows(lambda i, q, g, p: {"system": "You help.", "input": q, "chosen": g, "rejected": p}),
        [(f"system: You help. | {q}", g, p) for q, g, p in JUDGED],
    ),
    Sample(
        "Axolotl chat_template.default",
        "TRL preference: pairs of messages",
        rows(
            lambda i, q, g, p: {
                "messages": talk(q, "Why?", "Because."),
                "chosen": reply(g),
                "rejected": reply(p),
            }
        ),
        TALKED,
    ),
    Sample(
        "H2O LLM Studio",
        "H2O LLM Studio: pairs",
        rows(lambda i, q, g, p: {"system": "You help.", "prompt": q, "answer": g, "rejected_answer": p}),
        [(f"system: You help. | {q}", g, p) for q, g, p in JUDGED],
        formats=("jsonl", "parquet", "csv"),
    ),
    Sample(
        "H2O LLM Studio, chains by parent_id",
        "H2O LLM Studio: pairs, in chains",
        [
            {"id": "b", "parent_id": "a", "prompt": "Because.", "answer": "Good.", "rejected_answer": "Bad."},
            {"id": "a", "parent_id": None, "prompt": "Hi", "answer": "Why?", "rejected_answer": "What?"},
            {"id": "c", "parent_id": "b", "prompt": "And now?", "answer": "Rest.", "rejected_answer": "Run."},
            {"id": "d", "parent_id": "gone", "prompt": "Lost?", "answer": "Yes.", "rejected_answer": "No."},
        ],
        [
            ("Hi | assistant: Why? | Because.", "Good.", "Bad."),
            ("Hi", "Why?", "What?"),
            ("Hi | assistant: Why? | Because. | assistant: Good. | And now?", "Rest.", "Run."),
        ],
        refused={4: "'gone'"},
        formats=("jsonl", "parquet", "csv"),
    ),
    Sample(
        "pairs with the id of a message elsewhere",
        "pairs, in chains",
        rows(lambda i, q, g, p: {"id": i, "parent_id": f"m{i}", "prompt": q, "chosen": g, "rejected": p}),
        JUDGED,
        said=("each row is read by itself",),
    ),
    Sample(
        "LLaMA-Factory alpaca ranking",
        "TRL preference: pairs",
        rows(
            lambda i, q, g, p: {
                "instruction": "Answer shortly.",
                "input": (q, "")[i],
                "chosen": g,
                "rejected": p,
                "system": "You help.",
                "history": [["Hi", "Hello."]],
            }
        ),
        [
            ("system: You help. | Hi | assistant: Hello. | Answer shortly.\nName a fruit.", GOOD[0], POOR[0]),
            ("system: You help. | Hi | assistant: Hello. | Answer shortly.", GOOD[1], POOR[1]),
        ],
    ),
    Sample(
        "LLaMA-Factory sharegpt ranking",
        "TRL preference: pairs of messages",
        rows(
            lambda i, q, g, p: {
                "conversations": human(q, "Why?", "Because."),
                "chosen": {"from": "gpt", "value": g},
                "rejected": {"from": "gpt", "value": p},
                "system": "You help.",
            }
        ),
        [(f"system: You help. | {q}", g, p) for q, g, p in TALKED],
    ),
    Sample(
        "ms-swift rejected_response",
        "ms-swift: pairs of messages, the prompt within",
        rows(lambda i, q, g, p: {"messages": talk(q, "Why?", "Because.", g), "rejected_response": p}),
        TALKED,
    ),
    Sample(
        "ms-swift rejected_messages",
        "ms-swift: pairs of messages, the prompt within",
        rows(lambda i, q, g, p: {"messages": talk(q, g), "rejected_messages": talk(q, p), "margin": 0.5}),
        JUDGED,
        said=("margins are not used",),
    ),
    Sample(
        "ms-swift query and response",
        "ms-swift: pairs",
        rows(
            lambda i, q, g, p: {
                "system": "You help.",
                "query": "Because.",
                "response": g,
                "rejected_response": p,
                "history": [[q, "Why?"]],
            }
        ),
        [(f"system: You help. | {q}", g, p) for q, g, p in TALKED],
    ),
    Sample(
        "distilabel FormatTextGenerationDPO",
        "distilabel: pairs of messages with scores",
        rows(
            lambda i, q, g, p: {
                "instruction": q,
                "generations": [g, p, "A third answer."],
                "generation_models": ["a", "b", "c"],
                "ratings": [5, 1, 3],
                "rationales": ["It is a fruit.", "It is none.", "It is one."],
                "distilabel_metadata": {"raw_output_ultra_feedback_0": "Rating: 5\nRationale: It is a fruit."},
                "model_name": "gpt-4",
                "prompt": q,
                "prompt_id": "8d",
                "chosen": talk(q, g),
                "chosen_model": "a",
                "chosen_rating": 5,
                "rejected": talk(q, p),
                "rejected_model": "b",
                "rejected_rating": 1,
            }
        ),
        JUDGED,
    ),
    Sample(
        "TRL with weights",
        "TRL preference: pairs",
        [{"prompt": q, "chosen": g, "rejected": p, "weight": 0.5} for q, g, p in JUDGED],
        JUDGED,
    ),
)

SAMPLES = (*FEEDBACK, *TRANSCRIPTS, *MIXTURES, *TRAINERS)
