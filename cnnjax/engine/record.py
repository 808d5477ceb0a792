"""Text files of a run folder: read whole or refused, written whole or not at all."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cnnjax.errors import UserError


def read_json(path: Path, kind: type) -> Any:
  """Returns what a JSON file of a run folder holds, a dict or a list.

  Raises: UserError for a file that cannot be read, is cut or holds something else.
  """
  try:
    found = json.loads(path.read_text("utf-8"))
  except (ValueError, RecursionError) as error:
    raise UserError(f"{path} is damaged: {error}") from error
  if not isinstance(found, kind):
    what = {dict: "an object", list: "a list"}[kind]
    raise UserError(f"{path} is damaged: it holds {type(found).__name__}, expected {what}")
  return found


def read_rows(path: Path) -> list[dict[str, Any]]:
  """Returns the rows of a metrics.jsonl, without a last line that is incomplete.

  Raises: UserError for a line that is no JSON of a row.
  """
  if not path.exists():
    return []
  rows = []
  for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
    if line.endswith(b"\n"):
      try:
        row = json.loads(line.decode())
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
          raise ValueError(f"it holds no step: {line.decode().strip()[:40]}")
      except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged in line {number}: {error}") from error
      rows.append(row)
  return rows


def write_json(path: Path, value: Any) -> None:
  """Writes a file whole or not at all."""
  write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
  """Writes a file whole or not at all."""
  scratch = path.with_name(path.name + ".tmp")
  with writing(path):
    with scratch.open("w", encoding="utf-8") as file:
      file.write(text)
      file.flush()
      os.fsync(file.fileno())
    scratch.replace(path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
  """Guards code that writes `path`. Raises: UserError, with the path, where the writing fails."""
  try:
    yield
  except OSError as error:
    raise UserError(f"{path} could not be written: {error.strerror or error}") from error
