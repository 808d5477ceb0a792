"""The task of any number of boxes for each image, each with a class: the detector's own loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data.table import Table
from cnnjax.metrics import coco, detection, masks
from cnnjax.tasks.table import column

Batch = dict[str, Any]
Outputs = dict[str, Any]

READ = ("image", "extent", "proposals", "proposed")  # columns that networks always read
TRUTH = ("boxes", "labels", "valid", "instances", "ids")  # read in training, and by losses
SPECIAL = ("difficult", "crowd")  # boxes that need not be found, and are not trained on
MEASURED = ("size", "areas")  # of the user's images, and of the true boxes in their pixels
MASKS = ("instances", "ids")
FIGURES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar_100")


def complete(splits: Mapping[str, Table]) -> dict[str, Any]:
  """Returns nothing. Raises: UserError for data without boxes."""
  column(splits, "boxes", "detection")
  return {}


def inputs(batch: Batch) -> dict[str, jax.Array]:
  """Returns what a detector reads: the image, and proposals and true boxes where there are any."""
  return {key: batch[key] for key in READ if key in batch} | _truth(batch)


def views(batch: Batch) -> list[tuple[float, Batch]]:
  """Returns the batch as its only view: the boxes of several views cannot be averaged."""
  return [(1, batch)]


def loss(
  outputs: Outputs, batch: Batch, counts: Mapping[str, jax.Array] | None = None, *, model: Any
) -> tuple[jax.Array, dict[str, Any]]:
  """Returns the detector's own loss on a batch, and the sums of its parts to log."""
  return model.loss(outputs, {**_truth(batch), "mask": batch["mask"]}, counts)


def metrics(
  outputs: Outputs, batch: Batch, *, model: Any, rows: bool = False
) -> dict[str, dict[str, jax.Array]]:
  """Returns detections and true boxes under `rows`: precision needs those of all examples.

  Both are in pixels of the batch's images, whose (height, width) is `frame` [B, 2]; `size` [B, 2],
  where the batch has it, is that of the user's images. `broken` [B] marks images for which the
  network gave numbers that are not finite.
  """
  del rows  # they are always returned: there are no sums
  found = {f"found_{key}": value for key, value in model.decode(outputs).items()}
  keys = (*TRUTH[:3], *SPECIAL, *MEASURED, *(MASKS if "found_masks" in found else ()))
  truth = {key: batch[key] for key in keys if key in batch}
  count, height, width, _ = batch["image"].shape
  truth["frame"] = jnp.broadcast_to(jnp.asarray([height, width]), (count, 2))
  truth["broken"] = _broken(outputs, count)
  return {"rows": {**found, **truth, "mask": batch["mask"]}}


def summarise(sums: dict[str, Any], *, model: Any) -> dict[str, Any]:
  """Returns VOC's and COCO's figures from the rows of an evaluation.

  `not_finite`, where there are any, counts images for which the network gave numbers that are not
  finite: detections with such numbers are none.
  """
  found, truth = split_rows(sums["rows"])
  names = tuple(map(str, range(model.num_classes)))
  voc = detection.summarise(found, truth, names)
  whole = coco.summarise(*_enlarged(found, truth), names)
  each = [
    {"ap50": v["ap"], "ap50_2007": v["ap_2007"], "ap": c["ap"], **_counts(v)}
    for v, c in zip(voc["per_class"], whole["per_class"])
  ]
  figures = {"map50": voc["map"], "map50_2007": voc["map_2007"]}
  figures |= {key: whole[key] for key in FIGURES}
  if "masks" in found:
    drawn = coco.summarise(*_enlarged(*masks_of(found, truth)), names, masks=True)
    figures |= {f"mask_{key}": drawn[key] for key in FIGURES[:3]}
    for row, of_class in zip(each, drawn["per_class"]):
      row |= {"mask_ap": of_class["ap"], "mask_ap50": of_class["ap50"]}
  undefined = {key: "there is nothing to find" for key, v in figures.items() if v is None}
  lost = detection.present(found) != (found["valid"] > 0)
  broken = int((lost.any(1) | truth.get("broken", False)).sum())
  return {
    "examples": len(truth["labels"]),
    **({"not_finite": broken} if broken else {}),
    **{key: float("nan") if v is None else v for key, v in figures.items()},
    "per_class": each,
    **({"undefined": undefined} if undefined else {}),
  }


