"""What is measured of a base model and of adapters on it, side by side: judged responses, answers, skills, tasks.

One model is in memory; its adapters take turns. This room must not know runs, where judgements come from, or pages.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnf_lab.core.errors import AdapterRefused
from bnf_lab.core.judgements import Judgement, Message, compare_by_prompt
from bnf_lab.core.numbers import finite
from bnf_lab.core.text_measures import distinct_n, distinct_share, is_empty, is_repeating, repetition
from bnf_lab.evaluation.measures import ALIGNED, BASE, Measure, build_measure
from bnf_lab.evaluation.skill_questions import TOPICS, load_multiple_choice, make_word_problems
from bnf_lab.evaluation.skill_scores import answer_problems, grade_problems, score_choices
from bnf_lab.evaluation.tasks import TaskScore, run_tasks
from bnf_lab.models.adapters import load_adapter, use_adapter
from bnf_lab.models.decode import DecodeRow, decode
from bnf_lab.models.encoding import EncodedResponse, Encoder
from bnf_lab.models.loading import LoadedModel, load_model
from bnf_lab.models.scoring import as_reference, compute_reference_stats, in_eval
from bnf_lab.models.token_stats import TokenStats
from bnf_lab.training.observer import ANSWER_TOKENS
from bnf_lab.training.probe import Probe

PART_SIZE = 64  # responses whose reference is held in memory at once
BATCH_SIZE = 8
PROBLEM_TOKENS = 48

Say = Callable[[str], None]
Prompt = tuple[Message, ...]


@dataclass(frozen=True)
class Sides:
    """A model in memory with its adapters, each under the name of its side."""

    loaded: LoadedModel
    adapters: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (BASE, *self.adapters)

    @contextlib.contextmanager
    def speaking(self, name: str) -> Iterator[LoadedModel]:
        """Makes one side the model that answers."""
        if name == BASE:
            with as_reference(self.loaded):
                yield self.loaded
        else:
            use_adapter(self.loaded, name)
            yield self.loaded


def load_sides(model: Path, adapters: Mapping[str, Path]) -> Sides:
    """Loads a base model and, by side, the adapters on it.

    Raises:
        ModelUnavailable: If the model cannot be loaded.
        AdapterRefused: If an adapter does not fit it; the text names its flag.
    """
    loaded = load_model(model)
    for name, path in adapters.items():
        try:
            loaded = load_adapter(loaded, path, name)
        except AdapterRefused as error:
            flag = "--adapter" if name == ALIGNED else f"--{name}"
            raise AdapterRefused(f"{flag} {path.name}: {error}") from error
    return Sides(loaded, tuple(adapters))


# -- judged responses


@dataclass(frozen=True)
class _Reading:
    """Means over one response's tokens under one side: log p, its shift to the base, entropy, KL to the base."""

    response: EncodedResponse
    logp: float
    shift: float
    entropy: float
    kl: float


def measure_preferences(sides: Sides, judgements: Sequence[Judgement], *, max_tokens: int, say: Say) -> list[Measure]:
    """Measures what each side makes of judged responses, with the definitions of the plots.

    Accuracy and margin compare every preferred with every dispreferred response of the same prompt; pairs of one prompt
    are not independent, so a prompt counts as one for the intervals. The shift-based ones have no value for the base.
    """
    encoder = Encoder(sides.loaded.tokenizer, max_tokens=max_tokens)
    responses = [encoder.encode(judgement) for judgement in judgements]
    readings: dict[str, list[_Reading]] = {name: [] for name in sides.names}
    for start in range(0, len(responses), PART_SIZE):
        say(f"scoring responses: {start} of {len(responses)}")
        for name, part in _read_responses(sides, responses[start : start + PART_SIZE]).items():
            readings[name] += part
    aligned = {name: readings[name] for name in sides.adapters}
    return [
        *_measure_pairs(readings, aligned),
        _measure_responses("preferred_logp", "preferred log-likelihood", readings, "logp", (True,)),
        _measure_responses("dispreferred_logp", "dispreferred log-likelihood", readings, "logp", (False,)),
        _measure_responses("entropy", "entropy on preferred", readings, "entropy", (True,), unit="nats"),
        *([_measure_responses("kl", "KL to the base", aligned, "kl", (True, False))] if aligned else []),
    ]


def _read_responses(sides: Sides, responses: Sequence[EncodedResponse]) -> dict[str, list[_Reading]]:
    if not sides.adapters:
        stats = compute_reference_stats(sides.loaded, responses)
        return {BASE: [_read_base(r, stats[r.judgement_id]) for r in responses]}
    readings, probe = {}, Probe(sides.loaded, responses)
    for name in sides.adapters:
        with sides.speaking(name):
            scores = probe.score()
        readings[name] = [
            _Reading(s.response, s.mean_logp, s.mean_shift, s.policy.entropies.mean().item(), s.kl.mean().item())
            for s in scores
        ]
    return {BASE: [_read_base(s.response, s.reference) for s in scores]} | readings


def _read_base(response: EncodedResponse, stats: TokenStats) -> _Reading:
    return _Reading(response, stats.logps.mean().item(), 0.0, stats.entropies.mean().item(), 0.0)


def _measure_responses(
    key: str,
    label: str,
    readings: Mapping[str, Sequence[_Reading]],
    name: str,
    verdicts: Sequence[bool],
    unit: str = "nats/token",
) -> Measure:
    chosen = {side: [r for r in rows if r.response.is_preferred in verdicts] for side, rows in readings.items()}
    items = {side: [getattr(r, name) for r in rows] for side, rows in chosen.items()}
    return build_measure(key, label, items, groups=_prompts(next(iter(chosen.values()))), unit=unit)


