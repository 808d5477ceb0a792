"""What `evaluate` and `predict` show of prompts: the flags of them, the worst masks, and files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from matplotlib.figure import Figure

import cnnjax
from cnnjax.data import image
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say
from cnnjax.visualise import class_maps, prompts
from cnnjax.visualise.figure import save_pixels

WORST = 6  # objects that are drawn


def define_flags() -> None:
  """Defines the flags --box and --point."""
  flags.DEFINE_multi_string(
    "box", [], "of a promptable run: x0,y0,x1,y1 around an object, in pixels of the image"
  )
  flags.DEFINE_multi_string(
    "point",
    [],
    "of a promptable run: x,y on the object, or x,y,0 beside it, in the image's pixels",
  )


def of_flags(run: cnnjax.Run, boxes: Sequence[str], points: Sequence[str]) -> dict[str, Any]:
  """Returns the boxes and points of --box and --point, {} for a run of another task.

  Raises: UserError for words that are no numbers, and for prompts of a run that takes none.
  """
  task = run.config.task.name
  if task != "promptable":
    if boxes or points:
      raise UserError(
        f"--box and --point are prompts, but {run.folder} is a run of the task {task}, which takes "
        "none"
      )
    return {}
  found = {
    "boxes": [_numbers("box", "x0,y0,x1,y1", text, (4,)) for text in boxes],
    "points": [_numbers("point", "x,y or x,y,0", text, (2, 3)) for text in points],
  }
  if not boxes and not points:
    say("no --box and no --point: the whole image is the box")
  elif not boxes:
    say("the run has learnt from boxes alone: a mask for points without a box may be anything")
  return found


def _numbers(flag: str, form: str, text: str, lengths: Sequence[int]) -> tuple[float, ...]:
  try:
    found = tuple(map(float, text.split(",")))
  except ValueError:
    found = ()
  if len(found) not in lengths or not np.isfinite(found).all():
    raise UserError(f"--{flag} must be {form}, in pixels of the image; found {text!r}")
  return found


def worst(rows: Mapping[str, np.ndarray], groups: int, most: int = WORST) -> list[int]:
  """Returns the objects of the lowest Dice coefficient, as many of each group, the worst first.

  Args:
    rows: of an evaluation: `dice`, `group` and `mask` [N].
    groups: G.
    most: number of objects.
  """
  order = np.argsort(rows["dice"], kind="stable")
  order = order[np.asarray(rows["mask"])[order] > 0]
  there = [order[rows["group"][order] == group] for group in range(groups)]
  there = [some for some in there if len(some)]
  return [int(n) for some in there for n in some[: max(1, most // len(there))]]


def of_objects(rows: Mapping[str, np.ndarray], table: Table) -> Iterator[tuple[str, Figure]]:
  """Yields worst.png: the worst objects of each group beside the truth, with their boxes.

  Args:
    rows: of an evaluation, a row for each object of the table.
    table: of objects.
  """
  lines = {}
  for n in worst(rows, len(table.classes)):
    name = Path(str(table.names[n])).name if table.names is not None else f"object {n}"
    group, score = table.classes[rows["group"][n]], rows["dice"][n]
    example = table.columns["image"][np.asarray([n])][0]
    maps = (np.asarray(rows[key][n]) for key in ("truth", "segments"))
    lines[f"{group}\n{name}\nDice {score:.3f}\n({n})"] = (example, rows["box"][n], *maps)
  if lines:
    yield "worst.png", prompts.worst(lines)


def written(
  answer: Mapping[str, Any], given: Mapping[str, Any], name: str, folder: Path, number: int
) -> dict[str, Any]:
  """Writes an answer's masks as PNGs of 0 and 1, and returns the answer without them.

  In their place stand `prompts`: of each the mask's file below `folder`, its box, points, `iou` and
  number of `pixels`.
  """
  found, rows = answer["masks"], []
  where = folder / "predictions" / "masks"
  where.mkdir(parents=True, exist_ok=True)
  for n, mask in enumerate(found):
    more = f"_{n + 1}" if len(found) > 1 else ""
    path = where / f"{number:04}_{Path(name).stem}{more}.png"
    class_maps.save(mask.astype(np.uint8), path)
    row = {"mask": str(path.relative_to(folder))}
    row |= {key: answer[key][n] for key in ("iou", "pixels")}
    row |= {"box": list(given["boxes"][n])} if given["boxes"] else {}
    row |= {"points": [list(one) for one in given["points"]]} if given["points"] else {}
    rows.append(row)
  return {"size": [*found.shape[1:]], "prompts": rows}


def drawn(
  answer: Mapping[str, Any], masks: np.ndarray, example: np.ndarray, folder: Path, side: int
) -> np.ndarray:
  """Draws prompts and masks over their image, as a PNG in the folder predictions.

  Returns: the picture, scaled down so that no side is longer than `side`.
  """
  rows = answer["prompts"]
  boxes, texts = ([row[key] for row in rows if "box" in row] for key in ("box", "iou"))
  points = rows[0].get("points", ())
  labels = [int(point[2]) if len(point) == 3 else 1 for point in points]
  texts = [f"IoU {value:.2f}" for value in texts]
  picture = prompts.draw(
    image.to_bytes(example), masks, boxes, [point[:2] for point in points], labels, texts
  )
  name = Path(rows[0]["mask"]).stem.removesuffix("_1" if rows[1:] else "")
  save_pixels(picture, folder / "predictions" / f"{name}.png")
  return image.thumbnail(picture, side)


def as_text(answer: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
  """Returns a row for a table, and a caption: how large the masks are, and what is expected."""
  rows = answer["prompts"]
  total = np.prod(answer["size"])
  each = [f"{row['pixels'] / total:.1%} of the image, IoU {row['iou']:.2f}" for row in rows]
  return {"masks": "; ".join(each)}, each[0] + (f"\nand {len(rows) - 1} more" * (len(rows) > 1))
