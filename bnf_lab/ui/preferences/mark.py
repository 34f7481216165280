"""Marking: the model answers a prompt several times, the person says which answers are good. Knows `Lab`, no tab.

The desk itself (prompts, answers, verdicts) is in `lab/marking.py`; its components are in `mark_parts.py`.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import Dependency

from bnf_lab.core.judgements import Message, Verdict
from bnf_lab.core.numbers import counted
from bnf_lab.data.prompt_list import MAX_PROMPT_CHARS, load_prompts
from bnf_lab.lab.marking import AnswerSettings, Marking
from bnf_lab.ui.guard import Lane, checked_choice, checked_number, checked_text, checked_whole, listen, tell
from bnf_lab.ui.latest import Latest
from bnf_lab.ui.model_gate import draw_values, wire_gate
from bnf_lab.ui.preferences.mark_parts import MAX_CANDIDATES, Desk, draw_desk, draw_marking
from bnf_lab.ui.session import Again, Redraw, Session

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab


SAVE_SECONDS = 1.0
FOCUS_ANSWER = """() => {
  const focus = (n) => {
    const box = document.querySelector('#mark-answer-NUMBER textarea');
    if (!box || box.disabled) { if (n) setTimeout(() => focus(n - 1), 50); return; }
    box.focus();
    box.scrollIntoView({block: 'nearest'});
  };
  focus(40);
}"""
"""The box wakes in one of the browser's next frames."""
WRITE_NOW = "(isWaiting) => { if (isWaiting) document.querySelector('#mark-write').click(); }"
"""What was asked for while the model was missing."""


@dataclass(frozen=True)
class MarkSection:
    """What the tab needs: how to draw the desk, at first and again, and the events after which judgements changed."""

    redraw: Redraw
    again: Again
    changes: tuple[Dependency, ...]


def build(lab: Lab, session: Session) -> MarkSection:
    """Draws the desk where the call stands."""
    desk, latest = draw_desk(), Latest()
    changes = _wire_cards(lab, session, desk, latest)
    _wire_writing(lab, session, desk, turned=_wire_prompts(lab, session, desk, latest))

    def draw_stored(token: str) -> Any:
        return draw_marking(lab.marking.load(lab.owner_of(token)))

    def draw_latest(token: str) -> Any:
        return _draw_followed(lab, lab.owner_of(token))

    latest.draw(draw_latest, [session.token], desk.drawn)

    def redraw(token: str, run_id: str) -> Any:
        return *show_models(), *draw_stored(token)

    def show_models() -> tuple[Any, ...]:
        return gr.Dropdown([(model.label, model.id) for model in lab.models.choices()]), *draw_values(lab)

    def show_again(token: str) -> Any:
        drawn = zip(desk.drawn, draw_stored(token), strict=True)
        return *show_models(), *(value for part, value in drawn if part not in desk.typed)

    wire_gate(lab, session, desk.gate)
    shown = tuple(part for part in desk.drawn if part not in desk.typed)
    return MarkSection(
        redraw=Redraw(redraw, (*desk.offered, *desk.drawn)),
        again=Again(show_again, (session.token,), (*desk.offered, *shown)),
        changes=changes,
    )


def _wire_cards(lab: Lab, session: Session, desk: Desk, latest: Latest) -> tuple[Dependency, ...]:
    changes = []
    for place, card in enumerate(desk.cards):

        def judge(token: str, verdict: Verdict, place: int = place) -> Any:
            return draw_marking(lab.marking.mark(lab.owner_of(token), place, verdict))

        def prefer(token: str, judge: Any = judge) -> Any:
            return judge(token, Verdict.PREFERRED)

        def disprefer(token: str, judge: Any = judge) -> Any:
            return judge(token, Verdict.DISPREFERRED)

        def open_edit() -> Any:
            return gr.Textbox(interactive=True), gr.Row(visible=True)

        def save(token: str, text: str, place: int = place) -> Any:
            owner = lab.owner_of(token)
            return draw_marking(lab.marking.edit(owner, place, checked_text(text, "Answer", limit=MAX_PROMPT_CHARS)))

        def cancel(token: str) -> Any:
            return draw_marking(lab.marking.load(lab.owner_of(token)))

        changes += [
            latest.listen(card.prefer.click, prefer, [session.token], desk.drawn, notes=card.notes),
            latest.listen(card.disprefer.click, disprefer, [session.token], desk.drawn, notes=card.notes),
            latest.listen(card.save.click, save, [session.token, card.answer], desk.drawn, notes=card.notes),
        ]
        opened = card.notes.listen(card.edit.click, open_edit, [], [card.answer, card.editing])
        opened.success(fn=None, js=FOCUS_ANSWER.replace("NUMBER", str(place + 1)), api_visibility="private")
        latest.listen(card.cancel.click, cancel, [session.token], desk.drawn, notes=card.notes)
    return tuple(changes)


