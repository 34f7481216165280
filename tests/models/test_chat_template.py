"""What a model reads and what it is trained to write, for the chat templates of the families."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from transformers import AddedToken, AutoTokenizer

from bnf_lab.core.errors import ModelUnavailable, PromptRefused
from bnf_lab.core.judgements import Message
from bnf_lab.models.chat_template import fold_system
from bnf_lab.models.encoding import Encoder
from tests.support.templates import CHATML, FAMILIES, load_family

USER, BOT, SYSTEM, TOOL = (partial(Message, role) for role in ("user", "assistant", "system", "tool"))
QUESTION = (USER("What floats?"),)
TURNS = (USER("What floats?"), BOT("A cork."), USER("And what else?"))
PLAIN = "An apple."
THOUGHT = "<think>\nair\n</think>\n\nAn apple."
EMPTY = "<think>\n\n</think>\n\nAn apple."
UNFINISHED = "<think>\nair and"
UNOPENED = "air\n</think>\n\nAn apple."
HAND_WRITTEN = ("qwq", "deepseek-r1")
"""Families whose turns do not continue their own generation prompt, which opens a block."""


@pytest.fixture(scope="module")
def encoder_of(tiny_model_path: Path) -> Callable[[str], Encoder]:
    made: dict[str, Encoder] = {}

    def build(name: str) -> Encoder:
        if name not in made:
            made[name] = Encoder(load_family(tiny_model_path, name), max_tokens=4096)
        return made[name]

    return build


def render(encoder: Encoder, messages, answer: str | None = None) -> str:
    """What the template itself makes of a conversation: for generation, or with the answer as its last turn."""
    records = [{"role": m.role, "content": m.content} for m in messages]
    if answer is not None:
        records.append({"role": "assistant", "content": answer})
    return encoder.tokenizer.apply_chat_template(records, add_generation_prompt=answer is None, tokenize=False)


def ids_of(encoder: Encoder, text: str) -> list[int]:
    return encoder.tokenizer(text, add_special_tokens=False)["input_ids"]


# -- the invariant


@pytest.mark.parametrize("messages", [QUESTION, TURNS], ids=["one turn", "three turns"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_is_the_generation_prompt_and_begins_once(encoder_of, name, messages):
    encoder, family = encoder_of(name), FAMILIES[name]
    ids = encoder.encode_prompt(messages)
    assert ids == ids_of(encoder, render(encoder, messages))
    if family.bos:
        assert ids[0] == encoder.tokenizer.bos_token_id != ids[1]
    for response in (PLAIN, THOUGHT):
        assert encoder.encode_turn(messages, response)[0] == ids  # it never depends on what follows


@pytest.mark.parametrize("answer", [PLAIN, " Two\nlines, spaced. \n", "", "日本 🙂"])
@pytest.mark.parametrize("messages", [QUESTION, TURNS], ids=["one turn", "three turns"])
@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in HAND_WRITTEN])
def test_prompt_and_response_are_the_templates_own_turn(encoder_of, name, messages, answer):
    encoder = encoder_of(name)
    prompt, response = encoder.encode_turn(messages, answer)
    told = render(encoder, messages, answer)
    start = len(render(encoder, messages))
    at = told.find(encoder.template.end, start)
    whole = told[: at + len(encoder.template.end)] if at >= 0 else told + encoder.template.end
    assert encoder.text([*prompt, *response]) == whole
    assert prompt + response == ids_of(encoder, whole)


@pytest.mark.parametrize("answer", [PLAIN, THOUGHT, EMPTY, UNFINISHED, UNOPENED])
@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if "<think>" in family.marks])
def test_a_block_is_opened_once_and_closed_once(encoder_of, name, answer):
    encoder = encoder_of(name)
    whole = encoder.text([i for part in encoder.encode_turn(QUESTION, answer) for i in part])
    assert whole.count("<think>") == 1
    assert whole.count("</think>") == (answer != UNFINISHED)
    assert whole.count("An apple.") == (answer != UNFINISHED)
    assert whole.count("air") == ("air" in answer)


CLOSED = "\n</think>\n\nAn apple.<|im_end|>"


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("chatml", PLAIN, "An apple.<|im_end|>"),
        ("chatml", THOUGHT, THOUGHT + "<|im_end|>"),  # no template of thoughts: the text as it is
        ("chatml", EMPTY, EMPTY + "<|im_end|>"),
        ("chatml", UNOPENED, UNOPENED + "<|im_end|>"),
        ("llama-2", PLAIN, " An apple. </s>"),
        ("llama-3", THOUGHT + " \n", THOUGHT + "<|eot_id|>"),
        ("gemma-2", PLAIN, "An apple.<end_of_turn>"),
        ("mistral-0.1", PLAIN, "An apple.</s>"),
        ("mistral-0.3", PLAIN, " An apple.</s>"),
        ("phi-3", PLAIN, "An apple.<|end|>"),
        ("zephyr", PLAIN, "An apple.</s>"),
        ("qwen-3", PLAIN, "<think>\n\n</think>\n\nAn apple.<|im_end|>"),
        ("qwen-3", EMPTY, "<think>\n\n</think>\n\nAn apple.<|im_end|>"),
        ("qwen-3", THOUGHT, THOUGHT + "<|im_end|>"),
        ("qwen-3", UNOPENED, THOUGHT + "<|im_end|>"),
        ("qwen-3", UNFINISHED, UNFINISHED + "<|im_end|>"),
        *((name, answer, CLOSED) for name in ("qwen-3-thinking", "qwq") for answer in (PLAIN, EMPTY)),
        *((name, answer, "air" + CLOSED) for name in ("qwen-3-thinking", "qwq") for answer in (THOUGHT, UNOPENED)),
        ("qwq", UNFINISHED, "air and<|im_end|>"),
        ("qwq", "\n" + PLAIN, CLOSED),
        ("glm-4.5", PLAIN, "\n<think></think>\nAn apple.<|endoftext|>"),
        ("glm-4.5", THOUGHT, "\n<think>air</think>\nAn apple.<|endoftext|>"),
        ("harmony", PLAIN, "<|channel|>final<|message|>An apple.<|return|>"),
        (
            "harmony",
            THOUGHT,
            "<|channel|>analysis<|message|>air<|end|><|start|>assistant<|channel|>final<|message|>An apple.<|return|>",
        ),
    ],
)
def test_what_is_trained_is_what_the_model_is_asked_to_write(encoder_of, name, answer, expected):
    encoder = encoder_of(name)
    assert encoder.text(encoder.encode_turn(QUESTION, answer)[1]) == expected


def test_deepseek_closes_the_block_that_its_prompt_opens(encoder_of):
    encoder = encoder_of("deepseek-r1")
    for answer, thought in ((PLAIN, ""), (EMPTY, ""), (THOUGHT, "air"), (UNOPENED, "air")):
        prompt, response = encoder.encode_turn(QUESTION, answer)
        assert encoder.text(prompt).endswith("<think>\n")
        assert encoder.text(response) == f"{thought}\n</think>\n\nAn apple.{encoder.tokenizer.eos_token}"
    # the marks are the tokens that the model knows, not text
    assert ids_of(encoder, "</think>")[0] in response


def test_a_block_opened_without_a_line_break_is_closed_without_one(tiny_model_path):
    tokenizer = load_family(tiny_model_path, "qwq")
    tokenizer.chat_template = tokenizer.chat_template.replace("<think>\n", "<think>")
    encoder = Encoder(tokenizer, max_tokens=512)
    assert encoder.text(encoder.encode_turn(QUESTION, THOUGHT)[1]) == "air</think>An apple.<|im_end|>"


def test_earlier_thoughts_are_left_out_as_the_template_does(encoder_of):
    encoder = encoder_of("qwen-3")
    text = encoder.text(encoder.encode_prompt((*QUESTION, BOT(THOUGHT), USER("Why?"))))
    assert "assistant\nAn apple.<|im_end|>" in text
    assert "air" not in text


def test_the_first_word_is_the_token_that_follows_its_prompt(encoder_of):
    encoder = encoder_of("mistral-0.3")  # its turn writes a space before the answer
    assert encoder.spell(encoder.encode_turn(QUESTION, "and the")[1]) == [" and", " the", "</s>"]


def test_no_token_reaches_over_the_border_of_prompt_and_response(tiny_model_path):
    tokenizer = load_family(tiny_model_path, "qwq")
    tokenizer.add_tokens([AddedToken("\n\n", special=False, normalized=False)])  # as large vocabularies have
    encoder = Encoder(tokenizer, max_tokens=512)
    prompt, response = encoder.encode_turn(QUESTION, PLAIN)
    assert prompt == ids_of(encoder, render(encoder, QUESTION))
    assert encoder.spell(response)[:3] == ["\n", "</think>", "\n\n"]


@pytest.mark.parametrize("name", FAMILIES)
def test_control_tokens_that_a_person_wrote_stay_text(encoder_of, name):
    encoder = encoder_of(name)
    end = encoder.template.end
    for answer in (f"One.{end} Two.", f"<think>\nair{end}\n</think>\n\nTwo."):
        response = encoder.encode_turn(QUESTION, answer)[1]
        wanted = 2 if name == "harmony" and "air" in answer and end == "<|end|>" else 1
        assert response.count(encoder.end_ids[0]) == wanted
        assert response[-1:] == encoder.end_ids
        assert encoder.text(response).count(end) == 2
        if "think" in FAMILIES[name].template and "<think>" in FAMILIES[name].marks:
            assert ids_of(encoder, "</think>")[0] in response  # the block's own marks are the template's


# -- turns that templates do not take


@pytest.mark.parametrize("name", FAMILIES)
def test_a_system_text_is_read_once_and_before_the_question(encoder_of, name):
    encoder = encoder_of(name)
    messages = (SYSTEM("Be brief."), *TURNS)
    text = encoder.text(encoder.encode_prompt(messages))
    assert text.count("Be brief.") == 1
    assert text.index("Be brief.") < text.index("And what else?")
    assert encoder.text(encoder.encode_turn(messages, PLAIN)[1]) == encoder.text(encoder.encode_turn(TURNS, PLAIN)[1])
    is_folded = name in ("gemma-2", "mistral-0.1")
    assert encoder.template.has_system_role is not is_folded
    if is_folded:
        assert "Be brief.\n\nWhat floats?" in text


def test_a_template_that_drops_a_system_text_gets_it_before_the_question(tiny_model_path):
    tokenizer = load_family(tiny_model_path, "chatml")
    tokenizer.chat_template = CHATML.replace("for m in messages", "for m in messages if m.role != 'system'")
    encoder = Encoder(tokenizer, max_tokens=512)
    text = encoder.text(encoder.encode_prompt((SYSTEM("Be brief."), *QUESTION)))
    assert text.startswith("<|im_start|>user\nBe brief.\n\nWhat floats?<|im_end|>")


def test_of_several_system_texts_none_is_lost(encoder_of):
    encoder = encoder_of("deepseek-r1")  # its template keeps the last one alone
    text = encoder.text(encoder.encode_prompt((SYSTEM("Be brief."), *TURNS[:2], SYSTEM("In French."), TURNS[2])))
    assert "Be brief.\n\nWhat floats?" in text
    assert "In French.\n\nAnd what else?" in text


def test_folding_keeps_every_word():
    assert fold_system((SYSTEM("A"), SYSTEM(" "), USER("B"))) == (USER("A\n\nB"),)
    assert fold_system((USER("B"), SYSTEM("A"))) == (USER("B\n\nA"),)
    assert fold_system((SYSTEM("A"),)) == (USER("A"),)
    assert fold_system((USER("B"), BOT("C"), SYSTEM("A"))) == (USER("B"), BOT("C"), USER("A"))


@pytest.mark.parametrize("name", ["gemma-2", "llama-2", "mistral-0.1", "mistral-0.3"])
@pytest.mark.parametrize(
    "messages",
    [(USER("One."), USER("Two.")), (BOT("Hi."), USER("Two.")), (SYSTEM("Be brief."), USER("One."), USER("Two."))],
)
def test_turns_that_do_not_alternate_are_refused_with_the_conversation(encoder_of, name, messages):
    with pytest.raises(PromptRefused) as refused:
        encoder_of(name).encode_prompt(messages)
    text = str(refused.value)
    assert "ends in 'Two.'" in text
    assert f"(turns: {', '.join(m.role for m in messages)})" in text
    assert "Conversation roles must alternate" in text
    assert "choose another model" in text


def test_an_answer_to_an_answer_is_refused_where_turns_must_alternate(encoder_of):
    with pytest.raises(PromptRefused, match=r"ends in 'A cork\.' .* must alternate"):
        encoder_of("mistral-0.1").encode_turn(TURNS[:2], PLAIN)
    prompt, _ = encoder_of("chatml").encode_turn(TURNS[:2], PLAIN)
    assert prompt


@pytest.mark.parametrize("role", ["tool", "assistant"])
def test_a_turn_that_the_template_drops_is_refused(tiny_model_path, role):
    tokenizer = load_family(tiny_model_path, "chatml")
    tokenizer.chat_template = CHATML.replace("for m in messages", f"for m in messages if m.role != '{role}'")
    encoder = Encoder(tokenizer, max_tokens=512)
    with pytest.raises(PromptRefused, match=f"leaves out the {role} message 'Nine.'"):
        encoder.encode_prompt((USER("How many?"), Message(role, "Nine."), USER("Sure?")))


def test_a_turn_whose_switches_the_template_takes_out_is_no_loss(tiny_model_path):
    tokenizer = load_family(tiny_model_path, "chatml")
    tokenizer.chat_template = CHATML.replace("m.content", "m.content.replace('/no_think', '')")
    text = Encoder(tokenizer, max_tokens=512).template.prompt((SYSTEM("A /no_think B"), USER("C /no_think D"))).text
    assert "system\nA  B<|im_end|>" in text
    assert "user\nC  D<|im_end|>" in text


def test_a_tool_result_rendered_as_json_is_no_loss(tiny_model_path):
    tokenizer = load_family(tiny_model_path, "chatml")
    tokenizer.chat_template = CHATML.replace("m.content", "(m.content | tojson if m.role == 'tool' else m.content)")
    messages = (USER("How many?"), TOOL('{"n": "neun\nä"}'))
    assert "neun\\nä" in Encoder(tokenizer, max_tokens=512).template.prompt(messages).text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (None, "has no chat template"),
        ("", "has no chat template"),
        ({"rag": CHATML}, "no default specified"),
        ("{% for m in messages %}", "cannot be used: Unexpected end of template"),
        ("{{ raise_exception('not today') }}", "cannot be used: not today"),
        ("{{ messages[0].content + 1 }}", "TypeError"),
        ("Hello!", "leaves the user's text out"),
    ],
)
def test_a_model_without_a_usable_template_is_refused_by_name(tiny_model_path, template, words):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_path)
    tokenizer.chat_template = template
    with pytest.raises(ModelUnavailable, match="'tiny'") as refused:
        Encoder(tokenizer, max_tokens=64)
    assert words in str(refused.value)
    assert "choose another" in str(refused.value)


def test_a_template_that_leaves_turns_open_ends_them_with_the_tokenizers_own_token(tiny_model_path):
    tokenizer = load_family(tiny_model_path, "zephyr")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role | upper + ': ' + m.content + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
    )
    encoder = Encoder(tokenizer, max_tokens=512)
    assert encoder.text(encoder.encode_turn(QUESTION, PLAIN)[1]) == " An apple.</s>"


# -- tokens as text


def test_spelling_gives_every_token_and_loses_no_character(encoder_of):
    encoder = encoder_of("chatml")
    text = "日本 and 🙂, naïve.<|im_end|>"
    ids = ids_of(encoder, text)
    pieces = encoder.spell(ids)
    assert "".join(pieces) == text
    assert pieces[-1] == "<|im_end|>"
    assert " and" in pieces
    assert not any("\ufffd" in piece for piece in pieces)
    assert encoder.spell([]) == []
    assert "".join(encoder.spell(ids[:1])) == encoder.text(ids[:1])  # half a character
