"""A second run finds what the first one scored; nothing is found for another model, template or precision."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bnf_lab.core.sealed_folders import MANIFEST, seal_checkpoint
from bnf_lab.models import score_cache
from bnf_lab.models.adapters import add_lora
from bnf_lab.models.encoding import EncodedResponse, Encoder
from bnf_lab.models.loading import LoadedModel, load_model
from bnf_lab.models.score_cache import ScoreCache, hash_model
from bnf_lab.models.scoring import as_reference, compute_stats, group_responses
from tests.training.test_trainer import make_pairs


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of all responses that met the model."""
    ids, honest = [], score_cache.score_groups

    def note(loaded, groups, **options):
        ids.extend(r.judgement_id for group in groups for r in group)
        return honest(loaded, groups, **options)

    monkeypatch.setattr(score_cache, "score_groups", note)
    return ids


def build(root: Path, model: Path, loaded: LoadedModel, **changes) -> ScoreCache:
    return ScoreCache(root, model, replace(loaded, **changes), max_tokens=128)


def encoded(loaded: LoadedModel, n: int = 4) -> list[EncodedResponse]:
    encoder = Encoder(loaded.tokenizer, max_tokens=128)
    return [encoder.encode(judgement) for judgement in make_pairs(n)]


def test_scores_are_the_references_whatever_the_adapter(tiny_model_path, tiny_loaded, tmp_path, scored) -> None:
    loaded = add_lora(tiny_loaded, rank=4, alpha=8, dropout=0.0)
    with torch.no_grad():
        for name, weight in loaded.model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.1)
    responses = encoded(loaded)
    stats = build(tmp_path, tiny_model_path, loaded).reference_stats(loaded, group_responses(responses, size=3))
    with as_reference(loaded):
        expected = compute_stats(loaded, responses, size=3)
    assert stats.keys() == expected.keys()
    assert all(torch.equal(stats[i].logps, expected[i].logps) for i in expected)
    assert sorted(scored) == sorted(expected)


def test_a_second_run_scores_only_what_is_unseen(tiny_model_path, tiny_loaded, tmp_path, scored) -> None:
    responses = encoded(tiny_loaded, 6)
    seen, progress = responses[:8], []
    first = build(tmp_path, tiny_model_path, tiny_loaded).reference_stats(tiny_loaded, group_responses(seen, size=4))
    scored.clear()
    again = [replace(r, judgement_id=f"again-{r.judgement_id}", weight=0.5) for r in reversed(seen)]
    cache = build(tmp_path, tiny_model_path, tiny_loaded)
    second = cache.reference_stats(
        tiny_loaded, group_responses(again, size=2), on_progress=lambda *n: progress.append(n)
    )
    assert (scored, progress) == ([], [])
    assert all(torch.equal(second[f"again-{i}"].entropies, stats.entropies) for i, stats in first.items())
    cache.reference_stats(tiny_loaded, group_responses(responses, size=2), on_progress=lambda *n: progress.append(n))
    assert sorted(scored) == sorted(r.judgement_id for r in responses[8:])
    assert progress[-1] == (4, 4)


@pytest.mark.parametrize("changes", [{"compute_dtype": torch.bfloat16}, {"quantization": "nf4"}])
def test_where_company_decides_digits_a_score_belongs_to_its_group(
    tiny_model_path, tiny_loaded, tmp_path, scored, changes
) -> None:
    cache = build(tmp_path, tiny_model_path, tiny_loaded, **changes)
    responses = encoded(tiny_loaded, 3)
    pairs = group_responses(responses, size=2)
    first = cache.reference_stats(tiny_loaded, pairs)
    assert len(scored) == len(responses)
    scored.clear()
    again = cache.reference_stats(tiny_loaded, pairs[::-1])
    assert scored == []
    assert all(torch.equal(again[i].logps, stats.logps) for i, stats in first.items())
    cache.reference_stats(tiny_loaded, group_responses(responses, size=3))
    assert len(scored) == len(responses)


