"""Where a run is and what it changed, in words: status and metrics -> markup. Pure; knows no file, no `Lab`."""

from __future__ import annotations

from markupsafe import Markup

from bnf_lab.core.durations import in_words
from bnf_lab.core.numbers import counted, signed
from bnf_lab.runs.records import MetricPoint, RunState, RunStatus
from bnf_lab.runs.verdict import RunVerdict, describe_best, describe_history, describe_warnings
from bnf_lab.ui.markup import fill, joined
from bnf_lab.ui.watch import words
from bnf_lab.ui.watch.glossary import ask

KINDS = {RunState.FINISHED: "ok", RunState.TRAINING: "ok", RunState.FAILED: "bad"}
NATS = "nats/token"


def draw_status(
    status: RunStatus, position: int | None, obstacle: str | None = None, *, damage: str = "", stillness: str = ""
) -> Markup:
    """Returns state, phases, progress bar, time left and whatever the guard, a failure or the folder has to say.

    Args:
        status: Where the run is.
        position: Its place in the queue, if it waits there.
        obstacle: Why this lab can show the run but not train it on, if it cannot.
        damage: What of its folder cannot be read.
        stillness: That it has not moved for a while.
    """
    share = compute_share(status)
    bar = (
        fill(
            '<div class="lab-progress{busy}" role="progressbar" aria-label="{label}" aria-valuemin="0" '
            'aria-valuemax="100"{now}><i style="width:{done}%"></i></div>',
            busy=" busy" if share is None else "",
            label=words.PROGRESS,
            now="" if share is None else fill(' aria-valuenow="{}"', round(100 * share, 1)),
            done=100 if share is None else round(100 * share, 1),
        )
        if _shows_bar(status)
        else ""
    )
    return fill(
        '<div class="lab-state"><div class="lab-state-now"><h2 class="lab-dot {kind}">{words}</h2>'
        "<span>{more}</span></div>{phases}{bar}<p class='lab-small'>{help}</p></div>"
        "{still}{notice}{failure}{obstacle}{damage}",
        kind="bad" if stillness else KINDS.get(status.state, "wait"),
        words=_headline(status, position),
        more=_details(status),
        phases=_phases(status),
        bar=bar,
        help="" if obstacle or damage else _help(status),
        still=_box("bad", words.STILL, stillness),
        notice=_box("bad", words.NOTICE, status.notice),
        failure=_box("bad", words.FAILURE, status.failure),
        obstacle=_box("wait", words.OBSTACLE, obstacle),
        damage=_box("bad", words.DAMAGED, damage),
    )


def compute_share(status: RunStatus) -> float | None:
    """Returns how much of the present phase is done, in [0, 1]; None where it cannot be counted."""
    if status.state is RunState.PREPARING:
        return min(1.0, status.phase_done / status.phase_total) if status.phase_total else None
    return min(1.0, status.step / status.total_steps) if status.total_steps else None


def draw_summary(first: MetricPoint | None, last: MetricPoint | None, status: RunStatus, verdict: RunVerdict) -> Markup:
    """Returns the key numbers before and after, and for a run that is over a sentence on what they mean.

    Args:
        first: The probe's first point; None before it.
        last: The probe's newest point.
        status: Where the run is.
        verdict: What it came to so far.
    """
    warnings = _box("bad", words.NOTICE, " ".join(describe_warnings(verdict)))
    if first is None or last is None:
        return fill('<p class="lab-small">{}</p>{}', "" if status.state.is_over else words.NO_MEASURE, warnings)
    tiles = joined(
        (
            _tile("accuracy", _percent(first.accuracy), _percent(last.accuracy), "of held-out pairs", "held_out"),
            _tile("margin", _signed(first.margin), _signed(last.margin), NATS, "nats"),
            *(
                _tile(verdict, _signed(before), _signed(now), NATS, "nats")
                for verdict, before, now in (
                    ("preferred", first.preferred_logp, last.preferred_logp),
                    ("dispreferred", first.dispreferred_logp, last.dispreferred_logp),
                )
            ),
        )
    )
    change = describe_change(first, last) if status.state.is_over and last.step > first.step else ""
    if change and (best := describe_best(verdict)):
        change += f" {best}"
    return fill(
        '<div class="lab-numbers lab-change">{}</div>{}{}{}',
        tiles,
        fill('<p class="lab-hint">{}</p>', change) if change else "",
        warnings,
        joined(fill('<p class="lab-small">{}</p>', text) for text in describe_history(verdict)),
    )


