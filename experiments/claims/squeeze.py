"""Squeeze-and-excitation helps at small cost (course/004; arXiv:1709.01507)."""

from functools import partial
from pathlib import Path

import cnnjax

from .finding import Finding
from .trainings import accuracies, config_of, gain, spread, trainings

WITHOUT, WITH = "resnet20_cifar", "seresnet20_cifar"
SMALL = 3.0  # percent of additional cost that count as small; course/004 gives no figure


def squeeze(
  *,
  root: str = "",
  epochs: float | None = None,
  fraction: float | None = None,
  seeds: int = 3,
  quick: bool = False,
  out: Path = Path("runs/claims/squeeze"),
) -> list[Finding]:
  """ResNet-20 with and without gates on CIFAR-10: accuracy over seeds, and the cost of the gates.

  Args:
    root: folder of the data, with train and test.
    epochs: of each training.
    fraction: of the training images to train on.
    seeds: number of trainings of each network.
    quick: whether to take generated data instead.
    out: folder for the runs and pictures.
  """
  vary = dict(root=root, epochs=epochs, fraction=fraction, quick=quick)
  config = partial(config_of, "resnet20_cifar10", **vary)
  found = trainings({m: partial(config, model=m) for m in (WITHOUT, WITH)}, seeds=seeds, out=out)
  accuracy = {model: accuracies(runs) for model, runs in found.items()}
  return [
    *(Finding(f"{model}, test accuracy", "", spread(a)) for model, a in accuracy.items()),
    # differences between runs of the same seed, which see the same images in the same order
    Finding("gain by the gates", "above 0", *gain(accuracy[WITH] - accuracy[WITHOUT])),
    *(_cost(what) for what in ("parameters", "multiply_adds")),
  ]


def _cost(what: str) -> Finding:
  before, after = (getattr(cnnjax.summarize(model), what) for model in (WITHOUT, WITH))
  more = 100 * (after / before - 1)
  ours = f"{before:,} to {after:,}: {more:+.2f} %"
  return Finding(f"cost, {what.replace('_', '-')}", "small", ours, more < SMALL)
