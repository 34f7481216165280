"""The verb `score`: did a model get better, and what did it cost? Base, aligned and another adapter, side by side.

No torch at load. It must not know training, chat or pages.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnf_lab.cli.options import (
    Chosen,
    add_import_options,
    add_model_options,
    choose_model,
    import_choices,
    read_judgements,
    whole,
)
from bnf_lab.cli.output import Output, UsageError
from bnf_lab.core.errors import shown
from bnf_lab.core.judgements import Message, Unit, group_units
from bnf_lab.core.numbers import counted
from bnf_lab.data.splits import build_split
from bnf_lab.evaluation.measures import (
    AGAINST,
    ALIGNED,
    BASE,
    Section,
    correct_differences,
    describe_all,
    describe_judge,
    draw_table,
)
from bnf_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from bnf_lab.evaluation.judge import JudgeSettings
    from bnf_lab.evaluation.sides import Sides


Prompt = tuple[Message, ...]


def add_verbs(verbs: Any) -> None:
    """Adds `score`."""
    score = verbs.add_parser(
        "score",
        allow_abbrev=False,
        help="did it get better, and what did it cost: base and aligned, side by side",
        description="Scores the base model and, with --adapter, the aligned one: on judged responses (--data or "
        "--held-out), on skills that alignment may cost (--skills) and on tasks of lm-eval (--tasks).",
    )
    add_model_options(score)
    score.add_argument("--against", type=Path, metavar="DIR", help="compare with this adapter or run of the same model")
    data = score.add_argument_group("judged responses")
    data.add_argument("--data", action="append", default=[], metavar="FILE|demo:NAME", help="may be repeated")
    data.add_argument("--held-out", action="store_true", help="take what the run of --adapter never trained on")
    data.add_argument("--pairs", type=whole(1, 10_000), default=32, help="score the first N pairs (%(default)s)")
    data.add_argument("--max-tokens", type=whole(16, 32_768), default=512, help="cut sequences there (%(default)s)")
    data.add_argument(
        "--answers",
        type=whole(0, 1000),
        default=8,
        metavar="N",
        help="let every side answer the first N different prompts (%(default)s; 0: none)",
    )
    add_import_options(data)
    skills = score.add_argument_group("skills")
    skills.add_argument("--skills", action="store_true", help="arithmetic word problems and multiple choice, offline")
    skills.add_argument(
        "--problems", type=whole(1, 1000), default=20, metavar="N", help="word problems of each level (%(default)s)"
    )
    _add_outside_options(score)
    score.add_argument("--json", action="store_true", help="the result as one JSON document")
    score.set_defaults(run=run_score)


def _add_outside_options(score: argparse.ArgumentParser) -> None:
    tasks = score.add_argument_group("tasks of lm-eval (an optional package)")
    tasks.add_argument(
        "--tasks",
        metavar="A,B",
        help="lm-eval's own names, such as gsm8k,arc_easy; the model's chat template is used",
    )
    tasks.add_argument("--task-limit", type=whole(1, 1_000_000), metavar="N", help="only N items of each task")
    tasks.add_argument("--task-files", type=Path, metavar="DIR", help="also knows the task files (YAML) there")
    judge = score.add_argument_group("an outside judge (off unless asked for)")
    judge.add_argument(
        "--judge",
        metavar="URL",
        help="OpenAI-compatible server, such as https://host/v1, that compares the answers of --adapter with those of "
        "--against, or of the base. The prompts and answers are sent there. A key is read from the environment "
        "variable BNF_LAB_JUDGE_KEY",
    )
    judge.add_argument("--judge-model", metavar="NAME", help="the judge's name on that server")


@dataclass(frozen=True)
class _Job:
    """What one command line asks for, checked: nothing slow has happened yet."""

    chosen: Chosen
    against: Chosen | None
    units: tuple[Unit, ...]
    prompts: tuple[Prompt, ...]
    judge: JudgeSettings | None

    @property
    def adapters(self) -> dict[str, Path]:
        known = {ALIGNED: self.chosen.adapter, AGAINST: self.against and self.against.adapter}
        return {name: path for name, path in known.items() if path is not None}

    @property
    def rival(self) -> str:
        """Whose answers an outside judge compares the aligned ones with."""
        return AGAINST if self.against else BASE


def run_score(args: argparse.Namespace, output: Output) -> int:
    """Measures every side; what may be refused late (tasks, answers, the judge) comes before what takes long."""
    job, warnings = _prepare(args, output)
    from bnf_lab.evaluation import sides  # noqa: PLC0415 - imports torch

    sections, answers, judged, verdict = [], {}, None, []
    if args.tasks is not None:  # in a process of its own, before this one holds a model too
        tasks = sides.measure_tasks(
            job.chosen.model_path,
            job.adapters,
            args.tasks.split(","),
            limit=args.task_limit,
            folder=args.task_files,
            say=output.progress,
        )
        sections.append(Section("tasks of lm-eval", tuple(tasks)))
    if job.units or args.skills:
        output.progress("loading the model")
        loaded = sides.load_sides(job.chosen.model_path, job.adapters)
        if job.prompts:
            answers = sides.write_answers(loaded, job.prompts, say=output.progress)
        if job.judge:
            judged, verdict = _ask_judge(job, answers, output)
        sections = [*_measure(args, job, loaded, answers, output), *sections]
    measures = correct_differences([measure for section in sections for measure in section.measures])
    sentences = describe_all(measures) + verdict
    sides_seen = (BASE, *job.adapters)
    record = _values(job, sections) | {
        "measures": {measure.key: measure.to_dict() for measure in measures},
        "answers": [
            {"prompt": _spell(prompt)} | {side: texts[i] for side, texts in answers.items()}
            for i, prompt in enumerate(job.prompts)
        ],
        "judge": judged,
        "sentences": sentences,
        "warnings": warnings,
    }
    output.result(record, "\n".join([draw_table(sections, sides_seen), *([""] if sentences else []), *sentences]))
    return 0


def _measure(
    args: argparse.Namespace, job: _Job, loaded: Sides, answers: Mapping[str, Sequence[str]], output: Output
) -> list[Section]:
    from bnf_lab.evaluation import sides  # noqa: PLC0415 - imports torch

    sections = []
    if job.units:
        judgements = [j for unit in job.units for j in unit]
        measures = sides.measure_preferences(loaded, judgements, max_tokens=args.max_tokens, say=output.progress)
        title = f"{counted(len(judgements), 'response')}, {counted(_count_pairs(job.units), 'pair')}"
        sections.append(Section(title, tuple(measures)))
    if answers:
        sections.append(
            Section(f"answers to {counted(len(job.prompts), 'prompt')}", tuple(sides.measure_answers(answers)))
        )
    if args.skills:
        skills = sides.measure_skills(loaded, n_per_level=args.problems, say=output.progress)
        sections.append(Section("skills, share of right answers", tuple(skills)))
    return sections


# -- what is asked for


def _prepare(args: argparse.Namespace, output: Output) -> tuple[_Job, list[str]]:
    """Refuses what does not go together and finds models and data; returns the job and what a reader must know."""
    _check(args)
    judge = None
    if args.judge is not None:
        from bnf_lab.evaluation.judge import JudgeSettings  # noqa: PLC0415 - imports httpx

        judge = JudgeSettings(args.judge, args.judge_model)
    chosen = choose_model(args.adapter, args.model)
    against = choose_model(args.against, args.model, "--against") if args.against else None
    if against:
        _check_same_model(chosen, against)
    units: Sequence[Unit] = ()
    if args.held_out:
        units = _read_held_out(chosen.run)
    elif args.data:
        judgements = read_judgements(args.data, choices=import_choices(args), output=output)
        units = group_units(judgements)
    units = tuple(units[: args.pairs])
    prompts = tuple(dict.fromkeys(unit[0].prompt for unit in units))
    warnings = [w for c in (chosen, against) if c and c.run and (w := _warn_of_trained(c.run, prompts))]
    for warning in warnings:
        output.complain(warning)
    return _Job(chosen, against, units, prompts[: args.answers], judge), warnings


def _check(args: argparse.Namespace) -> None:
    has_data = bool(args.data) or args.held_out
    problems = {
        "Nothing is asked for. Give --data FILE, --held-out, --skills or --tasks.": not (
            has_data or args.skills or args.tasks is not None
        ),
        "--data and --held-out exclude each other. Choose one.": args.data and args.held_out,
        "--held-out needs --adapter with a run folder.": args.held_out and args.adapter is None,
        "--against needs --adapter: give the adapter that is compared with it.": args.against is not None
        and args.adapter is None,
        "--tasks holds an empty name. Give names of lm-eval's tasks with commas between them.": args.tasks is not None
        and not all(name.strip() for name in args.tasks.split(",")),
        "--judge and --judge-model need each other.": (args.judge is None) != (args.judge_model is None),
        "--judge needs answers to compare: give --adapter, --data or --held-out, and --answers of at least 1.": (
            args.judge is not None and not (args.adapter and has_data and args.answers)
        ),
    }
    found = next((text for text, is_wrong in problems.items() if is_wrong), None)
    if found:
        raise UsageError(found)


def _check_same_model(chosen: Chosen, against: Chosen) -> None:
    models = [side.run.read_config().model if side.run else side.model for side in (chosen, against)]
    if models[0] != models[1]:
        raise UsageError(
            f"--adapter belongs to the base model {shown(models[0], 150)}, --against to {shown(models[1], 150)}. Two"
            " adapters of the same base model can be compared; where a folder does not name its model, --model does."
        )


def _read_held_out(run: RunFolder | None) -> tuple[Unit, ...]:
    """Returns what a run scores and never trains on."""
    if run is None:
        raise UsageError("--held-out needs a run, and the folder of --adapter belongs to none. Give --data instead.")
    split = build_split(run.read_judgements(), run.read_config())
    if not split.is_held_out:
        raise UsageError(
            f"Run {run.run_id} held nothing out: it has fewer than 5 prompts. Give other judgements with --data."
        )
    return split.probe


def _warn_of_trained(run: RunFolder, prompts: Sequence[Prompt]) -> str | None:
    """Says how many of the prompts the run trained on; None if it is none."""
    trained = {unit[0].prompt for unit in build_split(run.read_judgements(), run.read_config()).train}
    n_trained = sum(prompt in trained for prompt in prompts)
    if n_trained == 0:
        return None
    return (
        f"Run {run.run_id} trained on {n_trained} of the {counted(len(prompts), 'scored prompt')}; on them it"
        " looks better than it is. --held-out scores what the run of --adapter never saw."
    )


# -- what comes out


def _ask_judge(job: _Job, answers: Mapping[str, Sequence[str]], output: Output) -> tuple[dict[str, Any], list[str]]:
    """Returns what an outside judge said of the answers, as a record and as sentences."""
    from bnf_lab.evaluation.judge import judge_pairs, summarise  # noqa: PLC0415 - imports httpx

    texts = map(_spell, job.prompts)
    triples = list(zip(texts, answers[job.rival], answers[ALIGNED], strict=True))
    settings = job.judge
    pairs = judge_pairs(settings, triples, lambda done, total: output.progress(f"judge: {done} of {total}"))
    summary = summarise(pairs)
    words = describe_judge(
        settings.model, job.rival, ALIGNED, summary.score, summary.interval, summary.n, summary.n_inconsistent
    )
    record = {"url": settings.url, "model": settings.model, "first": job.rival, "second": ALIGNED} | asdict(summary)
    return record | {"verdicts": [pair.verdicts for pair in pairs]}, [words]


def _values(job: _Job, sections: Sequence[Section]) -> dict[str, Any]:
    """Returns what was scored and the plain numbers of each side."""
    measures = [measure for section in sections for measure in section.measures]
    sides = {side: {m.key: m.values[side] for m in measures if side in m.values} for side in (BASE, *job.adapters)}
    aligned = sides.get(ALIGNED)
    alone = {name: aligned and aligned.get(name) for name in ("kl", "accuracy_shift", "margin_shift")}
    return {
        "model": job.chosen.model,
        "adapter": _name(job.chosen),
        "against": _name(job.against),
        "n_pairs": _count_pairs(job.units),
        "n_responses": sum(map(len, job.units)),
        "sides": sides,
        BASE: sides[BASE],
        ALIGNED: aligned and {name: value for name, value in aligned.items() if name not in alone},
    } | alone


def _name(side: Chosen | None) -> str | None:
    return str(side.adapter) if side and side.adapter else None


def _count_pairs(units: Sequence[Unit]) -> int:
    return sum(len(unit) == 2 for unit in units)


def _spell(prompt: Prompt) -> str:
    """Returns a prompt as one text; a longer conversation with its speakers."""
    if len(prompt) == 1:
        return prompt[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in prompt)
