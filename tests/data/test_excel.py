"""Excel workbooks: sheets, cells as people see them, what is not in a file, and what a crafted one must not do."""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import openpyxl
import pytest

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data.formats.rows import Limits, SeveralTables
from tests.support.tables import open_bytes, read_values, refusal

PAIRS = (("prompt", "chosen", "rejected"), ("Où ?", "Là.", "x"), ('a "b"', "two\nlines", "=x+1"))
READ = [
    {"prompt": "Où ?", "chosen": "Là.", "rejected": "x"},
    {"prompt": 'a "b"', "chosen": "two\nlines", "rejected": None},
]


def workbook(**sheets: Sequence[Sequence[Any]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title.removeprefix("hidden_"))
        sheet.sheet_state = "hidden" if title.startswith("hidden_") else "visible"
        for row in rows:
            sheet.append(list(row))
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def changed(data: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Returns the workbook with one of its files changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, change(old.read(entry)) if entry == name else old.read(entry))
    return buffer.getvalue()


def test_a_sheet_is_a_table_under_any_name(tmp_path) -> None:
    data = workbook(Pairs=PAIRS)
    for name in ("a.xlsx", "a.csv", "no-extension"):
        table = open_bytes(tmp_path, data, name)
        rows = list(table)
        assert [row.values for row in rows] == READ
        assert [row.place for row in rows] == ["row 1 (sheet row 2)", "row 2 (sheet row 3)"]
        assert table.kind == "Excel, sheet 'Pairs'"
        assert table.notes == (
            "1 formula without a stored result read as empty cells. Open the file in Excel and save it, so that it "
            "holds the results.",
        )


def test_cells_are_what_people_see(tmp_path) -> None:
    names = ["prompt", *"abcdefghij"]
    cells = ["p", 1, 1.0, 1.5, True, datetime.datetime(2024, 1, 2, 3, 4), datetime.datetime(2024, 1, 2)]
    cells += [datetime.time(3, 4), "#N/A", " ", "a_x000D_b_x005F_x000D_"]
    table = open_bytes(tmp_path, workbook(S=[names, cells]))
    (row,) = table
    assert list(row.values.values()) == [
        *("p", 1, 1, 1.5, True, "2024-01-02T03:04:00", "2024-01-02", "03:04:00", None, None, "a\rb_x000D_"),
    ]
    assert type(row.values["b"]) is int
    assert table.notes == ("1 cell with an error such as #N/A read as empty.",)


def test_the_stored_result_of_a_formula_is_read(tmp_path) -> None:
    data = workbook(S=[("prompt", "score"), ("a", "=1+1")])
    stored = changed(data, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"<v />", b"<v>2</v>"))
    assert read_values(tmp_path, stored) == [{"prompt": "a", "score": 2}]
    assert open_bytes(tmp_path, stored).notes == ()


def test_several_filled_sheets_ask_for_one_and_empty_or_hidden_ones_do_not(tmp_path) -> None:
    data = workbook(Pairs=PAIRS, More=PAIRS[:2], Empty=[], hidden_Old=PAIRS)
    with pytest.raises(SeveralTables) as caught:
        open_bytes(tmp_path, data, "a.xlsx")
    assert caught.value.parts == ("Pairs", "More")
    assert str(caught.value) == (
        "a.xlsx: it holds 2 sheets: 'Pairs' (2 rows), 'More' (1 row). Choose the one that is meant."
    )
    assert read_values(tmp_path, data, part="More") == READ[:1]
    assert read_values(tmp_path, data, part="Old") == READ
    with pytest.raises(ImportRefused, match="it has no part 'Empty'"):
        open_bytes(tmp_path, data, part="Empty")
    one = open_bytes(tmp_path, workbook(Pairs=PAIRS[:2], hidden_Old=PAIRS))
    assert one.kind == "Excel, sheet 'Pairs'"
    assert one.notes[0] == "1 hidden sheet not read: 'Old'."
    assert open_bytes(tmp_path, workbook(Empty=[], hidden_Only=PAIRS)).kind == "Excel, sheet 'Only'"


def test_gaps_and_cells_beside_the_table_lose_nothing(tmp_path) -> None:
    rows = [[], [None, "prompt", "chosen"], [], [7, "a", "b"], [None, None, None], [None, "c", "d", None, "note"]]
    table = open_bytes(tmp_path, workbook(S=rows))
    assert [(row.place, row.values) for row in table] == [
        ("row 1 (sheet row 4)", {"column 1": 7, "prompt": "a", "chosen": "b"}),
        ("row 2 (sheet row 6)", {"prompt": "c", "chosen": "d", "column 5": "note"}),
    ]


