"""Which encoding a text file is in: UTF-8 where that can be, else the legacy one in which its letters make words.

Statistics alone take a short "café" for Czech or Chinese. So a candidate has to give letters that can stand beside one
another, all of one alphabet; `charset-normalizer` is asked only about what none of the common encodings explains, and
its answer has to pass the same test. What passes none is refused, because no text may be made up.
Knows bytes only: no files, no formats.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from charset_normalizer import from_bytes

from bnf_lab.core.errors import shown

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NAMES = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16 (big-endian)",
    "utf-32-le": "UTF-32",
    "utf-32-be": "UTF-32 (big-endian)",
    "cp1252": "Windows-1252",
    "cp1250": "Windows-1250",
    "cp1254": "Windows-1254",
    "cp1257": "Windows-1257",
    "cp1251": "Windows-1251",
    "cp1253": "Windows-1253",
    "cp1255": "Windows-1255",
    "cp1256": "Windows-1256",
    "cp874": "Windows-874",
    "iso8859_2": "ISO-8859-2",
    "iso8859_15": "ISO-8859-15",
    "koi8_r": "KOI8-R",
    "mac_roman": "Mac Roman",
    "cp850": "DOS 850",
    "cp866": "DOS 866",
    "cp932": "Shift-JIS",
    "euc_jp": "EUC-JP",
    "cp949": "Windows-949",
    "gb18030": "GB 18030",
    "big5": "Big5",
}
_LATIN = frozenset({"cp1252", "cp1250", "cp1254", "cp1257", "iso8859_2", "iso8859_15", "mac_roman", "cp850"})
_SINGLE = (  # likely ones first: of two that explain a text alike the first is taken
    *("cp1252", "cp1250", "cp1254", "cp1257", "cp1255", "cp1251", "cp1253", "cp1256", "cp874"),
    *("iso8859_15", "iso8859_2", "koi8_r", "mac_roman", "cp850", "cp866"),
)
_ALPHABETS = tuple(
    frozenset(letters)
    for letters in (
        "àâæçéèêëîïôœùûüÿ",  # French
        "äöüßé",  # German
        "áéíñóúü",  # Spanish
        "áàâãçéêíóôõú",  # Portuguese
        "àèéìòóù",  # Italian
        "àçèéíïòóúü",  # Catalan
        "áéëèêïíóöü",  # Dutch
        "åäöé",  # Swedish, Finnish
        "æøåéòó",  # Danish, Norwegian
        "áðéíóúýþæö",  # Icelandic
        "ąćęłńóśźż",  # Polish
        "áčďéěíňóřšťúůýž",  # Czech
        "áäčďéíĺľňóôŕšťúýž",  # Slovak
        "áéíóöőúüű",  # Hungarian
        "ăâîşţșț",  # Romanian
        "čćđšž",  # Croatian, Slovene
        "çğ\u0131iöşüâîû",  # Turkish
        "ąčęėįšųūž",  # Lithuanian
        "āčēģīķļņšūž",  # Latvian
        "äöõüšž",  # Estonian
    )
)
_EAST = frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL"})
_NEAR_HIGH_BYTES = re.compile(rb"(?:[\x80-\xff]++[ -~\t]{0,40}+)++")
_BEFORE = 40
_UTF8_CHARACTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_LEADS, _HIGH = bytes(range(0xC2, 0xF5)), bytes(range(0x80, 0x100))
_TAIL = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{0,3}\Z")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r")) + b"\x7f"
_SAMPLE_BYTES, _HEAD_BYTES = 1 << 16, 1 << 14
_MAX_CONTROLS = 0.02
_MAX_ODD, _CLEAR = 0.25, 0.02
_MIXTURE = 0.05
_WORD = re.compile(r"[^\W\d_ªº¹²³¼½¾]+")
_MANY_BEYOND = re.compile(r"[^\x00-\x7f]{4}")
_FINAL_INSIDE = re.compile("[ךםןףץ][א-ת]")
_NEVER_SIGNS = ("Cc", "Cf", "Cn", "Co", "Sk", "So")  # controls, lines of boxes and shades, accents without a letter
_EXCEPTIONS = frozenset("\u00ad\u200c\u00b4°©®™")
_QUOTES = "\u2018\u2019\u201a“”„«»\u2039\u203a"
_DASHES = "\u2013—…"
_PUNCTUATION = frozenset(_QUOTES + _DASHES + "\u00a0\u3000\u3001\u3002\uff1f\uff01\uff0c\uff1a\uff08\uff09\u300c\u300d")
_INSIDE_WORDS = frozenset(_DASHES + "\u2018\u2019\u00b4·\u00ad\u2010\u2011")  # apostrophes and hyphens
_BEFORE_WORDS = frozenset(_QUOTES + _DASHES + "¿¡•©®§€£¥°№\u00a0")
_AFTER_WORDS = frozenset(_QUOTES + _DASHES + "•™®©°²³€£¥\u00a0")


@dataclass(frozen=True)
class Encoding:
    """The encoding of a file.

    Attributes:
        codec: Python's name for it.
        mark: The byte order mark that the file begins with; empty without one.
        note: What to tell the person; empty where nothing was guessed.
    """

    codec: str
    mark: bytes = b""
    note: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return _NAMES.get(self.codec, self.codec)


def read_mark(head: bytes) -> Encoding | None:
    """Returns the encoding that a byte order mark declares, or that zeros between the letters give away."""
    for mark, codec in _BOMS:
        if head.startswith(mark):
            return Encoding(codec, mark)
    wide = _guess_wide(head[:_HEAD_BYTES])
    if wide is None:
        return None
    return Encoding(wide, note=f"No encoding is declared; by its zeros it was read as {_NAMES[wide]}.")


def _guess_wide(head: bytes) -> str | None:
    quarter = len(head) // 4
    zeros = [head[i : 4 * quarter : 4].count(0) for i in range(4)]
    if quarter < 2 or not any(zeros):
        return None
    if zeros[2] == zeros[3] == quarter or zeros[0] == zeros[1] == quarter:
        codec = "utf-32-le" if zeros[3] == quarter else "utf-32-be"
        return codec if _is_text(head, codec) else None
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    many, few, codec = (odd, even, "utf-16-le") if odd > even else (even, odd, "utf-16-be")
    is_wide = many * 10 >= quarter and few * 20 <= many  # even in Chinese a twentieth are line ends, quotes, commas
    return codec if is_wide and _is_text(head, codec) else None


def _is_text(head: bytes, codec: str) -> bool:
    text = codecs.getincrementaldecoder(codec)("replace").decode(head)
    n_odd = sum(not (c.isprintable() or c in "\t\r\n") or c == "\ufffd" for c in text)
    return n_odd <= _MAX_CONTROLS * len(text)


def is_binary(head: bytes) -> bool:
    """Tells whether a file that begins so, and has no wide characters, is something else than a text.

    >>> is_binary(b"prompt,chosen"), is_binary(bytes(range(200)))
    (False, True)
    """
    head = head[:_HEAD_BYTES]
    return len(head) - len(head.translate(None, _CONTROLS)) > _MAX_CONTROLS * len(head) + 2


def find_encoding(blocks: Iterable[bytes]) -> Encoding | None:
    """Returns the encoding of a text without a mark: UTF-8 where most of it is, else a legacy one; None if none fits.

    Args:
        blocks: The whole text in pieces of any size, gone through once.
    """
    n_good, n_bad, rest, sample = 0, 0, b"", bytearray()
    for block in blocks:
        piece = rest + block
        tail = _TAIL.search(piece)  # a character that the next block may complete
        rest = tail[0] if tail else b""
        good, bad = _count(piece[: len(piece) - len(rest)])
        n_good, n_bad = n_good + good, n_bad + bad
        if bad and len(sample) < _SAMPLE_BYTES:
            sample += b"\n".join(_fragments(piece)) + b"\n"
    good, bad = _count(rest)
    n_good, n_bad = n_good + good, n_bad + bad
    if not n_bad:
        return Encoding("utf-8")
    legacy = None if n_good >= n_bad else _find_legacy(bytes(sample[:_SAMPLE_BYTES] or rest))
    is_mixture = n_good >= n_bad or (n_good >= _MIXTURE * n_bad and (legacy is None or legacy.codec in _LATIN))
    if not is_mixture:
        return legacy
    return Encoding("utf-8", note="Some of it is not UTF-8, the encoding of the rest; the rows with it are refused.")


def _fragments(piece: bytes) -> Iterator[bytes]:
    """Yields what stands around the bytes beyond ASCII, line by line, as much as a sample needs."""
    taken = n_bytes = 0
    for match in _NEAR_HIGH_BYTES.finditer(piece):
        before = piece[max(taken, match.start() - _BEFORE) : match.start()].replace(b"\r", b"\n")
        fragment = before.rpartition(b"\n")[2] + match[0]
        taken, n_bytes = match.end(), n_bytes + len(fragment)
        yield fragment
        if n_bytes > _SAMPLE_BYTES:
            return


def _count(block: bytes) -> tuple[int, int]:
    """Returns how many characters beyond ASCII the block has in UTF-8, and how many bytes belong to none."""
    if block.isascii():
        return 0, 0
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        rest, n_good = _UTF8_CHARACTER.subn(b"", block)
        return n_good, len(rest) - len(rest.translate(None, _HIGH))
    return len(block) - len(block.translate(None, _LEADS)), 0


def _find_legacy(sample: bytes) -> Encoding | None:
    codec = _find_east_asian(sample)
    if codec is None:
        texts = {name: sample.decode(name, "replace") for name in _SINGLE}
        odd = {name: rate_letters(text) for name, text in texts.items()}
        best = min(odd.values())
        likely = next(name for name in _SINGLE if odd[name] <= best + _CLEAR)
        codec = likely if odd[likely] <= _MAX_ODD else _ask_normalizer(sample)
    if codec is None:
        return None
    example = next(_fragments(sample)).decode(codec, "replace").strip()
    return Encoding(
        codec,
        note=f"No encoding is declared; by its letters it was read as {_NAMES.get(codec, codec)}, for example "
        f"{shown(example, 50)}. If that is wrong, save the file as UTF-8.",
    )


def _find_east_asian(sample: bytes) -> str | None:
    """Returns the encoding of a Korean, Japanese or Chinese text, told by the characters that it nearly only has."""
    for codec in ("cp949", "cp932", "euc_jp", "gb18030", "big5"):
        text = sample.decode(codec, "replace")
        letters = [c for c in text if not c.isascii() and c.isalpha()]
        n_common = sum(_is_common(c, codec) for c in letters)
        needed = 0.1 if codec in ("cp932", "euc_jp") else 0.85
        if n_common > 1 and n_common >= needed * len(letters) and rate_letters(text) <= _CLEAR:
            return codec
    return None


def _is_common(letter: str, codec: str) -> bool:
    """Tells whether a letter is one of those that texts in this encoding are mostly made of."""
    if codec == "cp949":
        return "\uac00" <= letter <= "\ud7a3" and len(letter.encode("euc_kr", "ignore")) == 2
    if codec in ("cp932", "euc_jp"):
        return "\u3040" <= letter < "\u3100"  # kana, not the narrow ones that single bytes stand for
    ordered_by_use, (first, last) = ("gb2312", (0xB0, 0xD7)) if codec == "gb18030" else ("big5", (0xA4, 0xC6))
    return _script(letter) == "CJK" and first <= letter.encode(ordered_by_use, "replace")[0] <= last


def _ask_normalizer(sample: bytes) -> str | None:
    """Returns what `charset-normalizer` takes the text for among all the encodings that are not known here."""
    found = from_bytes(sample, cp_exclusion=list(_NAMES), enable_fallback=False).best()
    return found.encoding if found is not None and rate_letters(str(found)) <= _CLEAR else None


def rate_letters(text: str) -> float:
    """Returns the share of the characters beyond ASCII that do not make words where they stand.

    >>> rate_letters("Où est le café ?"), rate_letters("Oů est le cafŽ ?")
    (0.0, 0.5)
    """
    beyond = [i for i, c in enumerate(text) if not c.isascii()]
    if not beyond:
        return 0.0
    if text.count("\ufffd") > 1 + _CLEAR * len(beyond):  # bytes that the encoding does not have
        return 1.0
    letters = [c for c in (text[i].lower()[0] for i in beyond) if not c.isascii() and _script(c) == "LATIN"]
    n_foreign = min(sum(c not in alphabet for c in letters) for alphabet in _ALPHABETS)
    n_odd = sum(_is_odd_sign(text, i) for i in beyond if not text[i].isalpha())
    for match in _WORD.finditer(text):
        if not match[0].isascii():
            around = text[max(0, match.start() - 1) : match.start()] + text[match.end() : match.end() + 1]
            n_odd += _count_odd(match[0], any(c.isdigit() and c.isascii() for c in around))
    return min(1.0, (n_odd + n_foreign / 2) / len(beyond))


@lru_cache(maxsize=8192)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "?").split()[0]


def _count_odd(word: str, is_beside_digit: bool) -> int:
    """Returns how many of a word's letters beyond ASCII cannot stand where they do."""
    n_beyond = sum(not c.isascii() for c in word)
    scripts = {"LATIN" if c.isascii() else _script(c) for c in word}
    if scripts & _EAST:  # these write no blanks around a Latin word
        is_inside = word[0].isascii() and word[-1].isascii()
        return n_beyond if is_inside or scripts - _EAST - {"LATIN"} else 0
    if len(scripts) > 1 or is_beside_digit or (scripts == {"LATIN"} and _MANY_BEYOND.search(word)):
        return n_beyond
    if word[1:] != word[1:].lower() and word != word.upper():
        return n_beyond
    return len(_FINAL_INSIDE.findall(word))


def _is_odd_sign(text: str, i: int) -> bool:
    sign, before, after = text[i], text[max(0, i - 1) : i], text[i + 1 : i + 2]
    category = unicodedata.category(sign)
    if category == "Mn":  # a sign above or below the letter before it
        return before.isascii() or not (before.isalpha() or unicodedata.category(before) == "Mn")
    if category in _NEVER_SIGNS and sign not in _EXCEPTIONS:
        return True
    if any(not c.isascii() and not c.isalpha() and c != sign and {c, sign} - _PUNCTUATION for c in (before, after)):
        return True
    if before.isalpha() and after.isalpha():
        return sign not in _INSIDE_WORDS and not (_script(before) in _EAST or _script(after) in _EAST)
    if after.isalpha() and after.islower():
        return sign not in _BEFORE_WORDS
    return before.isalpha() and before.isascii() and sign not in _AFTER_WORDS
