"""The guided first run: a strip above the tabs that leads through fetch, add, train and show me. Knows `Lab`, no tab.

What is done is read from the store, so what a person does without the strip counts as well. It is there on a first
visit alone, can be skipped, and costs nothing once it has ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import Dependency
from markupsafe import Markup

from bnf_lab.lab.guide import STEPS, Progress
from bnf_lab.ui import words
from bnf_lab.ui.guard import Lane, listen
from bnf_lab.ui.markup import fill, html_area, joined
from bnf_lab.ui.session import Session, once_known, show_tab

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab

LOOK_SECONDS = 4.0
TABS = {"add": "preferences", "train": "train", "show": "chat"}
"""Where a step is done; the model is fetched from the strip itself."""
LAST_TAB = TABS["show"]
TICKED = {"add": (0,), "train": (1,), "show": (2, 3)}
"""The places of the tabs that get a tick with a step."""

_TICKS = """
const tick = () => {
  const done = (element.querySelector('[data-ticked]')?.dataset.ticked ?? '').split(' ');
  document.querySelectorAll('#lab-tabs > .tab-wrapper [role=tab]').forEach((tab, place) => {
    const isDone = tab.toggleAttribute('data-ticked', done.includes(String(place)));  // gradio writes classes anew
    isDone ? tab.setAttribute('aria-description', DONE) : tab.removeAttribute('aria-description');
  });
};
tick();
watch('value', () => requestAnimationFrame(tick));
""".replace("DONE", json.dumps(words.GUIDE_DONE))


class Guide:
    """The strip, drawn where the call stands; `wire` it once the tabs are there.

    Args:
        lab: Knows how far a workspace has come.
        set_up_quick: Chooses the settings of a short run for an owner.
    """

    def __init__(self, lab: Lab, set_up_quick: Callable[[str], None]) -> None:
        self._lab, self._set_up_quick = lab, set_up_quick
        self._strip = html_area(visible=False, actions="guide_action", script=_TICKS, elem_id="lab-guide")
        self._shown = gr.State("")
        self._timer = gr.Timer(LOOK_SECONDS, active=False)

    def wire(self, session: Session, known: Dependency, last_tab: gr.Tab) -> None:
        """Wires the strip's buttons and its clock.

        Args:
            session: Whose page it is.
            known: After which the browser has its token.
            last_tab: `LAST_TAB`.
        """
        lab = self._lab

        def look(token: str, shown: str) -> Any:
            return self._draw(lab.owner_of(token), shown)

        def see(token: str, shown: str) -> Any:
            owner = lab.owner_of(token)
            lab.guides.see(owner)
            return self._draw(owner, shown)

        def act(token: str, shown: str, event: gr.EventData) -> Any:
            owner = lab.owner_of(token)
            if event.act == "skip":
                lab.guides.end(owner)
            elif event.act == "fetch":
                lab.models.start_fetch()
            elif event.act == "train":
                self._set_up_quick(owner)
            tab = show_tab(TABS[event.act]) if event.act in TABS else gr.skip()
            return tab, *self._draw(owner, shown)

        asked, drawn = [session.token, self._shown], [self._strip, self._shown, self._timer]
        for event in (known.success, self._timer.tick):
            listen(event, look, asked, drawn, lane=Lane.TICK)
        listen(last_tab.select, once_known(see), asked, drawn, lane=Lane.TICK)
        listen(self._strip.guide_action, act, asked, [session.tabs, *drawn], lane=Lane.START)

    def _draw(self, owner: str, shown: str) -> tuple[Any, ...]:
        progress = self._lab.guides.progress(owner)
        content = "" if progress is None else str(draw_guide(progress))
        if content == shown:
            return (gr.skip(),) * 3
        is_open = progress is not None
        return gr.HTML(content, visible=is_open), content, gr.Timer(active=is_open)


def draw_guide(progress: Progress) -> Markup:
    """Returns the strip as far as a person has come."""
    now = progress.now
    steps = joined(
        fill(
            '<li class="{kind}"{current}><b>{title}</b><span class="lab-unseen">{state}</span></li>',
            kind="done" if step in progress.done else "now" if step == now else "",
            current=Markup(' aria-current="step"') if step == now else "",
            title=words.GUIDE_STEPS[step],
            state=words.GUIDE_DONE if step in progress.done else "",
        )
        for step in STEPS
    )
    places = sorted(place for step in progress.done for place in TICKED.get(step, ()))
    return fill(
        '<section aria-label="{label}" data-ticked="{ticked}"><ol>{steps}</ol><p role="status">{says}</p>'
        '<div class="lab-row-buttons">{go}<button data-act="skip">{skip}</button></div></section>',
        label=words.GUIDE,
        ticked=" ".join(map(str, places)),
        steps=steps,
        says=words.GUIDE_FETCHING if now == "fetch" and progress.is_fetching else words.GUIDE_SAYS[now],
        go=_button(now) if now and not (now == "fetch" and progress.is_fetching) else "",
        skip=words.GUIDE_SKIP if now else words.GUIDE_CLOSE,
    )


def _button(step: str) -> Markup:
    return fill('<button class="go" data-act="{}">{}</button>', step, words.GUIDE_GO[step])
