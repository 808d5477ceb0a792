"""Convolutional networks resist noise better than fully connected ones (course/004)."""

from functools import partial
from pathlib import Path

import numpy as np

from cnnjax.data import catalogue
from cnnjax.data.image import prepare
from cnnjax.visualise.bands import bands
from cnnjax.visualise.figure import save
from cnnjax.visualise.grid import grid

from .changed import better, rows, scores
from .finding import Finding
from .trainings import mnist, trainings

DENSE, CNN = "mlp", "lenet5"


def gaussian(images: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
  """Returns uint8 images with Gaussian noise, clipped to 0..255; sigma is a part of that range."""
  noisy = images + 255 * sigma * rng.standard_normal(images.shape, np.float32)
  return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def salt_and_pepper(images: np.ndarray, part: float, rng: np.random.Generator) -> np.ndarray:
  """Returns uint8 images in which this part of the pixels is black or white, with equal chance."""
  draw = rng.random(images.shape, np.float32)
  return np.where(draw < part / 2, 0, np.where(draw > 1 - part / 2, 255, images)).astype(np.uint8)


NOISES = {  # name: (the noise, its levels, the unit of the levels)
  "gaussian": (gaussian, (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8), "sigma"),
  "salt and pepper": (salt_and_pepper, (0.0, 0.05, 0.1, 0.2, 0.3, 0.4), "part of the pixels"),
}


def noise(
  *,
  root: str = "",
  epochs: float | None = None,
  fraction: float | None = None,
  seeds: int = 3,
  quick: bool = False,
  out: Path = Path("runs/claims/noise"),
) -> list[Finding]:
  """A fully connected network and LeNet-5 trained on clean MNIST, tested on noisy digits.

  Args:
    root: folder of the data, the four IDX files.
    epochs: of each training.
    fraction: of the training images to train on.
    seeds: number of trainings of each network.
    quick: whether to take generated data instead.
    out: folder for the runs and pictures.
  """
  vary = dict(root=root, epochs=epochs, fraction=fraction, quick=quick)
  found = trainings({m: partial(mnist, m, **vary) for m in (DENSE, CNN)}, seeds=seeds, out=out)
  save(_examples(mnist(CNN, 0, **vary)), out / "noise_examples.png")
  findings = []
  for name, (add, levels, what) in NOISES.items():
    curves = scores(found, partial(_noisy, add=add, levels=levels))
    picture = out / f"noise_{name.replace(' ', '_')}.png"
    save(bands(curves, levels, xlabel=f"{name} noise, {what}", ylabel="test accuracy, %"), picture)
    print(f"wrote {picture}")
    findings += [
      *rows(f"{name}, {what}", levels, curves),
      better(f"{CNN} over {DENSE}, {name} noise", curves, CNN, DENSE, slice(1, None)),
    ]
  return findings


def _examples(config):
  """Draws the first test image with noise of each kind and level."""
  image = catalogue.load(config.data, config.seed)["test"].columns["image"][:1]
  return grid(
    {
      f"{name}, {what} {levels[0]:g} to {levels[-1]:g}": [
        add(image, level, np.random.default_rng(0))[0] for level in levels
      ]
      for name, (add, levels, what) in NOISES.items()
    }
  )


def _noisy(test, to, *, add, levels):
  """Yields the test split with noise of each level; the padding around the images has none."""
  for level in levels:
    rng = np.random.default_rng(0)  # all networks get the same noise
    yield prepare(test.replace(image=add(test.columns["image"], level, rng)), to)
