"""Tests a claim of the course: python -m experiments.claim [NAME].

Without a name it lists the claims. A table shows the deck's figure and ours side by side, and those
that contradict the deck are printed again. --out=DIR is the folder for pictures, and for the run
folders of claims that train; the same command continues an interrupted run. --quick tries a
training on generated data.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from cnnjax.engine import log
from cnnjax.errors import UserError, unknown

from . import launch
from .claims.any_size import any_size
from .claims.augment import augment
from .claims.counts import dense_counts, shared_counts
from .claims.degradation import degradation
from .claims.detectors import detectors
from .claims.finding import show
from .claims.inception_cost import inception_cost
from .claims.noise import noise
from .claims.permuted import permuted
from .claims.regularise import regularise
from .claims.separable import separable
from .claims.shift import shift
from .claims.small_filters import small_filters
from .claims.squeeze import squeeze
from .claims.time import time
from .claims.transfer import transfer
from .claims.tumor import tumor
from .claims.xor import xor

FLAGS = flags.FLAGS
CLAIMS = {  # name: (**options) -> findings
  "dense_counts": dense_counts,
  "shared_counts": shared_counts,
  "small_filters": small_filters,
  "inception_cost": inception_cost,
  "separable": separable,
  "xor": xor,
  "permuted": permuted,
  "shift": shift,
  "noise": noise,
  "tumor": tumor,
  "degradation": degradation,
  "squeeze": squeeze,
  "regularise": regularise,
  "augment": augment,
  "transfer": transfer,
  "any_size": any_size,
  "time": time,
  "detectors": detectors,
}
OPTIONS = ("root", "data", "source", "epochs", "fraction", "seeds", "quick", "out", "repetitions")


def run(name: str, **options: Any) -> None:
  """Tests a claim and prints its findings.

  Raises: UserError for an unknown claim, or an option that this one does not take.
  """
  claim = find(name)
  known = inspect.signature(claim).parameters
  for option in options:
    if option not in known:
      takes = ", ".join(f"--{key}" for key in known) or "none"
      raise UserError(f"claim {name} does not take --{option}; its options: {takes}")
  if options.get("out"):
    options["out"] = Path(options["out"])
    options["out"].mkdir(parents=True, exist_ok=True)
  print(_first_line(claim))
  show(name, claim(**options))


def find(name: str) -> Callable:
  """Returns a claim by its name. Raises: UserError for an unknown name, with the nearest ones."""
  if name not in CLAIMS:
    raise unknown("claim", name, CLAIMS)
  return CLAIMS[name]


def _first_line(claim):
  return inspect.getdoc(claim).splitlines()[0]


def main(argv: list[str]) -> None:
  """Lists the claims, or tests the one that is named."""
  if len(argv) > 2:
    raise UserError(f"name one claim, not {len(argv) - 1}")
  if len(argv) == 2:
    run(argv[1], **{name: FLAGS[name].value for name in OPTIONS if FLAGS[name].present})
  else:
    log.table("claims", {name: _first_line(claim) for name, claim in CLAIMS.items()})


if __name__ == "__main__":
  flags.DEFINE_string("root", None, "folder of the data")
  flags.DEFINE_string("data", None, "which of the data sets that the claim knows")
  flags.DEFINE_string("source", None, "run folder whose weights are taken over")
  flags.DEFINE_float("epochs", None, "of each training; by default its config's", lower_bound=0.0)
  flags.DEFINE_float("fraction", None, "of the training images", lower_bound=0.0, upper_bound=1.0)
  flags.DEFINE_integer("seeds", None, "trainings of each network, seeds 0, 1, ..", lower_bound=1)
  flags.DEFINE_string("out", None, "folder for pictures and runs")
  flags.DEFINE_bool("quick", None, "generated data and small networks, to see that it runs")
  flags.DEFINE_integer("repetitions", None, "of what is timed", lower_bound=1)
  launch.run(main)
