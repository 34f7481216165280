"""CSV: what separates cells, where a quote opens one, what spreadsheets leave behind, and what one bad record costs."""

from __future__ import annotations

import csv
import io
import json
import random
from itertools import product

import pytest

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data.formats.rows import Limits, Refusal
from tests.support.tables import ROWS, open_bytes, read, read_values, refusal

CSV = b"prompt,chosen,rejected\r\n" + b"".join(f'Q{i} é,"good, {i}","""bad""\n{i}"\r\n'.encode() for i in range(1, 5))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b"a,b", "has 2 fields, the first line names 3 columns"),
        (b"a,b,c,d", "4 fields"),
        (b'a,"b"x,c', "quotes do not match"),
        (b'a,"b \\"quoted\\" c",d', 'CSV writes "" for it'),
        (b"a,b,caf\xe9", "is no text in the file's encoding"),
        (b'a,"' + b"x" * 1_000_001 + b'",c', "longer than 1 MB"),
        (b"a,b\rc,d", "line end outside quotes"),
    ],
)
def test_a_bad_record_costs_only_itself(tmp_path, record, words) -> None:
    lines = CSV.split(b"\r\n")
    rows = read(tmp_path, b"\r\n".join([*lines[:3], record, *lines[3:]]))
    assert [row.values for row in rows if not isinstance(row, Refusal)] == ROWS
    (refused,) = [row for row in rows if isinstance(row, Refusal)]
    assert refused.row == 3
    assert refused.reason.startswith("row 3 (line 6)")
    assert words in refused.reason


def test_an_open_quote_is_said_and_the_rows_before_it_are_taken(tmp_path) -> None:
    rows = read(tmp_path, b'prompt,chosen\na,b\nc,"d\ne,f\ng,h\n')
    assert rows[0].values == {"prompt": "a", "chosen": "b"}
    assert "never closed" in rows[1].reason
    assert len(rows) == 2
    far = b'prompt,chosen\na,b\nc,"d\n' + b"e,f\n" * 1_000
    _, second = read(tmp_path, far, limits=Limits(line_bytes=200))
    assert "perhaps a quote is never closed" in second.reason


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_every_delimiter_and_line_end_is_read(tmp_path, delimiter: str, end: str) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, ROWS[0], delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(ROWS)
    for name in ("a.csv", "a.tsv", "a.txt"):
        assert read_values(tmp_path, text.getvalue().encode(), name) == ROWS
    kinds = {",": "CSV", "\t": "CSV, separated by tabs"}
    assert open_bytes(tmp_path, text.getvalue().encode()).kind == kinds.get(
        delimiter, f"CSV, separated by '{delimiter}'"
    )


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a prompt, long;chosen, better;rejected\nx;y;z\n", [["x", "y", "z"]]),
        (
            "prompt\tchosen (a, b, c, d)\nOne, two; three\tfour, five\nsix\tseven\n",
            [["One, two; three", "four, five"], ["six", "seven"]],
        ),
        (
            "prompt;chosen\nOne, two;three\nfour, five;six, seven, eight\n",
            [["One, two", "three"], ["four, five", "six, seven, eight"]],
        ),
        ("prompt|chosen\nIf a, then b|no; yes\n", [["If a, then b", "no; yes"]]),
        ('"prompt, all";"chosen"\n"a;b, c";"d"\n', [["a;b, c", "d"]]),
    ],
)
def test_the_delimiter_is_the_one_that_all_records_agree_on(tmp_path, text: str, rows: list[list[str]]) -> None:
    assert [list(values.values()) for values in read_values(tmp_path, text.encode())] == rows


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;", "sep=; "])
def test_the_line_that_excel_puts_first_names_the_delimiter(tmp_path, line: str) -> None:
    data = f"{line}\r\nprompt;chosen, good\r\na, b;c\r\n".encode()
    table = open_bytes(tmp_path, data)
    (row,) = table
    assert (row.values, row.place) == ({"prompt": "a, b", "chosen, good": "c"}, "row 1 (line 3)")
    assert table.notes == ("Its first line, sep=;, says what separates the cells.",)
    assert read_values(tmp_path, b"sep=^\na^b\nc^d,e\n") == [{"a": "c", "b": "d,e"}]
    for odd in (b"sep=\xc9\n", b'sep="\n', b"sep=ab\n"):
        refusal(tmp_path, odd + b"a,b\nc,d\n")


