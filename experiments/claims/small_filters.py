"""Stacks of 3x3 convolutions have the receptive field of a larger window and fewer weights.

The claim is course/004's.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.layers import Conv
from cnnjax.visualise.figure import save
from cnnjax.visualise.sheet import contact_sheet

from .counts import leaves
from .finding import Finding

CHANNELS = 64
PAIRS = ((2, 5), (3, 7))  # (number of 3x3 convolutions, side of the one larger window)


def small_filters(*, out: Path | None = None) -> list[Finding]:
  """The receptive field of one output, and the weights with 64 input and output channels."""
  findings, fields = [], {}
  for number, side in PAIRS:
    stack, single, goal = [3] * number, [side], f"{side}x{side}"
    small, large = field(stack), field(single)
    fields |= {f"{number} of 3x3": small, goal: large}
    seen = "x".join(map(str, extent(small)))
    few, many = weights(stack), weights(single)
    ours = f"{few:,} : {many:,} = {few / many:.2f}"
    findings += [
      Finding(f"{number} of 3x3 see", goal, seen, seen == goal and extent(large) == extent(small)),
      Finding(f"weights, {number} of 3x3 : one {goal}", "fewer", ours, few < many),
    ]
  if out:
    images = [np.uint8(255 * np.sqrt(f / f.max())) for f in fields.values()]
    save(contact_sheet(images, list(fields)), out / "small_filters.png")
    print(f"wrote {out / 'small_filters.png'}")
  return findings


def field(windows: list[int]) -> np.ndarray:
  """Returns d(middle output) / d(image) [15, 15] of convolutions with windows of these sides."""
  layers = [
    Conv(1, side, padding=side // 2, kernel_init=jax.nn.initializers.ones) for side in windows
  ]
  image = jnp.ones((1, 15, 15, 1))
  variables = [layer.init(jax.random.key(0), image) for layer in layers]

  def middle(x):
    for layer, values in zip(layers, variables):
      x = jax.nn.relu(layer.apply(values, x))
    return x[0, 7, 7, 0]

  return np.asarray(jax.grad(middle)(image)[0, ..., 0])


def extent(field: np.ndarray) -> tuple[int, int]:
  """Returns the sides of the rectangle in which a field [H, W] is not zero."""
  return tuple(int(np.ptp(places)) + 1 for places in np.nonzero(field))


def weights(windows: list[int]) -> int:
  """Returns the number of weights of convolutions with windows of these sides and 64 channels."""
  return sum(leaves(Conv(CHANNELS, side), (15, 15, CHANNELS), "kernel") for side in windows)
