"""Changes at random: to the structure of rows, to their texts, and to the bytes of a file."""

from __future__ import annotations

import copy
import csv
import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bnf_lab.data.survey import words

NAMES = words(
    """
    prompt question instruction input context chosen rejected preferred completion response output label rating score
    rank messages conversations system history weight winner response_a response_b answer_1 answer_2 images margin tools
    thinking transcript text id parent_id steps labels completions ratings ranks options scores
    """
)
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
VALUES: tuple[Any, ...] = (
    None,
    "",
    " \n",
    "nan",
    "null",
    0,
    1,
    -1,
    2.5,
    10**400,
    1e308,
    True,
    False,
    [],
    {},
    [None],
    [[]],
    ["a", "b"],
    ["one"],
    [1, 2],
    [1, None],
    {"a": 1},
    TALK,
    TALK[:1],
    TALK[1],
    [[*TALK]],
    {"messages": TALK, "tools": []},
    [{"role": "narrator", "content": "x"}],
    [{"role": "user"}],
    [{"from": "human", "value": None}],
    [{"role": ["user"], "content": {"parts": [1]}}],
    [{"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
    json.dumps(TALK),
    json.dumps(TALK, indent=1),
    str(TALK),
    str(TALK).replace("}, {", "}\n {"),
    '[{"role": "user", "content": "Hi"',
    '{"role": "user"}',
    "[sic] and so on",
    "\n\nHuman: Hi\n\nAssistant: Yes",
    "\n\nHuman: Hi\n\nAssistant:",
    "Be kind.\r\n\r\nHuman: Hi\r\n\r\nAssistant: No",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>narrator\nHi",
    "Hi<extra_id_1>Assistant\nYes\n<extra_id_1>User\nWhy",
    "<think>\nso\n</think>\n\nYes",
    "a\x00b",
    "half \ud800 of it",
    "x" * 100_001,
    "wordy text of its own that nothing reads",
    "response_a",
    "tie",
    "both_bad",
    "thumbs up",
    "no",
    "1.0",
    {"text": "x", "role": "prompter", "replies": [{"text": "y", "role": "assistant", "rank": 0}] * 2},
    {"value": ["response-1"], "user_id": ["u"], "status": ["submitted"]},
    {"steps": [{"completions": [{"text": "s", "rating": -1}], "chosen_completion": 5}]},
)


Rows = Sequence[Mapping[str, Any]]


def mutate_rows(rows: Rows, others: Rows, rng: random.Random) -> list[Any]:
    """Returns a copy of a sample's rows with one to six changes; rows of another sample may get among them."""
    mutant: list[Any] = copy.deepcopy([dict(row) for row in rows])
    if rng.random() < 0.1:
        mutant.insert(rng.randrange(len(mutant) + 1), copy.deepcopy(dict(rng.choice(others))))
    if rng.random() < 0.1:
        rng.shuffle(mutant)
    if rng.random() < 0.15:  # a change of every row in the same way: another table of the kind
        _change_column(mutant, rng)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 6))):
        if mutant:
            place = rng.randrange(len(mutant))
            rng.choice((_change_inside, _change_inside, _change_inside, _change_rows))(mutant, place, rng)
    return mutant


def _change_column(rows: list[Any], rng: random.Random) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    name, new, value = rng.choice(names), rng.choice(NAMES), rng.choice(VALUES)
    change = rng.randrange(5)
    for row in rows:
        if change == 0 and name in row:
            row[new] = row.pop(name)
        elif change == 1:
            row.pop(name, None)
        elif change == 2:
            row[new] = copy.deepcopy(value)
        elif change == 3 and name in row:
            row[name] = rng.choice((json.dumps, str))(row[name])
        elif change == 4 and name in row:
            row[name] = [row[name]]


def _change_rows(rows: list[Any], place: int, rng: random.Random) -> None:
    change = rng.randrange(5)
    if change == 0:
        rows.insert(place, copy.deepcopy(rows[place]))
    elif change == 1:
        del rows[place]
    elif change == 2:
        rows[place] = copy.deepcopy(rng.choice(VALUES))
    elif change == 3:
        rows[place] = {str(name).upper(): value for name, value in _items(rows[place])}
    else:
        rows[place] = {"row": rows[place]}