def test_a_quote_behind_a_blank_opens_a_cell_only_where_one_closes_it(tmp_path) -> None:
    assert read_values(tmp_path, b'prompt, chosen\n"Q one, or two?", "Yes"\n "a" ,  "b ""c"""  \n') == [
        {"prompt": "Q one, or two?", "chosen": "Yes"},
        {"prompt": "a", "chosen": 'b "c"'},
    ]
    assert read_values(tmp_path, b'prompt;chosen\nsay; "Hi" she said\nx; y\n') == [
        {"prompt": "say", "chosen": ' "Hi" she said'},
        {"prompt": "x", "chosen": " y"},
    ]
    assert read_values(tmp_path, b'prompt, chosen\n"a", "two\nlines, here"\n"c", d\n') == [
        {"prompt": "a", "chosen": "two\nlines, here"},
        {"prompt": "c", "chosen": "d"},
    ]
    assert read_values(tmp_path, b'prompt;chosen\na; "open\nb;c\n') == [
        {"prompt": "a", "chosen": ' "open'},
        {"prompt": "b", "chosen": "c"},
    ]


def test_a_stray_quote_inside_a_cell_is_text_and_an_index_column_is_kept(tmp_path) -> None:
    assert read_values(tmp_path, b';prompt;chosen\n0;a 5" disc;b\n1;c;d, e\n') == [
        {"column 1": "0", "prompt": 'a 5" disc', "chosen": "b"},
        {"column 1": "1", "prompt": "c", "chosen": "d, e"},
    ]
    assert read_values(tmp_path, b"Unnamed: 0,prompt,chosen\n0,a,b\n") == [
        {"Unnamed: 0": "0", "prompt": "a", "chosen": "b"}
    ]


def test_what_spreadsheets_leave_behind_is_left_out_and_said(tmp_path) -> None:
    data = b"prompt,chosen,,\na,b,,\n,,,\nc,d, ,\ne,f\ng,h,,,,\n , ,,\n"
    table = open_bytes(tmp_path, data)
    rows = list(table)
    assert [row.values for row in rows] == [{"prompt": p, "chosen": c} for p, c in ("ab", "cd", "ef", "gh")]
    assert [row.place for row in rows] == ["row 1 (line 2)", "row 2 (line 4)", "row 3 (line 5)", "row 4 (line 6)"]
    assert table.notes == (
        "2 columns without a name and without a text left out.",
        "1 row with empty cells behind the last column; these are left out.",
        "2 rows without a text skipped.",
    )
    assert list(table) == rows
    assert len(table.notes) == 3
    assert read(tmp_path, b"prompt,chosen,\na,b,\nc,d,lost?\n")[1].values["column 3"] == "lost?"


def test_the_header_stays_as_it_is_written(tmp_path) -> None:
    assert list(read_values(tmp_path, b"Prompt Text,CHOSEN,re-jected \na,b,c\n")[0]) == [
        "Prompt Text",
        "CHOSEN",
        "re-jected",
    ]


