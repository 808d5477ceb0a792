"""The memory that a step of a 3-D U-Net's training needs: estimated, and as compiled."""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp

import cnnjax
from cnnjax import tasks
from cnnjax.engine import compiler, state
from cnnjax.engine.step import train_step
from cnnjax.ops.volume import VolumePreprocessing

NORM = "instance"
AGAIN = 2.0  # bytes that a compiled step takes for each byte of its activations: 1.8 to 2.0 seen
WEIGHT = 16  # bytes of a parameter: itself, its gradient, and Adam's two moments


def estimated(
  tile: Sequence[int],
  batch: int,
  widths: Sequence[int],
  pools: Sequence[Sequence[int]],
  channels: int,
  classes: int,
) -> int:
  """Returns about how many bytes a step needs.

  What is kept for the way back is counted by the layers of `unet3d`: a level's two convolutions and
  norms, down and up, and the maps that are joined.
  """
  voxels = batch * tile[0] * tile[1] * tile[2]
  numbers = voxels * (channels + 2 * classes)
  weights = 0
  for n, width in enumerate(widths):
    here, last = voxels / math.prod(map(math.prod, pools[:n])), n == len(widths) - 1
    down = 2 * (width // 2 + width)
    up = 0 if last else widths[n + 1] + (widths[n + 1] + width) + 4 * width
    numbers += here * (down + up)
    before = channels if n == 0 else widths[n - 1]
    weights += 27 * (before * (width // 2) + (width // 2) * width)
    weights += 0 if last else 8 * widths[n + 1] ** 2 + 27 * width * (widths[n + 1] + 2 * width)
  return int(AGAIN * 4 * numbers + WEIGHT * weights)


def compiled(
  tile: Sequence[int],
  batch: int,
  widths: Sequence[int],
  pools: Sequence[Sequence[int]],
  channels: int,
  classes: int,
) -> int:
  """Returns how many bytes a step needs as this machine's compiler has it."""
  import optax

  to = VolumePreprocessing(tile=tuple(tile), channels=channels)
  options = dict(widths=tuple(widths), pools=tuple(pools), norm=NORM, preprocessing=to)
  model = cnnjax.create_model("unet3d", num_classes=classes, **options)
  task, optimizer = tasks.task("segmentation", model=model, dice=1.0), optax.adam(1e-3)

  def fresh(key: jax.Array) -> state.State:
    variables = model.init(key, jnp.zeros((1, *to.shape)), train=False)
    return state.create(variables, optimizer, False)

  bound = dict(model=model, inputs=task.inputs, loss=task.loss, optimizer=optimizer, seed=0)
  step = partial(train_step, transform=lambda key, batch: batch, **bound)
  shapes = {
    "volume": jax.ShapeDtypeStruct((batch, *to.shape), jnp.float32),
    "segments": jax.ShapeDtypeStruct((batch, *tile), jnp.uint8),
    "mask": jax.ShapeDtypeStruct((batch,), jnp.float32),
  }
  lowered = compiler.jit(step, donate_argnums=0).lower(
    jax.eval_shape(fresh, jax.random.key(0)), shapes
  )
  found = lowered.compile().memory_analysis()
  return found.temp_size_in_bytes + found.argument_size_in_bytes
