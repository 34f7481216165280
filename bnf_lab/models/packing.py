"""Encoded responses -> one row of distinct tokens: no padding, and whatever several of them begin with only once.

In a causal model a token's states depend on what stands before it alone. So sequences with a common beginning (a system
prompt, the prompt of a pair, the first words of both its answers) share its states, and every layer may see each token
just once; only attention needs whole sequences, and finds them in `Packed.rows`. Sharing the prompt of a pair is the
idea of arXiv 2410.20305; a prefix tree shares any beginning of any number of sequences. This room must not know models,
losses or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from bnf_lab.models.encoding import EncodedResponse


class _Movable:
    """A dataclass of tensors that can move to a device as a whole."""

    def to(self, device: torch.device) -> Self:
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        moved = {k: _moved(v, device) for k, v in values.items() if isinstance(v, Tensor | _Movable)}
        return replace(self, **moved)  # type: ignore[type-var]


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value.to(device)


@dataclass(frozen=True)
class Packed(_Movable):
    """N distinct tokens that stand for R sequences of at most S tokens.

    Attributes:
        input_ids: (N,) long.
        position_ids: (N,) long, each token's place in its own sequence.
        rows: (R, S) long, the tokens of each sequence; behind a sequence's end any valid index.
        row_mask: (R, S) bool, True inside the sequences.
        places: (N,) long, where in the flattened `rows` each token stands first.
    """

    input_ids: Tensor
    position_ids: Tensor
    rows: Tensor
    row_mask: Tensor
    places: Tensor


@dataclass(frozen=True)
class Batch(_Movable):
    """R responses with M response tokens in all, the longest of T tokens.

    Attributes:
        ids: The judgements' ids, in row order.
        packed: Prompts and responses; a response's last token, which predicts nothing, is left out.
        predictors: (M,) long, the packed token whose output predicts each response token, row by row.
        targets: (M,) long, the response tokens.
        response_mask: (R, T) bool, True at response tokens.
        is_preferred: (R,) bool.
        weights: (R,) float32.
        pairs: (P, 2) long, rows of the preferred and the dispreferred response of each pair.
    """

    ids: tuple[str, ...]
    packed: Packed
    predictors: Tensor
    targets: Tensor
    response_mask: Tensor
    is_preferred: Tensor
    weights: Tensor
    pairs: Tensor

    @property
    def lengths(self) -> list[int]:
        """Tokens of each response."""
        return self.response_mask.sum(dim=1).tolist()


def build_batch(responses: Sequence[EncodedResponse], *, pairs: Sequence[tuple[int, int]] = ()) -> Batch:
    """Packs responses, each with its prompt; see `Batch` for shapes."""
    lengths = [len(r.response_ids) for r in responses]
    packed, rows = pack_sequences([r.prompt_ids + r.response_ids[:-1] for r in responses])
    predictors = [token for row, n in zip(rows, lengths, strict=True) for token in row[-n:]]
    return Batch(
        tuple(r.judgement_id for r in responses),
        packed,
        torch.tensor(predictors),
        torch.tensor([token for r in responses for token in r.response_ids]),
        torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1),
        torch.tensor([r.is_preferred for r in responses]),
        torch.tensor([r.weight for r in responses], dtype=torch.float32),
        torch.tensor(pairs, dtype=torch.long).reshape(-1, 2),
    )


def pack_sequences(sequences: Sequence[Sequence[int]]) -> tuple[Packed, list[list[int]]]:
    """Packs token sequences as a prefix tree; also returns each sequence as the packed tokens it runs through.

    >>> packed, rows = pack_sequences([[5, 6, 7], [5, 6, 8, 9]])
    >>> packed.input_ids.tolist(), packed.position_ids.tolist(), rows
    ([5, 6, 7, 8, 9], [0, 1, 2, 2, 3], [[0, 1, 2], [0, 1, 3, 4]])
    >>> packed.rows.tolist(), packed.places.tolist()
    ([[0, 1, 2, 0], [0, 1, 3, 4]], [0, 1, 2, 6, 7])
    """
    width = max(map(len, sequences))
    nodes: dict[tuple[int, int], int] = {}  # (the packed token before, token id) -> packed token
    positions: list[int] = []
    places: list[int] = []
    rows: list[list[int]] = []
    for number, sequence in enumerate(sequences):
        row: list[int] = []
        before = -1
        for position, token in enumerate(sequence):
            before = nodes.setdefault((before, token), len(nodes))
            if before == len(positions):
                positions.append(position)
                places.append(number * width + position)
            row.append(before)
        rows.append(row)
    packed = Packed(
        torch.tensor([token for _, token in nodes]),
        torch.tensor(positions),
        torch.tensor([[*row, *[0] * (width - len(row))] for row in rows]),
        torch.arange(width) < torch.tensor([len(row) for row in rows]).unsqueeze(1),
        torch.tensor(places),
    )
    return packed, rows
