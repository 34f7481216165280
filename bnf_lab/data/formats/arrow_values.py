"""Arrow batches -> rows as JSON text. Knows Arrow only: no files, no schemas.

Sizes are added up before anything becomes a Python value, because a small file can point a hundred thousand rows at
one long text. Numbers keep the spelling that their type has, points in time become ISO texts, and bytes that are no
text are only named with their length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_KNOWN = (
    *(pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
    *(pa.types.is_date, pa.types.is_time, pa.types.is_timestamp, pa.types.is_duration),
)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)


def _is(kind: pa.DataType, tests: tuple[Callable[[pa.DataType], bool], ...]) -> bool:
    return any(test(kind) for test in tests)


def is_list(kind: pa.DataType) -> bool:
    return _is(kind, _LISTS)


def is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_vector(kind: pa.DataType) -> bool:
    """Tells whether a column of this type holds lists of numbers, or lists of such lists."""
    return is_list(kind) and (is_number(kind.value_type) or is_vector(kind.value_type))


def leaves(kind: pa.DataType) -> Iterator[pa.DataType]:
    """Yields the types of the values inside."""
    inner = _inner(kind)
    if not inner:
        yield kind
    for child in inner:
        yield from leaves(child)


def holds_bytes(kind: pa.DataType) -> bool:
    """Tells whether a column of this type holds pictures, sounds or other bytes."""
    return any(_is(leaf, _BYTES) for leaf in leaves(kind))


def depth(kind: pa.DataType) -> int:
    """Returns how many lists and objects are inside one another."""
    return 1 + max(map(depth, inner)) if (inner := _inner(kind)) else 0


def _inner(kind: pa.DataType) -> list[pa.DataType]:
    if pa.types.is_dictionary(kind):
        return []
    return [kind.field(i).type for i in range(kind.num_fields)]


def is_readable(kind: pa.DataType) -> bool:
    """Tells whether values of this type become plain values."""
    if pa.types.is_dictionary(kind):
        return is_readable(kind.value_type)
    if is_list(kind) or pa.types.is_struct(kind) or pa.types.is_map(kind):
        return all(map(is_readable, _inner(kind)))
    return _is(kind, (*_KNOWN, *_TEXTS, *_BYTES)) or isinstance(kind, pa.UuidType | pa.JsonType)


def measure(array: pa.Array) -> int:
    """Returns about how many bytes the array takes as Python values, without building them."""
    if isinstance(array, pa.ExtensionArray):
        return measure(array.storage)
    kind = _replaced(array.type, _unviewed)
    if not kind.equals(array.type):
        return measure(array.cast(kind))
    if pa.types.is_dictionary(kind):
        return int(pc.sum(_lengths(array.dictionary).take(array.indices)).as_py() or 0) + 8 * len(array)
    if _is(kind, (*_TEXTS, *_BYTES)):
        return int(pc.sum(_lengths(array)).as_py() or 0) + 8 * len(array)
    if is_list(kind):
        return 8 * len(array) + measure(array.flatten())
    if pa.types.is_struct(kind):
        return sum(map(measure, array.flatten())) + 8 * len(array)
    if pa.types.is_map(kind):
        return 8 * len(array) + measure(array.keys) + measure(array.items)
    return 8 * len(array)


def _lengths(array: pa.Array) -> pa.Array:
    return pc.binary_length(array) if _is(array.type, (*_TEXTS, *_BYTES)) else pa.nulls(len(array), pa.int32())


def to_rows(batch: pa.RecordBatch) -> Iterator[str]:
    """Yields each row as a JSON object.

    Raises:
        ValueError: If a map holds one name twice.
    """
    columns = [_cast(column) for column in batch.columns]
    plain = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    is_json = all(_is_json(leaf) for field in plain.schema for leaf in leaves(field.type))
    spell = _dumps if is_json else _spell
    try:
        yield from map(spell, plain.to_pylist(maps_as_pydicts="strict"))
    except KeyError as error:
        raise ValueError("a map holds a name twice") from error


def _is_json(kind: pa.DataType) -> bool:
    """Tells whether Python's values of this type are ones that JSON has."""
    if pa.types.is_dictionary(kind):
        return _is_json(kind.value_type)
    return _is(kind, (*_TEXTS, pa.types.is_null, pa.types.is_boolean)) or is_number(kind)


def _cast(array: pa.Array) -> pa.Array:
    """Returns the values in types that Python has: 0.1 in 4 bytes as 0.1, and no billionths of a second."""
    kind = array.type
    spelled, plain = _replaced(kind, _spelled), _replaced(kind, _plain)
    if not spelled.equals(kind):
        array = array.cast(spelled)
    return array if plain.equals(kind) else array.cast(plain, safe=False)


def _spelled(kind: pa.DataType) -> pa.DataType:
    return pa.string() if kind == pa.float32() else kind


def _unviewed(kind: pa.DataType) -> pa.DataType:
    """Returns the type that has a length to measure for one that points into other memory, as polars writes texts."""
    views = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return views.get(kind, kind)


def _plain(kind: pa.DataType) -> pa.DataType:
    if kind == pa.float32():
        return pa.float64()
    if isinstance(kind, pa.JsonType):
        return kind.storage_type
    if pa.types.is_timestamp(kind):  # a fixed offset needs no table of time zones
        return pa.timestamp("us", "+00:00" if kind.tz else None)
    if pa.types.is_time64(kind):
        return pa.time64("us")
    return pa.duration("us") if pa.types.is_duration(kind) else kind


def _replaced(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """Returns the type with each of its leaves changed."""
    fields = [kind.field(i) for i in range(kind.num_fields)] if not pa.types.is_dictionary(kind) else []
    if not fields:
        return change(kind)
    inner = [field.with_type(_replaced(field.type, change)) for field in fields]
    if pa.types.is_struct(kind):
        return pa.struct(inner)
    if pa.types.is_map(kind):
        return pa.map_(*(_replaced(part, change) for part in (kind.key_type, kind.item_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(inner[0], kind.list_size)
    return pa.large_list(inner[0]) if pa.types.is_large_list(kind) else pa.list_(inner[0])


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _spell(value: Any) -> str:
    """Returns a value as JSON where Python's own writer does not know it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_dumps(str(name))}: {_spell_named(name, item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_spell, value)) + "]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        text, size = _as_text(value), len(value)
        return _dumps({"bytes": f"<{size} bytes>", "path": None} if text is None else text)
    if isinstance(value, datetime | date | time):
        return _dumps(value.isoformat())
    return _dumps(str(value) if isinstance(value, timedelta | UUID) else value)


def _spell_named(name: str, value: Any) -> str:
    if name != "bytes" or not isinstance(value, bytes):  # how `datasets` keeps pictures and sounds
        return _spell(value)
    size = len(value)
    return _dumps(f"<{size} bytes>")


def _as_text(data: bytes) -> str | None:
    """Returns the text that a column without a declared encoding holds in UTF-8, as some programs write texts."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text
