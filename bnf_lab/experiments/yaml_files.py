"""Reads YAML that people write: recipes and settings. Anybody's file may be read, so nothing in it may cost much.

Knows YAML and the names of settings; knows no recipe and no run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bnf_lab.core.config import field_specs, parse_field
from bnf_lab.core.errors import LabError

FILE_BYTES = 100_000


def read_yaml(path: Path, where: str, remedy: str) -> Any:
    """Returns what a YAML file holds: plain values alone, no object and no alias.

    Args:
        path: The file.
        where: How messages call it.
        remedy: What they say to do where it cannot be read.

    Raises:
        LabError: If it is too large, has aliases or is no YAML.
    """
    try:
        if path.stat().st_size > FILE_BYTES:
            raise LabError(f"{where}: it is larger than {FILE_BYTES:,} bytes; a short text is needed. {remedy}")
        text = path.read_text(encoding="utf-8")
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):  # a few of them can mean gigabytes
            raise LabError(f"{where}: it has aliases (`*name`). Write out what they stand for.")
        return yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "problem", None) or "it is no YAML text"
        raise LabError(f"{where}: it cannot be read ({reason}). {remedy}") from error


def plain_settings(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Returns values, or lists of them, as settings take them: YAML 1.1 takes 1e-4 for a text, as flags are.

    >>> plain_settings({"learning_rate": ["1e-4", 1e-3], "data": "1e-4"})
    {'learning_rate': [0.0001, 0.001], 'data': '1e-4'}
    """
    known = field_specs()

    def plain(name: str, value: Any) -> Any:
        return parse_field(name, value) if isinstance(value, str) and name in known else value

    return {
        str(name): [plain(str(name), v) for v in value] if isinstance(value, list) else plain(str(name), value)
        for name, value in values.items()
    }