def _items(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _change_inside(rows: list[Any], place: int, rng: random.Random) -> None:
    """Walks down to a random place inside a row and changes what is there."""
    holder: Any = rows
    key: Any = place
    while rng.random() < 0.75:
        inner = holder[key]
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner))) if isinstance(inner, list) else []
        if not keys:
            break
        holder, key = inner, rng.choice(keys)
    rng.choice(_CHANGES)(holder, key, rng)


def _replace(holder: Any, key: Any, rng: random.Random) -> None:
    holder[key] = copy.deepcopy(rng.choice(VALUES))


def _remove(holder: Any, key: Any, rng: random.Random) -> None:
    del holder[key]


def _rename(holder: Any, key: Any, rng: random.Random) -> None:
    if isinstance(holder, dict):
        value = holder.pop(key)
        holder[rng.choice((rng.choice(NAMES), str(key).title(), f" {key}", f"{key}_2", "zzz", "role", "text"))] = value


def _swap(holder: Any, key: Any, rng: random.Random) -> None:
    other = rng.choice(list(holder) if isinstance(holder, dict) else list(range(len(holder))))
    holder[key], holder[other] = holder[other], holder[key]


def _nest(holder: Any, key: Any, rng: random.Random) -> None:
    value = holder[key]
    shapes: tuple[Any, ...] = ([value], {"value": value}, {"text": value}, {"content": value}, [value, value])
    holder[key] = rng.choice((*shapes, {"role": "user", "content": value}, [{"from": "gpt", "value": value}]))


def _unnest(holder: Any, key: Any, rng: random.Random) -> None:
    value = holder[key]
    inner = list(value.values()) if isinstance(value, dict) else value
    if isinstance(inner, list) and inner:
        holder[key] = rng.choice(inner)


def _spell(holder: Any, key: Any, rng: random.Random) -> None:
    holder[key] = rng.choice((json.dumps, str, repr))(holder[key])


def _deepen(holder: Any, key: Any, rng: random.Random) -> None:
    for _ in range(rng.choice((5, 20, 40))):
        holder[key] = [holder[key]]


def _edit(holder: Any, key: Any, rng: random.Random) -> None:
    value = holder[key]
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        between = rng.choice(
            ("\n\nHuman: ", "\n\nAssistant:", "\r\n", "<|im_start|>user\n", "\u2028", '"', "\\", " ", "")
        )
        holder[key] = rng.choice((value[:at], value[at:], value[:at] + between + value[at:], value.upper(), value * 2))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        holder[key] = rng.choice((-value, str(value), f"{value}.5", value == 1))


_CHANGES: tuple[Callable[[Any, Any, random.Random], None], ...] = (
    _replace,
    _replace,
    _remove,
    _rename,
    _swap,
    _nest,
    _unnest,
    _spell,
    _deepen,
    _edit,
    _edit,
)


def to_bytes(rows: Sequence[Any], suffix: str, rng: random.Random) -> bytes:
    """Returns rows as a file: JSON lines, one JSON document, or CSV with lists as Python or JSON spells them."""
    if suffix == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if suffix == "json":
        return json.dumps(list(rows), indent=rng.choice((None, 1))).encode()
    spell = rng.choice((str, json.dumps))
    table = [row for row in rows if isinstance(row, dict)]
    names = list(dict.fromkeys(str(name) for row in table for name in row))
    file = io.StringIO()
    sheet = csv.writer(file, delimiter=rng.choice(",,;\t"))
    sheet.writerow(names)
    for row in table:
        cells = [row.get(name) for name in names]
        sheet.writerow([spell(cell) if isinstance(cell, list | dict) else cell for cell in cells])
    return file.getvalue().encode("utf-8", "surrogatepass")


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Returns a file with one to four changes of its bytes."""
    found = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(found) + 1)
        to = min(len(found), at + rng.choice((1, 1, 2, 8, 64)))
        change = rng.randrange(5)
        if change == 0:
            del found[at:to]
        elif change == 1:
            found[at:at] = bytes(rng.choices(b'"{}[],:\\\n\r\t \x00\xff\xc3;|x1', k=rng.choice((1, 1, 2, 5))))
        elif change == 2:
            found[at:at] = found[at:to]
        elif change == 3 and at < len(found):
            found[at] = rng.randrange(256)
        else:
            del found[at:]
    return bytes(found)
