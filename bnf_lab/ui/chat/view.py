"""Draws a chat as markup: who answers, the turns, each answer with its numbers and buttons. Knows no component.

Texts of people and models are shown as plain text: `fill` escapes them, so neither HTML nor Markdown of theirs (foreign
images, links, forms) ever becomes part of the page.
"""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

from bnf_lab.core.judgements import Verdict
from bnf_lab.core.numbers import counted, signed
from bnf_lab.lab.conversation import NO_ADAPTER, SIDES, Answer, Chat, Settings, Turn
from bnf_lab.lab.thumbs import EDITED
from bnf_lab.ui.chat import words
from bnf_lab.ui.markup import fill, joined

TITLES = {"base": "Base", "aligned": "Aligned"}
_UP = (
    "M14 9V5a3 3 0 0 0-3-3l-4 9v11h11.28a2 2 0 0 0 2-1.7l1.38-9a2 2 0 0 0-2-2.3zM7 22H4a2 2 0 0 1-2-2v-7a2 2 0 0 1 "
    "2-2h3"
)
_DOWN = (
    "M10 15v4a3 3 0 0 0 3 3l4-9V2H5.72a2 2 0 0 0-2 1.7l-1.38 9a2 2 0 0 0 2 2.3zm7-13h2.67A2.31 2.31 0 0 1 22 "
    "4v7a2.31 2.31 0 0 1-2.33 2H17"
)


def draw_heads(labels: tuple[str, str], settings: Settings, *, has_adapter: bool) -> Markup:
    """Returns the two headers that say what answers in each pane.

    Args:
        labels: What exactly answers, as the lab names it.
        settings: Says whether the aligned side was switched off.
        has_adapter: Whether anything answers in the aligned pane.
    """
    off = words.ADAPTER_OFF_HEAD if settings.adapter == NO_ADAPTER else words.NO_ADAPTER_HEAD
    off = words.GONE_HEAD if settings.is_gone else off
    shown = (labels[0], labels[1] if has_adapter else off)
    return fill(
        '<div class="chat-heads">{}</div>',
        joined(
            fill('<div class="chat-head {}"><span>{}</span><b>{}</b></div>', side, TITLES[side], label)
            for side, label in zip(SIDES, shown, strict=True)
        ),
    )


def draw_turns(
    chat: Chat, *, is_live: bool, labels: tuple[str, str], has_adapter: bool, has_model: bool = True
) -> Markup:
    """Returns all turns, or what to do first if there is none.

    Args:
        chat: What was said.
        is_live: Whether the last turn is being answered now.
        labels: What answers now; an answer of somebody else says by whom it is.
        has_adapter: Whether anything answers in the aligned pane.
        has_model: Whether the base model is here; else the last message waits for it.
    """
    if not chat.turns:
        return _nothing_yet(chat.settings, has_adapter)
    last = len(chat.turns) - 1
    turns = joined(
        _turn(
            turn,
            labels,
            is_live=is_live and place == last,
            is_last=place == last,
            settings=chat.settings,
            has_adapter=has_adapter,
            has_model=has_model,
        )
        for place, turn in enumerate(chat.turns)
    )
    return fill(
        '<div class="chat-turns" role="log">{}</div><p class="lab-small chat-legend">{}</p>', turns, words.LEGEND
    )


def _nothing_yet(settings: Settings, has_adapter: bool) -> Markup:
    examples = joined(
        fill('<button type="button" data-act="example" data-place="{}">{}</button>', place, text)
        for place, text in enumerate(words.EXAMPLES)
    )
    hint = "" if has_adapter else fill('<p class="chat-no-adapter">{}</p>', _why_silent(settings))
    return fill(
        '<div class="lab-empty chat-empty"><p>{}</p><div class="chat-examples">{}</div>{}</div>',
        words.NO_TURNS,
        examples,
        hint,
    )


def _why_silent(settings: Settings) -> str:
    if settings.is_gone:
        return words.GONE
    return words.ADAPTER_OFF if settings.adapter == NO_ADAPTER else words.NO_ADAPTER


def _turn(
    turn: Turn,
    labels: tuple[str, str],
    *,
    is_live: bool,
    is_last: bool,
    settings: Settings,
    has_adapter: bool,
    has_model: bool,
) -> Markup:
    cells = []
    for side, label in zip(SIDES, labels, strict=True):
        answer = turn.answer(side)
        if answer is not None:
            body = _answer(turn.id, side, answer, label, is_live=is_live)
        elif is_live and (side == "base" or has_adapter):
            body = fill('<p class="chat-wait">{}</p>', words.WAITING if side == "base" else "…")
        elif side == "base":
            told = words.NOT_ANSWERED if has_model or not is_last else words.WAITS_FOR_MODEL
            body = fill('<p class="chat-quiet">{}</p>', told)
        elif turn.base is None:
            body = Markup("")
        else:
            why = _why_silent(settings) if is_last and not has_adapter else words.NO_ANSWER
            body = fill('<p class="chat-quiet">{}</p>', why)
        cells.append(
            fill(
                '<article class="chat-answer {side}"><h3>{title}</h3>{body}</article>',
                side=side,
                title=TITLES[side],
                body=body,
            )
        )
    system = fill('<p class="lab-small chat-system">System prompt: {}</p>', turn.system) if turn.system else ""
    return fill(
        '<section class="chat-turn">{system}<div class="chat-ask"><h3>You</h3><p>{message}</p></div>'
        '<div class="chat-answers">{answers}</div></section>',
        system=system,
        message=turn.message,
        answers=joined(cells),
    )


