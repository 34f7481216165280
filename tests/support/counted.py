"""Counts how many JSON records a module parses."""

from __future__ import annotations

import json
from typing import Any


class CountedJson:
    """Stands for the module `json` inside another one: `monkeypatch.setattr(module, "json", CountedJson())`."""

    dumps = staticmethod(json.dumps)

    def __init__(self) -> None:
        self.n_parsed = 0

    def loads(self, text: str | bytes, **options: Any) -> object:
        self.n_parsed += 1
        return json.loads(text, **options)
