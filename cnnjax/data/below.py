"""What lies below a folder: its files, without what systems leave there, and what was not read."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from cnnjax.errors import UserError, say

LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini", "Icon\r", "@eaDir", "lost+found")  # and ._*
SHOWN = 8  # suffixes that are named


def is_litter(name: str) -> bool:
  """Returns whether a file or folder of this name is an operating system's, and nobody's data."""
  return name.startswith("._") or name == ".DS_Store" or name in LITTER


def files_below(folder: Path, follow: bool = False) -> Iterator[os.DirEntry]:
  """Yields the files in a folder and its subfolders, of any kind, but no hidden folder's.

  With `follow` links to folders are followed, each folder once.

  Raises: UserError for a folder that cannot be read.
  """
  todo, seen = [str(folder)], set()
  while todo:
    path = todo.pop()
    real = os.path.realpath(path)
    if real in seen:
      continue
    seen.add(real)
    try:
      entries = list(os.scandir(path))
    except OSError as error:
      raise UserError(f"{path} cannot be read: {error.strerror}") from error
    for entry in entries:
      if is_litter(entry.name):
        continue
      if entry.is_dir():
        if not entry.name.startswith(".") and (follow or not entry.is_symlink()):
          todo.append(entry.path)
      else:
        yield entry


def tell_unread(
  folder: Path, read: Iterable[Path], suffixes: Collection[str] = ()
) -> dict[str, int]:
  """Prints on standard error, and returns, how many files of each suffix a source did not read.

  Args:
    folder: all files below it are counted, but those that systems leave, and hidden folders.
    read: the files that the source has read, or has told otherwise.
    suffixes: the suffixes that are counted; by default all.
  """
  known = {os.path.abspath(path) for path in read}
  count, first = Counter(), {}
  for entry in files_below(folder):
    suffix = os.path.splitext(entry.name)[1].lower()
    if (not suffixes or suffix in suffixes) and os.path.abspath(entry.path) not in known:
      suffix = suffix or "without suffix"
      count[suffix] += 1
      first[suffix] = min(first.get(suffix, entry.path), entry.path)
  if count:
    told = [
      f"{n:,} {suffix} ({'such as ' * (n > 1)}{os.path.relpath(first[suffix], folder)})"
      for suffix, n in count.most_common(SHOWN)
    ]
    more = ", and others" if len(count) > SHOWN else ""
    say(f"not read below {folder}: {', '.join(told)}{more}")
  return dict(sorted(count.items()))
