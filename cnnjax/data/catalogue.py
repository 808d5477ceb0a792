"""The table of data sources, and how a config's data are loaded and split."""

import inspect
from typing import Any

from cnnjax.data import (
  arrays,
  boxes_csv,
  clips,
  coco,
  coco_segments,
  correlated_regions,
  digits,
  fake,
  folder,
  idx,
  instances,
  lesions,
  moving_digits,
  open_images,
  prompts,
  proposals,
  scenes,
  segmentation,
  series_folder,
  sheet,
  solids,
  tfds,
  voc,
  volumes,
  yolo,
)
from cnnjax.data.inputs import kind
from cnnjax.data.split import fold, hold_out
from cnnjax.data.table import Table
from cnnjax.errors import UserError, unknown

SOURCES = {  # name: (root, seed, **arguments) -> {"train": Table, "test": Table, ...}
  "boxes_csv": boxes_csv.load,
  "camvid": segmentation.camvid,
  "clips": clips.load,
  "coco": coco.load,
  "coco_segmentation": coco_segments.load,
  "correlated_regions": correlated_regions.load,
  "csv": sheet.load,
  "digits": digits.load,
  "fake": fake.load,
  "folder": folder.load,
  "idx": idx.load,
  "instances": instances.load,
  "lesions": lesions.load,
  "moving_digits": moving_digits.load,
  "npz": arrays.load,
  "open_images": open_images.load,
  "prompts": prompts.load,
  "scenes": scenes.load,
  "segmentation": segmentation.load,
  "series_folder": series_folder.load,
  "solids": solids.load,
  "tfds": tfds.load,
  "voc": voc.load,
  "voc_segmentation": segmentation.voc,
  "white_blood_cells": segmentation.white_blood_cells,
  "volumes": volumes.load,
  "yolo": yolo.load,
}


def load(data: Any, seed: int) -> dict[str, Table]:
  """Returns the splits of a config's `data` section, with the validation split held out of train.

  With `data.folds` the source's train and test are joined, and fold `data.fold` of them is the test
  split. Of train only the part `data.fraction` is kept. Where each example has one class, folds and
  parts have the same shares of the classes. A source with a parameter `to` gets the run's
  preprocessing, to resize images as it reads them; one with `input` gets the kind of input; one
  with `validation`, which has several examples of an image, holds that part of the images out, and
  has no folds. With `data.proposals` the tables also have the columns of `proposals.add`.

  Raises: UserError for an unknown source, folds where there are none, and any error of the source.
  """
  if data.name not in SOURCES:
    raise unknown("data.name", data.name, SOURCES)
  source, arguments = SOURCES[data.name], dict(data.arguments)
  signature = inspect.signature(source)
  offered = {"to": kind(data.input).preprocessing(data), "input": data.input}
  offered["validation"] = data.validation
  given = {name: value for name, value in offered.items() if name in signature.parameters}
  known = [p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
  for argument in arguments if known else ():
    if argument not in known or argument in given:
      what = f"name in data.arguments of {data.name}:"
      raise unknown(what, argument, [name for name in known if name not in given])
  try:
    signature.bind(data.root, seed, **given, **arguments)
  except TypeError as error:
    raise UserError(f"data.arguments of {data.name}: {error}") from error
  if data.folds and "validation" in given:
    raise UserError(f"data.folds would part examples of one image of {data.name}; set it to 0")
  splits = source(data.root, seed, **given, **arguments)
  for name, table in splits.items():
    if not len(table):
      raise UserError(f"the {name} split of {data.name} {data.root} holds no example")
  if data.get("proposals"):  # a key that only images have
    splits = _with_proposals(splits, data, seed)
  if data.folds:
    whole = splits["train"].join(splits["test"])
    splits["train"], splits["test"] = fold(whole, data.folds, data.fold, seed)
  if data.fraction < 1:
    splits["train"], _ = hold_out(splits["train"], 1 - data.fraction, seed)
  if data.validation and "validation" not in splits:
    splits["train"], splits["validation"] = hold_out(splits["train"], data.validation, seed)
  return splits


def _with_proposals(splits: dict[str, Table], data: Any, seed: int) -> dict[str, Table]:
  wanted, found = (
    kind(data.input).preprocessing(data).shape,
    splits["train"].columns["image"].shape[1:],
  )
  if wanted and wanted[:2] != found[:2]:
    raise UserError(
      f"proposals stand in pixels of the images as {data.name} reads them, "
      f"{found[0]}x{found[1]}; set data.resize to that, or to (), and data.crop to ()"
    )
  return proposals.add(splits, seed, **data.proposals)
