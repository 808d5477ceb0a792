"""Normalisation over the batch, and over neighbouring channels."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnjax.ops.norm import apply_norm, batch_norm, local_response_norm

RANGES = {None: None, nn.relu: (0.0, math.inf), nn.relu6: (0.0, 6.0)}  # the norm clips to these

EPSILON = 1e-5  # as PyTorch's


class BatchNorm(nn.Module):
  """Batch normalisation of x [B, *space, C] over all axes but the last (Ioffe and Szegedy 2015).

  It follows PyTorch where Flax differs: epsilon 1e-5, and the running variance is unbiased. The
  statistics are those of the global batch, however it is sharded. Training that may not change the
  running statistics (`batch_stats` is not mutable) normalises by them instead.

  Attributes:
    momentum: share of the running statistics that a step keeps.
    epsilon: added to the variance.
    dtype: of the result; statistics are computed in float32 or wider.
    use_scale: whether a scale is learnt beside the bias.
  """

  momentum: float = 0.9
  epsilon: float = EPSILON
  dtype: Any = jnp.float32
  scale_init: nn.initializers.Initializer = nn.initializers.ones
  use_scale: bool = True

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    *,
    train: bool,
    residual: jax.Array | None = None,
    activation: Callable[[jax.Array], jax.Array] | None = None,
  ) -> jax.Array:
    """Returns activation(norm(x) + residual)."""
    shape = (x.shape[-1],)
    scale = self.param("scale", self.scale_init, shape) if self.use_scale else None
    bias = self.param("bias", nn.initializers.zeros, shape)
    scale = jnp.ones_like(bias) if scale is None else scale
    running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
    running_var = self.variable("batch_stats", "var", jnp.ones, shape)
    options = dict(epsilon=self.epsilon, within=RANGES.get(activation))
    if train and self.is_mutable_collection("batch_stats"):
      y, mean, var = batch_norm(x, scale, bias, residual, running_mean.value, **options)
      count = math.prod(x.shape[:-1])
      keep, take = self.momentum, 1 - self.momentum
      unbiased = var * (count / max(count - 1, 1))
      running_mean.value = keep * running_mean.value + take * mean
      running_var.value = keep * running_var.value + take * unbiased
    else:
      y = apply_norm(x, running_mean.value, running_var.value, scale, bias, residual, **options)
    return (y if activation in RANGES else activation(y)).astype(self.dtype)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0, as papers count: for inference it is folded into the convolution before it."""
    return 0


class InstanceNorm(nn.Module):
  """x [B, *space, C] normalised over the space of each example alone (arXiv:1607.08022).

  It has no running statistics, so that evaluation is as training. Attributes as in `BatchNorm`.
  """

  epsilon: float = EPSILON
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    *,
    train: bool = False,
    activation: Callable[[jax.Array], jax.Array] | None = None,
  ) -> jax.Array:
    """Returns activation(norm(x)); `train`, which `BatchNorm` takes too, changes nothing."""
    del train
    scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
    bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])

    def alone(example):
      options = dict(epsilon=self.epsilon, within=RANGES.get(activation))
      return batch_norm(example[None], scale, bias, **options)[0][0]

    y = jax.vmap(alone)(x)
    return (y if activation in RANGES else activation(y)).astype(self.dtype)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0, as for the other norms."""
    return 0


class L2Norm(nn.Module):
  """x [..., C] -> x / its L2 norm, times a learnt `scale` [C] (arXiv:1506.04579)."""

  initial: float
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    scale = self.param("scale", nn.initializers.constant(self.initial), x.shape[-1:])
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    square = jnp.maximum(jnp.sum(wide * wide, -1, keepdims=True), 1e-24)  # as PyTorch's 1e-12
    return (wide * jax.lax.rsqrt(square) * scale).astype(self.dtype)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0, as for the other norms."""
    return 0


class LocalResponseNorm(nn.Module):
  """`ops.norm.local_response_norm` as a layer, with the constants of Krizhevsky et al. 2012."""

  def __call__(self, x: jax.Array) -> jax.Array:
    return local_response_norm(x)

  def multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Returns 0, as papers count."""
    return 0
