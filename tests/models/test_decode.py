"""Decoding: coupled, streamed, stoppable; base rows are the base model."""

from __future__ import annotations

import itertools
import threading

import pytest
import torch
from transformers import GenerationConfig

from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Message
from bnf_lab.models.adapters import load_adapter
from bnf_lab.models.decode import DecodeRow, _RowState, decode, encode_prompt, end_ids

QUESTION = (Message("user", "What is the capital of France?"),)
OTHER = (Message("system", "Be short."), Message("user", "Größe? 🙂"))


def run(loaded, rows, *, temperature=1.0, top_p=0.95, max_new_tokens=24, seed=5, stop=None):
    return list(
        decode(loaded, rows, temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed, stop=stop)
    )


def never_ends(loaded):
    """Lets no answer end by itself, so that lengths are known."""
    head = loaded.causal.get_output_embeddings()
    kept = head.forward

    def forward(x):
        logits = kept(x).clone()
        logits[..., end_ids(loaded)] = float("-inf")
        return logits

    head.forward = forward
    return loaded


def test_base_row_is_the_base_model(tiny_loaded, tiny_model_path, tiny_adapter_path):
    alone = run(tiny_loaded, [DecodeRow(QUESTION)])
    mixed_model = load_adapter(tiny_loaded, tiny_adapter_path, "a")
    mixed = run(mixed_model, [DecodeRow(QUESTION), DecodeRow(QUESTION, "a")])
    assert mixed[-1][0] == alone[-1][0]
    assert mixed[-1][1].token_ids != mixed[-1][0].token_ids


def test_greedy_equals_generate(tiny_loaded):
    ids = torch.tensor([encode_prompt(tiny_loaded, QUESTION)])
    expected = tiny_loaded.model.generate(ids, max_new_tokens=16, do_sample=False)[0, ids.shape[1] :].tolist()
    row = run(tiny_loaded, [DecodeRow(QUESTION)], temperature=0, max_new_tokens=16)[-1][0]
    assert list(row.token_ids) == expected


def test_equal_models_give_equal_answers(tiny_loaded, zero_adapter_path):
    loaded = load_adapter(tiny_loaded, zero_adapter_path, "zero")
    for seed in range(3):
        last = run(loaded, [DecodeRow(QUESTION), DecodeRow(QUESTION, "zero")], top_p=1.0, seed=seed)[-1]
        assert last[0] == last[1]
        assert last[0].n_tokens > 0


def test_different_keys_give_different_answers(tiny_loaded):
    last = run(tiny_loaded, [DecodeRow(QUESTION, noise_key=i) for i in range(3)])[-1]
    assert len({row.token_ids for row in last}) == 3


def test_seed_decides(tiny_loaded):
    first, again, other = (run(tiny_loaded, [DecodeRow(QUESTION)], seed=s)[-1][0] for s in (1, 1, 2))
    assert first == again != other


def test_padded_row_equals_the_row_alone(tiny_loaded):
    """Conversations of different lengths share a batch without touching each other."""
    rows = [DecodeRow(QUESTION), DecodeRow(OTHER)]
    together = run(tiny_loaded, rows)[-1]
    assert [run(tiny_loaded, [row])[-1][0].token_ids for row in rows] == [row.token_ids for row in together]


def test_one_update_a_step(tiny_loaded):
    steps = run(never_ends(tiny_loaded), [DecodeRow(QUESTION), DecodeRow(OTHER)], max_new_tokens=7)
    assert [rows[0].n_tokens for rows in steps] == list(range(1, 8))
    assert {rows[0].finish for rows in steps[:-1]} == {None}
    assert [row.finish for row in steps[-1]] == ["length", "length"]
    assert all(a[0].text == b[0].text[: len(a[0].text)] for a, b in itertools.pairwise(steps))


def test_finished_row_stays_finished(tiny_loaded):
    """One row meets an end token early; the other goes on; pads after the end are not counted."""
    full = run(tiny_loaded, [DecodeRow(QUESTION), DecodeRow(OTHER)], temperature=0, max_new_tokens=12)[-1]
    ids, others = full[0].token_ids, set(full[1].token_ids)
    place = next(i for i, token in enumerate(ids) if token not in others and token not in ids[:i])
    tiny_loaded.causal.generation_config.eos_token_id = [2, ids[place]]
    steps = run(tiny_loaded, [DecodeRow(QUESTION), DecodeRow(OTHER)], temperature=0, max_new_tokens=12)
    assert steps[-1][0].finish == "end"
    assert steps[-1][0].token_ids == ids[: place + 1]
    assert steps[place][0] == steps[-1][0]
    assert steps[-1][1] == full[1]


