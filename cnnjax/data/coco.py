"""COCO's JSON files: images, categories, and annotations with boxes, masks and crowds."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data.boxes import Box, Example, tables
from cnnjax.data.split import SPLITS
from cnnjax.data.table import Table
from cnnjax.errors import UserError
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
    annotations: the JSON file of each split (train, val, test), in which `{split}` is replaced.
    images: the folder of each split's images, in which `{split}` is replaced too.
    classes: names in order; by default train's categories, in the order of their ids.
    places: number of boxes of an image that the table has room for; 0 for as many as needed.
    masks: whether to make the column `instances`, at the size of the table's images.
    test: the part that becomes the test split, where there is none.
    on_error: "raise", or "skip" to leave out, and count, images that cannot be read.
    stream: "" to read all images at the start, "threads" or "processes" to read them batch by
      batch, for sets larger than the memory.

  Raises: UserError for a file that is missing or no COCO JSON, for an annotation whose image or
    category is not in it, and any error of `boxes.tables`.
  """
  folder = Path(root).expanduser()
  if not root or not folder.is_dir():
    raise UserError(f"data.root {root!r} is no folder; expected one with {annotations}")
  splits = {}
  for split, spellings in SPLITS.items():
    for spelt in spellings:
      file = folder / annotations.format(split=spelt)
      if file.is_file():
        names, splits[split] = examples(file, folder / images.format(split=spelt))
        classes = classes or names
  if "train" not in splits:
    raise UserError(f"{folder} has no {annotations.format(split='train')}")
  chosen = dict(
    classes=classes, places=places, test=test, on_error=on_error, stream=stream, masks=masks
  )
  return tables(folder, splits, seed, to=to, flag="crowd", **chosen)


def examples(file: Path, images: Path) -> tuple[list[str], list[Example]]:
  """Returns the categories of a JSON file by their ids, and its images with their boxes.

  Raises: UserError where it is no COCO JSON, or refers to an image or category that is not in it.
  """
  try:
    data = json.loads(file.read_text())
    names = {c["id"]: str(c["name"]) for c in sorted(data["categories"], key=lambda c: c["id"])}
    size = {i["id"]: (i["height"], i["width"]) for i in data["images"]}
    boxes = defaultdict(list)
    for row in data["annotations"]:
      if row["image_id"] not in size or row["category_id"] not in names:
        missing = "image" if row["image_id"] not in size else "category"
        raise UserError(
          f"{file}: annotation {row.get('id')} is of {missing} {row[missing + '_id']}, "
          f"which is not among its {'images' if missing == 'image' else 'categories'}"
        )
      boxes[row["image_id"]].append(_box(row, names))
    found = [
      Example(images / i["file_name"], boxes[i["id"]], size[i["id"]], f"{file}, image {i['id']}")
      for i in data["images"]
    ]
  except UserError:
    raise
  except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
    raise UserError(f"{file} cannot be read as JSON: {error}") from error
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise UserError(
      f"{file} is no COCO JSON of boxes (images, annotations, categories): {error!r}"
    ) from error
  return list(names.values()), found


def _box(row: Mapping[str, Any], names: Mapping[int, str]) -> Box:
  x, y, width, height = map(float, row["bbox"])
  drawn = partial(mask, row["segmentation"]) if row.get("segmentation") else None
  crowd = bool(row.get("iscrowd", 0))
  return Box((x, y, x + width, y + height), names[row["category_id"]], crowd, drawn)


def mask(segmentation: Any, height: int, width: int) -> np.ndarray:
  """Returns the mask bool [H, W] of polygons [[x, y, ...], ...] or of a run-length encoding."""
  from faster_coco_eval import mask as coder

  code = segmentation
  if isinstance(code, list):
    code = coder.merge(coder.frPyObjects(code, height, width))
  elif isinstance(code["counts"], list):
    code = coder.frPyObjects(code, height, width)
  return coder.decode(code).astype(bool)
