"""What the settings that are left to the lab come to on a device. Values only, standard library."""

from __future__ import annotations

from bnf_lab.core.config import RunConfig

CPU_PROBE_SHARE, GPU_PROBE_SHARE = 0.2, 0.05
CPU_TOKENS_AT_ONCE, GPU_TOKENS_AT_ONCE = 512, 2048  # a processor gains nothing from more, and a GPU little


def pick_probe_share(config: RunConfig, *, has_gpu: bool) -> float:
    """Returns the run's `probe_share`, or what suits the device where that is 0.

    >>> pick_probe_share(RunConfig(), has_gpu=True), pick_probe_share(RunConfig(probe_share=0.5), has_gpu=True)
    (0.05, 0.5)
    """
    return config.probe_share or (GPU_PROBE_SHARE if has_gpu else CPU_PROBE_SHARE)


def pick_micro_batch_size(config: RunConfig, *, mean_tokens: float, has_gpu: bool) -> int:
    """Returns the run's `micro_batch_size`, or where that is 0 as many responses as suit the device at their length.

    >>> pick_micro_batch_size(RunConfig(), mean_tokens=228.0, has_gpu=False)
    2
    """
    tokens = GPU_TOKENS_AT_ONCE if has_gpu else CPU_TOKENS_AT_ONCE
    return config.micro_batch_size or max(1, int(tokens / max(1.0, mean_tokens)))
