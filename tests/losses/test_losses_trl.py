"""Losses against TRL's own trainers: same model, same adapter, same batch, value and gradient of every LoRA matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair
from bnf_lab.models.adapters import load_adapter
from bnf_lab.models.encoding import EncodedResponse
from bnf_lab.models.loading import LoadedModel, load_model
from bnf_lab.training.trainer import BNFTrainer

# The newline stands between turns, not behind each of them: the end-of-turn token is then the last one of a rendered
# conversation, which TRL trains on to its very end, as it is the last one of the lab's responses.
TEMPLATE = (
    "{% for m in messages %}{{ ('' if loop.first else '\n') + '<|im_start|>' + m['role'] + '\n' + m['content'] }}"
    "{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '\n<|im_start|>assistant\n' }}{% endif %}"
)
# Fewer prompts than the lab holds any of out, so that its step and TRL's batch are these.
TEXTS = (
    ("Name a comet.", "It is Halley.", "A comet is a ball of ice and dust, and there are many of them."),
    ("Add 12 and 7.", "The sum is 19, because 12 + 7 = 19.", "It is 18."),
    ("Write about the sea and the wind.", "Dolphins live in the sea.", "The sky is clever; they talk, naïve 🙂."),
    ("What is the capital of France?", "Paris", "The capital of France is a café, I think."),
)
Ids = tuple[tuple[int, ...], tuple[int, ...]]  # of a prompt and a response
TOLERANCE = 1e-5  # of the largest entry of a matrix, float32


@dataclass(frozen=True)
class Outcome:
    """A loss and its gradient by every LoRA matrix."""

    loss: float
    gradients: dict[str, Tensor]

    @classmethod
    def of(cls, loss: Tensor, model: torch.nn.Module) -> Outcome:
        model.zero_grad()
        loss.backward()
        return cls(loss.item(), {n: p.grad.clone() for n, p in model.named_parameters() if "lora_" in n})


def assert_same(ours: Outcome, theirs: Outcome) -> None:
    assert ours.loss == pytest.approx(theirs.loss, rel=TOLERANCE)
    assert ours.gradients.keys() == theirs.gradients.keys()
    assert len(ours.gradients) == 28  # A and B of 7 layers in each of 2 blocks
    for name, expected in theirs.gradients.items():
        largest = expected.abs().max().item()
        assert largest > 0, name
        assert (ours.gradients[name] - expected).abs().max().item() <= TOLERANCE * largest, name


@pytest.fixture
def policy(tiny_model_path: Path, tiny_adapter_path: Path) -> LoadedModel:
    """The tiny model with a trainable adapter that is not zero, so that policy and reference differ."""
    return load_adapter(load_base(tiny_model_path), tiny_adapter_path, "default", trainable=True)


@pytest.fixture
def reference(tiny_model_path: Path) -> LoadedModel:
    """The base model alone, in an object of its own: what the policy is with its adapter turned off."""
    return load_base(tiny_model_path)


def load_base(path: Path) -> LoadedModel:
    loaded = load_model(path, quantization="none", dtype=torch.float32)
    loaded.tokenizer.chat_template = TEMPLATE
    return loaded


def build_pairs(texts: Iterable[tuple[str, str, str]]) -> list[Judgement]:
    built = [build_pair((Message("user", p),), good, bad, source=Source.DEMO) for p, good, bad in texts]
    return [judgement for pair in built for judgement in pair]


def one_step(loaded: LoadedModel, judgements: Sequence[Judgement], folder: Path, **settings: Any) -> BNFTrainer:
    """The lab's trainer with all of the data in one micro-batch."""
    n = len(judgements)
    config = RunConfig(n_steps=1, responses_per_step=n, micro_batch_size=n, **settings)
    trainer = BNFTrainer.from_judgements(loaded, judgements, config, output_dir=folder / "ours")
    assert len(trainer.train_dataset) == 1
    return trainer


def outcome_of_ours(trainer: BNFTrainer) -> Outcome:
    model = trainer.loaded.model.train()
    return Outcome.of(trainer.compute_loss(model, {"micro_batch": trainer.train_dataset[0]}), model)


def losses_of_ours(trainer: BNFTrainer) -> Tensor:
    _, losses = trainer.compute_loss(
        trainer.loaded.model, {"micro_batch": trainer.train_dataset[0]}, return_outputs=True
    )
    return losses.detach()


