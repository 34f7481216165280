"""The catalogue of layouts, in the order of certainty, and which one a table has.

A new layout is one function that tells it by content, and one entry here. Two that are equally certain and say
different things of the first rows are asked about, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnf_lab.data.layouts.argilla import recognise_argilla
from bnf_lab.data.layouts.chains import recognise_chains
from bnf_lab.data.layouts.chats import recognise_chats, recognise_open_webui
from bnf_lab.data.layouts.choices import recognise_choices, recognise_webgpt
from bnf_lab.data.layouts.label_studio import recognise_label_studio, recognise_small_label_studio
from bnf_lab.data.layouts.pairs import recognise_pairs, recognise_several
from bnf_lab.data.layouts.plan import Layout, Plan, Wishes
from bnf_lab.data.layouts.prodigy import recognise_prodigy
from bnf_lab.data.layouts.singles import (
    recognise_helpsteer,
    recognise_labels,
    recognise_lists,
    recognise_objects,
    recognise_ranks,
    recognise_ratings,
)
from bnf_lab.data.layouts.special import (
    recognise_arena_lists,
    recognise_axes,
    recognise_prm800k,
    recognise_red_team,
    recognise_step_pairs,
    recognise_stepwise,
    recognise_summaries,
)
from bnf_lab.data.layouts.traces import recognise_langfuse, recognise_langsmith
from bnf_lab.data.layouts.trees import recognise_flat_trees, recognise_trees
from bnf_lab.data.survey import Survey

LAYOUTS: tuple[Layout, ...] = (
    Layout("open-webui", 90, recognise_open_webui),
    Layout("open-webui-chats", 90, recognise_chats),
    Layout("label-studio", 90, recognise_label_studio),
    Layout("label-studio-min", 90, recognise_small_label_studio),
    Layout("prodigy", 90, recognise_prodigy),
    Layout("langfuse", 90, recognise_langfuse),
    Layout("langsmith", 90, recognise_langsmith),
    Layout("argilla", 90, recognise_argilla),
    Layout("oasst-trees", 90, recognise_trees),
    Layout("oasst-messages", 90, recognise_flat_trees),
    Layout("prm800k", 90, recognise_prm800k),
    Layout("summaries", 90, recognise_summaries),
    Layout("axes", 90, recognise_axes),
    Layout("red-team", 90, recognise_red_team),
    Layout("arena-55k", 90, recognise_arena_lists),
    Layout("webgpt", 90, recognise_webgpt),
    Layout("step-pairs", 90, recognise_step_pairs),
    Layout("stepwise", 80, recognise_stepwise),
    Layout("chains", 75, recognise_chains),
    Layout("several", 75, recognise_several),
    Layout("pairs", 70, recognise_pairs),
    Layout("choices", 60, recognise_choices),
    Layout("helpsteer", 60, recognise_helpsteer),
    Layout("objects", 55, recognise_objects),
    Layout("labels", 50, recognise_labels),
    Layout("ratings", 40, recognise_ratings),
    Layout("ranks", 40, recognise_ranks),
    Layout("lists", 30, recognise_lists),
)


@dataclass(frozen=True)
class Found:
    """A layout that fits a table, and how it would be read."""

    layout: Layout
    plan: Plan


def find_layouts(seen: Survey, wishes: Wishes, key: str = "") -> list[Found]:
    """Returns the layouts that fit a table equally well, the surest alone; with a key that one.

    A layout fits if rows have what it needs; where none do, the columns' names alone may still tell it, so that the
    refused rows can say what they lack.
    """
    found = [
        Found(layout, plan)
        for layout in LAYOUTS
        if (not key or layout.key == key) and (plan := layout.recognise(seen, wishes)) is not None
    ]
    fitting = [f for f in found if f.plan.n_fit] or found
    top = max((f.layout.certainty for f in fitting), default=0)
    return [f for f in fitting if f.layout.certainty == top]


def list_layouts(seen: Survey, wishes: Wishes) -> list[Found]:
    """Returns every layout that rows of a table have what it needs for, in the order of certainty."""
    found = (Found(layout, plan) for layout in LAYOUTS if (plan := layout.recognise(seen, wishes)) is not None)
    return [f for f in found if f.plan.n_fit]
