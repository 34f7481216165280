"""What happens beside the steps of a run: scoring the probe, sample answers, the guard, stopping, and which
checkpoints stay.

It writes records to the run folder through the callbacks it is given. It must not know losses, processes or pages.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from bnf_lab.core.automatic import pick_probe_share
from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Message
from bnf_lab.core.text_measures import is_repeating
from bnf_lab.models.decode import DecodeRow, decode
from bnf_lab.models.loading import LoadedModel
from bnf_lab.models.score_cache import ScoreCache
from bnf_lab.models.scoring import in_eval
from bnf_lab.runs.checkpoints import list_checkpoints
from bnf_lab.runs.digests import RunDigests
from bnf_lab.runs.estimates import SCORING_SHARE
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import AnswerPoint, MetricPoint
from bnf_lab.training import distributed
from bnf_lab.training.probe import Baseline, Probe, ResponseScore, build_snapshot, summarise

logger = logging.getLogger(__name__)

ANSWER_TOKENS = 64
ADAPTER = "default"


@dataclass(frozen=True)
class ProbePlan:
    """How the held-out responses are scored.

    Attributes:
        build: Makes the probe. It costs a forward pass of the reference, so it waits until it is first needed.
        baseline: The scores at step 0; None where a resumed run has them already.
        cost_in_steps: Tokens of the probe by those of a training step, from which the first scoring is estimated.
    """

    build: Callable[[], Probe]
    baseline: Baseline | None
    cost_in_steps: float


class Watch(TrainerCallback):
    """Observes a run; nothing it does changes the training itself.

    Args:
        folder: Where the records go.
        loaded: The model being trained.
        probe: What is scored.
        cache: Knows the base model's answers.
        prompts: Fixed prompts answered during the run.
        config: The run's settings.
        on_step: Called with (step, seconds of the step without what the watch spent).
        is_stopping: Whether the run has been asked to stop.
    """

    def __init__(
        self,
        folder: RunFolder,
        loaded: LoadedModel,
        probe: ProbePlan,
        cache: ScoreCache,
        *,
        prompts: Sequence[str],
        config: RunConfig,
        on_step: Callable[[int, float], None],
        is_stopping: Callable[[], bool],
    ) -> None:
        self.folder, self.loaded, self.plan, self.cache = folder, loaded, probe, cache
        self.prompts, self.config = tuple(prompts), config
        self.on_step, self.is_stopping = on_step, is_stopping
        self.started = self.step_started = time.monotonic()
        self.digests = RunDigests()
        self.seconds_before = self.digests.judge(folder)[0].seconds
        self.probe: Probe | None = None
        self.probe_cost: float | None = None
        self.probed_seconds = self.trained_seconds = 0.0
        self.n_steps_seen = 0
        self.answer_seconds = 0.0
        self.latest: MetricPoint | None = None

    @property
    def seconds(self) -> float:
        """Training time so far, over all of the run's starts."""
        return self.seconds_before + time.monotonic() - self.started

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.started = time.monotonic()
        if state.global_step == 0 and self.plan.baseline is not None:
            self.folder.append_tokens(self.plan.baseline.header)
            self._record(self.plan.baseline.scores, 0)
            self.answer(0)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.step_started = time.monotonic()
        if self.n_steps_seen == 0:
            logger.info("the first step begins")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        step, seconds = state.global_step, time.monotonic() - self.step_started
        self.trained_seconds += seconds
        self.n_steps_seen += 1
        self.on_step(step, seconds)
        is_last = step >= self.config.n_steps
        if agree_to_stop(self.is_stopping()) and not is_last:
            control.should_training_stop = control.should_save = True
        will_save = control.should_save or is_last or step % self.config.checkpoint_steps == 0
        if will_save or self._probe_is_due():
            self.score_probe(step)
        # a checkpoint is judged by its own answers
        if will_save or step % self.config.answer_steps == 0:
            self.answer(step)
        return control

    def _probe_is_due(self) -> bool:
        """Returns whether scoring now keeps the probe within its share of the time."""
        share = pick_probe_share(self.config, has_gpu=self.loaded.device.type != "cpu")
        cost = self.probe_cost
        if cost is None:  # the first time the reference is scored, too
            cost = 2 * SCORING_SHARE * self.plan.cost_in_steps * self.trained_seconds / self.n_steps_seen
        probed = self.probed_seconds + cost
        return probed <= share * (self.trained_seconds + probed)

    def score_probe(self, step: int) -> None:
        """Scores the probe and writes its point and token values."""
        began = time.monotonic()
        if self.probe is None:
            self.probe = self.plan.build()
        scoring_began = time.monotonic()
        self._record(self.probe.score(), step)
        self.probe_cost = time.monotonic() - scoring_began
        self.probed_seconds += time.monotonic() - began

    def _record(self, scores: Sequence[ResponseScore], step: int) -> None:
        self.latest = summarise(scores, step=step, seconds=round(self.seconds, 3))
        self.folder.append_metric(self.latest)
        self.folder.append_tokens(build_snapshot(scores, step))

    def on_metric(self, point: MetricPoint) -> None:
        """Writes a training point with the run's time."""
        self.folder.append_metric(replace(point, seconds=round(self.seconds, 3)))

    def answer(self, step: int) -> None:
        """Answers the fixed prompts greedily and writes the answers; the base model's own only if it never did."""
        known = {p: self.cache.load_answer(p, ANSWER_TOKENS) for p in self.prompts} if step == 0 else {}
        answers = {prompt: answer for prompt, answer in known.items() if answer is not None}
        fresh = self._write_answers([prompt for prompt in self.prompts if prompt not in answers])
        if step == 0:
            for prompt, (text, n_tokens) in fresh.items():
                self.cache.save_answer(prompt, ANSWER_TOKENS, text, n_tokens)
        answers |= fresh
        for prompt in self.prompts:
            text, n_tokens = answers[prompt]
            point = AnswerPoint(
                step, prompt, text, n_tokens, is_empty=not text.strip(), is_repeating=is_repeating(text)
            )
            self.folder.append_answer(point)

    def _write_answers(self, prompts: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Returns the present policy's greedy answer and its tokens for each prompt."""
        if not prompts:
            return {}
        began = time.monotonic()
        rows = [DecodeRow((Message("user", prompt),), ADAPTER, 0) for prompt in prompts]
        with in_eval(self.loaded):
            *_, final = decode(self.loaded, rows, temperature=0.0, top_p=1.0, max_new_tokens=ANSWER_TOKENS, seed=0)
        self.answer_seconds = time.monotonic() - began
        return {prompt: (row.text, row.n_tokens) for prompt, row in zip(prompts, final, strict=True)}

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Removes all checkpoints but the best one, see `RunVerdict`, and the last two."""
        best = self.digests.verdict(self.folder).best
        for step, path in list_checkpoints(self.folder.path)[:-2]:
            if best is None or step != best.step:
                shutil.rmtree(path)


def agree_to_stop(is_stopping: bool) -> bool:
    """Returns whether any of the run's processes was asked to stop; each asks once after every step."""
    return any(distributed.gather(is_stopping))


class Follower(TrainerCallback):
    """What a run's other processes do beside their share of the steps: they stop when the first one does."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if agree_to_stop(is_stopping=False) and state.global_step < state.max_steps:
            control.should_training_stop = control.should_save = True
        return control
