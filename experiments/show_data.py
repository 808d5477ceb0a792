"""Draws augmented images of a config: python -m experiments.show_data --config=FILE.

The picture shows a few training images as they are read, after each of the config's augmentations
alone, and after all of them, with their boxes where they have some, in a colour for each class. A
table shows the time that each augmentation takes for a batch, in milliseconds, and that of a mere
copy. --all shows every operation there is, at a usual strength. --out=FILE.png is the picture.
"""

import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from cnnjax import keys
from cnnjax.data import inputs, pipeline
from cnnjax.data.augment import KINDS, STILL
from cnnjax.engine import log
from cnnjax.engine.compiler import jit
from cnnjax.engine.config import resolve
from cnnjax.errors import UserError
from cnnjax.visualise import boxes
from cnnjax.visualise.class_maps import overlay
from cnnjax.visualise.figure import save
from cnnjax.visualise.grid import grid

from . import launch

FLAGS = flags.FLAGS
SHOWN, SIDE = 8, 160  # examples, and pixels of a picture
COLUMNS = ("image", "boxes", "labels", "valid")
USUAL = {  # strengths of --all
  "flip": True,
  "shift": 4,
  "flip_vertical": True,
  "crop": (0.3, 1.0),
  "rotate": 20.0,
  "scale": (0.7, 1.4),
  "shear": 15.0,
  "translate": 0.15,
  "zoom_out": 4.0,
  "ssd_crop": True,
  "rand_augment": (2, 9),
  "brightness": 0.4,
  "contrast": 0.4,
  "saturation": 0.6,
  "hue": 0.2,
  "pca": 0.1,
  "grey": 0.5,
  "blur": 1.5,
  "noise": 0.1,
  "cut_out": 12,
  "mixup": 1.0,
  "cutmix": 1.0,
  "alternate_flip": True,
  "reflect_shift": 4,
}


def shown(
  key: jax.Array, batch: dict, options: dict, repetitions: int
) -> tuple[list[np.ndarray], float]:
  """Returns pictures of some augmented examples, and the milliseconds that the batch takes."""
  kind = inputs.kind(inputs.of_columns(batch))
  run = jit(partial(kind.augment, **options))
  found = jax.block_until_ready(run(key, batch))
  times = []
  for _ in range(repetitions):
    start = time.perf_counter()
    jax.block_until_ready(run(key, batch))
    times.append(time.perf_counter() - start)
  some = {key: np.asarray(value[:SHOWN]) for key, value in found.items()}
  if "image" not in some:
    return [kind.picture(one, SIDE) for one in some[kind.COLUMNS[0]]], 1e3 * float(np.median(times))
  images = list(some["image"])
  if "segments" in some:
    images = [overlay(*one) for one in zip(images, some["segments"])]
  if "boxes" in some:
    images = [_with_boxes(*one) for one in zip(*(some[k] for k in COLUMNS))]
  return images, 1e3 * float(np.median(times))


def _with_boxes(image, corners, labels, valid):
  there = valid > 0
  return boxes.draw(image, corners[there], [boxes.colour(n) for n in labels[there]], side=SIDE)


def show(config: Any, options: dict[str, Any], out: Path, repetitions: int) -> dict[str, float]:
  """Draws the picture, prints the table, and returns the milliseconds of each operation."""
  config, splits = resolve(config)
  table, classes = splits["train"], config.model.num_classes
  size, seed = config.data.batch_size, config.seed
  places = pipeline.train_indices(table, size, seed)
  turned = pipeline.train_mirrored(table, places, size, seed)(0)
  epoch = pipeline.train_epochs(table, size)(0)
  batch = pipeline.gather(table.columns, places(0), turned=turned, epoch=epoch)
  key, rows, cost = jax.random.key(config.seed), {}, {}
  cases = {"as read": {}, **{name: {name: value} for name, value in options.items()}}
  for name, some in {**cases, "all of them": options}.items():
    rows[name], cost[name] = shown(key, batch, {**some, "classes": classes}, repetitions)
  names = table.classes or ()
  titles = [names[label] if names else "" for label in np.asarray(batch.get("label", ()))[:SHOWN]]
  titles += ["  ".join(f"{v:.3g}" for v in row) for row in batch.get("target", ())[:SHOWN]]
  save(grid(rows, titles), out)
  log.table(f"ms a batch of {config.data.batch_size}", {n: f"{ms:.2f}" for n, ms in cost.items()})
  print(f"wrote {out}")
  return cost


def main(argv: list[str]) -> None:
  """Draws the picture."""
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}; show_data takes flags only")
  options = {name: value for name, value in FLAGS.config.augment.items() if value}
  if FLAGS.all:
    without = STILL if FLAGS.config.task.name in ("detection", "segmentation", "promptable") else ()
    known = keys.of(FLAGS.config.task.name, FLAGS.config.data.input)
    options = {n: USUAL[n] for n in KINDS if n not in without and f"augment.{n}" in known}
  out = Path(FLAGS.out)
  out.parent.mkdir(parents=True, exist_ok=True)
  show(FLAGS.config, options, out, FLAGS.repetitions)


if __name__ == "__main__":
  flags.DEFINE_bool("all", False, "every operation there is, at a usual strength")
  flags.DEFINE_string("out", "data.png", "PNG file")
  flags.DEFINE_integer("repetitions", 5, "of what is timed", lower_bound=1)
  launch.run(main, config="configs/classification/lenet5_digits.py")
