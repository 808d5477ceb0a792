"""A contest of our network with the same one of other libraries: checked to agree, then timed."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnjax.engine import log
from cnnjax.errors import UserError

from .detector_peers import SIDES as DETECTORS
from .detector_peers import line_up as heads
from .peers import COMPILED, FOLDED, PEERS, line_up, reason
from .turns import Contestant, as_text, ratio, take_turns, timer

AGREE = (1e-3, 5e-2, 5e-2)  # allowed relative error of the first results: steps amplify rounding


def agree(contestants: dict[str, Contestant]) -> dict[str, float]:
  """Returns the seconds of each first step, without models that PyTorch cannot compile.

  For such a model it prints a line that says why.

  Raises: UserError where the first few losses, or the logits, are not finite, or differ from those
    of the first contestant.
  """
  seconds, want = {}, None
  for name, (step, read) in contestants.items():
    start = time.perf_counter()
    try:
      results = [read(step())]
    except Exception as error:
      if name != COMPILED:
        raise
      print(f"{name} is left out: {reason(error)}")
      continue
    seconds[name] = time.perf_counter() - start
    results += [read(step()) for _ in AGREE[1:]]
    want = results if want is None else want
    if not np.isfinite(results).all():
      raise UserError(f"the first results of {name} are not all finite; nothing was timed")
    for found, right, allowed in zip(results, want, AGREE):
      size = max(np.abs(want[0]).max(), np.abs(right).max())  # a loss may fall to nearly 0
      error = np.abs(found - right).max() / size
      if error > allowed:
        raise UserError(
          f"{name} does not compute what {next(iter(contestants))} does: its results are off by "
          f"{error:.1e} of their size, and {allowed:g} is allowed; nothing was timed"
        )
  return seconds


def compare(
  name: str, peers: Sequence[str], batch_size: int, rounds: int, seconds: float, train: bool = True
) -> dict[str, Any]:
  """Prints and returns the speeds of a model, and the ratios of our speed to that of each peer.

  Raises: UserError where the results of the contestants differ.
  """
  contestants = (heads if name in DETECTORS else line_up)(name, peers, batch_size, train)
  first = agree(contestants)
  timers = {n: timer(contestants[n], batch_size, seconds) for n in first}
  rates = take_turns(timers, rounds)
  medians = {n: float(np.median(r)) for n, r in rates.items()}
  best = {n.split()[0]: n for n in sorted(medians, key=medians.get) if n != "cnnjax"}
  ratios = {n: ratio(rates["cnnjax"], rates[n]) for n in best.values()}
  kind = "training" if train else "inference"
  rows = {
    n: {
      "images/s": f"{medians[n]:,.0f}",
      "cnnjax is, times": as_text(ratios[n]) if n in ratios else "",
      "first step, s": f"{first[n]:.2f}",
    }
    for n in rates
  }
  log.grid(f"{name}, {kind}, batch {batch_size}", rows)
  if missing := [peer for peer in peers if peer in PEERS and peer not in best]:
    print(f"{name} has no counterpart here for {' and '.join(missing)}")
  if FOLDED in peers and not train and FOLDED not in rates:
    print(f"{name} has no batch norm to fold")
  return {
    "model": name,
    "kind": kind,
    "batch": batch_size,
    "images_per_second": medians,
    "first_step_seconds": first,
    "ratios": {peer: {"to": n, **ratios[n]} for peer, n in best.items()},
    "rounds": rates,
  }
