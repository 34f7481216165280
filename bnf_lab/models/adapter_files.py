"""What an adapter's files may hold, checked before peft reads any of it. Standard library; knows no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bnf_lab.core.errors import AdapterRefused, shown

MAX_LORA_RANK = 256
MAX_HEADER_BYTES = 10_000_000


def check_adapter(path: Path) -> dict[str, Any]:
    """Refuses an adapter folder that is not a plain LoRA in safetensors, before peft reads any of it.

    A regular expression in `target_modules` can hang peft for minutes, and an adapter without LoRA tensors loads
    without an error, so both are checked here.

    Returns:
        The safetensors header: each tensor's name, dtype and shape.

    Raises:
        AdapterRefused: Naming what was found and what is accepted.
    """
    try:
        config = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
        with open(path / "adapter_model.safetensors", "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(size, MAX_HEADER_BYTES)))
    except (OSError, ValueError) as error:
        raise AdapterRefused(
            "The adapter cannot be read. It needs adapter_config.json and adapter_model.safetensors as PEFT writes."
        ) from error
    problem = find_problem(config, header)
    if problem:
        raise AdapterRefused(f"The adapter is refused: {problem}")
    return header


def find_problem(config: Any, header: Any) -> str | None:
    """Returns why an adapter's settings and tensors are not those of a plain LoRA, None if they are."""
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        return "its peft_type is not LORA. Only LoRA adapters are accepted."
    targets = config.get("target_modules")
    if not isinstance(targets, list) or not all(isinstance(t, str) and _is_plain_name(t) for t in targets):
        return "target_modules is not a list of plain layer names. Patterns are not accepted."
    for key in ("layers_pattern", "modules_to_save", "auto_mapping", "rank_pattern", "alpha_pattern", "use_dora"):
        if config.get(key):
            return f"{key} is set. Only plain LoRA adapters are accepted."
    rank = config.get("r")
    if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= MAX_LORA_RANK:
        return f"its rank is {shown(rank)}; 1 to {MAX_LORA_RANK} is accepted."
    if not isinstance(header, dict) or not any(".lora_A." in name for name in header):
        return "it holds no LoRA tensors."
    return None


def _is_plain_name(text: str) -> bool:
    return 0 < len(text) <= 200 and all(part.isidentifier() or part.isdigit() for part in text.split("."))
