"""Normalisation over the batch, and over neighbouring channels."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.ops.norm import local_response_norm


class BatchNorm(nn.Module):
  """Batch normalisation of x [B, *space, C] over all but the channels (Ioffe and Szegedy 2015).

  As PyTorch has it, where Flax differs: epsilon 1e-5, and the running variance is the unbiased one.
  The statistics are those of the global batch, whatever devices it is spread over.

  Attributes:
    momentum: share of the running statistics that a step keeps.
    epsilon: added to the variance.
    dtype: of the result; statistics are computed in float32 or wider.
  """

  momentum: float = 0.9
  epsilon: float = 1e-5
  dtype: Any = jnp.float32
  scale_init: nn.initializers.Initializer = nn.initializers.ones

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    shape = (x.shape[-1],)
    scale = self.param("scale", self.scale_init, shape)
    bias = self.param("bias", nn.initializers.zeros, shape)
    running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
    running_var = self.variable("batch_stats", "var", jnp.ones, shape)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if train:
      axes, count = tuple(range(x.ndim - 1)), math.prod(x.shape[:-1])
      mean = x.mean(axes)
      var = jnp.square(x - mean).mean(axes)
      keep, take = self.momentum, 1 - self.momentum
      unbiased = var * (count / max(count - 1, 1))
      running_mean.value = keep * running_mean.value + take * mean
      running_var.value = keep * running_var.value + take * unbiased
    else:
      mean, var = running_mean.value, running_var.value
    y = (x - mean) * (jax.lax.rsqrt(var + self.epsilon) * scale) + bias
    return y.astype(self.dtype)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """None, as papers count: for inference it folds into the convolution before it."""
    return 0


class LocalResponseNorm(nn.Module):
  """`ops.norm.local_response_norm` as a layer, with the constants of Krizhevsky et al. 2012."""

  def __call__(self, x: jax.Array) -> jax.Array:
    return local_response_norm(x)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """None, as papers count."""
    return 0
