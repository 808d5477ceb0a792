"""Deeper plain networks train worse, residual ones do not (course/004; arXiv:1512.03385)."""

from functools import partial
from pathlib import Path

from cnnjax.visualise.figure import save
from cnnjax.visualise.overlay import overlay

from .finding import Finding
from .trainings import config_of, error_curve, spread, training_error, trainings

NETWORKS = {  # kind: the shallow and the deep network
  "plain": ("plain20_cifar", "plain56_cifar"),
  "residual": ("resnet20_cifar", "resnet56_cifar"),
}
SHORT = 0.02  # learning rate of trainings with fewer epochs than the paper's


def degradation(
  *,
  root: str = "",
  epochs: float | None = None,
  fraction: float | None = None,
  seeds: int = 1,
  quick: bool = False,
  out: Path = Path("runs/claims/degradation"),
) -> list[Finding]:
  """Training error of plain and residual networks of 20 and 56 layers on CIFAR-10.

  Args:
    root: folder of the data, with train and test.
    epochs: of each training. With fewer than the paper's the learning rate is a fifth of its 0.1,
      at which the deep networks would learn little in most of a short training.
    fraction: of the training images to train on.
    seeds: number of trainings of each network.
    quick: whether to take generated data instead.
    out: folder for the runs and pictures.
  """
  vary = dict(root=root, epochs=epochs, fraction=fraction, quick=quick)

  def config(model, seed):
    made = config_of("resnet20_cifar10", seed, model=model, **vary)
    made.train.log_every = 50  # the points of the curves
    if epochs is not None:
      made.optim.learning_rate = SHORT
    return made

  models = [model for pair in NETWORKS.values() for model in pair]
  found = trainings({m: partial(config, m) for m in models}, seeds=seeds, out=out)
  error = {model: training_error(runs) for model, runs in found.items()}
  findings = [Finding(f"{m}, training error", "", spread(e)) for m, e in error.items()]
  for kind, (shallow, deep) in NETWORKS.items():
    rise = (error[deep] - error[shallow]).mean()
    deck = "worse" if kind == "plain" else "no worse"
    holds = rise > 0 if kind == "plain" else rise <= 0
    findings.append(
      Finding(f"{kind}, deeper against shallower", deck, f"{rise:+.2f} points", bool(holds))
    )
  lines = {model: error_curve(runs[0]) for model, runs in found.items()}
  save(overlay(lines, xlabel="epoch", ylabel="training error, %"), out / "degradation.png")
  print(f"wrote {out / 'degradation.png'}")
  return findings
