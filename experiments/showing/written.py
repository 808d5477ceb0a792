"""The files of answers that `predict` writes, answer by answer, and the folder for them."""

import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from cnnjax.engine.record import writing
from cnnjax.errors import UserError
from cnnjax.metrics.coco_results import annotation, heads, rows

from .coco_ids import Ids


def folder_for(out: str | Path, what: str) -> Path:
  """Returns the folder to write into; it may not be there yet.

  Raises: UserError where nothing can be written there, which is told before the work is done.
  """
  folder = Path(out).expanduser()
  there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
  try:
    tempfile.TemporaryFile(dir=there).close()
  except OSError as error:
    raise UserError(
      f"{what} would be written into {folder}, but nothing can be written there "
      f"({error.strerror or error}); name another folder: --out=FOLDER"
    ) from None
  return folder


class Rows:
  """A JSON file of rows, one a line, which takes its name when it is whole.

  Its folder is made with the first row, so that a call without any answer leaves nothing behind.
  """

  def __init__(self, path: Path, head: str = "["):
    self.path, self.head = path, head
    self.scratch, self.count = path.with_name(path.name + ".tmp"), 0
    self.file: TextIO | None = None

  def add(self, row: Any) -> None:
    """Writes a row."""
    self._write(f"{',' if self.count else ''}\n{json.dumps(row, allow_nan=False)}")
    self.count += 1

  def end(self, tail: str = "]") -> None:
    """Writes the end, and gives the file its name."""
    self._write(f"\n{tail}\n")
    with writing(self.path):
      self.file.close()
      self.scratch.replace(self.path)

  def _write(self, text: str) -> None:
    with writing(self.path):
      if self.file is None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.scratch.open("w")
        self.file.write(self.head)
      self.file.write(text)

  def drop(self) -> None:
    """Leaves nothing of a file that has not come to its end."""
    if self.file and not self.file.closed:
      self.file.close()
      self.scratch.unlink(missing_ok=True)


class Answers:
  """predictions.json, and a detector's predictions.coco.json; a context, left with all written.

  The second is a COCO data set whose images and categories are numbered from 1; with `ids`, of a
  user's COCO file, it is the list of results that COCO's program reads beside that file.
  """

  def __init__(self, out: Path, classes: Sequence[str], boxes: bool, ids: Ids | None = None):
    self.classes, self.ids, self.broken = classes, ids, 0
    self.heads: list[dict[str, Any]] = []  # of a detector's answers, what a COCO data set needs
    self.all = Rows(out / "predictions.json")
    head = "[" if ids else '{"annotations": ['
    self.coco = Rows(out / "predictions.coco.json", head) if boxes else None

  def add(self, answer: dict[str, Any]) -> None:
    """Writes the answer for a file; its numbers that are not finite become null."""
    whole = known(answer)
    self.broken += whole != answer
    self.all.add(whole)
    if self.coco is None:
      return
    if self.ids:
      for row in rows(whole, self.ids.images[answer["file"]], self.ids.categories):
        self.coco.add(row)
      return
    self.heads.append({key: answer[key] for key in ("file", "size")})
    for row in rows(whole, len(self.heads), range(1, 1 + len(self.classes))):
      self.coco.add(annotation(row, 1 + self.coco.count))

  @property
  def count(self) -> int:
    """The number of answers."""
    return self.all.count

  def tell(self) -> None:
    """Prints what was written."""
    print(f"wrote {self.all.path}" + (f" and {self.coco.path}" if self.coco else ""))
    if self.ids and self.coco:
      print(f"{self.coco.path.name} has the ids of {self.ids.file}")
    if self.broken:
      print(f"{self.broken} answers have numbers that are not finite, which are null there")

  def __enter__(self) -> "Answers":
    return self

  def __exit__(self, kind: type | None, *error: Any) -> None:
    if kind is None:
      self.all.end()
      if self.coco:
        rest = json.dumps(heads(self.heads, self.classes))[1:]
        self.coco.end("]" if self.ids else f"], {rest}")
    for file in filter(None, (self.all, self.coco)):
      file.drop()


def known(value: Any) -> Any:
  """Returns a value of JSON with None for numbers that are not finite, which JSON does not have."""
  if isinstance(value, dict):
    return {key: known(one) for key, one in value.items()}
  if isinstance(value, list | tuple):
    return [known(one) for one in value]
  return None if isinstance(value, float) and not math.isfinite(value) else value
