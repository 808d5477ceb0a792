"""The file dataset.json of the Medical Segmentation Decathlon and of nnU-Net: names of classes."""

import json
from pathlib import Path
from typing import Any

from cnnjax.data.names import shown, text
from cnnjax.errors import UserError, say


def classes_of(folder: Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
  """Returns the names of the classes and the number that stands for each, both () without a file.

  The Decathlon writes {"1": "name"}, nnU-Net {"name": 1}.

  Raises: UserError for a file that cannot be read, or whose labels are neither.
  """
  path = folder / "dataset.json"
  if not path.exists():
    return (), ()
  try:
    labels = json.loads(path.read_bytes()).get("labels")
  except (OSError, ValueError, AttributeError) as error:
    raise UserError(f"{path} cannot be read: {error}") from error
  if not labels:
    return (), ()
  if isinstance(labels, dict) and any(isinstance(value, list) for value in labels.values()):
    say(f"{path} has regions, which overlap: its labels are taken as the files have them")
    return (), ()
  try:
    pairs = [_pair(path, *item) for item in labels.items()]
  except (AttributeError, ValueError):
    raise UserError(
      f'{path} has the labels {shown(labels)}; expected {{"0": "background", ...}}, or '
      '{"background": 0, ...}'
    ) from None
  names, values = zip(*sorted(pairs, key=lambda pair: pair[1]))
  return names, values


def _pair(path: Path, key: str, value: Any) -> tuple[str, int]:
  name, number = (key, value) if isinstance(value, int) else (value, key)
  return text(name, f"a label of {path}"), int(number)
