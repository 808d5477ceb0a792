"""Contestants that take turns, so that a machine's noise affects all equally."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np


class Contestant(NamedTuple):
  """What is timed: `step()` starts a training step or an inference, `read` fetches its result."""

  step: Callable[[], Any]
  read: Callable[[Any], np.ndarray] = jax.device_get


def clock(contestant: Contestant, count: int) -> float:
  """Returns the seconds of `count` steps, until the last one is finished."""
  start = time.perf_counter()
  for _ in range(count):
    result = contestant.step()
  contestant.read(result)
  return time.perf_counter() - start


def timer(contestant: Contestant, images: int, seconds: float) -> Callable[[], float]:
  """Returns a function that takes steps for about `seconds`, and returns images per second."""
  count = 1
  while (spent := clock(contestant, count)) < seconds / 4:
    count *= 2
  count = max(1, round(count * seconds / spent))
  return lambda: images * count / clock(contestant, count)


def take_turns(timers: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
  """Returns each timer's result in each round; each round begins with another timer."""
  names, rates = list(timers), {name: [] for name in timers}
  for turn in range(rounds):
    at = turn % len(names)
    for name in names[at:] + names[:at]:
      rates[name].append(timers[name]())
  return rates


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
  """Returns the median of the rounds' ratios, the least and the largest."""
  each = np.divide(ours, theirs)
  return {"median": float(np.median(each)), "min": float(each.min()), "max": float(each.max())}


def as_text(found: dict[str, float]) -> str:
  """Returns a ratio as text: the median, the least and the largest."""
  return f"{found['median']:.2f} ({found['min']:.2f}-{found['max']:.2f})"
