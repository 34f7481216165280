"""The chat engine: base and aligned panes, adapters in memory, turns, scores."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from bnf_lab.core.errors import AdapterRefused, LabError
from bnf_lab.core.judgements import Judgement, Message, Verdict
from bnf_lab.lab import chat_engine
from bnf_lab.lab.chat_engine import ChatEngine
from bnf_lab.lab.chat_records import ChatRequest
from bnf_lab.models.adapters import load_adapter
from bnf_lab.models.decode import decode, encode_prompt
from bnf_lab.models.encoding import Encoder
from bnf_lab.models.loading import load_model
from bnf_lab.training.merge import mean_logps
from tests.support.templates import save_family

QUESTION = (Message("user", "What is the capital of France?"),)
REQUEST = ChatRequest(QUESTION, QUESTION, "tiny", temperature=1.0, top_p=1.0, max_new_tokens=12, seed=4)


class Loader:
    """Loads the tiny model and counts how often."""

    def __init__(self, path):
        self.path = path
        self.models = []

    def __call__(self, model_id):
        self.models.append(model_id)
        return load_model(self.path, quantization="none", dtype=torch.float32)


@pytest.fixture
def loader(tiny_model_path):
    return Loader(tiny_model_path)


@pytest.fixture
def engine(loader):
    return ChatEngine(loader)


def last(updates):
    return list(updates)[-1]


def test_base_pane_is_the_base(engine, tiny_adapter_path):
    alone = last(engine.reply(REQUEST))
    both = last(engine.reply(REQUEST, tiny_adapter_path))
    assert both.base.text == alone.base.text
    assert both.base.n_tokens == alone.base.n_tokens
    assert both.base.logp_base == pytest.approx(alone.base.logp_base, abs=1e-5)
    assert both.aligned.text != both.base.text
    assert (alone.aligned.text, alone.aligned.finish, alone.base.logp_aligned) == ("", None, None)


@pytest.mark.parametrize(("dtype", "n_rows"), [(torch.float32, [1, 2]), (torch.bfloat16, [2, 2])])
def test_in_half_precision_the_base_pane_is_computed_alike_with_and_without_another_pane(
    tiny_model_path, tiny_adapter_path, monkeypatch, dtype, n_rows
):
    loaded = load_model(tiny_model_path, quantization="none", dtype=dtype)
    engine = ChatEngine(lambda _: loaded)
    seen = []

    def note(model, rows, **options):
        seen.append(len(rows))
        return decode(model, rows, **options)

    monkeypatch.setattr(chat_engine, "decode", note)
    alone, both = last(engine.reply(REQUEST)), last(engine.reply(REQUEST, tiny_adapter_path))
    assert seen == n_rows
    assert alone.base.text == both.base.text
    assert alone.aligned.text == ""


def test_adapter_that_changes_nothing_gives_equal_panes(engine, zero_adapter_path):
    for seed in range(3):
        update = last(engine.reply(replace(REQUEST, seed=seed), zero_adapter_path))
        assert update.base.text == update.aligned.text
        assert update.base.logp_base == pytest.approx(update.base.logp_aligned, abs=1e-6)


def test_each_pane_has_its_own_history(engine, tiny_adapter_path):
    aligned = (*QUESTION, Message("assistant", "Paris."), Message("user", "And of Spain?"))
    alone = last(engine.reply(replace(REQUEST, base_history=aligned)))
    update = last(engine.reply(replace(REQUEST, aligned_history=aligned), tiny_adapter_path))
    assert update.base.text == last(engine.reply(REQUEST)).base.text
    assert update.aligned.text != alone.base.text


def test_updates_end_with_scores_and_speed(engine, tiny_adapter_path):
    *steps, final = engine.reply(REQUEST, tiny_adapter_path)
    assert [s.is_done for s in steps] == [False] * len(steps)
    assert final.is_done
    for pane in (final.base, final.aligned):
        assert pane.finish in ("length", "end")
        assert pane.tokens_per_second > 0
        assert pane.logp_base < 0
        assert pane.logp_aligned < 0
    assert final.base.logp_base > final.base.logp_aligned
    assert final.aligned.logp_aligned > final.aligned.logp_base


def test_scores_are_mean_log_probabilities(engine, loader, tiny_adapter_path):
    """Against a plain forward pass and a float32 log-softmax over every position."""
    response = "The capital is Paris."
    (score,) = engine.score_answers("tiny", [(QUESTION, response)], adapter=tiny_adapter_path)
    loaded = loader("again")
    prompt = encode_prompt(loaded, QUESTION)
    ids = [*loaded.tokenizer(response)["input_ids"], loaded.tokenizer.eos_token_id]

    def mean_logp(model):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        return torch.log_softmax(logits, dim=-1)[range(len(ids)), ids].mean().item()

    assert score.logp_base == pytest.approx(mean_logp(loaded.model), abs=1e-5)
    assert score.logp_aligned == pytest.approx(mean_logp(load_adapter(loaded, tiny_adapter_path, "a").model), abs=1e-5)


def test_answers_are_scored_as_they_are_trained(tiny_model_path, tmp_path):
    """With the block that the template closes before an answer, as training and `score` encode it."""
    loader = Loader(save_family(tiny_model_path, "qwen-3", tmp_path / "qwen"))
    (score,) = ChatEngine(loader).score_answers("qwen", [(QUESTION, "Paris.")])
    loaded = loader("again")
    encoded = Encoder(loaded.tokenizer, max_tokens=512).encode(Judgement(QUESTION, "Paris.", Verdict.PREFERRED))
    assert loaded.tokenizer.decode(encoded.response_ids).startswith("<think>")
    assert score.logp_base == pytest.approx(mean_logps(loaded, [encoded])[0], abs=1e-5)


def test_a_system_prompt_is_answered_where_the_template_has_no_system_role(tiny_model_path, tmp_path):
    engine = ChatEngine(Loader(save_family(tiny_model_path, "gemma-2", tmp_path / "gemma")))
    asked = (Message("system", "Be brief."), *QUESTION)
    plain, told = (last(engine.reply(replace(REQUEST, base_history=turns))).base for turns in (QUESTION, asked))
    assert told.finish in ("length", "end")
    assert told.text != plain.text


def test_score_does_not_depend_on_the_other_answers(engine, tiny_adapter_path):
    answers = [(QUESTION, "Paris."), (QUESTION, "A comet is a ball of ice and dust."), (QUESTION, "")]
    together = engine.score_answers("tiny", answers, adapter=tiny_adapter_path)
    for answer, score in zip(answers, together, strict=True):
        (alone,) = engine.score_answers("tiny", [answer], adapter=tiny_adapter_path)
        assert alone.logp_base == pytest.approx(score.logp_base, abs=1e-5)
        assert alone.logp_aligned == pytest.approx(score.logp_aligned, abs=1e-5)


def test_one_model_in_memory(engine, loader, tiny_adapter_path):
    last(engine.reply(REQUEST))
    last(engine.reply(REQUEST, tiny_adapter_path))
    assert loader.models == ["tiny"]
    last(engine.reply(replace(REQUEST, model="other"), tiny_adapter_path))
    last(engine.reply(REQUEST))
    assert loader.models == ["tiny", "other", "tiny"]
    engine.unload()
    last(engine.reply(REQUEST))
    assert len(loader.models) == 4


def test_new_adapter_at_the_same_place_is_noticed(engine, tiny_adapter_path, zero_adapter_path, tmp_path):
    place = shutil.copytree(tiny_adapter_path, tmp_path / "adapter")
    first = last(engine.reply(REQUEST, place))
    shutil.copytree(zero_adapter_path, place, dirs_exist_ok=True)
    second = last(engine.reply(REQUEST, place))
    assert first.aligned.text != first.base.text
    assert second.aligned.text == second.base.text == first.base.text


def test_only_a_few_adapters_stay_in_memory(loader, tiny_adapter_path, zero_adapter_path, tmp_path):
    engine = ChatEngine(loader, max_adapters=1)
    places = [tiny_adapter_path, zero_adapter_path, shutil.copytree(tiny_adapter_path, tmp_path / "third")]
    texts = [last(engine.reply(REQUEST, place)).aligned.text for place in (*places, *places)]
    assert texts[:3] == texts[3:]
    assert texts[0] == texts[2] != texts[1]
    assert len(engine._adapters) == len(engine._loaded.model.peft_config) == 1
    assert loader.models == ["tiny"]


def test_memory_keeps_the_adapter_used_last(loader, tiny_adapter_path, zero_adapter_path, tmp_path):
    engine = ChatEngine(loader, max_adapters=2)
    third = shutil.copytree(tiny_adapter_path, tmp_path / "third")
    for place in (tiny_adapter_path, zero_adapter_path, tiny_adapter_path, third):
        last(engine.reply(REQUEST, place))
    assert [place for place, _ in engine._adapters] == [tiny_adapter_path, third]


def spoil_config(place, **changes):
    path = place / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"target_modules": "(a+)+$"},
        {"target_modules": [".*_proj"]},
        {"peft_type": "IA3"},
        {"r": 100_000},
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
    ],
)
def test_unsafe_adapter_is_refused_and_the_engine_goes_on(engine, tiny_adapter_path, tmp_path, changes):
    place = shutil.copytree(tiny_adapter_path, tmp_path / "adapter")
    spoil_config(place, **changes)
    with pytest.raises(AdapterRefused):
        last(engine.reply(REQUEST, place))
    assert last(engine.reply(REQUEST, tiny_adapter_path)).is_done


def write_tensors(place, tensors):
    save_file(tensors, place / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("base_model.model.lm_head.weight", (2, 2), "no LoRA tensors"),
        ("base_model.model.model.layers.7.mlp.up_proj.lora_A.weight", (4, 32), "no linear layer"),
        ("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", (4, 99), "needs 32 features"),
    ],
)
def test_adapter_of_another_model_is_refused(engine, loader, tiny_adapter_path, tmp_path, name, shape, reason):
    place = shutil.copytree(tiny_adapter_path, tmp_path / "adapter")
    write_tensors(place, {name: torch.zeros(shape)})
    with pytest.raises(AdapterRefused, match=reason):
        last(engine.reply(REQUEST, place))
    assert last(engine.reply(REQUEST, tiny_adapter_path)).is_done
    assert loader.models == ["tiny"]


def test_missing_adapter_is_refused(engine, tmp_path):
    with pytest.raises(AdapterRefused, match="cannot be read") as caught:
        last(engine.reply(REQUEST, tmp_path / "nowhere"))
    assert str(tmp_path) not in str(caught.value)


def test_adapter_that_fails_half_way_leaves_no_trace(engine, loader, tiny_adapter_path, tmp_path):
    """A truncated file passes the header check; the model is loaded afresh, so that the base stays the base."""
    expected = last(engine.reply(REQUEST)).base
    place = shutil.copytree(tiny_adapter_path, tmp_path / "adapter")
    path = place / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AdapterRefused, match="cannot be loaded"):
        last(engine.reply(REQUEST, place))
    assert last(engine.reply(REQUEST)).base.text == expected.text
    assert loader.models == ["tiny", "tiny"]


def test_model_that_fails_to_load_is_tried_again(tiny_model_path):
    calls = []

    def load(model_id):
        calls.append(model_id)
        if len(calls) == 1:
            raise LabError("not yet")
        return load_model(tiny_model_path, quantization="none", dtype=torch.float32)

    engine = ChatEngine(load)
    with pytest.raises(LabError, match="not yet"):
        last(engine.reply(REQUEST))
    assert last(engine.reply(REQUEST)).is_done


def test_closed_reply_gives_its_turn_back(engine, tiny_adapter_path):
    reply = engine.reply(replace(REQUEST, max_new_tokens=300), tiny_adapter_path)
    next(reply)
    closer = threading.Thread(target=reply.close)  # not the thread that began it
    closer.start()
    closer.join()
    assert last(engine.reply(REQUEST)).is_done


def test_replies_wait_in_order_of_arrival(engine):
    first = engine.reply(replace(REQUEST, max_new_tokens=300))
    next(first)
    order, threads = [], []
    for i in range(3):
        thread = threading.Thread(target=lambda i=i: (last(engine.reply(REQUEST)), order.append(i)))
        thread.start()
        while len(engine._turns._waiting) < i + 2:
            threading.Event().wait(0.001)
        threads.append(thread)
    assert order == []
    first.close()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2]


def test_stop_ends_both_answers(engine, tiny_adapter_path):
    stop = threading.Event()
    updates = []
    for update in engine.reply(replace(REQUEST, max_new_tokens=300), tiny_adapter_path, stop=stop):
        updates.append(update)
        if update.base.n_tokens == 2:
            stop.set()
    assert updates[-1].is_done
    assert "stopped" in (updates[-1].base.finish, updates[-1].aligned.finish)
    assert updates[-1].base.logp_base < 0


def test_stop_while_waiting(engine):
    holder = engine.reply(replace(REQUEST, max_new_tokens=300))
    next(holder)
    stop = threading.Event()
    waiter = engine.reply(REQUEST, stop=stop)
    threading.Timer(0.05, stop.set).start()
    update = last(waiter)
    assert (update.base.finish, update.base.n_tokens, update.is_done) == ("stopped", 0, True)
    holder.close()
    assert last(engine.reply(REQUEST)).is_done


def test_candidates_are_different_and_seeded(engine):
    def write(**options):
        settings = {"temperature": 1.0, "max_new_tokens": 10, "seed": 1} | options
        return list(engine.write_candidates("tiny", QUESTION, 3, **settings))

    steps = write()
    assert len(set(steps[-1])) == 3
    assert all(len(texts) == 3 for texts in steps)
    assert write()[-1] == steps[-1] != write(seed=2)[-1]
    assert len(set(write(temperature=0)[-1])) == 1


def test_candidates_of_an_adapter(engine, tiny_adapter_path):
    settings = {"temperature": 0.0, "max_new_tokens": 10, "seed": 1}
    base = last(engine.write_candidates("tiny", QUESTION, 1, **settings))
    aligned = last(engine.write_candidates("tiny", QUESTION, 1, adapter=tiny_adapter_path, **settings))
    assert base != aligned


def test_bfloat16_model_with_float32_adapter(tiny_model_path, tiny_adapter_path, zero_adapter_path):
    engine = ChatEngine(lambda _: load_model(tiny_model_path, quantization="none", dtype=torch.bfloat16))
    update = last(engine.reply(REQUEST, tiny_adapter_path))
    assert update.aligned.text != update.base.text
    assert update.aligned.logp_aligned > update.aligned.logp_base
    update = last(engine.reply(REQUEST, zero_adapter_path))
    assert update.aligned.text == update.base.text
    assert update.base.logp_base == update.base.logp_aligned


def test_records_need_no_torch():
    code = "import sys, bnf_lab.lab.chat_records; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
