"""Logistic regression classifies half of XOR correctly, a network nearly all (course/000)."""

from functools import partial
from pathlib import Path

import numpy as np

import cnnjax
from cnnjax.visualise.figure import save
from cnnjax.visualise.surface import Surface, surfaces

from ..evaluate import score
from .finding import Finding
from .trainings import accuracies, config_of, spread, trainings

POINTS, NEW = 200, 2000  # points to train on, and to test on; the deck does not give its numbers
NETWORKS = ("logistic", "mlp")
CLASSES = ("orange", "blue")
HALF = 12.5  # accuracies within so many points of 50 % are nearer to it than to 75 %


def xor(
  *, epochs: float = 200.0, seeds: int = 3, out: Path = Path("runs/claims/xor")
) -> list[Finding]:
  """Logistic regression and a network of two hidden layers, on 200 points and on new points.

  A point is an image of two pixels, its coordinates; its class is whether both lie in the same half
  of their range.

  Args:
    epochs: of each training.
    seeds: number of trainings of each network, each on points of its own.
    out: folder for the points, the runs and the picture.
  """
  configs = {name: partial(_config, name, epochs=epochs, out=out) for name in NETWORKS}
  found = trainings(configs, seeds=seeds, out=out)
  seen = {
    name: np.asarray([100 * score(cnnjax.restore(r.folder), "train")["accuracy"] for r in runs])
    for name, runs in found.items()
  }
  new = {name: accuracies(runs) for name, runs in found.items()}
  save(surfaces(_panels(found, seen, new, out)), out / "xor.png")
  print(f"wrote {out / 'xor.png'}")
  half = bool(abs(seen["logistic"].mean() - 50) < HALF)
  own, fresh = seen["mlp"].mean(), new["mlp"].mean()
  return [
    Finding("logistic, its own points", "53 %", spread(seen["logistic"]), half),
    Finding("logistic, new points", "", spread(new["logistic"])),
    Finding("network, its own points", "99 %", spread(seen["mlp"]), bool(round(own) >= 99)),
    Finding("network, new points", "96 %", spread(new["mlp"]), bool(round(fresh) >= 96)),
  ]


def points(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
  """Returns points as uint8 images [count, 1, 2], and whether both pixels lie in the same half."""
  image = rng.integers(0, 256, (count, 1, 2)).astype(np.uint8)
  high = image[:, 0] >= 128
  return image, (high[:, 0] == high[:, 1]).astype(np.int32)


def _config(name, seed, *, epochs, out):
  file, rng = out / f"points_{seed}.npz", np.random.default_rng(seed)
  out.mkdir(parents=True, exist_ok=True)
  (x_train, y_train), (x_test, y_test) = points(POINTS, rng), points(NEW, rng)
  np.savez(file, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, classes=CLASSES)
  config = config_of("lenet5_digits", seed, model=name, epochs=epochs)
  config.augment.shift = 0
  config.data.name, config.data.root, config.data.resize = "npz", str(file), ()
  config.data.validation, config.train.watch, config.task.label_smoothing = 0.0, "", 0.0
  return config


def _panels(found, seen, new, out):
  """Returns the predictions of the first seed over the whole square, and the points to draw."""
  every = np.stack(np.mgrid[:256:2, :256:2], -1)[..., ::-1].astype(np.uint8)  # [128, 128, (x, y)]
  file = np.load(out / "points_0.npz")
  panels = {}
  for name, runs in found.items():
    answers = cnnjax.restore(runs[0].folder).predict(every.reshape(-1, 1, 2, 1), batch_size=4096)
    blue = np.asarray([a["probabilities"][1] for a in answers]).reshape(every.shape[:2])
    for split, whose, accuracy in (("train", "its own", seen), ("test", "new", new)):
      x, y = (file[f"{letter}_{split}"][:POINTS] for letter in "xy")
      panels[f"{name}, {whose} points: {accuracy[name][0]:.1f} %"] = Surface(blue, x[:, 0], y)
  return panels
