"""Which encoding a text file is in, decided by one look at all of it before the first row is used."""

from __future__ import annotations

import codecs
import functools
import io
from collections import Counter
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, BinaryIO, Final

from llmtriage.errors import InputError, UnknownNameError, short

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK: Final = 1 << 20
"""Bytes read at once."""

_UNICODE_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BINARY: Final = (
    (b"PK\x03\x04", "an Excel workbook or another zip archive", "export it as CSV"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook", "export it as CSV"),
    (b"\x89PNG\r\n", "a PNG picture", None),
    (b"\xff\xd8\xff", "a JPEG picture", None),
    (b"%PDF-", "a PDF document", None),
    (b"PAR1", "a Parquet file", "export it as CSV or JSONL"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"\x1f\x8b\x08", "compressed with gzip", "unpack it first"),
    (b"BZh91AY&SY", "compressed with bzip2", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first"),
    (b"\xfd7zXZ\0", "compressed with xz", "unpack it first"),
)
_MOST_NULS: Final = 0.2
"""Share of NUL bytes above which a file is no text; UTF-16 without a mark has about one half."""

_FREQUENT: Final = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现"
    "当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并"
    "物手应向头文体相见被利什二等产或新己身果加月话合回内信化老给位次度任先海通原东声及比员解水名真论处走各入几口认条平气题更别打女变四总何电数安"
    "少报才结反受目太量再感建务做接必场件计管期市直资金指许统区保至便空服请退款订单货客您快递收付钱账号码费用怎帮取消换修商品店買賣貨請嗎沒為還個這"
)
_LEAST_COMMON: Final = 0.5
_LEAST_FREQUENT: Final = 0.12
"""Shares of the characters beyond ASCII; Chinese text is far above (0.98 and 0.5), other text read as GB18030 below."""
_ENOUGH: Final = 30
"""Characters from which on the share of frequent ones says something: Korean in EUC-KR looks common, but is not frequent."""


def find_encoding(path: str | Path, encoding: str | None = None) -> str:
    """The encoding in which the whole of `path` can be read: `encoding` if given, else UTF-8, UTF-16 with a mark, or GB18030.

    Raises:
        InputError: The file cannot be read, is empty, is no text, or is not in that encoding.
    """
    first = first_bytes(path)
    for magic, kind, remedy in _BINARY:
        if first.startswith(magic):
            raise InputError(f"this is no text file but {kind}", file=path, remedy=remedy or "name a CSV or JSONL file")
    if encoding is not None:
        return _checked(path, _known(encoding))
    for mark, name in _UNICODE_MARKS:
        if first.startswith(mark):
            return _checked(path, name)
    _refuse_binary(path)
    try:
        return _checked(path, "utf-8")
    except InputError as error:
        if error.line is not None and _is_chinese(path):
            return "gb18030"
        raise


def chunks(path: str | Path) -> Iterator[bytes]:
    """The bytes of `path`; raises InputError where the system refuses them."""
    try:
        with Path(path).open("rb") as stream:
            yield from _blocks(stream)
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: str | Path, error: OSError) -> InputError:
    """The error for a file that the system does not let us read."""
    if isinstance(error, FileNotFoundError):
        return InputError("no such file", file=path, remedy="check the path")
    if isinstance(error, IsADirectoryError):
        return InputError("this is a folder", file=path, remedy="name a file in it")
    return InputError(f"cannot be read ({error.strerror or error})", file=path, remedy="check its permissions")


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(_CHUNK):
        yield block


def first_bytes(path: str | Path) -> bytes:
    """How the file begins; raises InputError where there is no file that can be read."""
    try:
        mode = Path(path).stat().st_mode
        if S_ISDIR(mode):
            raise IsADirectoryError
        if not S_ISREG(mode):
            problem = "this is a pipe or a device, which can be read only once"
            raise InputError(problem, file=path, remedy="save it as a file first")
        with Path(path).open("rb") as stream:
            return stream.read(16)
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError:
        raise InputError("this is no path", field=short(str(path)), remedy="remove the NUL character") from None


def _known(encoding: str) -> str:
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        common = ("utf-8", "utf-16", "gb18030", "big5", "latin-1", "cp1252", "shift_jis", "euc-kr")
        raise UnknownNameError.among("encoding", encoding, common, field="--encoding") from None
    return "utf-8-sig" if name == "utf-8" else name


def _refuse_binary(path: str | Path) -> None:
    nuls = total = 0
    for block in chunks(path):
        nuls += block.count(0)
        total += len(block)
    if nuls > _MOST_NULS * total:
        raise InputError(
            "this is no text file (it is full of NUL bytes)",
            file=path,
            remedy="export it as CSV; if it is UTF-16, name it with --encoding utf-16-le",
        )


def _checked(path: str | Path, encoding: str) -> str:
    """`encoding` if all of the file decodes and it holds more than white space."""
    blank = True
    for _, text in _decoded(path, encoding):
        blank = blank and not text.strip("\ufeff \t\r\n\f\v")
    if blank:
        remedy = "its first line names the columns (CSV) or is a JSON object (JSONL)"
        raise InputError("the file is empty", file=path, remedy=remedy)
    return encoding


def _decoded(path: str | Path, encoding: str) -> Iterator[tuple[int, str]]:
    """The text of the file in pieces; raises InputError naming the line and the byte that is not in `encoding`."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    offset, line = 0, 1
    for block in _then_nothing(chunks(path)):
        held = _held(decoder)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            good = bytes(error.object[: error.start]).decode(encoding, "ignore")
            raise _undecodable(path, encoding, offset - held + error.start, line + good.count("\n")) from None
        except UnicodeError:
            raise _undecodable(path, encoding, offset, line) from None
        yield offset, text
        offset += len(block)
        line += text.count("\n")


def _then_nothing(blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield from blocks
    yield b""


def _held(decoder: codecs.IncrementalDecoder) -> int:
    """How many bytes of an unfinished character the decoder keeps from the block before."""
    return len(decoder.getstate()[0])


def _undecodable(path: str | Path, encoding: str, byte: int, line: int) -> InputError:
    name = encoding.removesuffix("-sig").upper()
    remedy = "name the encoding it is in, for example --encoding cp1252 (Western Europe), gb18030 or big5 (Chinese)"
    return InputError(f"byte {byte + 1} of the file is not {name}", file=path, line=line, remedy=remedy)


def _is_chinese(path: str | Path) -> bool:
    """Whether the file decodes as GB18030 and then looks like Chinese: nearly any bytes decode, but into rare characters."""
    counts: Counter[str] = Counter()
    try:
        for _, text in _decoded(path, "gb18030"):
            counts.update(text)
    except InputError:
        return False
    beyond = {c: n for c, n in counts.items() if not c.isascii()}
    total = sum(beyond.values())
    common = sum(n for c, n in beyond.items() if c in _common_characters())
    frequent = sum(n for c, n in beyond.items() if c in _FREQUENT)
    return common >= _LEAST_COMMON * total and (total < _ENOUGH or frequent >= _LEAST_FREQUENT * total)


@functools.cache
def _common_characters() -> frozenset[str]:
    """The 3,755 characters of level 1 of GB 2312, the punctuation of Chinese text, and the frequent traditional characters."""
    level_one = bytes(b for lead in range(0xB0, 0xD8) for trail in range(0xA1, 0xFF) for b in (lead, trail))
    punctuation = "，。、；：？！“”‘’（）《》〈〉【】「」『』—…·～￥％＋－＝＃＠／　"
    return frozenset(level_one.decode("gb2312", "ignore")) | frozenset(punctuation) | _FREQUENT