def _measure_pairs(
    readings: Mapping[str, Sequence[_Reading]], aligned: Mapping[str, Sequence[_Reading]]
) -> Iterator[Measure]:
    pairs = {side: _pair_up(rows) for side, rows in readings.items()}
    groups = _prompts([better for better, _ in pairs[BASE]])
    for suffix, words, sides in (("", "", readings), ("_shift", " by shift", aligned)):
        if not sides:
            return
        name = "shift" if suffix else "logp"
        margins = {s: [getattr(better, name) - getattr(worse, name) for better, worse in pairs[s]] for s in sides}
        hits = {side: [margin > 0 for margin in values] for side, values in margins.items()}
        yield build_measure(f"accuracy{suffix}", f"accuracy{words}", hits, groups=groups, is_share=True)
        yield build_measure(f"margin{suffix}", f"margin{words}", margins, groups=groups, unit="nats/token")


def _pair_up(readings: Sequence[_Reading]) -> list[tuple[_Reading, _Reading]]:
    return compare_by_prompt((r.response.prompt_key, r.response.is_preferred, r) for r in readings)


def _prompts(readings: Sequence[_Reading]) -> list[Prompt]:
    return [reading.response.prompt_key for reading in readings]


# -- answers


def write_answers(sides: Sides, prompts: Sequence[Prompt], *, say: Say) -> dict[str, list[str]]:
    """Lets every side answer the prompts with the most likely tokens, 64 at most.

    Raises:
        LabError: If a prompt does not fit the model.
    """
    answers: dict[str, list[str]] = {name: [] for name in sides.names}
    for name, texts in answers.items():
        for start in range(0, len(prompts), BATCH_SIZE):
            say(f"answers, {name}: {start} of {len(prompts)}")
            rows = [DecodeRow(p, None if name == BASE else name) for p in prompts[start : start + BATCH_SIZE]]
            with in_eval(sides.loaded):
                *_, final = decode(sides.loaded, rows, temperature=0.0, top_p=1.0, max_new_tokens=ANSWER_TOKENS, seed=0)
            texts += [row.text for row in final]
    return answers


def measure_answers(answers: Mapping[str, Sequence[str]]) -> list[Measure]:
    """Measures answers by side, at least one each: their length, repetition, breakage and variety."""
    words = {side: [float(len(text.split())) for text in texts] for side, texts in answers.items()}
    repeats = {side: [repetition(text) for text in texts] for side, texts in answers.items()}
    broken = {side: [is_empty(text) or is_repeating(text) for text in texts] for side, texts in answers.items()}
    return [
        build_measure("answer_words", "length", words, unit="words"),
        build_measure("repetition", "repeated 3-grams", repeats),
        build_measure("broken", "empty or stuck", broken, is_share=True),
        Measure("distinct", "distinct answers", values={side: distinct_share(t) for side, t in answers.items()}),
        Measure("distinct_2", "distinct 2-grams", values={side: distinct_n(t) for side, t in answers.items()}),
    ]


# -- skills and tasks


def measure_skills(sides: Sides, *, n_per_level: int, say: Say) -> list[Measure]:
    """Measures word problems by exact match of the written answer, and multiple choice by likelihood."""
    problems, questions = make_word_problems(n_per_level), load_multiple_choice()
    solved, known = {}, {}
    for name in sides.names:
        answers = answer_problems(
            sides.loaded,
            [p.prompt for p in problems],
            adapter=None if name == BASE else name,
            max_new_tokens=PROBLEM_TOKENS,
            on_progress=_counting(say, f"word problems, {name}"),
        )
        solved[name] = grade_problems(answers, problems)
        with sides.speaking(name) as loaded:
            known[name] = score_choices(loaded, questions, on_progress=_counting(say, f"multiple choice, {name}"))
    levels, topics = [p.level for p in problems], [q.topic for q in questions]
    return [
        *(_measure_part(f"problems_{n}", f"word problems, level {n}", solved, levels, n) for n in sorted(set(levels))),
        build_measure("problems", "word problems", solved, is_share=True),
        *(_measure_part(topic, f"multiple choice, {topic}", known, topics, topic) for topic in TOPICS),
        build_measure("choices", "multiple choice", known, is_share=True),
    ]


def _measure_part(
    key: str, label: str, rights: Mapping[str, Sequence[bool]], kinds: Sequence[object], wanted: object
) -> Measure:
    items = {s: [r for r, kind in zip(rs, kinds, strict=True) if kind == wanted] for s, rs in rights.items()}
    return build_measure(key, label, items, is_share=True)


def _counting(say: Say, what: str) -> Callable[[int, int], None]:
    return lambda done, total: say(f"{what}: {done} of {total}")


def measure_tasks(
    model: Path, adapters: Mapping[str, Path], tasks: Sequence[str], *, limit: int | None, folder: Path | None, say: Say
) -> list[Measure]:
    """Lets lm-eval score every side on its tasks; each side's model is loaded in lm-eval's own process.

    Raises:
        LabError: If lm-eval is missing or a task cannot be had.
    """
    found: dict[tuple[str, str], dict[str, TaskScore]] = {}
    for name in (BASE, *adapters):
        say(f"lm-eval, {name}: {', '.join(tasks)}")
        for score in run_tasks(model, adapters.get(name), tasks, limit=limit, include_path=folder):
            found.setdefault((score.task, score.metric), {})[name] = score
    return [
        Measure(
            f"{task}/{metric}",
            f"{task} {metric}",
            values={side: finite(s.value) for side, s in scores.items()},
            stderrs={side: s.stderr for side, s in scores.items()},
        )
        for (task, metric), scores in found.items()
    ]