def test_equal_responses_are_scored_once(tiny_model_path, tiny_loaded, tmp_path, scored) -> None:
    one = encoded(tiny_loaded, 1)[0]
    twins = [one, replace(one, judgement_id="twin", is_preferred=not one.is_preferred)]
    stats = build(tmp_path, tiny_model_path, tiny_loaded).reference_stats(tiny_loaded, group_responses(twins, size=4))
    assert len(scored) == 1
    assert torch.equal(stats["twin"].logps, stats[one.judgement_id].logps)


@pytest.mark.parametrize("changes", [{"compute_dtype": torch.bfloat16}, {"quantization": "nf4"}])
def test_other_precision_finds_nothing(tiny_model_path, tiny_loaded, tmp_path, scored, changes) -> None:
    responses = encoded(tiny_loaded, 1)
    build(tmp_path, tiny_model_path, tiny_loaded).reference_stats(tiny_loaded, group_responses(responses, size=4))
    scored.clear()
    build(tmp_path, tiny_model_path, tiny_loaded, **changes).reference_stats(
        tiny_loaded, group_responses(responses, size=4)
    )
    assert len(scored) == len(responses)


def test_a_value_of_the_wrong_shape_is_ignored(tiny_model_path, tiny_loaded, tmp_path, scored, caplog) -> None:
    responses = encoded(tiny_loaded, 1)
    cache = build(tmp_path, tiny_model_path, tiny_loaded)
    honest = cache.reference_stats(tiny_loaded, group_responses(responses, size=4))
    (path,) = tmp_path.glob("scores-*/*.safetensors")
    save_file({key: value[:, :-1].clone() for key, value in load_file(path).items()}, path)
    scored.clear()
    with caplog.at_level(logging.WARNING):
        stats = cache.reference_stats(tiny_loaded, group_responses(responses, size=4))
    assert len(scored) == 2
    assert "ignored" in caplog.text
    assert all(torch.equal(stats[i].logps, honest[i].logps) for i in honest)


def test_a_stop_keeps_what_was_scored(tiny_model_path, tiny_loaded, tmp_path, scored, monkeypatch) -> None:
    monkeypatch.setattr(score_cache, "SAVED_AT_ONCE", 4)
    responses = encoded(tiny_loaded, 4)

    def stop(done: int, total: int) -> None:
        if done > 4:
            raise KeyboardInterrupt

    cache = build(tmp_path, tiny_model_path, tiny_loaded)
    with pytest.raises(KeyboardInterrupt):
        cache.reference_stats(tiny_loaded, group_responses(responses, size=2), on_progress=stop)
    scored.clear()
    cache.reference_stats(tiny_loaded, group_responses(responses, size=2))
    assert len(scored) == 4


def test_token_ids_are_kept_and_belong_to_the_text(tiny_model_path, tiny_loaded, tmp_path) -> None:
    class Silent(Encoder):
        def encode(self, judgement):
            raise AssertionError("encoded again")

    judgements = make_pairs(3)
    encoder = Encoder(tiny_loaded.tokenizer, max_tokens=128)
    cache = build(tmp_path, tiny_model_path, tiny_loaded)
    encode = cache.encode(encoder, judgements)
    expected = [encode(judgement) for judgement in judgements[:4]]
    cache.keep_encoded()
    again = build(tmp_path, tiny_model_path, tiny_loaded).encode(
        Silent(tiny_loaded.tokenizer, max_tokens=128), judgements
    )
    assert [again(judgement) for judgement in judgements[:4]] == expected
    with pytest.raises(AssertionError, match="encoded again"):
        again(judgements[4])


def test_answers_are_kept_by_prompt_and_length(tiny_model_path, tiny_loaded, tmp_path) -> None:
    cache = build(tmp_path, tiny_model_path, tiny_loaded)
    cache.save_answer("Größe?", 64, "日本\n🙂", 3)
    again = build(tmp_path, tiny_model_path, tiny_loaded)
    assert again.load_answer("Größe?", 64) == ("日本\n🙂", 3)
    assert again.load_answer("Größe?", 65) is None
    assert again.load_answer("Grösse?", 64) is None


