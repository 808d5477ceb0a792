"""With permuted pixels a fully connected network is as good, a CNN is worse (course/004)."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data import catalogue
from cnnjax.visualise.figure import save
from cnnjax.visualise.grid import grid

from .finding import Finding
from .trainings import accuracies, gain, mnist, spread, trainings

DENSE, CNN = "mlp", "lenet5"
SHOWN = 8  # digits in the picture
SMALL = 0.5  # points of accuracy that count as no loss; course/004 gives no figure


def permuted(
  *,
  root: str = "",
  epochs: float | None = None,
  fraction: float | None = None,
  seeds: int = 3,
  quick: bool = False,
  out: Path = Path("runs/claims/permuted"),
) -> list[Finding]:
  """A fully connected network and LeNet-5 on MNIST, and on MNIST with all its pixels permuted.

  Args:
    root: folder of the data, the four IDX files.
    epochs: of each training.
    fraction: of the training images to train on.
    seeds: number of trainings of each network, each with a permutation of its own.
    quick: whether to take generated data instead.
    out: folder for the permuted sets, the runs and the picture.
  """
  vary = dict(root=root, epochs=epochs, fraction=fraction, quick=quick)
  plain = {name: partial(mnist, name, **vary) for name in (DENSE, CNN)}
  mixed = {f"{name}_permuted": partial(_permuted, config, out) for name, config in plain.items()}
  found = trainings(plain | mixed, seeds=seeds, out=out)
  save(_picture(plain[DENSE](0)), out / "permuted.png")
  print(f"wrote {out / 'permuted.png'}")
  accuracy = {name: accuracies(runs) for name, runs in found.items()}
  change = {name: accuracy[f"{name}_permuted"] - accuracy[name] for name in plain}
  dense, cnn = (gain(change[name]) for name in (DENSE, CNN))
  return [
    *(Finding(f"{name}, test accuracy", "", spread(a)) for name, a in accuracy.items()),
    Finding(f"{DENSE}, permuted", "no loss", dense[0], bool(change[DENSE].mean() > -SMALL)),
    Finding(f"{CNN}, permuted", "a loss", cnn[0], None if cnn[1] is None else not cnn[1]),
  ]


def permute(images: np.ndarray, seed: int) -> np.ndarray:
  """Returns images [N, H, W, C] with their pixels permuted, in the same way for equal seeds."""
  count, height, width, channels = images.shape
  order = np.random.default_rng(seed).permutation(height * width)
  return images.reshape(count, height * width, channels)[:, order].reshape(images.shape)


def _permuted(make: Any, out: Path, seed: int) -> Any:
  """Returns make(seed) with the same images permuted as its data, after it has written these."""
  config = make(seed)
  arrays = {}
  for split, table in _splits(config).items():
    arrays[f"x_{split}"] = permute(table.columns["image"], seed)
    arrays[f"y_{split}"] = table.columns["label"]
    arrays["classes"] = np.asarray(table.classes)
  file = out / f"permuted_{seed}.npz"
  out.mkdir(parents=True, exist_ok=True)
  np.savez(file, **arrays)
  config.data.name, config.data.root = "npz", str(file)
  return config


def _splits(config):
  """Returns the whole train and test splits: the run itself holds out and leaves out examples."""
  data = config.data.copy_and_resolve_references()
  data.validation, data.fraction = 0.0, 1.0
  return catalogue.load(data, config.seed)


def _picture(config):
  images = _splits(config)["test"].columns["image"][:SHOWN]
  return grid({"as they are": images, "permuted alike": permute(images, config.seed)})
