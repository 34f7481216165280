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

from bnf_lab import ranks
from bnf_lab.baseline import Baseline
from bnf_lab.checkpoints import list_checkpoints
from bnf_lab.config import RunConfig, pick_probe_share
from bnf_lab.decode import DecodeRow, decode
from bnf_lab.estimates import SCORING_SHARE
from bnf_lab.models import LoadedModel
from bnf_lab.preferences import Message
from bnf_lab.probe import Probe, ResponseScore, build_snapshot, summarise
from bnf_lab.records import LARGEST_FALL, AnswerPoint, BestCheckpoint, MetricPoint
from bnf_lab.runs import RunFolder
from bnf_lab.score_cache import ScoreCache
from bnf_lab.scoring import in_eval

logger = logging.getLogger(__name__)

ANSWER_TOKENS = 64
REPEATS = 4  # times a phrase may follow itself before an answer counts as repeating
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
        on_notice: Called with the guard's words when it sees something.
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
        on_notice: Callable[[str], None],
        is_stopping: Callable[[], bool],
    ) -> None:
        self.folder, self.loaded, self.plan, self.cache = folder, loaded, probe, cache
        self.prompts, self.config = tuple(prompts), config
        self.on_step, self.on_notice, self.is_stopping = on_step, on_notice, is_stopping
        self.started = self.step_started = time.monotonic()
        self.seconds_before = max((p.seconds for p in folder.read_metrics()), default=0.0)
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
        if is_last or step % self.config.answer_steps == 0:
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
        self._guard_likelihood(self.latest)

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
        broken = []
        for prompt in self.prompts:
            text, n_tokens = answers[prompt]
            point = AnswerPoint(
                step, prompt, text, n_tokens, is_empty=not text.strip(), is_repeating=is_repeating(text)
            )
            self.folder.append_answer(point)
            if point.is_empty or point.is_repeating:
                broken.append("empty" if point.is_empty else "repeating itself")
        if broken and step > 0:
            kinds = " or ".join(dict.fromkeys(broken))
            self.on_notice(f"Step {step}: {len(broken)} of {len(self.prompts)} sample answers came out {kinds}.")

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

    def _guard_likelihood(self, point: MetricPoint) -> None:
        now, before = point.preferred_logp, point.preferred_logp_reference
        if now is not None and before is not None and before - now > LARGEST_FALL:
            self.on_notice(
                f"Step {point.step}: preferred responses have become less likely than before training, by"
                f" {before - now:.1f} nats per token. The model is drifting away from them; an earlier checkpoint or"
                " a lower"
                " learning rate may be better."
            )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Remembers the best checkpoint by held-out accuracy (then margin) and removes all but it and the last two."""
        point, best = self.latest, self.folder.read_best()
        if point and point.step == state.global_step and point.accuracy is not None and point.margin is not None:
            candidate = BestCheckpoint(point.step, point.accuracy, point.margin)
            if best is None or (candidate.accuracy, candidate.margin) >= (best.accuracy, best.margin):
                self.folder.write_best(best := candidate)
        checkpoints = list_checkpoints(self.folder.path)
        for step, path in checkpoints[:-2]:
            if best is None or step != best.step:
                shutil.rmtree(path)


def agree_to_stop(is_stopping: bool) -> bool:
    """Returns whether any of the run's processes was asked to stop; each asks once after every step."""
    return any(ranks.gather(is_stopping))


class Follower(TrainerCallback):
    """What a run's other processes do beside their share of the steps: they stop when the first one does."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if agree_to_stop(is_stopping=False) and state.global_step < state.max_steps:
            control.should_training_stop = control.should_save = True
        return control


def is_repeating(text: str) -> bool:
    """Returns whether a text gets stuck: its last phrase (up to 40 characters or 8 words) stands there over and over.

    >>> is_repeating("firehosefirehosefirehosefirehosefirehose")
    True
    >>> is_repeating("It is a very, very good answer.")
    False
    """
    words = text.split()
    for size in range(1, 9):
        tail = words[-size:]
        if len(words) >= size * (REPEATS + 1) and tail * (REPEATS + 1) == words[-size * (REPEATS + 1) :]:
            return True
    for size in range(3, 41):
        if len(text) >= size * (REPEATS + 1) and text.endswith(text[-size:] * (REPEATS + 1)):
            return text[-size:].strip() != ""
    return False