def outcome_of_theirs(trainer: Any) -> Outcome:
    return Outcome.of(trainer.compute_loss(trainer.model.train(), only_batch(trainer)), trainer.model)


def only_batch(trainer: Any) -> dict[str, Any]:
    (batch,) = trainer.get_train_dataloader()
    return batch


def arguments(kind: type, folder: Path, n: int, **settings: Any) -> Any:
    """TRL's settings: float32, all of the data in one batch."""
    return kind(
        output_dir=str(folder / "theirs"),
        per_device_train_batch_size=n,
        max_steps=1,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        bf16=False,
        gradient_checkpointing=False,
        remove_unused_columns=False,
        use_cpu=not torch.cuda.is_available(),
        **settings,
    )


def chat(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def paired_rows() -> Dataset:
    return Dataset.from_list(
        [
            {"prompt": chat("user", p), "chosen": chat("assistant", good), "rejected": chat("assistant", bad)}
            for p, good, bad in TEXTS
        ]
    )


def completion_rows(judgements: Sequence[Judgement]) -> Dataset:
    return Dataset.from_list(
        [
            {
                "prompt": chat("user", j.prompt_text),
                "completion": chat("assistant", j.response),
                "label": j.is_preferred,
            }
            for j in judgements
        ]
    )


def ids_of(responses: Sequence[EncodedResponse]) -> set[Ids]:
    return {(r.prompt_ids, r.response_ids) for r in responses}


def ids_of_rows(trainer: Any, *columns: str) -> set[Ids]:
    return {(tuple(row["prompt_ids"]), tuple(row[c])) for row in trainer.train_dataset for c in columns}


def ids_of_labels(trainer: Any) -> set[Ids]:
    sides = [(row, side) for row in trainer.train_dataset for side in ("chosen", "rejected")]
    return {split_ids(row[f"{side}_input_ids"], row[f"{side}_labels"]) for row, side in sides}


def split_ids(input_ids: list[int], labels: list[int]) -> Ids:
    """Splits a whole sequence where the labels of -100, which stand at the prompt, end."""
    n_prompt = labels.count(-100)
    return tuple(input_ids[:n_prompt]), tuple(input_ids[n_prompt:])


@pytest.mark.parametrize(
    ("method", "loss_type", "beta"), [("dpo", "sigmoid", 0.07), ("ipo", "ipo", 0.4), ("slic", "hinge", 0.2)]
)
def test_dpo_ipo_and_slic_equal_the_dpo_trainer(
    policy: LoadedModel, reference: LoadedModel, tmp_path: Path, method: str, loss_type: str, beta: float
) -> None:
    trainer = one_step(policy, build_pairs(TEXTS), tmp_path, method=method, beta=beta)
    ours = outcome_of_ours(trainer)
    theirs = DPOTrainer(
        policy.model,
        reference.model,
        processing_class=reference.tokenizer,
        train_dataset=paired_rows(),
        args=arguments(DPOConfig, tmp_path, len(TEXTS), loss_type=[loss_type], beta=beta),
    )
    assert ids_of(trainer.train_dataset[0].responses) == ids_of_rows(theirs, "chosen_ids", "rejected_ids")
    assert_same(ours, outcome_of_theirs(theirs))
    if method == "slic":  # on both sides of the hinge
        assert 0 < (losses_of_ours(trainer) == 0).sum() < len(TEXTS)


def test_simpo_equals_the_cpo_trainer(policy: LoadedModel, tmp_path: Path) -> None:
    trainer = one_step(policy, build_pairs(TEXTS), tmp_path, method="simpo", simpo_beta=1.7, simpo_gamma=0.6)
    ours = outcome_of_ours(trainer)
    theirs = CPOTrainer(
        policy.model,
        processing_class=policy.tokenizer,
        train_dataset=paired_rows(),
        args=arguments(CPOConfig, tmp_path, len(TEXTS), loss_type="simpo", cpo_alpha=0.0, beta=1.7, simpo_gamma=0.6),
    )
    assert ids_of(trainer.train_dataset[0].responses) == ids_of_labels(theirs)
    assert_same(ours, outcome_of_theirs(theirs))


def test_orpo_equals_the_ratio_of_the_orpo_trainer_and_fine_tuning_on_the_response(
    policy: LoadedModel, tmp_path: Path
) -> None:
    trainer = one_step(policy, build_pairs(TEXTS), tmp_path, method="orpo", orpo_lambda=0.8)
    ours = outcome_of_ours(trainer)
    theirs = ORPOTrainer(
        policy.model,
        processing_class=policy.tokenizer,
        train_dataset=paired_rows(),
        args=arguments(ORPOConfig, tmp_path, len(TEXTS), beta=0.8),
    )
    assert ids_of(trainer.train_dataset[0].responses) == ids_of_labels(theirs)
    preferred, dispreferred, *_ = theirs.concatenated_forward(theirs.model.train(), only_batch(theirs))
    ratios, *_ = theirs.odds_ratio_loss(preferred, dispreferred)
    # TRL's own fine-tuning term counts the prompt too; the mean log-probabilities it compares are of the responses
    assert_same(ours, Outcome.of((-preferred - ratios).mean(), theirs.model))


@pytest.mark.parametrize(("side", "is_clamped"), [(1, False), (2, True)])
def test_kto_equals_the_kto_trainer_with_its_reference_point(
    policy: LoadedModel, reference: LoadedModel, tmp_path: Path, side: int, is_clamped: bool
) -> None:
    verdicts = (Verdict.PREFERRED, Verdict.DISPREFERRED, Verdict.PREFERRED, Verdict.PREFERRED)
    judgements = [
        Judgement((Message("user", texts[0]),), texts[side], verdict)
        for texts, verdict in zip(TEXTS, verdicts, strict=True)
    ]
    trainer = one_step(policy, judgements, tmp_path, method="kto", beta=0.15, kto_desirable=0.7, kto_undesirable=1.6)
    ours = outcome_of_ours(trainer)
    # Both put a response under the prompt of a neighbour: TRL under the next of its batch, the lab under the next other
    # prompt of the step. With every prompt different, these agree once the rows have the order of the step.
    (micro_batch,) = trainer.train_dataset
    order = {mismatched.judgement_id.partition("+")[2]: i for i, mismatched in enumerate(micro_batch.mismatched)}
    theirs = KTOTrainer(
        policy.model,
        reference.model,
        processing_class=reference.tokenizer,
        train_dataset=completion_rows(sorted(judgements, key=lambda j: order[j.id])),
        args=arguments(
            KTOConfig,
            tmp_path,
            len(TEXTS),
            beta=0.15,
            desirable_weight=0.7,
            undesirable_weight=1.6,
            train_sampling_strategy="sequential",
        ),
    )
    assert ids_of(micro_batch.responses) == ids_of_rows(theirs, "completion_ids")
    assert ids_of(micro_batch.mismatched) == ids_of_rows(theirs, "KL_completion_ids")
    assert_same(ours, outcome_of_theirs(theirs))
    (their_point,) = theirs._metrics["train"]["kl"]
    assert trainer._reference_point(micro_batch) == pytest.approx(their_point, rel=TOLERANCE)
    assert (their_point == 0) == is_clamped


def test_sft_equals_the_sft_trainer(policy: LoadedModel, tmp_path: Path) -> None:
    # TRL averages over the tokens of a batch and the lab over responses: the same where all have one length
    texts = ("It is 3.", "It is 4.", "It is 5.")
    prompts = ("Add 1 and 2.", "What is 2 and 2, please?", "Add 4 and 1 and 0.")
    judgements = build_pairs(zip(prompts, texts, ["I think.", "A comet.", "No"], strict=True))
    trainer = one_step(policy, judgements, tmp_path, method="sft")
    ours = outcome_of_ours(trainer)
    responses = trainer.train_dataset[0].responses
    assert len({len(r.response_ids) for r in responses}) == 1
    assert len({len(r.prompt_ids) for r in responses}) == 3
    theirs = SFTTrainer(
        policy.model,
        processing_class=policy.tokenizer,
        train_dataset=completion_rows([j for j in judgements if j.is_preferred]),
        args=arguments(SFTConfig, tmp_path, len(texts)),
    )
    assert ids_of(responses) == {split_ids(row["input_ids"], row["labels"]) for row in theirs.train_dataset}
    assert_same(ours, outcome_of_theirs(theirs))
