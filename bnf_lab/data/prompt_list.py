r"""Reads an imported list of prompts: one a line, or JSONL with a `prompt` in each line. Knows no page.

>>> parse_prompts("Why is the sky blue?\n\nWho was Ada?\n")
['Why is the sky blue?', 'Who was Ada?']
>>> parse_prompts('{"prompt": "Hi"}\n{"prompt": [{"role": "user", "content": "Ho"}]}')
['Hi', 'Ho']
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bnf_lab.core.errors import ImportRefused, shown
from bnf_lab.core.numbers import counted

MAX_BYTES = 1_000_000
MAX_PROMPTS = 1000
MAX_PROMPT_CHARS = 8000


def load_prompts(path: Path, name: str) -> list[str]:
    """Reads a list of prompts from a file.

    Raises:
        ImportRefused: If the file is too big, not UTF-8, or a line is no prompt; names the line.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ImportRefused(
            f"{shown(name)} has {counted(size, 'byte')}; a list of prompts may have {MAX_BYTES:,}. Split it."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportRefused(f"{shown(name)} is not UTF-8 text. Save it as UTF-8 and import it again.") from error
    return parse_prompts(text)


def parse_prompts(text: str) -> list[str]:
    """Returns the prompts of a text in order.

    Raises:
        ImportRefused: If there is none, there are too many, or a line is no prompt.
    """
    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not numbered:
        raise ImportRefused("The list has no prompt. Write one a line, or JSONL with a 'prompt' in each line.")
    if len(numbered) > MAX_PROMPTS:
        raise ImportRefused(
            f"The list has {counted(len(numbered), 'prompt')}; at most {MAX_PROMPTS:,} are accepted. Split it."
        )
    is_jsonl = numbered[0][1].startswith("{")
    return [_prompt(number, _from_json(number, line) if is_jsonl else line) for number, line in numbered]


def _prompt(number: int, prompt: object) -> str:
    if not isinstance(prompt, str) or not prompt.strip():
        raise ImportRefused(
            f"Line {number}: the prompt is {shown(prompt)}; it must be a text. Fill it or delete the line."
        )
    if len(prompt) > MAX_PROMPT_CHARS:
        raise ImportRefused(
            f"Line {number}: the prompt has {counted(len(prompt), 'character')}; at most {MAX_PROMPT_CHARS:,} are"
            " accepted."
        )
    return prompt.strip()


def _from_json(number: int, line: str) -> Any:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ImportRefused(f"Line {number}: {shown(line)} is not JSON. Each line needs a 'prompt'.") from error
    prompt = record.get("prompt") if isinstance(record, dict) else None
    if isinstance(prompt, list) and prompt and isinstance(prompt[-1], dict):
        return prompt[-1].get("content")
    return prompt
