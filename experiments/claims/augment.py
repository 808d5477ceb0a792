"""Augmentation helps most where data are few (course/003, course/004)."""

from functools import partial
from pathlib import Path

import numpy as np

from cnnjax.visualise.bands import bands
from cnnjax.visualise.figure import save

from .finding import Finding
from .regularise import AUGMENT, SIZE
from .trainings import accuracies, config_of, gain, trainings

FRACTIONS = (0.05, 0.1, 0.3, 1.0)
KINDS = {"without": {"shift": 0, "flip": False}, "with": AUGMENT}


def augment(
  *,
  root: str = "",
  epochs: float | None = None,
  seeds: int = 1,
  quick: bool = False,
  out: Path = Path("runs/claims/augment"),
) -> list[Finding]:
  """The deck's NetChain on 5, 10, 30 and 100 % of the brain scans, 64x64, with and without changes.

  All trainings take the same number of steps, so that with fewer images each is used more often.

  Args:
    root: folder of the data, with train and test.
    epochs: of the trainings on all data, by default 10; those on fewer data take as many steps.
    seeds: number of trainings of each.
    quick: whether to take generated data instead.
    out: folder for the runs and the picture.
  """
  epochs = 10 if epochs is None else epochs

  def config(kind, fraction, seed):
    made = config_of(
      "tumor_net_brain_tumor",
      seed,
      root=root,
      epochs=epochs / fraction,
      fraction=fraction,
      quick=quick,
    )
    made.data.resize = made.data.resize if quick else SIZE
    with made.unlocked():
      made.augment.update(KINDS[kind])
    return made

  each = {f"{k}_{f:g}": partial(config, k, f) for f in FRACTIONS for k in KINDS}
  found = {name: accuracies(runs) for name, runs in trainings(each, seeds=seeds, out=out).items()}
  curves = {k: np.stack([found[f"{k}_{f:g}"] for f in FRACTIONS], 1) for k in KINDS}
  picture = bands(
    {f"{kind} augmentation": values for kind, values in curves.items()},
    [100 * f for f in FRACTIONS],
    xlabel="training images, %",
    ylabel="test accuracy, %",
  )
  picture.axes[0].set_xscale("log")
  save(picture, out / "augment.png")
  print(f"wrote {out / 'augment.png'}")
  gains = curves["with"] - curves["without"]  # [seeds, fractions]
  few, whole = gains[:, :2].mean(1), gains[:, -1]
  return [
    *(
      Finding(f"{f:.0%} of the images", "", f"{a:.2f} to {b:.2f} %")
      for f, a, b in zip(FRACTIONS, curves["without"].mean(0), curves["with"].mean(0))
    ),
    Finding("gain where data are few (5 and 10 %)", "above 0", *gain(few)),
    Finding("gain on all data", "", gain(whole)[0]),
    Finding("gain where data are few, over that on all", "above 0", *gain(few - whole)),
  ]
