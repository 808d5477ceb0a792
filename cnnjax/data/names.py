"""Names in annotations and of files, which may differ in Unicode's form alone (NFC, NFD)."""

import os
import unicodedata
from pathlib import Path
from reprlib import Repr
from typing import Any

from cnnjax.data.inputs.image import SUFFIXES
from cnnjax.errors import UserError

_short = Repr()
_short.maxstring = _short.maxother = _short.maxlong = 100


def shown(value: Any) -> str:
  """Returns a value of a user's file for a message: its start, where it is long."""
  return _short.repr(value)


def plain(name: str) -> str:
  """Returns a name in Unicode's form NFC, in which equal names are equal."""
  return unicodedata.normalize("NFC", name)


def text(value: Any, what: str) -> str:
  """Returns a name that a file gives, in the form NFC.

  Raises: UserError for an empty one, and for what is no text or cannot be printed.
  """
  if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
    value = str(value)
  if not isinstance(value, str) or not value.strip() or not _printable(value):
    raise UserError(f"{what} is {shown(value)}; expected a name")
  return plain(value)


def _printable(value: str) -> bool:
  """Returns whether a file can have the name: it has no NUL and no half of a character."""
  return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def bare(name: str) -> str:
  """Returns a file's name without its suffix, if that is one of images, or of annotations."""
  stem, dot, suffix = name.rpartition(".")
  return stem if dot and f".{suffix.lower()}" in (*SUFFIXES, ".xml") else name


class Listing:
  """Files by their names, in any form of Unicode; each folder is listed once."""

  def __init__(self) -> None:
    self._folders: dict[Path, tuple[dict[str, Path], dict[str, list[Path]]]] = {}

  def find(self, folder: Path, name: str) -> Path:
    """Returns the file of that name in a folder, or below it; the given one where none is there."""
    path = folder / name
    return self._of(path.parent)[0].get(plain(path.name), path)

  def image(self, folder: Path, name: str) -> Path | None:
    """Returns the image of that name, which may lack its suffix; None where there is none.

    Raises: UserError where images of two suffixes have the name.
    """
    path = folder / name
    whole, by_stem = self._of(path.parent)
    if plain(path.name) in whole and path.suffix.lower() in SUFFIXES:
      return whole[plain(path.name)]
    found = by_stem.get(plain(path.name)) or by_stem.get(plain(bare(path.name)), [])
    if len(found) > 1:
      raise UserError(f"two images have one name: {found[0]} and {found[1]}")
    return found[0] if found else None

  def _of(self, folder: Path) -> tuple[dict[str, Path], dict[str, list[Path]]]:
    """Returns the files of a folder by their names, and its images by their names' stems."""
    if folder not in self._folders:
      try:
        names = sorted(os.listdir(folder))
      except (OSError, ValueError):
        names = []
      by_stem: dict[str, list[Path]] = {}
      for name in names:
        path = folder / name
        if path.suffix.lower() in SUFFIXES and not name.startswith("."):
          by_stem.setdefault(plain(path.stem), []).append(path)
      self._folders[folder] = ({plain(name): folder / name for name in names}, by_stem)
    return self._folders[folder]