def _wire_prompts(lab: Lab, session: Session, desk: Desk, latest: Latest) -> tuple[Dependency, ...]:
    def move(step: int) -> Any:
        def turn(token: str, prompt: str) -> Any:
            owner = lab.owner_of(token)
            typed = checked_text(prompt, "Prompt", limit=MAX_PROMPT_CHARS, required=False)
            lab.marking.turn(owner, typed, step)
            return _draw_followed(lab, owner)

        return turn

    def import_list(token: str, path: str | None) -> Any:
        owner = lab.owner_of(token)
        prompts = load_prompts(Path(checked_text(path, "File", limit=4000)), Path(path or "").name)
        tell(f"{counted(len(prompts), 'prompt')} imported.")
        return draw_marking(lab.marking.save(owner, Marking(tuple(prompts))))

    desk.notes.listen(desk.load.upload, import_list, [session.token, desk.load], desk.drawn, lane=Lane.UPLOAD)
    return tuple(
        latest.listen(button.click, move(step), [session.token, desk.prompt], desk.drawn, notes=desk.notes)
        for button, step in ((desk.back, -1), (desk.forward, 1))
    )


def _draw_followed(lab: Lab, owner: str) -> Any:
    """Draws the desk for a page that follows what is being written ahead; see `_Writing.follow`."""
    marking = lab.marking.load(owner)
    return draw_marking(marking, is_writing=lab.ahead.is_writing(owner, marking.prompt))


def _wire_writing(lab: Lab, session: Session, desk: Desk, *, turned: Iterable[Dependency]) -> None:
    do = _Writing(lab, desk)
    settings = [desk.prompt, desk.n, desk.temperature, desk.length, desk.model]
    writing = [
        desk.notes.listen(desk.write.click, do.write, [session.token, *settings], desk.asked, lane=Lane.CHAT),
        *(desk.notes.listen(turn.then, do.follow, [session.token], desk.drawn, lane=Lane.CHAT) for turn in turned),
    ]
    desk.gate.came.change(fn=None, inputs=[desk.waiting], js=WRITE_NOW, api_visibility="private")
    # The buttons wake only now: gradio (6.31) sends a generator's last values once more when it ends, which would paint
    # over a mark made in between.
    for event in writing:
        listen(event.then, do.redraw, [session.token], desk.drawn)
    listen(desk.stop.click, do.redraw, [session.token], desk.drawn, cancels=writing)


@dataclass(frozen=True)
class _Writing:
    """What "Write answers" does."""

    lab: Lab
    desk: Desk

    def write(self, token: str, prompt: str, *settings: Any) -> Iterator[Any]:
        """Writes; a model that is missing is fetched first, and it is remembered that answers are waited for."""
        lab, desk = self.lab, self.desk
        owner = lab.owner_of(token)
        asked = checked_text(prompt, "Prompt", limit=MAX_PROMPT_CHARS)
        options = _answer_settings(settings, _models(lab))
        if lab.models.missing(options.model) is not None:
            lab.models.start_fetch()
            yield *(gr.skip() for _ in desk.drawn), True, *draw_values(lab)
            return
        steps = lab.writer.write_candidates((Message("user", asked),), **asdict(options))
        for drawn in self._answers(owner, asked, options, steps):
            yield *drawn, False, *(gr.skip() for _ in desk.gate.outputs)

    def follow(self, token: str) -> Iterator[Any]:
        """Shows on what is being written ahead for the prompt at hand; where that is done, the next one is begun."""
        lab = self.lab
        owner = lab.owner_of(token)
        desk = lab.marking.load(owner)
        with contextlib.closing(lab.ahead.take(owner, desk.prompt)) as steps:
            so_far = next(steps, None)
            if so_far is not None and desk.asked is not None:
                yield from self._answers(owner, desk.prompt, desk.asked, itertools.chain([so_far], steps))
                return
        lab.ahead.begin(owner)
        yield tuple(gr.skip() for _ in self.desk.drawn)

    def _answers(
        self, owner: str, prompt: str, options: AnswerSettings, steps: Iterable[tuple[str, ...]]
    ) -> Iterator[Any]:
        lab = self.lab
        marking = lab.marking.begin_writing(owner, prompt, options)
        yield draw_marking(marking, is_writing=True)
        saved_at = time.monotonic()
        try:
            for answers in steps:
                marking = marking.with_answers(answers)
                yield draw_marking(marking, is_writing=True)
                if time.monotonic() - saved_at > SAVE_SECONDS:
                    lab.marking.keep_written(owner, marking)
                    saved_at = time.monotonic()
        finally:  # also when stopped: what was written so far can be judged
            lab.marking.keep_written(owner, marking)
        lab.ahead.begin(owner)

    def redraw(self, token: str) -> Any:
        """Draws the desk; the prompt stays, as one that was refused is not in the store."""
        _, *rest = draw_marking(self.lab.marking.load(self.lab.owner_of(token)))
        return gr.Textbox(interactive=True), *rest


def _models(lab: Lab) -> list[str]:
    return [model.id for model in lab.models.choices()]


def _answer_settings(settings: tuple[Any, ...], models: list[str]) -> AnswerSettings:
    n, temperature, length, model = settings
    return AnswerSettings(
        n=checked_whole(n, "Answers", minimum=2, maximum=MAX_CANDIDATES),
        temperature=checked_number(temperature, "Temperature", minimum=0.1, maximum=2.0),
        max_new_tokens=checked_whole(length, "Longest answer", minimum=16, maximum=512),
        model=checked_choice(model, "Model", models),
    )
