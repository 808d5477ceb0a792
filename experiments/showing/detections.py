"""What `evaluate` and `predict` share for detectors: the flag --least, and pictures with boxes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

import cnnjax
from cnnjax.data import image
from cnnjax.errors import UserError
from cnnjax.metrics.coco_results import pack, unpack
from cnnjax.visualise import boxes
from cnnjax.visualise.figure import save_pixels

from .coco_ids import Ids, of_file, of_run

LEAST = 0.5


def define_flags() -> None:
  """Defines the flag --least, the smallest score of boxes that are shown."""
  flags.DEFINE_float(
    "least", None, f"of a detector: score below which a box is not seen; by default {LEAST}"
  )


def least(run: cnnjax.Run, value: float | None) -> float:
  """Returns the value of --least. Raises: UserError for no score, or a run without a detector."""
  task = run.config.task.name
  if value is not None and task != "detection":
    raise UserError(f"--least is a score of boxes, but {run.folder} is a run of the task {task}")
  if value is not None and not 0 <= value <= 1:
    raise UserError(f"--least must be a score from 0 to 1; found {value}")
  return LEAST if value is None else value


def packed(answer: dict[str, Any], pixels: np.ndarray) -> dict[str, Any]:
  """Returns an answer with the size of its image [H, W, ..], and with masks run-length encoded."""
  masks = {"masks": [pack(mask) for mask in answer["masks"]]} if "masks" in answer else {}
  return {"size": list(pixels.shape[:2]), **answer, **masks}


def ids(run: cnnjax.Run, file: str | None, images: Sequence[Path]) -> Ids | None:
  """Returns the ids for answers about images: of the COCO file of --annotations, else of the run's.

  Raises: UserError for a file that lacks one of them, and for one with a run without a detector.
  """
  if run.config.task.name != "detection":
    if file is not None:
      raise UserError(
        f"--annotations is for boxes, but {run.folder} is a run of the task {run.config.task.name}"
      )
    return None
  return of_run(run, images) if file is None else of_file(file, images, run.config.data.classes)


def draw(answers: Sequence[dict[str, Any]], folder: Path, side: int) -> list[np.ndarray]:
  """Draws `packed` answers on their files' images, and writes these as PNGs by number and name.

  Returns: the pictures, scaled down so that no side is longer than `side`.
  """
  folder.mkdir(exist_ok=True)
  small = []
  for number, answer in enumerate(answers, 1):
    texts = [f"{name} {score:.2f}" for name, score in zip(answer["classes"], answer["scores"])]
    masks = [unpack(mask) for mask in answer.get("masks", ())]
    colours = [boxes.colour(label) for label in answer["labels"]]
    path = Path(answer["file"])
    pixels = boxes.draw(image.read(path), answer["boxes"], colours, texts, masks)
    save_pixels(pixels, folder / f"{number:04}_{path.stem}.png")
    small.append(image.thumbnail(pixels, side))
  return small