def describe_change(first: MetricPoint, last: MetricPoint) -> str:
    """Returns what happened between two points of the probe, in plain words."""
    sentences = []
    if first.accuracy is not None and last.accuracy is not None:
        sentences.append(
            f"After {counted(last.step, 'step')} the preferred answer is the likelier one in {last.accuracy:.0%}"
            f" of the held-out pairs ({'as' if first.accuracy == last.accuracy else f'{first.accuracy:.0%}'} before)."
        )
    moves = [
        _move(name, getattr(first, f"{name}_logp"), getattr(last, f"{name}_logp"))
        for name in ("preferred", "dispreferred")
    ]
    if any(moves):
        said = ", ".join(move for move in moves if move)
        sentences.append(f"{said[0].upper()}{said[1:]} ({NATS}).")
    return " ".join(sentences)


def _move(verdict: str, before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return ""
    if abs(after - before) < 0.005:
        return f"{verdict} answers are as likely as before"
    return f"{verdict} answers became {'more' if after > before else 'less'} likely by {abs(after - before):.2f}"


def _headline(status: RunStatus, position: int | None) -> str:
    state = words.STATES[status.state]
    if status.state is RunState.QUEUED and position is not None:
        return f"{state}: next to start" if position == 1 else f"{state}: place {position}"
    return state


def _details(status: RunStatus) -> str:
    if status.state is RunState.QUEUED:
        return ""
    if status.state is RunState.PREPARING:
        counted = f" · {status.phase_done:,} of {status.phase_total:,}" if status.phase_total else ""
        return (status.phase or "starting") + counted
    parts = [f"step {status.step:,} of {status.total_steps:,}"] if status.total_steps else []
    if status.state.is_live and status.step_seconds:
        parts.append(f"{status.step_seconds:.1f} s a step")
    if status.state is RunState.TRAINING and status.step and status.step >= status.total_steps:
        parts.append(words.LAST_THINGS)
    elif status.state is RunState.TRAINING and status.seconds_left is not None:
        parts.append(f"about {in_words(status.seconds_left)} left")
    if status.state.is_over and status.started_at and status.ended_at:
        parts.append(f"took {in_words(status.ended_at - status.started_at)}")
    return " · ".join(parts)


def _help(status: RunStatus) -> str:
    if status.state in (RunState.STOPPED, RunState.FAILED):
        return words.RESUME_HELP
    return "" if status.state is RunState.FINISHED else words.SAFE_TO_LEAVE


def _phases(status: RunStatus) -> Markup:
    if not status.state.is_live:
        return Markup("")
    now = (
        len(words.PHASES) - 1
        if status.state is RunState.TRAINING
        else next((place for place, (start, _) in enumerate(words.PHASES) if status.phase.startswith(start)), 0)
    )
    return fill(
        '<ol class="lab-phases">{}</ol>',
        joined(
            fill(
                '<li class="{}"{}>{}</li>',
                "done" if place < now else "now" if place == now else "",
                Markup(' aria-current="step"') if place == now else "",
                name,
            )
            for place, (_, name) in enumerate(words.PHASES)
        ),
    )


def _shows_bar(status: RunStatus) -> bool:
    return status.state is not RunState.QUEUED and not (status.state is RunState.FAILED and not status.step)


def _box(kind: str, title: str, text: str | None) -> Markup:
    return fill('<div class="lab-note {}"><h3>{}</h3><p>{}</p></div>', kind, title, text) if text else Markup("")


def _tile(name: str, before: str, after: str, unit: str, unit_term: str) -> Markup:
    change = fill("<i>{} →</i> {}", before, after) if before != after else fill("{}", after)
    return fill(
        '<div class="lab-number {}"><span>{} {}</span><b>{}</b><span>{} {}</span></div>',
        name,
        name.capitalize(),
        ask("preferred" if name == "dispreferred" else name),
        change,
        unit,
        ask(unit_term),
    )


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.0%}"


def _signed(value: float | None) -> str:
    return "n/a" if value is None else signed(value, plus=True)
