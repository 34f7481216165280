"""Several processes that train one run together, started by `accelerate launch`: who am I, and what all must agree on.

Each takes its share of a step's micro-batches; what they exchange is one sum of adapter gradients a step and a few
small facts. In an ordinary run of one process everything here does nothing. This room must not know runs or models.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor


def join(*, use_cpu: bool) -> None:
    """Joins the group of processes if a launcher started this one; gloo between CPUs, NCCL between GPUs."""
    if "LOCAL_RANK" in os.environ:
        PartialState(cpu=use_cpu)


def n_processes() -> int:
    return dist.get_world_size() if _is_joined() else 1


def own_rank() -> int:
    """Returns this process's number; 0 writes the run folder."""
    return dist.get_rank() if _is_joined() else 0


def wait_for_all() -> None:
    if _is_joined():
        dist.barrier()


def gather(value: Any) -> list[Any]:
    """Returns every process's value, in order of rank, to all of them. For small values of Python's own types."""
    values: list[Any] = [value]
    if _is_joined():
        values = [None] * n_processes()
        dist.all_gather_object(values, value)
    return values


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Replaces the gradients by their sums over all processes.

    DistributedDataParallel is not used: it averages, and it insists on the wrapped model's own forward pass, which
    would compute the logits of every token.
    """
    if not _is_joined():
        return
    trained = [p for p in parameters if p.requires_grad]
    for parameter in trained:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    together = torch.cat([p.grad.flatten() for p in trained])  # one message instead of hundreds
    dist.all_reduce(together)
    for parameter, part in zip(trained, together.split([p.numel() for p in trained]), strict=True):
        parameter.grad.copy_(part.view_as(parameter))


def _is_joined() -> bool:
    return dist.is_available() and dist.is_initialized()
