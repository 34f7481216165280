"""Nothing of a row is misread or lost without a word: each kind in every format that can hold it."""

from __future__ import annotations

import json

import pytest

from bnf_lab.core.judgements import Verdict
from bnf_lab.data.importers import import_file
from bnf_lab.data.mapping import ImportChoices
from tests.data.samples.record import EVERYWHERE, PARQUET, Sample, judged_of, reply, talk, user, write

ASKED = ("Name a fruit that floats.", "Who bakes the bread?", "What melts the ice?")
GOOD = ("The answer is an apple.", "The answer is a baker.", "The answer is warmth.")
POOR = ("The answer is a stone.", "The answer is a plumber.", "The answer is more ice.")
TRIPLES = list(zip(ASKED, GOOD, POOR, strict=True))


@pytest.fixture
def read(tmp_path):
    def read(rows, suffix="jsonl", **choices):
        path = write(Sample("", "", rows, ()), tmp_path / f"rows.{suffix}")
        return import_file(path, choices=ImportChoices(**choices))

    return read


def as_pairs(change=lambda row: row, **more):
    return [change({"prompt": q, "chosen": g, "rejected": p, **more}) for q, g, p in TRIPLES]


SPELLINGS = {
    "json": json.dumps,
    "spaced": lambda value: f"  {json.dumps(value, indent=2)}\n",
    "repr": str,
    "numpy": lambda value: "[" + "\n ".join(map(str, value)) + "]",
    "array": lambda value: f"array({value}, dtype=object)",
}


@pytest.mark.parametrize("suffix", EVERYWHERE)
@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_messages_written_into_cells_are_messages_in_every_column(read, spell, suffix):
    rows = [
        {
            "prompt": spell(talk(q, "Why?", "So.", system="Help.")),
            "chosen": spell([reply(g)]),
            "rejected": spell([reply(p)]),
        }
        for q, g, p in TRIPLES
    ]
    report = read(rows, suffix)
    assert judged_of(report) == [(f"system: Help. | {q} | assistant: Why? | So.", g, p) for q, g, p in TRIPLES]
    whole = [{"chosen": spell(talk(q, g)), "rejected": spell(talk(q, p))} for q, g, p in TRIPLES]
    assert judged_of(read(whole, suffix)) == TRIPLES
    alone = [{"conversations": spell(talk(q, g)), "label": True} for q, g, _ in TRIPLES]
    assert judged_of(read(alone, suffix)) == [(q, "+" + g) for q, g, _ in TRIPLES]


@pytest.mark.parametrize("suffix", EVERYWHERE)
def test_a_text_that_only_looks_like_a_list_stays_a_text(read, suffix):
    for text in (
        "[sic] he said",
        "{'role': {1, 2}}",
        "[{b'role': 'user', 'content': 'x'}]",
        '{"name": "x"}',
        '["a", "b"]',
        "[1, 2]",
        "{}",
        '[{"role": "user"',
    ):
        rows = [{"prompt": q, "chosen": text, "rejected": p} for q, _, p in TRIPLES]
        assert judged_of(read(rows, suffix)) == [(q, text, p) for q, _, p in TRIPLES]


def test_an_answer_that_is_a_dialogue_stays_a_text_unless_all_are(read):
    text = "User: Hi\nAssistant: Hello"
    rows = as_pairs()
    rows[1]["chosen"] = text
    assert judged_of(read(rows))[1] == (ASKED[1], text, POOR[1])


def test_a_lone_list_among_texts_is_refused_not_taken_as_text(read):
    rows = as_pairs()
    rows[1]["chosen"] = json.dumps(talk(ASKED[1], GOOD[1]))
    report = read(rows)
    assert [(r.row, r.column) for r in report.refused] == [(2, "chosen")]


@pytest.mark.parametrize("suffix", EVERYWHERE)
@pytest.mark.parametrize("name", ["frage", "post_text", "body", "scenario", "c3"])
def test_a_common_beginning_is_never_the_prompt_whatever_the_column_is_called(read, name, suffix):
    rows = as_pairs(lambda row: {name: row.pop("prompt"), **row})
    report = read(rows, suffix)
    assert (report.judgements, report.needs_mapping) == ((), True)
    assert [(q.kind, [o.value for o in q.options]) for q in report.questions] == [("column", [name])]
    assert judged_of(read([{k: row[k] for k in ("chosen", "rejected")} for row in rows], suffix)) == []


@pytest.mark.parametrize("suffix", EVERYWHERE)
@pytest.mark.parametrize(
    "name",
    ["input", "post", "context", "problem", "user", "query", "question", "user_message", "Prompt Text", "history"],
)
def test_prompts_under_the_names_that_people_use(read, name, suffix):
    report = read(as_pairs(lambda row: {name: row.pop("prompt"), **row}), suffix)
    assert judged_of(report) == TRIPLES


