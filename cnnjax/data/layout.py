"""Layouts of folders that are near to what a reader expects, and the arguments that read them."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, product
from pathlib import Path

from cnnjax.data.inputs.image import SUFFIXES
from cnnjax.data.split import of_split, split_of
from cnnjax.errors import UserError

DEEPEST, MOST = 3, 2000  # folders that are searched: how far below the root, and how many


def folder_of(root: str, what: str) -> Path:
  """Returns the folder `data.root`. Raises: UserError where it is none; `what` it should hold."""
  folder = Path(root).expanduser() if root else Path()
  if not root or "\0" in root or not folder.is_dir():
    raise UserError(f"data.root {root!r} is no folder; expected one with {what}")
  return folder


def near_pair(root: Path, argument: str, suffixes: Sequence[str]) -> str:
  """Returns the end of a message: which arguments read what is there, "" where nothing is near.

  Args:
    root: the folder that was searched in vain.
    argument: that of the folder of the annotations.
    suffixes: of the annotation files, of which each belongs to an image of its name.
  """
  notes, pictures = _folders(root, suffixes), _folders(root, SUFFIXES)
  pairs = [
    (len(notes[a] & pictures[i]), ("{split}" in a) == ("{split}" in i), a != i, a, i)
    for a, i in product(notes, pictures)
    if notes[a] & pictures[i] and (a != i or not set(suffixes) & set(SUFFIXES))
  ]
  if not pairs:
    return ""
  *_, where, images = max(pairs)
  what = f"{where or root.name}/ with {len(notes[where])} {suffixes[0][1:].upper()}"
  return _sentence(what, {argument: where, "images": images})


def near_file(root: Path, argument: str, suffixes: Sequence[str]) -> str:
  """Returns the end of a message, as `near_pair` does, for annotations that are a file a split.

  Args:
    root: the folder that was searched in vain.
    argument: that of the file.
    suffixes: of such files.
  """
  found = _files(root, suffixes)
  pictures = {pattern: len(stems) for pattern, stems in _folders(root, SUFFIXES).items()}
  if not found or not pictures:
    return ""
  file = max(found, key=lambda path: ("{split}" in path, found[path], -len(path)))
  beside = file.rpartition("/")[0]  # images that lie beside their annotations
  images = max(
    pictures,
    key=lambda path: (("{split}" in path) == ("{split}" in file), path == beside, pictures[path]),
  )
  return _sentence(file, {argument: file, "images": images})


def near_maps(root: Path, argument: str = "instances") -> str:
  """Returns the end of a message: which arguments read images with a map of ids beside each.

  `argument` is that of the folder of the maps.
  """
  found = _folders(root, SUFFIXES)
  maps = {
    pattern: stems for pattern, stems in _folders(root, (".png",)).items() if pattern in found
  }
  pairs = [
    (len(found[i] & maps[m]), bool(re.search("inst|mask|label|annot|ids", m)), m, i)
    for i, m in product(found, maps)
    if i != m and found[i] & maps[m] and ("{split}" in i) == ("{split}" in m)
  ]
  if not pairs:
    return ""
  count, _, where, images = max(pairs)
  return _sentence(f"{where}/ with maps of {count} images", {"images": images, argument: where})


def near_images(root: Path) -> str:
  """Returns the pattern of the folder with the most images, one of splits if there is any."""
  found = {pattern: len(stems) for pattern, stems in _folders(root, SUFFIXES).items()}
  return max(found, key=lambda pattern: ("{split}" in pattern, found[pattern]), default="{split}")


def near_lists(root: Path) -> str:
  """Returns the end of a message: which argument reads the lists of splits that are there."""
  found = [pattern for pattern in _files(root, (".txt",)) if "{split}" in pattern]
  if not found:
    return ""
  return f"""; found {found[0]}, which is not read: add 'lists': '{found[0]}' to data.arguments"""


def part(root: Path, pattern: str, split: str, near: Callable[[], str]) -> Path:
  """Returns `of_split`'s path. Raises: UserError where it is not there; near() ends the message."""
  try:
    return of_split(root, pattern, split)
  except UserError as error:
    raise UserError(f"{error}{near()}") from error


def _sentence(what: str, arguments: dict[str, str]) -> str:
  return f'; found {what}: add --config.data.arguments="{arguments}"'


def _files(root: Path, suffixes: Sequence[str]) -> dict[str, int]:
  """Returns the files of these suffixes below a root: pattern -> how many match it."""
  found: dict[str, int] = {}
  for folder, names in _walk(root):
    for name in names:
      if name.lower().endswith(tuple(suffixes)):
        path = _pattern(folder / name, root)
        found[path] = found.get(path, 0) + 1
  return found


def _folders(root: Path, suffixes: Sequence[str]) -> dict[str, set[str]]:
  """Returns the folders below a root that hold files of these suffixes: pattern -> their stems."""
  found: dict[str, set[str]] = {}
  for folder, names in _walk(root):
    stems = {Path(name).stem for name in names if Path(name).suffix.lower() in suffixes}
    if stems:
      found.setdefault(_pattern(folder, root), set()).update(stems)
  return found


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
  """Yields each folder to the depth `DEEPEST`, with the names of its files; none that is hidden."""
  for folder, below, names in islice(os.walk(root), MOST):
    depth = len(Path(folder).relative_to(root).parts)
    below[:] = sorted(n for n in below if not n.startswith(".")) if depth < DEEPEST else []
    yield Path(folder), sorted(n for n in names if not n.startswith("."))


def _pattern(path: Path, root: Path) -> str:
  """Returns the path below a root with `{split}` in place of each split's name."""

  def named(found: re.Match) -> str:
    return "{split}" if split_of(found[0]) else found[0]

  return "" if path == root else re.sub(r"[A-Za-z]+", named, path.relative_to(root).as_posix())
