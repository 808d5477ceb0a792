"""Pretrained trunks learn faster and need fewer labels (course/004)."""

from functools import partial
from pathlib import Path

import numpy as np

from cnnjax.errors import UserError, unknown
from cnnjax.visualise.bands import bands
from cnnjax.visualise.figure import save

from ..train import train
from .finding import Finding
from .trainings import Trained, accuracies, config_of, gain, spread, trainings

DATA = {
  "white_blood_cells": "resnet18_white_blood_cells",
  "brain_tumor": "resnet18_brain_tumor",
}
MODEL, SIZE = "resnet20_cifar", (48, 48)
PRETRAIN = (
  "python -m experiments.train --config=configs/classification/resnet20_cifar10.py "
  "--config.data.root=FOLDER --workdir=RUN"
)
STARTS = {  # name: the keys of the config that it changes
  "from scratch": {},
  "fine-tuned": {"init.trunk_only": True},
  "slower trunk": {"init.trunk_only": True, "optim.rates": (("trunk/", 0.1),)},
  "frozen trunk": {
    "init.trunk_only": True,
    "init.frozen_statistics": True,
    "optim.rates": (("trunk/", 0.0), ("head/", 30.0)),  # a head alone learns slowly at 1
  },
}
EARLY = 0.2  # part of the training after which "faster" is measured


def transfer(
  *,
  data: str = "white_blood_cells",
  root: str = "",
  source: str = "",
  epochs: float | None = None,
  fraction: float | None = None,
  seeds: int = 3,
  quick: bool = False,
  out: Path = Path("runs/claims/transfer"),
) -> list[Finding]:
  """ResNet-20 with a trunk pretrained on CIFAR-10, on other images: test accuracy by epoch.

  Args:
    data: "white_blood_cells" or "brain_tumor", the images to learn.
    root: the folder of these images.
    source: run folder of a resnet20_cifar.
    epochs: of each training; by default 20.
    fraction: of the training images.
    seeds: number of trainings of each kind.
    quick: whether to take generated data instead, for the source too.
    out: folder for the runs and the picture.

  Raises: UserError without a source, and for other data.
  """
  if data not in DATA:
    raise unknown("--data of claim transfer", data, DATA)
  if quick and not source:
    source, _ = train(config_of("resnet20_cifar10", 7, quick=True, model=MODEL), out / "source")
  if not source:
    raise UserError(f"claim transfer needs --source=RUN, a run that {PRETRAIN} has made")

  def config(start, seed):
    made = config_of(
      DATA[data],
      seed,
      root=root,
      epochs=20 if epochs is None else epochs,
      fraction=fraction or 1.0,
      quick=quick,
      model=MODEL,
    )
    made.data.channels, made.data.resize = 3, (32, 32) if quick else SIZE
    made.train.watch, made.checkpoint.best = "test", ""  # for the curve only; it chooses nothing
    made.train.evaluate_every = made.train.epochs / 10
    if STARTS[start]:
      made.init.source = str(source)
      made.update_from_flattened_dict(STARTS[start])
    return made

  return _findings(trainings({n: partial(config, n) for n in STARTS}, seeds=seeds, out=out), out)


def _findings(found: dict[str, list[Trained]], out: Path) -> list[Finding]:
  """Draws the curves, and returns the gains of each start early in training and at its end."""
  curves = {name: np.asarray([_curve(run) for run in runs]) for name, runs in found.items()}
  epoch = [row["epoch"] for row in _watched(found["from scratch"][0])]
  save(bands(curves, epoch, xlabel="epoch", ylabel="test accuracy, %"), out / "transfer.png")
  print(f"wrote {out / 'transfer.png'}")
  early = max(0, round(EARLY * len(epoch)) - 1)
  ends = {name: accuracies(runs) for name, runs in found.items()}
  scratch = "from scratch"
  others = [name for name in STARTS if name != scratch]
  return [
    *(Finding(f"{name}, test accuracy", "", spread(end)) for name, end in ends.items()),
    *(
      Finding(
        f"{name}, after {epoch[early]:.0f} epochs, over scratch",
        "above 0",
        *gain(curves[name][:, early] - curves[scratch][:, early]),
      )
      for name in others
    ),
    *(
      Finding(
        f"{name}, at the end, over from scratch", "above 0", *gain(ends[name] - ends[scratch])
      )
      for name in others
    ),
  ]


def _watched(run):
  return [row for row in run.rows[:-1] if row["split"] == "test"]


def _curve(run):
  return [100 * row["accuracy"] for row in _watched(run)]
