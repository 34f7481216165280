# ruff: noqa: RUF001 - the letters of many languages
"""Encodings: UTF-8 stays UTF-8, a legacy encoding is recognised by its words, and what is neither is refused."""

from __future__ import annotations

import json
import random

import pytest

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data.formats.encodings import find_encoding, is_binary, read_mark
from bnf_lab.data.formats.rows import Refusal
from tests.support.tables import ROWS, open_bytes, read, read_values, refusal

SPOKEN = {
    "cp1252": (
        "Où est le café ?",
        "Le cœur a ses raisons. C'est déjà l'été, ça coûte 5 €.",
        "Wie heißt die größte Stadt? Köln. Übermut tut selten gut.",
        "¿Cuál es la montaña más alta? El Teide está en España.",
        "A primeira estação não é fácil; coração, maçã, pão",
        "Hur mår du? Jag mår bra på landet, åtta älgar.",
        "Hvad heitir þú? Ég heiti Jón og bý á Íslandi.",
        "It’s a “good” answer – really…",
        "It costs £5, not 5 €.",
        "x² + y³ at 20 °C",
        "Señor Muñoz met Zoë and Renée.",
    ),
    "cp1250": (
        "Jakie jest największe miasto? Łódź jest piękna. Żadne źródło nie mówi.",
        "Příliš žluťoučký kůň úpěl ďábelské ódy",
        "Hol van a legközelebbi állomás? Kérdezze meg őt. Szűk út, hűvös idő.",
        "Gdje je kolodvor? Češka, đak, šuma, živjeti, kuća",
    ),
    "cp1251": ("Какой самый большой город? Москва — столица.", "Яке найбільше місто? Київ. Не знаю, їжак"),
    "koi8_r": ("Какой самый большой город? Москва столица. Не знаю",),
    "cp866": ("Какой самый большой город? Москва столица. Не знаю",),
    "cp1253": ("Ποια είναι η πρωτεύουσα; Η Αθήνα. Δεν ξέρω",),
    "cp1254": ("Türkiye'nin başkenti neresidir? Ankara şehri güzel. İyiyim, teşekkür ederim.",),
    "cp1255": ("מהי בירת ישראל? ירושלים. אני לא יודע",),
    "cp1256": ("ما هي عاصمة مصر؟ القاهرة مدينة كبيرة. لا أعرف",),
    "cp1257": ("Kur yra artimiausia stotis? Nežinau, paklauskite jų. Šiandien gražu, ąžuolas, ėjo",),
    "iso8859_2": ("Jakie jest największe miasto? Łódź jest piękna. Żadne źródło, książka się",),
    "mac_roman": ("Où est le café? À côté “là”", "Die Straße ist für Fußgänger gesperrt. Köln"),
    "cp850": ("Où est le café? à côté là", "Die Straße ist für Fußgänger gesperrt. Köln"),
    "cp932": ("日本の首都はどこですか。東京です。", "カレーとは何ですか？"),
    "euc_jp": ("日本の首都はどこですか。東京です。", "カレーとは何ですか？"),
    "gb18030": ("中国的首都是哪里？北京是首都。", "请写一首关于春天的诗。Python编程很有趣。"),
    "big5": ("台灣的首都是哪裡？台北是首都。", "請寫一首關於春天的詩。"),
    "cp949": ("한국의 수도는 어디입니까? 서울입니다.", "안녕하세요? Python 좋아요"),
}
ENGLISH = "prompt;chosen;rejected\nName a fruit that floats.;An apple floats.;A stone\n"


@pytest.mark.parametrize(("codec", "text"), [(codec, text) for codec, texts in SPOKEN.items() for text in texts])
def test_the_words_of_a_text_tell_its_encoding(codec: str, text: str) -> None:
    for whole in (text, ENGLISH + text):
        data = whole.encode(codec)
        found = find_encoding([data])
        assert found is not None
        assert data.decode(found.codec) == whole
        assert "If that is wrong, save the file as UTF-8." in found.note


@pytest.mark.parametrize("text", [text for texts in SPOKEN.values() for text in texts])
def test_utf_8_is_never_taken_for_another_encoding(text: str) -> None:
    for size in (1, 2, 3, 5, 1000):
        data = text.encode()
        found = find_encoding([data[i : i + size] for i in range(0, len(data), size)])
        assert found is not None
        assert (found.codec, found.note) == ("utf-8", "")