@pytest.mark.parametrize("suffix", EVERYWHERE)
@pytest.mark.parametrize(
    ("end", "signs"),
    [
        (lambda good: {"rating": 5 if good else 1}, "+-"),
        (lambda good: {"label": "good" if good else "bad"}, "+-"),
        (lambda good: {"rank": 1 if good else 2}, "+-"),
        (lambda good: {"kto_tag": good}, "+-"),
    ],
    ids=["rating", "label", "rank", "kto_tag"],
)
def test_the_input_below_an_instruction_and_the_history_before_it_are_kept(read, end, signs, suffix):
    rows = [
        {"instruction": "Answer.", "input": "in French", "history": [["Hi", "Hello"]], "output": text, **end(good)}
        for text, good in (("oui", True), ("yes", False))
    ]
    rows = [{**row, "history": json.dumps(row["history"])} for row in rows] if suffix == "csv" else rows
    asked = "Hi | assistant: Hello | Answer.\nin French"
    assert judged_of(read(rows, suffix)) == [(asked, signs[0] + "oui"), (asked, signs[1] + "yes")]


CALL = [{"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}]


@pytest.mark.parametrize(
    "change",
    [
        {"chosen": [reply("Let me see.", tool_calls=CALL)]},
        {"chosen": [reply(None, tool_calls=CALL)]},
        {"rejected": [reply("No.", function_call={"name": "add", "arguments": "{}"})]},
        {"prompt": [user("7 + 5?"), reply(None, tool_calls=CALL), {"role": "tool", "content": "12"}]},
        {"chosen": [{"from": "function_call", "value": "{}"}]},
        {"tool_calls": CALL},
        {"function_call": {"name": "add"}},
    ],
)
def test_a_row_that_calls_a_tool_is_refused(read, change):
    report = read(as_pairs(**change))
    assert (report.taken, len(report.refused)) == (0, 3)
    assert "calls a tool" in report.refused[0].reason


def test_a_call_before_the_answer_and_the_tools_are_said(read):
    asked = [
        {"from": "human", "value": "7 + 5?"},
        {"from": "function_call", "value": "{}"},
        {"from": "observation", "value": "12"},
    ]
    report = read(as_pairs(prompt=asked, tools='[{"name": "add"}]'))
    assert judged_of(report)[0][0] == "7 + 5? | assistant: {} | tool: 12"
    assert [w.partition(" (")[0] for w in report.warnings] == [
        "the list of tools that the model could call is not used",
        "a tool call stands in the conversation before the answer and is kept as plain text",
    ]
    assert all("(3 rows: rows 1, 2 and 3)" in w for w in report.warnings)


@pytest.mark.parametrize(
    "change",
    [
        {"images": ["a.png"]},
        {"Images": ["a.png"]},
        {"IMAGE": "a.png"},
        {"image": {"bytes": None, "path": "a.png"}},
        {"audio": "a.wav"},
        {"videos": ["a.mp4"]},
        {"rejected_images": ["a.png"]},
        {"prompt": [user([{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "x"}}])]},
        {"prompt": [user([{"type": "image"}, {"type": "text", "text": "What?"}])]},
        {"prompt": [user([{"type": "text", "text": "What?", "image": "a.png"}])]},
        {"prompt": [user("What?", images=["a.png"])]},
        {"chosen": [reply([{"type": "input_audio", "input_audio": {"data": "x"}}])]},
    ],
)
def test_a_row_with_pictures_or_sound_is_refused(read, change):
    report = read(as_pairs(**change))
    assert (report.taken, len(report.refused)) == (0, 3)


def test_an_empty_column_of_pictures_does_no_harm(read):
    for nothing in (None, [], [None], ""):
        assert judged_of(read(as_pairs(images=nothing))) == TRIPLES


@pytest.mark.parametrize("suffix", ["jsonl", PARQUET])
@pytest.mark.parametrize(
    ("rows", "answers"),
    [
        (as_pairs(chosen=[reply("Yes.", reasoning_content="Hm.")], rejected=[reply("No.")]), ("Yes.", "No.")),
        (as_pairs(chosen=[reply("Yes.", thinking="Hm.")], rejected=[reply("No.", thinking="")]), ("Yes.", "No.")),
        (as_pairs(chosen="Yes.", rejected="No.", chosen_reasoning="Hm.", rejected_reasoning=None), ("Yes.", "No.")),
        (as_pairs(chosen="Yes.", rejected="No.", thinking_chosen="Hm.", thinking_rejected=""), ("Yes.", "No.")),
    ],
)
def test_a_thought_of_its_own_is_put_before_its_answer(read, rows, answers, suffix):
    good, poor = answers
    assert judged_of(read(rows, suffix)) == [(q, f"<think>\nHm.\n</think>\n\n{good}", poor) for q in ASKED]


def test_a_thought_beside_a_judged_answer_or_in_a_part_is_put_before_it(read):
    rows = [{"prompt": q, "reasoning": "I think of a fruit.", "response": g, "label": True} for q, g, _ in TRIPLES]
    assert judged_of(read(rows)) == [(q, f"+<think>\nI think of a fruit.\n</think>\n\n{g}") for q, g, _ in TRIPLES]
    parts = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Yes."}]
    report = read(as_pairs(chosen=[reply(parts)], prompt=[user("Hi"), reply("Ho", thinking="So."), user("And?")]))
    assert judged_of(report)[0][:2] == ("Hi | assistant: Ho | And?", "<think>\nHm.\n</think>\n\nYes.")
    assert report.warnings[0].startswith("the thoughts of an earlier turn were left out")


def test_weights_are_read_wherever_a_row_is_judged(read):
    rows = [
        {"prompt": "q", "response_a": "x", "response_b": "y", "winner": w, "weight": 0.5} for w in ("a", "both_bad")
    ]
    assert [j.weight for j in read(rows).judgements] == [0.5] * 4
    assert [j.weight for j in read(as_pairs(weight=0.25)).judgements] == [0.25] * 6
    rated = [{"prompt": "q", "response": f"a{n}", "rating": n, "weight": 0.5} for n in (1, 5)]
    assert [j.weight for j in read(rated).judgements] == [0.5, 0.5]


def test_weights_that_a_layout_cannot_use_and_margins_are_said(read):
    report = read(as_pairs(margin=0.75))
    assert report.warnings == ("margins are not used (3 rows: rows 1, 2 and 3).",)
    assert report.unused == ("margin",)
    web = [
        {"question": q, "answer_0": g, "answer_1": p, "score_0": 1, "score_1": -1, "weight": 0.5} for q, g, p in TRIPLES
    ]
    assert read(web).warnings == ("weights are not used with this layout (3 rows: rows 1, 2 and 3).",)


@pytest.mark.parametrize("suffix", EVERYWHERE)
@pytest.mark.parametrize(
    "names",
    [("score_chosen", "score_rejected"), ("chosen_rating", "rejected_rating"), ("Chosen Reward", "Rejected Reward")],
)
def test_scores_that_contradict_are_said_and_turned_round_by_choice(read, names, suffix):
    rows = as_pairs()
    for row, scores in zip(rows, ((2, 4), (5, 1), (3, 3)), strict=True):
        row |= zip(names, scores, strict=True)
    report = read(rows, suffix)
    assert (judged_of(report), report.n_contradictions) == (TRIPLES, 1)
    assert report.warnings[0] == "the scores contradict the verdict (1 row: row 1)."
    assert report.warnings[1].startswith("both answers have the same score")
    turned = read(rows, suffix, turn_round=True)
    assert judged_of(turned) == [(ASKED[0], POOR[0], GOOD[0]), *TRIPLES[1:]]
    assert turned.warnings[0].startswith("the pair was turned round")


def test_scores_beside_two_answers_are_compared_with_the_choice(read):
    rows = [{"prompt": "q", "answer_1": "x", "answer_2": "y", "score_1": 1, "score_2": 5, "winner": w} for w in (1, 2)]
    assert read(rows).warnings[0] == "the scores contradict the verdict (1 row: row 1)."


def with_system(good, poor, **more):
    """Pairs of whole conversations with a system message in one answer, both, or none."""
    return [{"chosen": talk(q, g, system=good), "rejected": talk(q, p, system=poor), **more} for q, g, p in TRIPLES]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (with_system("Help.", "Help."), ()),
        (with_system("Help.", None), ("only one of the two answers",)),
        (with_system(None, "Help."), ("only one of the two answers",)),
        (with_system(None, None, system="Help."), ()),
        (with_system("Help.", "Help.", system="Help."), ()),
        (with_system("Help.", "Help.", prompt="Name a fruit that floats.")[:1], ()),
        (with_system(None, None, prompt=talk("Name a fruit that floats.", system="Help."))[:1], ()),
        (with_system("Help.", "Help.", prompt=talk("Name a fruit that floats."))[:1], ()),
    ],
)
def test_a_system_message_is_kept_wherever_it_stands(read, rows, said):
    report = read(rows)
    assert judged_of(report) == [(f"system: Help. | {q}", g, p) for q, g, p in TRIPLES[: len(rows)]]
    assert len(report.warnings) == len(said)
    assert all(sentence in w for sentence, w in zip(said, report.warnings, strict=True))


