"""Depthwise-separable convolutions: one window for each map, then 1x1 over all (course/004)."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import cnnjax
from cnnjax.engine.compiler import options
from cnnjax.layers import Conv

from .finding import Finding

SIDE, CHANNELS, BATCH = 56, 128, 8  # of the layer that is timed
OPTIONS = dict(padding=1, use_bias=False)
FULL = (Conv(CHANNELS, 3, **OPTIONS),)
SEPARABLE = (Conv(CHANNELS, 3, groups=CHANNELS, **OPTIONS), Conv(CHANNELS, 1, use_bias=False))


def separable(*, repetitions: int = 20) -> list[Finding]:
  """The cost of MobileNetV1's thirteen layers, counted, and one layer's speed on this machine."""
  mobile, vgg = cnnjax.summarize("mobilenet_v1"), cnnjax.summarize("vgg16")
  cost = {row.layer: row.multiply_adds for row in mobile.rows}
  pairs = [  # a full 3x3 has nine times the multiply-adds of a 1x1 with the same channels
    (9 * n, n + cost[layer.replace("pointwise", "depthwise")])
    for layer, n in cost.items()
    if "/pointwise/conv" in layer
  ]
  each = [full / parts for full, parts in pairs]
  saved = sum(full - parts for full, parts in pairs)
  network = (mobile.multiply_adds + saved) / mobile.multiply_adds
  smaller = vgg.parameters / mobile.parameters
  ours = f"{min(each):.2f} to {max(each):.2f} times"
  return [
    Finding("3x3 layers cost less", "8 to 9 times", ours, {round(n) for n in each} == {8, 9}),
    Finding("MobileNetV1 costs less", "8 to 9 times", f"{network:.2f} times", 8 <= network <= 9),
    Finding("VGG-16 : MobileNetV1, parameters", "32", f"{smaller:.1f}", 31 < smaller < 33),
    *(_timed(train, repetitions) for train in (False, True)),
  ]


def _timed(train: bool, repetitions: int) -> Finding:
  """Returns the ratio of the separable layer's speed to the full one's."""
  calls = [compiled(layers, train) for layers in (FULL, SEPARABLE)]
  rounds = [[seconds(call) for call in calls] for _ in range(repetitions)]  # same noise for both
  (full, parts), kind = 1e3 * np.median(rounds, axis=0), jax.devices()[0].device_kind
  what = f"{SIDE}x{SIDE}x{CHANNELS}, batch {BATCH}, {'gradients' if train else 'forward'}"
  return Finding(what, "", f"{full:.2f} : {parts:.2f} ms = {full / parts:.2f} ({kind})")


def compiled(layers: Sequence[Conv], train: bool) -> Callable[[], Any]:
  """Returns a compiled call that computes the layers, or their gradients, once."""
  x = jnp.ones((BATCH, SIDE, SIDE, CHANNELS))
  variables = [layer.init(jax.random.key(0), x) for layer in layers]

  def forward(variables, x):
    for layer, values in zip(layers, variables):
      x = layer.apply(values, x)
    return x

  def loss(variables, x):
    return jnp.square(forward(variables, x)).mean()

  step = jax.grad(loss, (0, 1)) if train else forward
  program = jax.jit(step, compiler_options=options(jax.default_backend()) or None)
  jax.block_until_ready(program(variables, x))
  return lambda: program(variables, x)


def seconds(call: Callable[[], Any]) -> float:
  """Returns the seconds that a call takes."""
  start = time.perf_counter()
  jax.block_until_ready(call())
  return time.perf_counter() - start