def test_languages_mixed_in_one_file_are_read_together() -> None:
    for codec in ("cp1252", "cp1250"):
        whole = "\n".join(SPOKEN[codec])
        found = find_encoding([whole.encode(codec)])
        assert found is not None
        assert whole.encode(codec).decode(found.codec) == whole


def test_a_few_bytes_that_are_no_utf_8_cost_their_rows_only(tmp_path) -> None:
    lines = [json.dumps(row, ensure_ascii=False).encode() for row in ROWS]
    table = open_bytes(tmp_path, b"\n".join([*lines[:2], '{"prompt": "café"}'.encode("cp1252"), *lines[2:]]))
    rows = list(table)
    assert [row.values for row in rows if not isinstance(row, Refusal)] == ROWS
    (refused,) = [row for row in rows if isinstance(row, Refusal)]
    assert refused.reason.startswith('row 3: what follows \'{"prompt": "caf\' is no text')
    assert table.kind == "JSON lines"
    assert "the rows with it are refused" in table.notes[0]


def test_utf_8_and_a_legacy_encoding_in_one_file_never_make_up_letters(tmp_path) -> None:
    data = "prompt,chosen\ncafé,a\n".encode() + "été,b\nhôtel,c\n".encode("cp1252")
    good, *refused = read(tmp_path, data)
    assert good.values == {"prompt": "café", "chosen": "a"}
    assert [row.row for row in refused] == [2, 3]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-8"])
@pytest.mark.parametrize("has_mark", [True, False])
def test_wide_encodings_are_read_with_and_without_a_mark(tmp_path, codec: str, has_mark: bool) -> None:
    for text in (
        ENGLISH + "日本の首都;東京;大阪\n",
        json.dumps([{"prompt": "日本", "chosen": "é"}], ensure_ascii=False),
    ):
        data = (("\ufeff" if has_mark else "") + text).encode(codec)
        rows = read_values(tmp_path, data)
        assert "日本" in rows[-1]["prompt"]
        assert (
            open_bytes(tmp_path, data).kind.endswith("UTF-" + codec[4:6].strip("-"))
            or codec.endswith("be")
            or codec == "utf-8"
        )


def test_a_utf_16_file_that_is_cut_off_loses_its_last_row_only(tmp_path) -> None:
    rows = read(tmp_path, "prompt,chosen\na,b\nc,dé".encode("utf-16")[:-1])
    assert rows[0].values == {"prompt": "a", "chosen": "b"}
    assert "is no text in the file's encoding" in rows[1].reason


def test_a_byte_that_the_encoding_does_not_have_costs_its_row_only(tmp_path) -> None:
    data = "prompt;chosen\nOù est l'été ?;ça\nLà;né".encode("cp1252") + b"\x81\nb\xe9b\xe9;d\xe9\n"
    first, second, third = read(tmp_path, data)
    assert first.values == {"prompt": "Où est l'été ?", "chosen": "ça"}
    assert isinstance(second, Refusal)
    assert third.values == {"prompt": "bébé", "chosen": "dé"}


def test_bytes_that_make_no_words_are_refused_and_never_decoded() -> None:
    rng = random.Random(3)  # noqa: S311 - not for secrets
    for _ in range(50):
        noise = bytes(rng.choice(range(0x80, 0x100)) for _ in range(300))
        found = find_encoding([noise])
        assert found is None or found.codec == "utf-8"  # whose rows are then refused one by one


def test_binary_files_are_refused(tmp_path) -> None:
    rng = random.Random(4)  # noqa: S311 - not for secrets
    for data in (
        rng.randbytes(4000),
        b"\x89PNG\r\n\x1a\n" + rng.randbytes(2000),
        b"\x7fELF" + bytes(300),
        b"\x00" * 4000,
    ):
        assert read_mark(data) is None or not is_binary(data)
        assert "binary file" in refusal(tmp_path, data)


def test_what_is_guessed_is_said_with_an_example(tmp_path) -> None:
    table = open_bytes(tmp_path, "prompt;chosen\nOù est le café ?;Là.\n".encode("cp1252"))
    assert table.kind == "CSV, separated by ';', Windows-1252"
    assert "read as Windows-1252, for example 'Où est le café ?;Là.'" in table.notes[0]
    assert open_bytes(tmp_path, "prompt;chosen\nOù;Là.\n".encode("utf-8-sig")).notes == ()


def test_nothing_explains_some_bytes(tmp_path) -> None:
    with pytest.raises(ImportRefused, match="no other encoding makes words of its letters"):
        open_bytes(tmp_path, b"prompt,chosen\n" + bytes(range(0xA1, 0xFF, 2)) + b",b\n")