@pytest.mark.parametrize(
    "rows",
    [
        with_system("Help.", "Hinder."),
        with_system("Help.", "Help.", system="Hinder."),
        with_system("Help.", "Help.", prompt=talk(ASKED[0], system="Hinder."))[:1],
        as_pairs(prompt=talk(ASKED[0], system="Help."), system="Hinder."),
    ],
)
def test_two_different_system_messages_are_refused(read, rows):
    report = read(rows)
    assert (report.taken, len(report.refused)) == (0, len(rows))


@pytest.mark.parametrize("role", ["bot", "Bot", " AI ", "gpt", "ASSISTANT", "model", "claude"])
def test_an_answers_role_is_known_in_a_prompt_too(read, role):
    said = {"role": role, "content": "Why?"}
    report = read(
        as_pairs(prompt=[user("Hi"), said, user("So?")], chosen=[said], rejected=[{**said, "content": "No."}])
    )
    assert judged_of(report) == [("Hi | assistant: Why? | So?", "Why?", "No.")] * 3


@pytest.mark.parametrize("role", ["narrator", "Ann", "", 7])
def test_an_unknown_role_is_refused_in_a_prompt_as_in_an_answer(read, role):
    said = {"role": role, "content": "Why?"}
    for change in ({"prompt": [user("Hi"), said, user("So?")]}, {"chosen": [said]}):
        report = read(as_pairs(**change))
        assert (report.taken, "role" in report.refused[0].reason) == (0, True)