def split_rows(rows: dict[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, Any]]:
  """Returns the detections and the true boxes [N, ...] of all examples but the padding."""
  real = np.asarray(rows["mask"]) > 0
  taken = {key: np.asarray(value)[real] for key, value in rows.items() if key != "mask"}
  found = {k.removeprefix("found_"): v for k, v in taken.items() if k.startswith("found_")}
  return found, {k: v for k, v in taken.items() if not k.startswith("found_")}


def masks_of(found: dict[str, Any], truth: dict[str, Any]) -> tuple[dict, dict]:
  """Returns both with `masks`: for each image a list of run-length encodings, one for each box."""
  size = next(truth[key].shape[-2:] for key in MASKS if key in truth)
  pasted, drawn = [], []
  for n, there in enumerate(found["valid"] > 0):
    boxes = np.nan_to_num(found["boxes"][n][there], posinf=0, neginf=0)
    whole = masks.paste(found["masks"][n][there], boxes, size)
    pasted.append([coco.encode(mask) for mask in whole])  # valid detections come first
    drawn.append([coco.encode(mask) for mask in _drawn(truth, n)])
  return {**found, "masks": pasted}, {**truth, "masks": drawn}


def predict(outputs: Outputs, batch: Batch, *, model: Any) -> dict[str, jax.Array]:
  """Returns boxes [B, K, 4], labels, scores and valid [B, K], best first, and masks if any."""
  del batch
  return model.decode(outputs)


def named(answer: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
  """Returns an answer with the class name of each box."""
  return {"classes": [names[label] for label in answer["labels"]], **answer}


def _truth(batch: Batch) -> dict[str, jax.Array]:
  """Returns the boxes to train on: the special ones are marked as not valid."""
  truth = {key: batch[key] for key in TRUTH if key in batch}
  for key in SPECIAL:
    if key in batch and "valid" in truth:
      truth["valid"] = truth["valid"] * (1 - batch[key])
  return truth


def _enlarged(found: dict[str, Any], truth: dict[str, Any]) -> tuple[dict, dict]:
  """Returns both with boxes and areas in pixels of the user's images, where their size is known."""
  if "size" not in truth:
    return found, truth
  scale = truth["size"] / truth["frame"]  # down and across, [N, 2]
  wide, area = np.tile(scale[:, None, ::-1], 2), {"pixel": scale.prod(1)}
  found, truth = ({**c, "boxes": c["boxes"] * wide, **area} for c in (found, truth))
  return found, truth | ({"area": truth["areas"]} if "areas" in truth else {})


def _broken(outputs: Outputs, count: int) -> jax.Array:
  """Returns for which of `count` images an output holds a number that is not finite."""
  of_each = [
    jnp.isfinite(value).reshape(count, -1).all(1)
    for value in jax.tree.leaves(outputs)
    if value.shape[:1] == (count,) and jnp.issubdtype(value.dtype, jnp.floating)
  ]
  return ~jnp.stack(of_each).all(0)


def _counts(row: dict[str, Any]) -> dict[str, int]:
  return {key: row[key] for key in ("boxes", "found", "detections")}


def _drawn(truth: dict[str, Any], image: int) -> Any:
  """Returns the masks [P, H, W] of an image's true boxes."""
  if "instances" in truth:
    return truth["instances"][image]
  return truth["ids"][image] == 1 + np.arange(truth["valid"].shape[1])[:, None, None]