def test_the_models_hash_follows_its_files(tiny_model_path, tmp_path, monkeypatch) -> None:
    staging, model = tmp_path / "tmp-model", tmp_path / "model"
    shutil.copytree(tiny_model_path, staging)
    monkeypatch.setattr(score_cache, "SMALL_BYTES", (staging / "model.safetensors").stat().st_size - 1)
    unsealed = hash_model(staging)
    seal_checkpoint(staging, model)
    sealed = hash_model(model)
    assert sealed[0] == unsealed[0]  # small files count by content alone
    written = (model / MANIFEST).stat().st_ctime_ns
    while (model / "model.safetensors").stat().st_ctime_ns <= written:  # a file system's clock has steps
        os.utime(model / "model.safetensors", (1, 1))
    assert hash_model(model)[1] != sealed[1]  # touched since it was sealed
    entries = json.loads((model / MANIFEST).read_text())
    (model / MANIFEST).write_text(json.dumps(entries))
    assert hash_model(model) == sealed
    entries["files"]["model.safetensors"]["sha256"] = "0" * 64
    (model / MANIFEST).write_text(json.dumps(entries))
    assert hash_model(model)[1] != sealed[1]
    (model / "chat_template.jinja").write_text("{{ messages }}")
    assert hash_model(model)[0] != sealed[0]


def test_without_a_manifest_large_weights_count_by_size_and_time(tiny_model_path, tmp_path, monkeypatch) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model_path, model)
    monkeypatch.setattr(score_cache, "SMALL_BYTES", (model / "model.safetensors").stat().st_size - 1)
    before = hash_model(model)
    assert hash_model(model) == before
    os.utime(model / "model.safetensors", (1, 1))
    assert hash_model(model)[1] != before[1]


def test_a_changed_template_finds_no_score(tiny_model_path, tmp_path, scored) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model_path, model)
    for template in ("{{ messages[0]['content'] }}A", "{{ messages[0]['content'] }}B"):
        (model / "chat_template.jinja").write_text(template)
        loaded = load_model(model, quantization="none", dtype=torch.float32)
        build(tmp_path / "cache", model, loaded).reference_stats(loaded, group_responses(encoded(loaded, 1), size=2))
    assert len(scored) == 4


def test_a_template_that_prints_the_date_is_encoded_anew_each_day(
    tiny_model_path, tiny_loaded, tmp_path, monkeypatch
) -> None:
    class Tomorrow(score_cache.date):
        @classmethod
        def today(cls):
            return score_cache.date.fromordinal(2)

    template = "{{ strftime_now('%d %b %Y') }}" + tiny_loaded.tokenizer.chat_template
    monkeypatch.setattr(tiny_loaded.tokenizer, "chat_template", template)
    folders = [build(tmp_path, tiny_model_path, tiny_loaded)._tokens.folder]
    monkeypatch.setattr(score_cache, "date", Tomorrow)
    folders.append(build(tmp_path, tiny_model_path, tiny_loaded)._tokens.folder)
    assert folders[0] != folders[1]


def test_weights_changed_after_the_manifest_are_other_weights(tiny_model_path, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(score_cache, "SMALL_BYTES", 0)
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_path, tmp_path / "tmp-model")
    seal_checkpoint(tmp_path / "tmp-model", folder)
    sealed = hash_model(folder)
    assert hash_model(folder) == sealed
    weights = folder / "model.safetensors"
    time.sleep(0.05)  # the clock of a file system ticks coarsely
    weights.write_bytes(bytes(reversed(weights.read_bytes())))
    os.utime(weights, ns=(1, 1))  # of the same size, and dated back as a copy may be
    assert hash_model(folder)[1] != sealed[1]
