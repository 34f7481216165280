"""A number and its noun go through `core.numbers.counted`: no text says "1 prompts"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT / "app.py", *sorted((ROOT / "bnf_lab").rglob("*.py"))]
COUNT = re.compile(r"len\(|sum\(|(^|[.\W_])n(_\w+)?\b")
"""What is a count by its look: a length, a sum, `n` or an `n_...` of this house's naming."""
NOUN = re.compile(
    r" ([a-z-]+ ){0,2}?(prompt|token|pair|response|judgement|row|step|run|answer|text|column|file|cell|seed|line|value"
    r"|name|character|word|message|turn|item|example|model|entrie|byte|rating|processe|conversation|checkpoint|question)s\b"
)


def find_counts(source: str) -> Iterator[str]:
    """Returns each count of an f-string that a noun in the plural follows."""
    for text in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.JoinedStr)):
        for value, after in zip(text.values, text.values[1:], strict=False):
            if isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant):
                counts, noun = ast.unparse(value.value), NOUN.match(str(after.value))
                if noun and COUNT.search(counts) and "if n == 1 else" not in counts:
                    yield f"{{{counts}}}{noun[0]}"


def test_a_count_with_a_bare_plural_is_found() -> None:
    assert list(find_counts("f'{len(a)} prompts, {x.n_rows:,} bad rows, {name} rows, {n} of {m}'")) == [
        "{len(a)} prompts",
        "{x.n_rows} bad rows",
    ]


def test_no_text_counts_by_itself() -> None:
    found = {str(p.relative_to(ROOT)): list(find_counts(p.read_text(encoding="utf-8"))) for p in SOURCES}
    assert {path: counts for path, counts in found.items() if counts} == {}, "write counted(n, 'noun') for each"
