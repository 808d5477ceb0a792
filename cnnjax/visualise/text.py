"""Names of a user's classes in pictures: of any length, with any letters."""

from collections.abc import Iterable
from functools import cache, lru_cache

from matplotlib import font_manager

LONGEST = 32  # letters of a name that are drawn
FIRST = "DejaVu Sans"  # matplotlib's own, which has most alphabets


def short(name: str, most: int = LONGEST) -> str:
  """Returns a name in one line of at most so many letters, the middle of a longer one left out."""
  line = " ".join("".join(c if c.isprintable() else " " for c in name).split())
  half = (most - 1) // 2
  return line if len(line) <= most else f"{line[:half]}…{line[-half:]}"


def legend(name: str) -> str:
  """Returns a `short` name as matplotlib's legends take it.

  They leave out names that begin with "_", and read what is between two "$" as mathematics.
  """
  name = short(name).replace("$", r"\$")
  return f" {name}" if name.startswith("_") else name


def fonts(letters: Iterable[str]) -> list[str]:
  """Returns the files of installed fonts that have some of these letters, until all are found."""
  missing, found = {ord(letter) for letter in letters if not letter.isspace()}, []
  for file in _files():
    if not missing:
      break
    there = missing & _letters(file)
    if there:
      found.append(file)
      missing -= there
  return found


@lru_cache(maxsize=1024)
def font(text: str) -> str:
  """Returns the file of a font that has all letters of a text, else of the usual one."""
  letters = {ord(letter) for letter in text if not letter.isspace()}
  return next((file for file in _files() if letters <= _letters(file)), _files()[0])


@cache
def _files() -> list[str]:
  """Returns the installed fonts, matplotlib's first, without its last resort, which has boxes."""
  first = font_manager.findfont(FIRST)
  rest = {f.fname for f in font_manager.fontManager.ttflist if "Last Resort" not in f.name}
  return [first, *sorted(rest - {first})]


@cache
def _letters(file: str) -> frozenset[int]:
  """Returns the letters of a font; none of one of bitmaps, as of emoji, or that cannot be read."""
  try:
    found = font_manager.get_font(file)
    return frozenset(found.get_charmap() if found.scalable else ())
  except (OSError, RuntimeError):
    return frozenset()
