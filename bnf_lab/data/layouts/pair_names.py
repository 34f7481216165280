"""How public sets and tools call a preferred and a dispreferred answer, and what tells one of them from another.

Values only; a set is told by columns that it alone writes, never by a name that many use.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnf_lab.data.survey import Survey, words

_WORDS = words("response answer output completion text message messages conversation conversations reply content")
_SIDES = (
    ("chosen", "rejected"),
    ("preferred", "dispreferred"),
    ("preferred", "non_preferred"),
    ("preferred", "rejected"),
    ("accepted", "rejected"),
    ("accepted", "declined"),
    ("approved", "rejected"),
    ("selected", "rejected"),
    ("selected", "unselected"),
    ("chosen", "reject"),
    ("better", "worse"),
    ("best", "worst"),
    ("good", "bad"),
    ("liked", "disliked"),
    ("correct", "incorrect"),
    ("desirable", "undesirable"),
    ("positive", "negative"),
    ("winning", "losing"),
    ("winner", "loser"),
    ("win", "lose"),
    ("pos", "neg"),
)
COLUMNS: tuple[tuple[str, str], ...] = (
    *_SIDES,
    *((f"{a}_{word}", f"{b}_{word}") for a, b in _SIDES for word in _WORDS),
    *((f"{word}_{a}", f"{word}_{b}") for a, b in _SIDES for word in _WORDS),
    *((word, f"rejected_{word}") for word in _WORDS),
    ("messages", "rejected_response"),
    ("conversations", "rejected_response"),
    ("good_edited_response", "bad_edited_response"),
    ("response_j", "response_k"),
    ("response_w", "response_l"),
    ("y_w", "y_l"),
    ("yw", "yl"),
)
SCORES = words("score rating reward overall_score avg_rating")
THOUGHTS = words("reasoning_content reasoning thinking thought thoughts")
WEIGHTS = words("weight weights sample_weight")


@dataclass(frozen=True)
class _Known:
    """A public set or tool.

    Attributes:
        name: What the report calls it.
        columns: Columns that it writes.
        source: Where it is described.
        alone: Whether it has no other columns.
    """

    name: str
    columns: str
    source: str
    alone: bool = False

    def fits(self, seen: Survey) -> bool:
        needed = words(self.columns)
        return seen.has(*needed) and (not self.alone or len(seen.columns) == len(needed))


_HUB = "https://hf.co/datasets/"
_KNOWN = (
    _Known(
        "UltraFeedback (binarized)",
        "prompt_id messages score_chosen score_rejected",
        f"{_HUB}HuggingFaceH4/ultrafeedback_binarized",
    ),
    _Known(
        "UltraFeedback (binarized)",
        "chosen_avg_rating rejected_avg_rating",
        f"{_HUB}argilla/ultrafeedback-binarized-preferences",
    ),
    _Known(
        "UltraFeedback (binarized, cleaned)",
        "source prompt chosen chosen_rating chosen_model rejected rejected_rating rejected_model",
        f"{_HUB}argilla/ultrafeedback-binarized-preferences-cleaned",
        alone=True,
    ),
    _Known(
        "UltraFeedback (on-policy)",
        "all_generated_responses all_rm_scores",
        f"{_HUB}princeton-nlp/llama3-ultrafeedback-armorm",
    ),
    _Known(
        "Capybara-DPO",
        "conversation original_response rating_chosen rating_rejected",
        f"{_HUB}argilla/distilabel-capybara-dpo-7k-binarized",
    ),
    _Known(
        "Capybara preferences",
        "source chosen chosen_rating chosen_model rejected rejected_rating rejected_model",
        f"{_HUB}argilla/Capybara-Preferences",
        alone=True,
    ),
    _Known(
        "Orca DPO pairs (distilabel)",
        "input generations labelling_model",
        f"{_HUB}argilla/distilabel-intel-orca-dpo-pairs",
    ),
    _Known("Orca DPO pairs", "system question chosen rejected", f"{_HUB}Intel/orca_dpo_pairs", alone=True),
    _Known(
        "OpenHermes preferences", "candidates_completions candidate_policies", f"{_HUB}argilla/OpenHermesPreferences"
    ),
    _Known(
        "ORPO-DPO mix",
        "source chosen rejected question prompt",
        f"{_HUB}mlabonne/orpo-dpo-mix-40k",
        alone=True,
    ),
    _Known("distilabel", "distilabel_metadata chosen", "https://distilabel.argilla.io/latest/"),
    _Known("HelpSteer3 edits", "good_edited_response bad_edited_response", f"{_HUB}nvidia/HelpSteer3"),
    _Known("UltraInteract pairs", "trajectory chosen rejected", f"{_HUB}openbmb/UltraInteract_pair"),
    _Known("RewardBench", "subset chosen_model rejected_model", f"{_HUB}allenai/reward-bench"),
    _Known(
        "Tulu / OLMo preference mix",
        "id chosen_model rejected_model chosen rejected",
        f"{_HUB}allenai/llama-3.1-tulu-3-8b-preference-mixture",
    ),
    _Known("Stack-Exchange pairs", "response_j response_k", f"{_HUB}lvwerra/stack-exchange-paired"),
    _Known("Skywork-Reward", "source chosen rejected", f"{_HUB}Skywork/Skywork-Reward-Preference-80K-v0.2", alone=True),
    _Known(
        "OpenAI preference format",
        "preferred_output non_preferred_output",
        "https://platform.openai.com/docs/guides/direct-preference-optimization",
    ),
    _Known("ms-swift", "rejected_response", "https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html"),
    _Known("ms-swift", "rejected_messages", "https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html"),
    _Known(
        "H2O LLM Studio", "rejected_answer", "https://docs.h2o.ai/h2o-llmstudio/guide/datasets/data-connectors-format"
    ),
)
_ARGILLA = _Known("Argilla or Axolotl", "chosen_response rejected_response", "https://docs.axolotl.ai/docs/rlhf.html")


def find_known(seen: Survey) -> tuple[str, str]:
    """Returns the name of the set or tool that writes these columns, and its source; "" for both if none does."""
    known: tuple[_Known, ...] = (*_KNOWN, _ARGILLA)
    if seen.has("chosen_response", "rejected_response"):  # its second name is ms-swift's, too
        known = (*(k for k in _KNOWN if k.name != "ms-swift"), _ARGILLA)
    return next(((k.name, k.source) for k in known if k.fits(seen)), ("", ""))


def find_beside(seen: Survey, sides: tuple[str, str], names: tuple[str, ...]) -> tuple[str, str] | None:
    """Returns two columns that stand beside two answers and are named after them: "chosen_rating", "score_chosen"."""
    ends = [f"_{word}" for word in _WORDS if all(side.endswith(f"_{word}") for side in sides)]
    stems = [sides, *((sides[0].removesuffix(end), sides[1].removesuffix(end)) for end in ends)]
    found = (
        pair
        for first, second in stems
        for word in names
        for pair in ((f"{word}_{first}", f"{word}_{second}"), (f"{first}_{word}", f"{second}_{word}"))
    )
    return next((pair for pair in found if seen.has(*pair)), None)
