"""The rows of a CSV file, of any of the usual encodings and separators, within limits."""

import codecs
import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from cnnjax.errors import UserError, unknown

MARKS = {  # the first bytes of a file: its encoding; UTF-32's begin as UTF-16's do
  codecs.BOM_UTF8: "utf-8-sig",
  codecs.BOM_UTF32_LE: "utf-32",
  codecs.BOM_UTF32_BE: "utf-32",
  codecs.BOM_UTF16_LE: "utf-16",
  codecs.BOM_UTF16_BE: "utf-16",
}
MORE = "has more cells than the header; quote those with a comma"
LONGEST = 2**20  # characters in a line: a file without line ends must not fill the memory


def rows(
  file: Path,
  columns: Sequence[str],
  optional: Sequence[str] = (),
  encoding: str = "utf-8",
  ragged: bool = False,
) -> list[tuple[int, dict[str | None, str]]]:
  """Returns a CSV file's rows with their numbers; the header is row 1.

  Cells are stripped, and missing ones are "".

  Args:
    file: with cells parted by the one of comma, semicolon and tab that is most in its header.
    columns: which must be there, once.
    optional: which may be there, once.
    encoding: of the file, where no mark at its beginning says another.
    ragged: whether a row may have more cells than the header; these stand under None.

  Raises: UserError for a file that is no CSV, lacks one of the columns, or has one twice, and for a
    row of too many cells.
  """
  try:
    with file.open("rb") as raw:
      head = raw.read(4)
    spelt = next((name for mark, name in MARKS.items() if head.startswith(mark)), encoding)
    with file.open(encoding=spelt, newline="") as text:
      header = text.readline(LONGEST)
      text.seek(0)
      parted = {"delimiter": max(",;\t", key=header.count), "skipinitialspace": True}
      reader = csv.DictReader(_lines(text), restval="", strict=True, **parted)
      reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
      found = list(reader)
  except (OSError, UnicodeError, LookupError, csv.Error) as error:
    raise UserError(
      f"{file} cannot be read as a CSV file in {encoding.upper()}: {error}; "
      "data.arguments.encoding may name another encoding, such as cp1252"
    ) from error
  count = Counter(reader.fieldnames)
  for column in columns:
    if column not in count:
      raise unknown(f"column of {file}", column, filter(None, count))
  for column in (*columns, *optional):
    if count[column] > 1:
      raise UserError(f"{file} has {count[column]} columns named {column}; expected one")
  if not found:
    raise UserError(f"{file} has no rows under its header")
  for line, row in enumerate(found, 2):
    if None in row and not ragged:
      raise UserError(f"{file}, row {line} {MORE}")
  return [(line, {k: _stripped(v) for k, v in row.items()}) for line, row in enumerate(found, 2)]


def _stripped(cell: str | list[str]) -> str:
  return cell.strip() if isinstance(cell, str) else " ".join(cell).strip()


def _lines(text: TextIO) -> Iterator[str]:
  while line := text.readline(LONGEST):
    if len(line) == LONGEST:
      raise csv.Error(f"it has a line of more than {LONGEST:,} characters")
    yield line
