"""COCO's JSON files: images, categories, and annotations with boxes, masks and crowds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnjax.data.boxes import tables
from cnnjax.data.coco_file import categories, contents, examples, find
from cnnjax.data.names import text
from cnnjax.data.table import Table
from cnnjax.errors import say
from cnnjax.ops.preprocess import Preprocessing


def load(
  root: str,
  seed: int,
  *,
  to: Preprocessing,
  annotations: str = "annotations/instances_{split}2017.json",
  images: str = "{split}2017",
  classes: Sequence[str] = (),
  places: int = 0,
  masks: bool = False,
  test: float = 0.2,
  on_error: str = "raise",
  stream: str = "",
) -> dict[str, Table]:
  """Returns the splits of a COCO folder, as `boxes.tables` does, with the column `crowd`.

  Args:
    root: the folder that holds `annotations` and `images`.
    seed: of the test split, where there is no file of it.
    to: the run's preprocessing.
    annotations: the JSON file of each split (train, val, test), in which `{split}` stands for any
      spelling of a split. Without `{split}` it is the only file.
    images: the folder of each split's images, in which `{split}` stands for the same.
    classes: names in order; by default train's categories, in the order of their ids.
    places: number of boxes of an image that the table has room for; 0 for as many as needed.
    masks: whether to make the column `instances`, at the size of the table's images.
    test: the part that becomes the test split, where there is none.
    on_error: "raise", or "skip" to leave out, and count, images with any fault in them or in
      one of their annotations.
    stream: "" to read all images at the start, "threads" or "processes" to read them batch by
      batch, for sets larger than the memory.

  Polygons of fewer than three points are left out; how many is printed on standard error.

  Raises: UserError for a file that is missing, and any error of `coco_file.examples` and
    `boxes.tables`.
  """
  folder = Path(root).expanduser()
  splits, dropped = {}, 0
  for split, (file, where) in find(root, annotations, images).items():
    names, splits[split], few = examples(file, where, masks, on_error)
    classes, dropped = classes or names, dropped + few
  if dropped:
    text = f"left out {dropped} polygons of fewer than three points in {folder}"
    say(text)
  chosen = dict(
    classes=classes, places=places, test=test, on_error=on_error, stream=stream, masks=masks
  )
  return tables(folder, splits, seed, to=to, flag="crowd", **chosen)


def ids(file: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
  """Returns the ids of a JSON file's categories by their names, and of its images by file name.

  So detections can be written for COCO's own program, which reads them beside that file.

  Raises: UserError where it is no COCO JSON, and for ids and names that are missing or given twice.
  """
  file = Path(file)
  data = contents(file)
  numbers = {name: number for number, name in categories(file, data).items()}
  files = {r["id"]: text(r.get("file_name"), f"{file}: a file_name") for r in data["images"]}
  return numbers, {name: number for number, name in files.items()}