def test_a_conversation_in_a_cell_stays_the_text_of_the_cell(tmp_path) -> None:
    for text in (
        json.dumps([{"role": "user", "content": 'Say "Hi"\n'}], indent=1),
        "[{'role': 'user'}]",
        "1.50",
        " x ",
    ):
        data = 'prompt,chosen\n"{}",b\n'.format(text.replace('"', '""')).encode()
        assert read_values(tmp_path, data) == [{"prompt": text, "chosen": "b"}]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"just a sentence\nand another", "names 1 column"),
        (b"prompt,prompt\na,b", "two columns"),
        (b"a" * 300 + b",chosen\na,b", "first line holds"),
        (b'"prompt,chosen\na,b', "first line cannot be read"),
        (b'prompt,cho"\xff\xfe\xfd' + "é".encode() * 9 + b"sen\na,b", "first line cannot be read"),
        (b"prompt,,,\na,,,", "names 1 column"),
        (b"a,b\n" + b"1,2\n" * 6, "more than 5 rows"),
        (b"a,b\n" + b"1,2,3\n" * 6, "more than 5 rows"),
    ],
)
def test_a_file_that_is_no_table_is_refused_whole(tmp_path, data: bytes, words: str) -> None:
    assert words in refusal(tmp_path, data, limits=Limits(rows=5))


def test_blank_lines_are_no_rows_and_keep_the_line_numbers(tmp_path) -> None:
    rows = read(tmp_path, b"\n\nprompt,chosen\n\na,b\n\nc\n")
    assert [(rows[0].place, rows[1].reason[:16])] == [("row 1 (line 5)", "row 2 (line 7): ")]


def test_what_python_writes_is_read_as_it_was(tmp_path) -> None:
    rng = random.Random(5)  # noqa: S311 - not for secrets
    pieces = ['"', '""', "\n", "\r\n", ",", ";", " ", "a", "é", "\t", "|", "'", "\\", "日本"]
    for delimiter, quoting in product((",", ";", "\t", "|"), (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)):
        texts = ["x" + "".join(rng.choices(pieces, k=rng.randrange(1, 12))) for _ in range(60)]
        rows = [dict(zip(("prompt", "chosen", "rejected"), texts[i : i + 3], strict=True)) for i in range(0, 60, 3)]
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0], delimiter=delimiter, quoting=quoting)
        writer.writeheader()
        writer.writerows(rows)
        assert read_values(tmp_path, text.getvalue().encode()) == rows


def test_long_lines_are_not_held(tmp_path) -> None:
    with pytest.raises(ImportRefused, match="first line cannot be read: it is longer than 1 MB"):
        open_bytes(tmp_path, b'"a' + b"x" * 3_000_000)


def test_a_table_with_tabs_and_quotes_that_open_nothing_keeps_them(tmp_path) -> None:
    lines = ["prompt\tchosen", '"Hi" she said\tHello', '"And then\tshe left', 'x\t5" disc', 'a\t"b']
    table = open_bytes(tmp_path, "\n".join(lines).encode())
    assert [list(row.values.values()) for row in table] == [line.split("\t") for line in lines[1:]]
    assert table.notes == ("Its quotes do not pair up as those of CSV do, so they are read as parts of the texts.",)
    quoted = ["prompt\tchosen", *['"a b"\t"c"'] * 9, '"d"e\tf']
    rows = read(tmp_path, "\n".join(quoted).encode())
    assert rows[0].values == {"prompt": "a b", "chosen": "c"}
    assert isinstance(rows[9], Refusal)


def test_names_repeated_between_files_put_together_are_no_row(tmp_path) -> None:
    table = open_bytes(tmp_path, b"prompt,chosen\na,b\n\xef\xbb\xbfprompt,chosen\nc,d\nprompt,chosen\n")
    assert [row.values["prompt"] for row in table] == ["a", "c"]
    assert table.notes == ("2 rows naming the columns again skipped.",)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"| prompt | chosen |\n|---|:---:|\n| a | b |\n", "Markdown table"),
        (b"prompt | chosen\n--- | ---\na | b\n", "Markdown table"),
        (b"'prompt','chosen'\n'a','b'\n", "single quotes"),
    ],
)
def test_what_looks_like_csv_and_is_not_is_refused_in_words(tmp_path, data: bytes, words: str) -> None:
    assert words in refusal(tmp_path, data)