def test_a_text_as_long_as_a_cell_can_be_is_said_to_be_cut(tmp_path) -> None:
    table = open_bytes(tmp_path, workbook(S=[("prompt", "chosen"), ("a", "x" * 32_767), ("b", "x" * 32_766)]))
    assert len(list(table)) == 2
    assert table.notes[0].startswith("1 text of exactly 32,767 characters, the most that a cell of Excel holds")


@pytest.mark.parametrize(
    ("sheets", "words"),
    [
        ({"S": []}, "its sheets are empty"),
        ({"S": [["My export"], ["prompt", "chosen"]]}, "its first row names 1 column"),
        ({"S": [["a", "a"], [1, 2]]}, "two columns are called 'a'"),
        ({"S": [["a" * 300, "b"], [1, 2]]}, "cannot be the name of a column"),
        ({"S": [["a", "b"], *[[1, 2]] * 6]}, "more than 5 rows"),
        ({"S": [["a", "b"], [1, *[None] * 1100, 2]]}, "sheet row 2 reaches to column 1,102"),
    ],
)
def test_a_sheet_that_is_no_table_is_refused(tmp_path, sheets, words: str) -> None:
    assert words in refusal(tmp_path, workbook(**sheets), limits=Limits(rows=5))


def test_a_workbook_that_inflates_too_far_is_refused_before_it_does(tmp_path) -> None:
    bomb = changed(workbook(S=PAIRS), "xl/worksheets/sheet1.xml", lambda xml: xml + b" " * 30_000_000)
    assert len(bomb) < 100_000
    assert "it inflates to 30 MB" in refusal(tmp_path, bomb, limits=Limits(inflated_bytes=20_000_000))


def test_a_damaged_workbook_or_one_with_entities_is_refused(tmp_path) -> None:
    data = workbook(S=PAIRS)
    entities = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "x">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9)
    )
    for broken in (
        data[: len(data) // 2],
        changed(data, "xl/workbook.xml", lambda _: b"<workbook"),
        changed(data, "xl/worksheets/sheet1.xml", lambda xml: entities + b"]>" + xml.replace(b"<t>", b"<t>&j;")),
        changed(data, "xl/worksheets/sheet1.xml", lambda xml: xml[: len(xml) // 2]),
    ):
        said = refusal(tmp_path, broken)
        assert "Save it again" in said or "not an Excel workbook" in said


SPREADSHEET = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PARTS = {
    "[Content_Types].xml": b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    b'<Default Extension="xml" ContentType="application/xml"/>'
    b'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    b'<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    b'spreadsheetml.sheet.main+xml"/>'
    b'<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    b'spreadsheetml.sharedStrings+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship '
    f'Id="r1" Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>'.encode(),
    "xl/workbook.xml": b"<workbook "
    + SPREADSHEET
    + f' xmlns:r="{RELATIONS}"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>'.encode(),
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    f'<Relationship Id="r1" Type="{RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" '
    f'Type="{RELATIONS}/sharedStrings" Target="sharedStrings.xml"/></Relationships>'.encode(),
}


def test_what_excel_itself_writes_is_read(tmp_path) -> None:
    """Texts shared between cells, in several fonts and with their reading beside them; results of formulas."""
    shared = (
        b"<si><t>prompt</t></si><si><t>chosen</t></si><si><t>score</t></si><si><t xml:space='preserve'> a  b\n</t></si>"
        b"<si><r><t>bold </t></r><r><rPr><b/></rPr><t>and not</t></r><rPh sb='0' eb='1'><t>said</t></rPh></si>"
    )
    rows = (
        b"<row r='1'><c r='A1' t='s'><v>0</v></c><c r='B1' t='s'><v>1</v></c><c r='C1' t='s'><v>2</v></c></row>"
        b"<row r='3'><c r='A3' t='s'><v>3</v></c><c r='B3' t='s'><v>4</v></c><c r='C3'><f>1/2</f><v>0.5</v></c></row>"
        b"<row><c t='str'><f>A3</f><v>text</v></c><c t='b'><v>1</v></c><c t='d'><v>2024-01-02T00:00:00</v></c></row>"
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in PARTS.items():
            archive.writestr(name, data)
        archive.writestr("xl/sharedStrings.xml", b"<sst " + SPREADSHEET + b">" + shared + b"</sst>")
        sheet = b"<worksheet " + SPREADSHEET + b"><dimension ref='A1'/><sheetData>" + rows + b"</sheetData></worksheet>"
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
    assert read_values(tmp_path, buffer.getvalue()) == [
        {"prompt": " a  b\n", "chosen": "bold and not", "score": 0.5},
        {"prompt": "text", "chosen": True, "score": "2024-01-02"},
    ]
