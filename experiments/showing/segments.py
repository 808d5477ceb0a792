"""What `evaluate` and `predict` show of class maps: the worst cases, and files of masks."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cnnjax.data import image
from cnnjax.data.table import Table
from cnnjax.ops.segmentation import VOID
from cnnjax.visualise import class_maps
from cnnjax.visualise.figure import save_pixels

WORST = 6  # examples that are drawn


def worst(
  rows: Mapping[str, np.ndarray], classes: int, most: int = WORST
) -> list[tuple[int, float]]:
  """Returns the examples of the lowest mean Dice coefficient, as (index, coefficient), worst first.

  The mean is over the classes that the example has, in its truth or its answer; examples without
  any pixel that is not void are left out.

  Args:
    rows: of an evaluation: `segments` and `truth` [N, *S], and `mask` [N].
    classes: C.
    most: number of examples.
  """
  found = []
  for n in np.flatnonzero(np.asarray(rows["mask"]) > 0):
    answer, truth = (np.asarray(rows[key][n]) for key in ("segments", "truth"))
    known = truth != VOID
    own, given, both = (
      np.bincount(one[known].ravel(), minlength=VOID + 1)[:classes]
      for one in (truth, answer, np.where(truth == answer, truth, VOID))
    )
    there = own + given > 0
    if there.any():
      found.append((int(n), float(np.mean(2 * both[there] / (own + given)[there]))))
  return sorted(found, key=lambda one: one[1])[:most]


def of_maps(rows: Mapping[str, np.ndarray], table: Table) -> Iterator[tuple[str, Figure]]:
  """Yields worst.png: the worst examples of an evaluation beside the truth, worst first.

  Args:
    rows: as for `worst`, a row for each example of the table.
    table: of images.
  """
  images, lines = table.columns["image"], {}
  for n, score in worst(rows, len(table.classes)):
    name = Path(str(table.names[n])).name if table.names is not None else f"example {n}"
    one = images[np.asarray([n])][0]
    maps = [np.asarray(rows[key][n]) for key in ("truth", "segments")]
    high, wide = ((a - b) // 2 for a, b in zip(one.shape, maps[0].shape))
    one = one[high : high + maps[0].shape[0], wide : wide + maps[0].shape[1]]
    lines[f"{name}\nDice {score:.3f}\n({n})"] = (one, *maps)
  if lines:
    yield "worst.png", class_maps.beside(lines, table.classes)


def written(answer: Mapping[str, Any], file: str, folder: Path, number: int) -> dict[str, Any]:
  """Writes an answer's class map as a PNG with a palette, and returns the answer without it.

  In its place stand `mask`, the file's path below `folder`, and `size` (height, width).
  """
  segments = answer["segments"]
  path = folder / "predictions" / "masks" / f"{number:04}_{Path(file).stem}.png"
  path.parent.mkdir(parents=True, exist_ok=True)
  class_maps.save(segments, path)
  rest = {key: value for key, value in answer.items() if key != "segments"}
  return {"file": file, "mask": str(path.relative_to(folder)), "size": [*segments.shape], **rest}


def drawn(
  answer: Mapping[str, Any], example: np.ndarray, classes: Sequence[str], folder: Path, side: int
) -> np.ndarray:
  """Draws a `written` answer's mask over its example, as a PNG beside the folder of masks.

  Returns: the picture, scaled down so that no side is longer than `side`.
  """
  mask = folder / answer["mask"]
  with image.open_image(mask) as file:
    segments = np.asarray(file)
  picture = class_maps.overlay(image.to_bytes(example), segments, classes)
  save_pixels(class_maps.with_legend(picture, segments, classes), mask.parents[1] / mask.name)
  return image.thumbnail(picture, side)


def as_text(answer: Mapping[str, Any]) -> tuple[dict[str, str], str]:
  """Returns a row for a table, and a caption: the part of the pixels that each class has."""
  total = sum(answer["pixels"].values())
  shown = {name: f"{count / total:.1%}" for name, count in answer["pixels"].items()}
  largest = sorted(answer["pixels"], key=lambda name: -answer["pixels"][name])[:3]
  return shown, ", ".join(f"{name} {shown[name]}" for name in largest)
