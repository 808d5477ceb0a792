"""Spatial pyramid pooling takes images of any size (course/004; arXiv:1406.4729)."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from flax.errors import ScopeParamShapeError

from cnnjax.data.image import prepare
from cnnjax.visualise.bands import bands
from cnnjax.visualise.figure import save

from .changed import rows, scores
from .finding import Finding
from .trainings import gain, mnist, trainings

SIZES = (32, 48, 64)  # sides of the test images in pixels
SEEN, OTHERS = 48, (0, 2)  # the size in training; indices of the other sizes
PYRAMID = {"pyramid": (1, 2, 4)}


def any_size(
  *,
  root: str = "",
  epochs: float | None = None,
  fraction: float | None = None,
  seeds: int = 3,
  quick: bool = False,
  out: Path = Path("runs/claims/any_size"),
) -> list[Finding]:
  """LeNet-5 with a pyramid before its dense layers, trained on 48x48 and tested at three sizes.

  The same weights are then trained further at the other sizes in turn, and tested again; section
  3.3 of the paper changes the size after each epoch. The plain LeNet-5 takes only one size.

  Args:
    root: folder of MNIST, the four IDX files.
    epochs: of each training.
    fraction: of the training images to train on.
    seeds: trainings of each network.
    quick: whether to take generated data instead.
    out: folder for the runs and the picture.
  """
  vary = dict(epochs=epochs, fraction=fraction, root=root, quick=quick)

  def config(seed, *, size=SEEN, arguments, after=""):
    made = mnist("lenet5", seed, arguments=arguments, **vary)
    made.data.resize, made.data.crop = (size, size), ()
    if after:
      made.init.source = str(out / f"{after}_{seed}")
    return made

  configs = {"plain": partial(config, arguments={}), "spp": partial(config, arguments=PYRAMID)}
  before = "spp"
  for size in (*(SIZES[place] for place in OTHERS), SEEN):
    name = f"spp_then_{size}"
    configs[name] = partial(config, size=size, arguments=PYRAMID, after=before)
    before = name
  found = trainings(configs, seeds=seeds, out=out)
  curves = scores({"one size": found["spp"], "three sizes": found[before]}, _resized)
  picture = bands(curves, SIZES, xlabel="side of the test images, pixels", ylabel="accuracy, %")
  save(picture, out / "any_size.png")
  print(f"wrote {out / 'any_size.png'}")
  shapes = all(np.isfinite(values).all() for values in curves.values())
  others = [values[:, OTHERS].mean(1) for values in curves.values()]
  return [
    Finding("sizes that one net with a pyramid takes", "any", f"{len(SIZES)} of 3", shapes),
    Finding("sizes that the plain one takes", "one", *_of_plain(found["plain"])),
    *rows("pixels", SIZES, curves),
    Finding("gain at the other sizes by training on all", "above 0", *gain(others[1] - others[0])),
  ]


def _resized(test, to, sizes=SIZES):
  """Yields the test split at each size."""
  for size in sizes:
    yield prepare(test, replace(to, resize=(size, size), crop=None))


def _of_plain(runs) -> tuple[str, bool]:
  """Returns how many of the sizes the plain network takes, which flattens its last map."""
  taken = 0
  for size in SIZES:
    try:
      scores({"plain": runs[:1]}, partial(_resized, sizes=(size,)))
      taken += 1
    except ScopeParamShapeError:  # its first dense layer has weights for another size
      continue
  return f"{taken} of {len(SIZES)}", taken == 1
