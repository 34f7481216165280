"""What the loss compares with: the base sharpened or flattened, an adapter, another model, each exactly as it says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import LlamaForCausalLM

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import AdapterRefused, RunRefused
from bnf_lab.core.judgements import Judgement, Message, Source, build_pair
from bnf_lab.core.machine import DeviceInfo
from bnf_lab.models.adapters import add_lora, load_adapter
from bnf_lab.models.encoding import EncodedResponse, Encoder
from bnf_lab.models.loading import LoadedModel, load_model
from bnf_lab.models.scoring import compute_stats
from bnf_lab.runs.estimates import Preflight
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import RunState
from bnf_lab.training import run
from bnf_lab.training.preflight import Counter
from bnf_lab.training.references import (
    FILE,
    Reference,
    compute_reference_logps,
    locate_reference,
    read_references,
    write_references,
)
from bnf_lab.training.worker import Silence

CONFIG = RunConfig(
    n_steps=2,
    responses_per_step=4,
    n_probe=2,
    lora_rank=4,
    checkpoint_steps=2,
    answer_steps=100,
    answer_prompts="Name number 3.",
    max_tokens=96,
)
ROOT = Path(__file__).resolve().parents[2]


def make_pairs(n: int = 10) -> list[Judgement]:
    prompts = [(Message("user", f"Name number {i}."),) for i in range(n)]
    pairs = [build_pair(p, f"It is {i}.", "Hm, let me think.", source=Source.DEMO) for i, p in enumerate(prompts)]
    return [judgement for pair in pairs for judgement in pair]


def encode(loaded: LoadedModel, judgements: Sequence[Judgement]) -> list[EncodedResponse]:
    encoder = Encoder(loaded.tokenizer, max_tokens=CONFIG.max_tokens)
    return [encoder.encode(judgement) for judgement in judgements]


@torch.no_grad()
def plain_logits(loaded: LoadedModel, response: EncodedResponse) -> Tensor:
    """Returns (n, V): the logits that predict the response's tokens, one sequence, no packing."""
    ids = torch.tensor([[*response.prompt_ids, *response.response_ids]])
    return loaded.model(input_ids=ids).logits[0, len(response.prompt_ids) - 1 : -1].float()


def plain_logps(loaded: LoadedModel, response: EncodedResponse, temperature: float = 1.0) -> Tensor:
    logps = torch.log_softmax(plain_logits(loaded, response) / temperature, dim=-1)
    return logps.gather(1, torch.tensor(response.response_ids).unsqueeze(1)).squeeze(1)


def own_logps(loaded: LoadedModel, responses: Sequence[EncodedResponse]) -> dict[str, Tensor]:
    return {name: stats.logps for name, stats in compute_stats(loaded, responses).items()}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def save_model(path: Path, tiny: Path, seed: int) -> Path:
    """Saves a model of the tiny one's shape and tokenizer with other weights."""
    shutil.copytree(tiny, path)
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaForCausalLM.config_class.from_pretrained(tiny)).save_pretrained(path)
    return path


