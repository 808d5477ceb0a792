"""L2 shrinks weights, L1 makes them zero, and other methods reduce overfitting (course/004)."""

from functools import partial
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

import cnnjax
from cnnjax.engine import log
from cnnjax.engine.config import load_config
from cnnjax.visualise.figure import save

from ..evaluate import score
from .finding import Finding
from .trainings import Trained, config_of, gain, trainings

SIZE = (64, 64)
L1, L2 = ("l1", 0.1, "kernel$"), ("l2", 1.0, "kernel$")
AUGMENT = dict(flip=True, rotate=10.0, scale=(0.95, 1.05), shift=3, brightness=0.1)
STOP = {"train.patience": 5, "train.evaluate_every": 2.0}
METHODS = {  # name: the keys of the config that it changes
  "none": {},
  "L2": {"optim.penalties": (L2,)},
  "L1": {"optim.penalties": (L1,)},
  "elastic net": {"optim.penalties": (L1, L2)},
  "dropout": {"model.arguments": {"dropout": 0.5}},
  "early stopping": STOP,
  "augmentation": {"augment": AUGMENT},
  "all": {
    "optim.penalties": (L1, L2),
    "model.arguments": {"dropout": 0.5},
    "augment": AUGMENT,
    **STOP,
  },
}
CLOSERS = ("dropout", "early stopping", "augmentation", "all")  # methods against overfitting
WEIGHTS = ("none", "L2", "L1", "elastic net")  # methods whose weights are drawn


def regularise(
  *,
  root: str = "",
  epochs: float | None = None,
  fraction: float = 0.1,
  seeds: int = 1,
  quick: bool = False,
  out: Path = Path("runs/claims/regularise"),
) -> list[Finding]:
  """The deck's NetChain on a tenth of the brain scans, 64x64, with each kind of regularisation.

  Penalties are decoupled from the gradients, as in AdamW; L1's update is the soft threshold.

  Args:
    root: folder of the data, with train and test.
    epochs: of each training; by default 60.
    fraction: of the training images; a tenth of these is the validation split.
    seeds: number of trainings of each kind.
    quick: whether to take generated data instead.
    out: folder for the runs and pictures.
  """

  def config(method, seed):
    made = config_of(
      "tumor_net_brain_tumor", seed, root=root, epochs=60 if epochs is None else epochs, quick=quick
    )
    made.data.fraction, made.optim.decoupled = fraction, True
    made.train.evaluate_every = 0.0
    made.data.resize = made.data.resize if quick else SIZE
    changes = dict(METHODS[method])
    with made.unlocked():
      made.augment.update(changes.pop("augment", {}))
      made.update_from_flattened_dict(changes)
    return made

  found = trainings({name: partial(config, name) for name in METHODS}, seeds=seeds, out=out)
  table = {name: [_figures(run) for run in runs] for name, runs in found.items()}
  means = {n: {k: np.mean([f[k] for f in rows]) for k in rows[0]} for n, rows in table.items()}
  log.grid(f"{fraction:.0%} of the scans, {seeds} seeds", {n: _line(f) for n, f in means.items()})
  save(_bars(means), out / "regularise.png")
  save(_histograms({name: _weights(found[name][0]) for name in WEIGHTS}), out / "weights.png")
  print(f"wrote {out / 'regularise.png'} and {out / 'weights.png'}")
  gaps = {n: np.asarray([f["train"] - f["test"] for f in rows]) for n, rows in table.items()}
  return [
    _about("L2 shrinks the weights", "norm below", means, "norm", "L2", -1),
    _about("L1 makes weights zero", "zeros above", means, "zeros", "L1", 1),
    _about("the elastic net shrinks", "norm below", means, "norm", "elastic net", -1),
    _about("the elastic net makes zeros", "zeros above", means, "zeros", "elastic net", 1),
    *(
      Finding(
        f"{name} closes the gap of train and test", "above 0", *gain(gaps["none"] - gaps[name])
      )
      for name in CLOSERS
    ),
  ]


def _about(what, deck, means, key, name, sign):
  """Returns whether a figure differs from that without regularisation in the deck's direction."""
  before, after = means["none"][key], means[name][key]
  text = f"{after:.4g} (without: {before:.4g})"
  return Finding(what, f"{deck} that of none", text, bool(sign * (after - before) > 0))


def _figures(trained: Trained) -> dict[str, float]:
  """Returns accuracies in percent, the share of zero weights in percent, and the weights' norm."""
  patient = load_config(trained.folder).train.patience
  run = cnnjax.restore(trained.folder, "best" if patient else "latest")
  return {
    "train": 100 * score(run, "train")["accuracy"],
    "test": 100 * trained.figures["accuracy"],
    "zeros": 100 * trained.figures["zero_weights"],
    "norm": float(np.sqrt(np.sum(np.square(_kernels(run))))),
  }


def _weights(trained):
  return _kernels(cnnjax.restore(trained.folder))


def _kernels(run):
  leaves = jax.tree.leaves(run.variables["params"])
  return np.concatenate([np.ravel(w) for w in leaves if w.ndim >= 2])


def _line(figures):
  return {
    "train": f"{figures['train']:.2f} %",
    "test": f"{figures['test']:.2f} %",
    "weights that are zero": f"{figures['zeros']:.2f} %",
    "norm of the weights": f"{figures['norm']:.2f}",
  }


def _bars(means: dict[str, dict[str, float]]) -> Figure:
  figure = Figure(figsize=(9, 4), layout="constrained")
  axes = figure.subplots()
  places = np.arange(len(means))
  for shift, split in ((-0.2, "train"), (0.2, "test")):
    bars = axes.bar(places + shift, [m[split] for m in means.values()], 0.4, label=split)
    axes.bar_label(bars, fmt="%.1f", fontsize=7)
  axes.set_xticks(places, means, fontsize=8)
  axes.set(ylabel="accuracy, %", ylim=(0, 105))
  axes.legend(loc="lower right")
  return figure


def _histograms(weights: dict[str, np.ndarray]) -> Figure:
  """Draws histograms of the weights' magnitudes, with a separate bar for exact zeros."""
  figure = Figure(figsize=(3.2 * len(weights), 3.2), layout="constrained")
  edges = np.linspace(-0.1, 0.1, 61)
  for axes, (name, values) in zip(figure.subplots(1, len(weights), sharey=True), weights.items()):
    axes.hist(values[values != 0], edges)
    axes.bar(0, np.sum(values == 0), edges[1] - edges[0], color="C3")
    axes.set(title=f"{name}: {np.mean(values == 0):.0%} zero", yscale="log", xlabel="weight")
  return figure
