"""What was found when an adapter was folded into its base model, and how it is told. Standard library."""

from __future__ import annotations

from dataclasses import dataclass

from bnf_lab.core.numbers import counted


@dataclass(frozen=True)
class MergeRecord:
    """The check of a merged model, over some of the run's responses.

    A merged model is offered where it is the adapter on the base in float32, whose weights it folds, to within
    `accepted`. What the person saw is something else: the base may have been in four bits, and sums in bfloat16. That
    difference is told, and no ground to refuse.

    Attributes:
        dtype: Of the merged weights.
        base_dtype: Of the base model's own.
        difference: Largest difference of a response's mean log-likelihood from the adapter on the base in float32,
            nats/token.
        seen_difference: The same from the adapter as it was trained, plotted and chatted with, nats/token.
        seen_quantization: "nf4" or "none", as the run's base was loaded.
        seen_dtype: The dtype in which it computed.
        accepted: Largest `difference` that is offered, nats/token.
        n_responses: How many responses were compared.
        lost: `difference` in `base_dtype` where that was too large, and float32 was taken.
    """

    dtype: str
    base_dtype: str
    difference: float
    seen_difference: float
    seen_quantization: str
    seen_dtype: str
    accepted: float
    n_responses: int
    lost: float | None = None

    @property
    def is_what_was_seen(self) -> bool:
        return self.seen_difference <= self.accepted


def describe_merge(record: MergeRecord) -> tuple[str, ...]:
    """Returns a merge in sentences: the weights, both differences, and why the second one is large where it is."""
    is_nf4 = record.seen_quantization == "nf4"
    seen = f"{'its base in NF4, ' if is_nf4 else ''}computed in {record.seen_dtype}"
    lines = [
        _describe_weights(record),
        f"Checked on {counted(record.n_responses, 'response')} of the run: the mean log-likelihood of a response"
        " differs by at"
        f" most {record.difference:.3f} nats per token from the adapter on the base in float32 ({record.accepted} is"
        f" accepted), and by at most {record.seen_difference:.3f} from the adapter as it was trained, plotted and"
        f" chatted with ({seen}).",
    ]
    if not record.is_what_was_seen:
        why = (
            "the adapter learned beside a base rounded to four bits, and this model's weights are not rounded so"
            if is_nf4
            else f"what was seen was computed in {record.seen_dtype}, which rounds an adapter beside the weights"
            " otherwise than one folded into them"
        )
        lines.append(
            f"So its answers are not quite those that were seen: {why}. Where that matters, use the adapter itself on"
            " the base model, loaded as in training."
        )
    return tuple(lines)


def _describe_weights(record: MergeRecord) -> str:
    if record.dtype == record.base_dtype:
        return f"Weights: {record.dtype}, as the base model's are."
    reason = (
        f"in {record.base_dtype}, as the base model's are, they would differ from the adapter by {record.lost:.3f} nats"
        f" per token, and {record.accepted} is accepted"
        if record.lost is not None
        else f"the base model's own are {record.base_dtype}"
    )
    return f"Weights: {record.dtype}; {reason}."