def test_ties_and_both_bad(read):
    rows = [
        {"prompt": q, "response_a": g, "response_b": p, "winner": w}
        for (q, g, p), w in zip(TRIPLES, ("a", "tie", "both_bad"), strict=True)
    ]
    report = read(rows)
    assert judged_of(report) == [TRIPLES[0], (ASKED[2], "-" + GOOD[2]), (ASKED[2], "-" + POOR[2])]
    assert [r.row for r in report.refused] == [2]
    assert {
        j.pair_id for j in report.judgements if j.verdict is Verdict.DISPREFERRED and j.prompt_text == ASKED[2]
    } == {None}


@pytest.mark.parametrize("suffix", EVERYWHERE)
@pytest.mark.parametrize("name", ["task", "topic", "extra", "passage 2", "hint", "Zusatz"])
def test_an_unused_column_of_text_is_asked_about(read, name, suffix):
    report = read(as_pairs(**{name: "Translate it into French, please."}), suffix)
    assert [(q.kind, [o.value for o in q.options]) for q in report.questions] == [("column", [name])]
    assert (report.judgements, report.unused) == ((), (name,))
    assert judged_of(read(as_pairs(**{name: "Translate it into French."}), suffix, leave_out=(name,))) == TRIPLES


def test_a_second_column_of_nearly_the_same_name_is_asked_about(read):
    report = read(as_pairs(**{"Prompt ": "Translate it into French, please."}))
    assert [(q.kind, [o.value for o in q.options]) for q in report.questions] == [("column", ["Prompt "])]


@pytest.mark.parametrize(
    "more",
    [
        {"id": "a b c d"},
        {"model": "the big one of all"},
        {"created_at": "on the first of May"},
        {"source": "from a web page"},
        {"rationale": "It is what was asked for."},
        {"score": 3.5},
        {"messages": talk("Name a fruit that floats.", "The answer is an apple.")},
        {"text": "Name a fruit that floats. The answer is an apple."},
        {"candidates": ["The answer is an apple.", "One more answer that was made."]},
    ],
)
def test_what_repeats_or_only_names_is_not_asked_about(read, more):
    report = read(as_pairs(**more)[:1])
    assert report.questions == ()
    assert report.unused == tuple(more)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_conversation_written_into_a_step_or_a_turn_is_no_text(read, spelling):
    written = SPELLINGS[spelling](talk(ASKED[0], GOOD[0]))
    steps = [{"prompt": q, "completions": [g], "labels": [False]} for q, g, _ in TRIPLES]
    steps[0]["completions"][0] = written
    turns = [
        {"prompt": f"\n\nHuman: {q}\n\nAssistant: Go on.\n\nHuman: {q}\n\nAssistant:", "chosen": g, "rejected": p}
        for q, g, p in TRIPLES
    ]
    turns[0]["prompt"] = turns[0]["prompt"].replace("Go on.", written)
    for rows in (steps, turns):
        report = read(rows)
        assert report.questions == ()
        assert [r.row for r in report.refused] == [1]
        assert "a conversation written as JSON" in report.refused[0].reason
        assert len(report.judgements) == 2 * (2 if rows is turns else 1)
