"""Under "Now it says": the fixed prompts with their answers over the run. Pure: records -> markup."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from bnf_lab.core.numbers import counted
from bnf_lab.runs.records import AnswerPoint
from bnf_lab.ui.markup import fill, joined
from bnf_lab.ui.watch import words


def draw_answers(points: Sequence[AnswerPoint], *, is_over: bool = False) -> Markup:
    """Returns the section: one card a prompt, base beside newest, the answers in between folded, newest first."""
    head = fill('<h2>{}</h2><p class="lab-intro">{}</p>', words.ANSWERS_TITLE, words.ANSWERS_INTRO)
    if not points:
        none = words.ANSWERS_NEVER if is_over else words.ANSWERS_NONE
        return head + fill('<div class="lab-empty">{}</div>', none)
    by_prompt: dict[str, list[AnswerPoint]] = {}
    for point in sorted(points, key=lambda p: p.step):
        by_prompt.setdefault(point.prompt, []).append(point)
    return head + joined(_card(prompt, answers) for prompt, answers in by_prompt.items())


def _card(prompt: str, answers: list[AnswerPoint]) -> Markup:
    first, *later = answers
    newest = later[-1] if later else None
    between = later[-2::-1] if len(later) > 1 else []
    return fill(
        '<article class="lab-says"><h3 class="lab-says-prompt">{prompt}</h3>'
        '<div class="lab-says-pair">{base}{now}</div>{older}</article>',
        prompt=prompt,
        base=_answer(first, "Base" if first.step == 0 else f"Step {first.step}"),
        now=_answer(newest, f"Step {newest.step}") if newest else _waiting(),
        older=_older(between),
    )


def _older(between: list[AnswerPoint]) -> Markup:
    if not between:
        return Markup("")
    return fill(
        '<details class="lab-says-older"><summary>{}</summary><div>{}</div></details>',
        words.ANSWERS_BETWEEN.format(n=len(between)),
        joined(_answer(a, f"Step {a.step}") for a in between),
    )


def _answer(point: AnswerPoint, title: str) -> Markup:
    fault = "empty" if point.is_empty else "repeats itself" if point.is_repeating else ""
    return fill(
        '<div class="lab-says-answer"><p class="lab-small"><b>{title}</b> {tokens} {fault}</p><p>{text}</p></div>',
        title=title,
        tokens=counted(point.n_tokens, "token"),
        text=point.answer.strip() or "(empty)",
        fault=fill('<b class="lab-chip dispreferred">{}</b>', fault) if fault else "",
    )


def _waiting() -> Markup:
    return fill('<div class="lab-says-answer"><p class="lab-small">{}</p></div>', words.ANSWERS_NONE)