def test_models_own_generation_settings_do_not_interfere(tiny_loaded):
    expected = run(tiny_loaded, [DecodeRow(QUESTION)])[-1]
    own = GenerationConfig(
        max_length=3, temperature=0.1, top_k=1, do_sample=True, repetition_penalty=9.0, eos_token_id=2, min_length=20
    )
    tiny_loaded.causal.generation_config = own
    assert run(tiny_loaded, [DecodeRow(QUESTION)])[-1] == expected
    assert tiny_loaded.causal.generation_config is own


def test_stop_ends_the_decode(tiny_loaded):
    stop = threading.Event()
    seen = []
    for rows in decode(
        never_ends(tiny_loaded), [DecodeRow(QUESTION)], temperature=1, top_p=1, max_new_tokens=400, seed=0, stop=stop
    ):
        seen.append(rows[0])
        stop.set()
    assert seen[-1].finish == "stopped"
    assert len(seen[-1].token_ids) == seen[-1].n_tokens < 400


def test_stop_before_the_start(tiny_loaded):
    stop = threading.Event()
    stop.set()
    (rows,) = run(tiny_loaded, [DecodeRow(QUESTION)], stop=stop)
    assert (rows[0].finish, rows[0].n_tokens) == ("stopped", 0)


def test_closing_the_generator_ends_the_thread(tiny_loaded):
    steps = decode(never_ends(tiny_loaded), [DecodeRow(QUESTION)], temperature=1, top_p=1, max_new_tokens=400, seed=0)
    next(steps)
    assert [t.name for t in threading.enumerate()].count("decode") == 1
    steps.close()
    assert [t.name for t in threading.enumerate()].count("decode") == 0


def test_error_in_the_thread_reaches_the_reader(tiny_loaded):
    def broken(*args, **kwargs):
        raise RuntimeError("out of order")

    tiny_loaded.model.model.layers[1].mlp.forward = broken
    with pytest.raises(RuntimeError, match="out of order"):
        run(tiny_loaded, [DecodeRow(QUESTION)])
    assert [t.name for t in threading.enumerate()].count("decode") == 0


def test_context_overflow_says_how_many_tokens(tiny_loaded):
    n = len(encode_prompt(tiny_loaded, QUESTION))
    with pytest.raises(LabError, match=rf"{n} tokens .* 600, together {n + 600}; .* at most 512"):
        run(tiny_loaded, [DecodeRow(QUESTION)], max_new_tokens=600)


@pytest.mark.parametrize(
    "settings",
    [{"temperature": -1.0}, {"temperature": float("nan")}, {"top_p": 0.0}, {"top_p": 1.5}, {"max_new_tokens": 0}],
)
def test_settings_out_of_range_are_refused(tiny_loaded, settings):
    with pytest.raises(LabError):
        run(tiny_loaded, [DecodeRow(QUESTION)], **settings)


def test_template_that_refuses(tiny_loaded):
    tiny_loaded.tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(LabError, match="no system role"):
        encode_prompt(tiny_loaded, QUESTION)


def spell(tokenizer, text, *, max_new_tokens=10_000):
    state = _RowState(tokenizer, frozenset({tokenizer.eos_token_id}), max_new_tokens)
    texts = []
    for token in tokenizer(text, add_special_tokens=False)["input_ids"]:
        state.add(token)
        texts.append(state.update.text)
    return state, texts


@pytest.mark.parametrize("text", ["naïve café", "日本語 and 🙂🙃🏳️‍🌈!", "ñandú\n\n\t한국어 ภาษา", "  spaces  "])
def test_no_half_character_is_ever_shown(tiny_loaded, text):
    _, texts = spell(tiny_loaded.tokenizer, text)
    assert texts[-1] == text
    assert all(text.startswith(part) for part in texts)
    assert len(set(texts)) > 3


def test_half_a_character_at_the_end_is_left_out(tiny_loaded):
    tokenizer = tiny_loaded.tokenizer
    ids = tokenizer("a🙃", add_special_tokens=False)["input_ids"]
    state = _RowState(tokenizer, frozenset({tokenizer.eos_token_id}), len(ids) - 1)
    for token in ids[:-1]:
        state.add(token)
    assert (state.update.text, state.finish) == ("a", "length")


def test_detokenising_does_not_read_the_whole_answer_again(tiny_loaded):
    tokenizer = tiny_loaded.tokenizer
    lengths = []
    kept = tokenizer.decode
    tokenizer.decode = lambda ids, **options: (lengths.append(len(ids)), kept(ids, **options))[1]
    broken = [tokenizer("🙃", add_special_tokens=False)["input_ids"][0]] * 100
    state, _ = spell(tokenizer, "The sea and the sky. " * 40)
    for token in broken:
        state.add(token)
    assert max(lengths) < 60
