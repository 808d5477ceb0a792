"""Pooling gives tolerance to small shifts (course/000, course/001, course/004)."""

from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from cnnjax.data.image import prepare
from cnnjax.ops.pool import max_pool
from cnnjax.visualise.bands import bands
from cnnjax.visualise.figure import save

from .changed import better, rows, scores
from .finding import Finding
from .trainings import mnist, trainings

NETWORKS = {  # name: (model, arguments); without pooling LeNet-5 has the same parameters
  "mlp": ("mlp", {}),
  "lenet5_unpooled": ("lenet5", {"pool": 1}),
  "lenet5": ("lenet5", {}),
}
PAIRS = (("lenet5", "lenet5_unpooled"), ("lenet5", "mlp"), ("lenet5_unpooled", "mlp"))
SHIFTS = range(7)  # pixels
SMALL = slice(1, 4)  # one to three pixels: two poolings give a stride of four pixels
# The deck shows a row of detector values, but its text has lost the numbers. These are those of
# Goodfellow et al., Deep Learning, figure 9.8, whose caption it repeats; the values at both ends
# are outside that figure.
ROW = (0.0, 0.3, 0.1, 1.0, 0.2, 0.1, 0.0)


def shift(
  *,
  root: str = "",
  epochs: float | None = None,
  fraction: float | None = None,
  seeds: int = 3,
  quick: bool = False,
  out: Path = Path("runs/claims/shift"),
) -> list[Finding]:
  """Networks trained on plain MNIST, tested on digits that are moved by up to six pixels.

  The neocognitron, which the course names here too, is not in the zoo yet.

  Args:
    root: folder of the data, the four IDX files.
    epochs: of each training.
    fraction: of the training images to train on.
    seeds: number of trainings of each network.
    quick: whether to take generated data instead.
    out: folder for the runs and the picture.
  """
  vary = dict(root=root, epochs=epochs, fraction=fraction, quick=quick)
  configs = {
    name: partial(mnist, model, arguments=arguments, **vary)
    for name, (model, arguments) in NETWORKS.items()
  }
  curves = scores(trainings(configs, seeds=seeds, out=out), _shifted)
  lines = bands(curves, SHIFTS, xlabel="shift, pixels", ylabel="test accuracy, %")
  save(lines, out / "shift.png")
  print(f"wrote {out / 'shift.png'}")
  return [
    *_pooled_values(),
    *rows("pixels", SHIFTS, curves),
    *(
      better(f"{first} over {second}, 1 to 3 pixels", curves, first, second, SMALL)
      for first, second in PAIRS
    ),
  ]


def moved(images: np.ndarray, pixels: int) -> np.ndarray:
  """Returns images [N, H, W, C] moved right, left, down, up in turn, with zeros from outside."""
  there, by = np.zeros_like(images), pixels
  height, width = images.shape[1:3]
  there[0::4, :, by:] = images[0::4, :, : width - by]
  there[1::4, :, : width - by] = images[1::4, :, by:]
  there[2::4, by:] = images[2::4, : height - by]
  there[3::4, : height - by] = images[3::4, by:]
  return there


def changed_part(x: np.ndarray, window: int, stride: int) -> float:
  """Returns the part of max-pooled values that change when rows x [N, W] move right by one.

  The window of W - 1 values first leaves out each row's first value, afterwards its last one.
  """
  here, there = jnp.asarray(x[:, 1:, None]), jnp.asarray(x[:, :-1, None])
  same = max_pool(here, window, stride) == max_pool(there, window, stride)
  return 1 - float(same.mean())


def _shifted(test, to):
  """Yields the test split at each shift, moved within the padding, so that nothing is cut off."""
  test = prepare(test, to)
  for pixels in SHIFTS:
    yield test.replace(image=moved(test.columns["image"], pixels))


def _pooled_values():
  """Returns how many pooled values change when the deck's row moves, and when random rows do."""
  drawn, anything = np.asarray([ROW]), np.random.default_rng(0).random((1000, 1025))
  inputs, pooled = changed_part(drawn, 1, 1), changed_part(drawn, 3, 1)
  by_three, by_two = changed_part(anything, 3, 1), changed_part(anything, 2, 2)
  return [
    Finding("the drawn row moves by one: inputs that change", "all", f"{inputs:.0%}", inputs == 1),
    Finding("its pooled values that change", "half", f"{pooled:.0%}", pooled == 0.5),
    Finding("random rows, pooled as drawn (3, stride 1)", "", f"{by_three:.1%}"),
    Finding("random rows, pooled as LeNet's are (2, stride 2)", "", f"{by_two:.1%}"),
  ]
