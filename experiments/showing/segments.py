"""What `evaluate` and `predict` show of class maps: the worst cases, and files of masks."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cnnjax.data import image, inputs
from cnnjax.data.scan import stem_of
from cnnjax.data.table import Table
from cnnjax.metrics import sizes
from cnnjax.ops.segmentation import VOID
from cnnjax.visualise import class_maps
from cnnjax.visualise.figure import save_pixels
from cnnjax.visualise.pairs import pairs

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


def of_maps(rows: Mapping[str, Any], table: Table) -> Iterator[tuple[str, Figure]]:
  """Yields sizes.png, of regions, and worst.png: the worst examples beside the truth, worst first.

  Args:
    rows: as for `worst`, a row for each example of the table.
    table: of examples.
  """
  count = len(table.classes)
  told = {"error": "size_error", "r2": "size_r2"}
  each = [{k: one[key] for k, key in told.items()} for one in sizes.summarise(rows, count)]
  yield "sizes.png", pairs(*sizes.sizes(rows, count), table.classes, each)
  kind, lines = inputs.kind(inputs.of_columns(table.columns)), {}
  examples = table.columns[kind.COLUMNS[0]]
  for n, score in worst(rows, len(table.classes)):
    name = Path(str(table.names[n])).name if table.names is not None else f"example {n}"
    maps = [np.asarray(rows[key][n]) for key in ("truth", "segments")]
    one, maps = kind.flat(examples[np.asarray([n])][0], maps, rows["spacing"][n])
    lines[f"{name}\nDice {score:.3f}\n({n})"] = (one, *maps)
  if lines:
    yield "worst.png", class_maps.beside(lines, table.classes)


def written(
  answer: Mapping[str, Any], example: np.ndarray, file: str, folder: Path, number: int, kind: Any
) -> dict[str, Any]:
  """Writes an answer's class map, and returns the answer without it.

  Of an image it is a PNG with a palette, of a volume a NIfTI file. In the map's place stand `mask`,
  the file's path below `folder`, and `size`, of its axes.
  """
  segments = answer["segments"]
  path = folder / "predictions" / "masks" / f"{number:04}_{stem_of(Path(file))}"
  path.parent.mkdir(parents=True, exist_ok=True)
  if hasattr(kind, "save"):
    path = kind.save(segments, example, path)
  else:
    path = path.with_name(f"{path.name}.png")
    class_maps.save(segments, path)
  rest = {key: value for key, value in answer.items() if key != "segments"}
  return {"file": file, "mask": str(path.relative_to(folder)), "size": [*segments.shape], **rest}


def drawn(
  segments: np.ndarray,
  example: np.ndarray,
  classes: Sequence[str],
  path: Path,
  side: int,
  kind: Any,
) -> np.ndarray:
  """Draws a class map over its example, as a PNG at `path`.

  Returns: the picture, scaled down so that no side is longer than `side`.
  """
  shown, (seen,) = kind.flat(example, [segments])
  picture = class_maps.overlay(shown, seen, classes)
  save_pixels(class_maps.with_legend(picture, segments, classes), path)
  return image.thumbnail(picture, side)


def as_text(answer: Mapping[str, Any]) -> tuple[dict[str, str], str]:
  """Returns a row for a table, and a caption: the part of the pixels that each class has."""
  total = sum(answer["pixels"].values())
  shown = {name: f"{count / total:.1%}" for name, count in answer["pixels"].items()}
  largest = sorted(answer["pixels"], key=lambda name: -answer["pixels"][name])[:3]
  return shown, ", ".join(f"{name} {shown[name]}" for name in largest)