def _answer(turn_id: str, side: str, answer: Answer, label: str, *, is_live: bool) -> Markup:
    if is_live and answer.finish is None:
        text = fill('<p class="chat-text chat-growing">{}</p>', answer.text)
        return fill('{}<p class="chat-numbers">{}</p>', text, _speed(answer))
    if answer.edited:
        text = fill(
            '<p class="chat-text">{}</p><details class="chat-original"><summary>Original answer</summary>'
            '<p class="chat-text">{}</p></details>',
            answer.edited,
            answer.text,
        )
    else:
        text = fill('<p class="chat-text">{}</p>', answer.text or words.EMPTY_ANSWER)
    by = fill("<span>by {}</span>", answer.by) if answer.by != label else ""
    return fill(
        '{text}<p class="chat-numbers">{speed}{finish}{by}</p>{likelihood}{buttons}',
        text=text,
        speed=_speed(answer),
        by=by,
        likelihood=_likelihood(answer),
        finish=fill("<span>{}</span>", words.FINISHES[answer.finish]) if answer.finish in words.FINISHES else "",
        buttons="" if is_live or not answer.text.strip() else _buttons(turn_id, side, answer),
    )


def _speed(answer: Answer) -> Markup:
    if not answer.n_tokens:
        return Markup("")
    return fill(
        "<span>{:.1f} tokens/s</span><span>{}</span>", answer.tokens_per_second, counted(answer.n_tokens, "token")
    )


def _likelihood(answer: Answer) -> Markup:
    if answer.logp_base is None:
        return Markup("")
    aligned, comparison = "", ""
    if answer.logp_aligned is not None:
        aligned = fill(" · aligned <b>{}</b>", signed(answer.logp_aligned))
        comparison = fill(" <span>{}</span>", _compared(answer.logp_aligned - answer.logp_base))
    return fill(
        '<p class="chat-likelihood" title="{}">Mean log-likelihood: base <b>{}</b>{} nats/token{}</p>',
        words.LEGEND,
        signed(answer.logp_base),
        aligned,
        comparison,
    )


def _compared(shift: float) -> str:
    """Says a shift of the mean log-likelihood in plain words.

    >>> _compared(0.5), _compared(-2.0), _compared(0.001)
    ('likelier for the aligned model', 'far likelier for the base model', 'as likely for both')
    """
    if not math.isfinite(shift) or abs(shift) < 0.01:
        return "as likely for both" if abs(shift) < 0.01 else ""
    return f"{'far ' if abs(shift) > 1 else ''}likelier for the {'aligned' if shift > 0 else 'base'} model"


def _buttons(turn_id: str, side: str, answer: Answer) -> Markup:
    place = {"turn": turn_id, "side": side}
    stored = fill('<span class="lab-chip {}">{}</span>', answer.mark, words.MARKS[answer.mark]) if answer.mark else ""
    if answer.mark == EDITED:
        thumbs = fill(
            '<button type="button" data-act="{}" data-turn="{turn}" data-side="{side}" '
            'aria-label="Take back your version of the {side} answer">Take back</button>',
            Verdict.PREFERRED,
            **place,
        )
    else:
        thumbs = joined(_thumb(verdict, answer, place) for verdict in Verdict)
    edit = fill(
        '<button type="button" data-act="edit" data-turn="{turn}" data-side="{side}" '
        'aria-label="Edit the {side} answer">Edit</button>',
        **place,
    )
    return fill('<div class="chat-buttons">{}{}{}</div>', thumbs, edit, stored)


def _thumb(verdict: Verdict, answer: Answer, place: dict[str, Any]) -> Markup:
    is_up, is_on = verdict is Verdict.PREFERRED, answer.mark == verdict
    does = "Take the thumb back from" if is_on else "Prefer" if is_up else "Disprefer"
    return fill(
        '<button type="button" class="chat-thumb {verdict}" data-act="{verdict}" data-turn="{turn}" '
        'data-side="{side}" aria-pressed="{pressed}" aria-label="{label}" title="{label}">'
        '<svg viewBox="0 0 24 24" width="16" height="16" aria-hidden="true"><path d="{path}"/></svg></button>',
        verdict=verdict,
        pressed="true" if is_on else "false",
        path=_UP if is_up else _DOWN,
        label=f"{does} the {place['side']} answer",
        **place,
    )
