"""Where a run is and what it changed, in words: status and metrics -> markup. Pure; knows no file, no `Lab`."""

from __future__ import annotations

from markupsafe import Markup

from bnf_lab.records import BestCheckpoint, MetricPoint, RunState, RunStatus
from bnf_lab.ui import train_texts as texts
from bnf_lab.ui.durations import in_words
from bnf_lab.ui.markup import fill, joined

KINDS = {RunState.FINISHED: "ok", RunState.TRAINING: "ok", RunState.FAILED: "bad"}
NATS = "nats/token"


def draw_status(status: RunStatus, position: int | None) -> Markup:
    """Returns state, phases, progress bar, time left and whatever the guard or a failure has to say."""
    share = compute_share(status)
    bar = fill('<div class="lab-progress{}"><i style="width:{}%"></i></div>', " busy" if share is None else "",
               100 if share is None else round(100 * share, 1)) if _shows_bar(status) else ""
    return fill(
        '<div class="lab-state"><p class="lab-state-now"><b class="lab-dot {kind}">{words}</b><span>{more}</span></p>'
        "{phases}{bar}<p class='lab-small'>{help}</p></div>{notice}{failure}",
        kind=KINDS.get(status.state, "wait"), words=_headline(status, position), more=_details(status),
        phases=_phases(status), bar=bar, help=_help(status),
        notice=_box("wait", texts.NOTICE, status.notice), failure=_box("bad", texts.FAILURE, status.failure),
    )


def compute_share(status: RunStatus) -> float | None:
    """Returns how much of the present phase is done, in [0, 1]; None where it cannot be counted."""
    if status.state is RunState.PREPARING:
        return min(1.0, status.phase_done / status.phase_total) if status.phase_total else None
    return min(1.0, status.step / status.total_steps) if status.total_steps else None


def draw_summary(
    first: MetricPoint | None, last: MetricPoint | None, status: RunStatus, best: BestCheckpoint | None
) -> Markup:
    """Returns the key numbers before and after, and for a run that is over a sentence on what they mean.

    Args:
        first: The probe's first point; None before it.
        last: The probe's newest point.
        status: Where the run is.
        best: Its best checkpoint, if one was scored.
    """
    if first is None or last is None:
        return fill('<p class="lab-small">{}</p>', "" if status.state.is_over else texts.NO_MEASURE)
    tiles = joined((
        _tile("Accuracy", _percent(first.accuracy), _percent(last.accuracy), "of held-out pairs"),
        _tile("Margin", _signed(first.margin), _signed(last.margin), NATS),
        _tile("Preferred", _signed(first.preferred_logp), _signed(last.preferred_logp), NATS, "preferred"),
        _tile("Dispreferred", _signed(first.dispreferred_logp), _signed(last.dispreferred_logp), NATS, "dispreferred"),
    ))
    words = describe_change(first, last) if status.state.is_over and last.step > first.step else ""
    if words and best is not None:
        words += f" Best checkpoint: step {best.step}, with accuracy {best.accuracy:.0%}."
    return fill('<div class="lab-numbers lab-change">{}</div>{}', tiles,
                fill('<p class="lab-hint">{}</p>', words) if words else "")


def describe_change(first: MetricPoint, last: MetricPoint) -> str:
    """Returns what happened between two points of the probe, in plain words."""
    sentences = []
    if first.accuracy is not None and last.accuracy is not None:
        sentences.append(
            f"After {last.step} steps the preferred answer is the likelier one in {last.accuracy:.0%} of the held-out "
            f"pairs ({'as' if first.accuracy == last.accuracy else f'{first.accuracy:.0%}'} before).")
    moves = [_move(name, getattr(first, f"{name}_logp"), getattr(last, f"{name}_logp"))
             for name in ("preferred", "dispreferred")]
    if any(moves):
        words = ", ".join(move for move in moves if move)
        sentences.append(f"{words[0].upper()}{words[1:]} ({NATS}).")
    return " ".join(sentences)


def _move(verdict: str, before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return ""
    if abs(after - before) < 0.005:
        return f"{verdict} answers are as likely as before"
    return f"{verdict} answers became {'more' if after > before else 'less'} likely by {abs(after - before):.2f}"


def _headline(status: RunStatus, position: int | None) -> str:
    words = texts.STATES[status.state]
    if status.state is RunState.QUEUED and position is not None:
        return f"{words}: next to start" if position == 1 else f"{words}: place {position}"
    return words


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
        parts.append(texts.LAST_THINGS)
    elif status.state is RunState.TRAINING and status.seconds_left is not None:
        parts.append(f"about {in_words(status.seconds_left)} left")
    if status.state.is_over and status.started_at and status.ended_at:
        parts.append(f"took {in_words(status.ended_at - status.started_at)}")
    return " · ".join(parts)


def _help(status: RunStatus) -> str:
    if status.state in (RunState.STOPPED, RunState.FAILED):
        return texts.RESUME_HELP
    return "" if status.state is RunState.FINISHED else texts.SAFE_TO_LEAVE


def _phases(status: RunStatus) -> Markup:
    if not status.state.is_live:
        return Markup("")
    now = len(texts.PHASES) - 1 if status.state is RunState.TRAINING else next(
        (place for place, (start, _) in enumerate(texts.PHASES) if status.phase.startswith(start)), 0)
    return fill('<ol class="lab-phases">{}</ol>', joined(
        fill('<li class="{}">{}</li>', "done" if place < now else "now" if place == now else "", name)
        for place, (_, name) in enumerate(texts.PHASES)))


def _shows_bar(status: RunStatus) -> bool:
    return status.state is not RunState.QUEUED and not (status.state is RunState.FAILED and not status.step)


def _box(kind: str, title: str, text: str | None) -> Markup:
    return fill('<div class="lab-note {}"><h4>{}</h4><p>{}</p></div>', kind, title, text) if text else Markup("")


def _tile(name: str, before: str, after: str, unit: str, kind: str = "") -> Markup:
    change = fill("<i>{} →</i> {}", before, after) if before != after else fill("{}", after)
    return fill('<div class="lab-number {}"><span>{}</span><b>{}</b><span>{}</span></div>', kind, name, change, unit)


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.0%}"


def _signed(value: float | None) -> str:
    return "n/a" if value is None else f"{value:+.2f}"