def save_other_tokenizer(path: Path, tiny: Path) -> Path:
    """Saves the tiny model with two tokens of its vocabulary exchanged: as many, the same names, not the same ids."""
    shutil.copytree(tiny, path)
    values = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = values["model"]["vocab"]
    vocabulary["x"], vocabulary["q"] = vocabulary["q"], vocabulary["x"]
    (path / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    return path


# -- temperatures


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_temperature_divides_the_logits(tiny_loaded: LoadedModel, temperature: float) -> None:
    responses = encode(tiny_loaded, make_pairs(4))
    seen: list[tuple[int, int]] = []
    found = compute_reference_logps(
        Reference(temperature=temperature), tiny_loaded, responses, on_progress=lambda *n: seen.append(n)
    )
    assert found.keys() == {r.judgement_id for r in responses}
    assert seen[-1] == (8, 8)
    for response in responses:
        expected, plain = plain_logps(tiny_loaded, response, temperature), plain_logps(tiny_loaded, response)
        assert found[response.judgement_id].dtype is torch.float32
        assert torch.allclose(found[response.judgement_id], expected, atol=1e-5)
        assert not torch.allclose(expected, plain, atol=1e-2)


def test_a_temperature_of_one_is_the_base_itself(tiny_loaded: LoadedModel) -> None:
    responses = encode(tiny_loaded, make_pairs(3))
    assert_equal(compute_reference_logps(Reference(), tiny_loaded, responses), own_logps(tiny_loaded, responses))
    assert locate_reference(CONFIG, Path("nowhere"), Path("nowhere")) == Reference()


# -- adapters


def test_an_adapter_is_scored_as_it_is_and_leaves_nothing_behind(
    tiny_model_path: Path, tiny_adapter_path: Path, tmp_path: Path
) -> None:
    def fresh() -> LoadedModel:
        return load_model(tiny_model_path, quantization="none", dtype=torch.float32)

    base = fresh()
    responses = encode(base, make_pairs(4))
    reference = locate_reference(replace(CONFIG, reference=f"run:{tiny_adapter_path}"), tmp_path, tiny_model_path)
    assert reference == Reference(adapter=tiny_adapter_path)
    before, names = [plain_logits(base, r) for r in responses], [n for n, _ in base.model.named_modules()]
    found = compute_reference_logps(reference, base, responses)

    assert_equal(found, own_logps(load_adapter(fresh(), tiny_adapter_path, "own"), responses))
    bare = own_logps(fresh(), responses)
    assert all(not torch.allclose(found[name], bare[name], atol=1e-2) for name in bare)
    assert_equal(own_logps(base, responses), bare)
    assert all(torch.equal(plain_logits(base, r), logits) for r, logits in zip(responses, before, strict=True))
    assert [n for n, _ in base.model.named_modules()] == names
    assert not any("lora" in n for n, _ in base.model.named_parameters())
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(peft_config|second time)")  # what peft says of leftovers
        wrapped = add_lora(base, rank=4, alpha=8, dropout=0.0)
    trainable = [n for n, p in wrapped.model.named_parameters() if p.requires_grad]
    assert trainable
    assert all("lora_" in n and ".default." in n for n in trainable)
    assert_equal(own_logps(wrapped, responses), bare)  # a fresh adapter changes nothing


def test_an_adapter_has_a_temperature_too(tiny_loaded: LoadedModel, tiny_adapter_path: Path) -> None:
    (response,) = encode(tiny_loaded, make_pairs(1)[:1])
    found = compute_reference_logps(Reference(adapter=tiny_adapter_path, temperature=2.0), tiny_loaded, [response])
    expected = plain_logps(load_adapter(tiny_loaded, tiny_adapter_path, "own"), response, 2.0)
    assert torch.allclose(found[response.judgement_id], expected, atol=1e-5)


def test_the_base_is_free_again_when_scoring_breaks_off(tiny_loaded: LoadedModel, tiny_adapter_path: Path) -> None:
    responses = encode(tiny_loaded, make_pairs(2))
    bare = own_logps(tiny_loaded, responses)

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        compute_reference_logps(Reference(adapter=tiny_adapter_path), tiny_loaded, responses, on_progress=stop)
    assert not any("lora" in n for n, _ in tiny_loaded.model.named_parameters())
    assert_equal(own_logps(tiny_loaded, responses), bare)


def make_run(path: Path, adapter: Path, model: Path | str) -> RunFolder:
    folder = RunFolder.create(path, replace(CONFIG, model=str(model)), make_pairs())
    shutil.copytree(adapter, folder.adapter)
    return folder


def test_a_run_is_found_by_its_folder_or_by_its_name(
    tiny_model_path: Path, tiny_adapter_path: Path, tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "runs" / "earlier", tiny_adapter_path, tiny_model_path)
    config = replace(CONFIG, model=str(tiny_model_path), reference_temperature=0.5)
    for name in (folder.path, "earlier", "somewhere/else/earlier"):
        found = locate_reference(replace(config, reference=f"run:{name}"), tmp_path, tiny_model_path)
        assert found == Reference(adapter=folder.adapter, temperature=0.5)


def test_a_run_of_another_model_is_refused(tiny_model_path: Path, tiny_adapter_path: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "runs" / "earlier", tiny_adapter_path, "owner/other")
    config = replace(CONFIG, model=str(tiny_model_path), reference=f"run:{folder.path}")
    with pytest.raises(RunRefused, match="'Reference' is run earlier, which trained 'owner/other'; this run trains"):
        locate_reference(config, tmp_path, tiny_model_path)
    assert "An adapter fits its own base model alone" in check(config, tiny_model_path, tmp_path).problems[0]


def test_what_is_not_there_is_refused(tiny_model_path: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterRefused, match="'Reference' missing: there is no adapter"):
        locate_reference(replace(CONFIG, reference="run:missing"), tmp_path, tiny_model_path)
    with pytest.raises(RunRefused, match="'owner/name', which is not on this machine. Run `python -m bnf_lab fetch"):
        locate_reference(replace(CONFIG, reference="owner/name"), tmp_path, tiny_model_path)
    for config in (replace(CONFIG, reference="run:missing"), replace(CONFIG, reference="owner/name")):
        assert check(config, tiny_model_path, tmp_path).problems


# -- other models


@pytest.mark.usefixtures("compute_dtype")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_another_checkpoint_with_the_same_tokenizer_is_scored_in_the_bases_dtype(
    tiny_model_path: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    other = save_model(tmp_path / "other", tiny_model_path, seed=5)
    base = load_model(tiny_model_path, quantization="none", dtype=dtype)
    responses = encode(base, make_pairs(4))
    reference = locate_reference(replace(CONFIG, reference=str(other)), tmp_path, tiny_model_path)
    assert reference == Reference(model=other)
    bare = own_logps(base, responses)
    found = compute_reference_logps(reference, base, responses)
    assert_equal(found, own_logps(load_model(other, quantization="none", dtype=dtype), responses))
    assert all(not torch.allclose(found[name], bare[name], atol=1e-2) for name in bare)
    assert_equal(own_logps(base, responses), bare)
    config = replace(CONFIG, model=str(tiny_model_path), reference=str(other))
    assert check(config, tiny_model_path, tmp_path).problems == ()


def check(config: RunConfig, model: Path, home: Path) -> Preflight:
    device = DeviceInfo("CPU", has_gpu=False, free_gib=4.0, total_gib=8.0)
    return Counter(home).check(make_pairs(), config, device, model)


def test_another_tokenizer_is_refused_before_the_start(tiny_model_path: Path, tmp_path: Path) -> None:
    other = save_other_tokenizer(tmp_path / "other", tiny_model_path)
    config = replace(CONFIG, model=str(tiny_model_path), reference=str(other))
    (problem,) = check(config, tiny_model_path, tmp_path).problems
    assert problem.startswith("'Reference' 'other' has another tokenizer than 'tiny': 420 tokens against 420, 4 ")
    assert "choose a model of the same family" in problem
    with pytest.raises(RunRefused, match="has another tokenizer"):
        locate_reference(config, tmp_path, tiny_model_path)


# -- runs


def make_folder(path: Path, model: Path, **changes: object) -> RunFolder:
    return RunFolder.create(path, replace(CONFIG, model=str(model), **changes), make_pairs())


def run_worker(folder: RunFolder, home: Path) -> str:
    answer = subprocess.run(
        [sys.executable, "-m", "bnf_lab.training.worker", str(folder.path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"BNF_LAB_HOME": str(home), "OMP_NUM_THREADS": "1"},
    )
    return answer.stdout + answer.stderr


@pytest.mark.slow
def test_a_run_with_a_temperature_records_and_keeps_the_tempered_values(
    tiny_model_path: Path, tmp_path: Path, compute_dtype: str
) -> None:
    within = {"float32": 2e-3, "bfloat16": 0.1}[compute_dtype]  # alone and in company differ by bfloat16's last digits
    folder = make_folder(tmp_path / "run", tiny_model_path, reference_temperature=0.5)
    output = run_worker(folder, tmp_path)
    assert folder.read_status().state is RunState.FINISHED, output
    base = load_model(tiny_model_path, quantization="none")
    encoded = {r.judgement_id: r for r in encode(base, folder.read_judgements())}
    header, snapshots = folder.read_tokens()
    assert len(header.responses) == 4
    for index, response in enumerate(header.responses):
        own = encoded[response.judgement_id]
        tempered, plain = plain_logps(base, own, 0.5), plain_logps(base, own)
        assert response.reference_logps == pytest.approx(tempered.tolist(), abs=within)
        assert snapshots[0].logps[index] == pytest.approx(plain.tolist(), abs=within)  # the policy begins at the base
        assert not torch.allclose(tempered, plain, atol=0.5)
    saved = load_file(folder.path / FILE)
    trained = saved.keys() - {r.judgement_id for r in header.responses}
    assert len(trained) == 8  # two steps of four responses
    for name in saved:
        assert torch.allclose(saved[name], plain_logps(base, encoded[name], 0.5), atol=within)
    first = folder.read_metrics()[0]
    shift = [
        sum(snapshots[0].logps[i]) / len(snapshots[0].logps[i]) - sum(r.reference_logps) / len(r.reference_logps)
        for i, r in enumerate(header.responses)
    ]
    assert (first.step, first.source) == (0, "probe")
    assert max(map(abs, shift)) > 0.01


@pytest.mark.slow
@pytest.mark.usefixtures("compute_dtype")
def test_a_resumed_run_needs_its_reference_no_more(
    tiny_model_path: Path, tiny_adapter_path: Path, tmp_path: Path
) -> None:
    adapter = shutil.copytree(tiny_adapter_path, tmp_path / "earlier")
    folder = make_folder(tmp_path / "run", tiny_model_path, reference=f"run:{adapter}", n_steps=2)
    output = run_worker(folder, tmp_path)
    assert (folder.read_status().state, folder.read_status().step) == (RunState.FINISHED, 2), output
    scored = (folder.path / FILE).stat().st_mtime_ns
    known = {response_id: values.clone() for response_id, values in read_references(folder.path).items()}
    base = load_model(tiny_model_path, quantization="none")
    chosen = [r for r in encode(base, folder.read_judgements()) if r.judgement_id in known]
    expected = own_logps(load_adapter(base, adapter, "own"), chosen)
    assert all(torch.allclose(known[name], expected[name], atol=1e-5) for name in expected)

    shutil.rmtree(adapter)
    (folder.path / "status.json").write_text(json.dumps({"state": "stopped", "step": 1, "total_steps": 2}))
    shutil.rmtree(folder.path / "checkpoint-2")
    output = run_worker(folder, tmp_path)
    assert folder.read_status().state is RunState.FINISHED, output
    assert (folder.path / FILE).stat().st_mtime_ns == scored
    (folder.path / FILE).unlink()
    run_worker(folder, tmp_path)
    assert folder.read_status().state is RunState.FAILED
    assert "there is no adapter" in folder.read_status().failure


def test_the_values_are_on_the_disk_before_their_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    write_references(tmp_path, {"a": torch.tensor([-1.0, -2.0])})
    assert synced == [(tmp_path / FILE).stat().st_size]
    assert read_references(tmp_path)["a"].tolist() == [-1.0, -2.0]


@pytest.mark.usefixtures("compute_dtype")
def test_preparing_again_reads_the_file_and_no_reference(
    tiny_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BNF_LAB_HOME", str(tmp_path))
    folder = make_folder(tmp_path / "run", tiny_model_path, reference_temperature=2.0)
    assert read_references(folder.path) == {}
    first = run.prepare(folder, folder.read_config(), Silence()).loss_references
    write_references(folder.path, first)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the reference was looked for again")

    monkeypatch.setattr(run, "locate_reference", never)
    monkeypatch.setattr(run, "compute_reference_logps", never)
    assert_equal(run.prepare(folder, folder.read_config(), Silence()).loss_references, first)
    assert sorted(p.name for p in folder.path.iterdir() if "reference" in p.name) == [FILE]
    write_references(folder.path, dict(list(first.items())[1:]))  # what does not hold all is of no use
    with pytest.raises(AssertionError, match="looked for again"):
        run.prepare(folder, folder.read_config(), Silence())


def test_a_run_against_the_plain_base_scores_no_other_reference(
    tiny_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BNF_LAB_HOME", str(tmp_path))
    folder = make_folder(tmp_path / "run", tiny_model_path)
    assert run.prepare(folder, folder.read_config(), Silence()).loss_references is None
