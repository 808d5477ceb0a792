"""Normalisation as pure functions."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.ops.cpu import moments as cpu
from cnnjax.ops.cpu.barrier import barrier

Range = tuple[float, float]  # of a clipping: (0, inf) is relu, (0, 6) relu6


def batch_norm(
  x: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  residual: jax.Array | None = None,
  shift: jax.Array | None = None,
  *,
  epsilon: float = 1e-5,
  within: Range | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Normalises x [B, *space, C] over all axes but the last (Ioffe and Szegedy 2015, algorithm 1).

  Args:
    x: of any float type; the statistics are computed in float32 or wider.
    scale: [C].
    bias: [C].
    residual: of x's shape, added to the result.
    shift: [C], near the mean, as the running mean is: `moments`. It changes no result but by
      rounding.
    epsilon: added to the variance.
    within: the range that the sum is then clipped to, (0, inf) for relu; None for none.

  Returns: the result in x's type, and the mean and biased variance [C], through which no gradient
    passes. The gradient is one expression in x, the result and its gradient, which reads and writes
    half as much as the gradients of all operations of the forward pass.
  """
  residual = None if residual is None else residual.astype(x.dtype)
  return _batch_norm(x, scale, bias, residual, shift, epsilon, within)


def apply_norm(
  x: jax.Array,
  mean: jax.Array,
  var: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  residual: jax.Array | None = None,
  *,
  epsilon: float = 1e-5,
  within: Range | None = None,
) -> jax.Array:
  """Returns x [B, *space, C] normalised by statistics [C], plus residual, clipped, in x's type."""
  factor = scale * lax.rsqrt(var + epsilon)
  factor, offset = barrier((factor, bias - mean * factor))
  y = x.astype(factor.dtype) * factor + offset
  if residual is not None:
    y = y + residual
  return (y if within is None else jnp.clip(y, *within)).astype(x.dtype)


def moments(x: jax.Array, shift: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
  """Returns mean and biased variance [C] of x [B, *space, C] over all axes but the last.

  They are computed in one pass: on the CPU as `cpu.moments` says, elsewhere from differences to
  `shift`, as `shifted_moments` does; without one from those to the first pixel.
  """
  shift = x[(0,) * (x.ndim - 1)] if shift is None else shift
  return lax.platform_dependent(x, shift, cpu=lambda x, _: cpu.moments(x), default=shifted_moments)


def shifted_moments(x: jax.Array, shift: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns mean and biased variance [C] of x [B, *space, C], computed from x - shift [C].

  The variance is the mean of squares less the square of the mean: devices that share a batch
  exchange both at once. A mean that is n deviations away from the shift costs it 2 log2(n) of its
  24 bits; a running mean is that far only in the first steps.
  """
  axes = tuple(range(x.ndim - 1))
  off = x - shift.astype(x.dtype)
  mean, square = off.mean(axes), jnp.square(off).mean(axes)
  return shift + mean, jnp.maximum(square - jnp.square(mean), 0)


def gradient_sums(
  gradient: jax.Array, x: jax.Array, mean: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns the sums [C] of gradient and of gradient * (x - mean), both [B, *space, C]."""

  def plain(gradient, x, mean):
    axes, gradient = tuple(range(x.ndim - 1)), gradient.astype(mean.dtype)
    return gradient.sum(axes), (gradient * (x - mean)).sum(axes)

  return lax.platform_dependent(gradient, x, mean, cpu=cpu.gradient_sums, default=plain)


@partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _batch_norm(x, scale, bias, residual, shift, epsilon, within):
  return _forward(x, scale, bias, residual, shift, epsilon, within)[0]


def _forward(x, scale, bias, residual, shift, epsilon, within):
  y, mean, var = _normalised(x, scale, bias, residual, shift, epsilon, within)
  added = None if residual is None else ()
  return (y, mean, var), (x, None if within is None else y, mean, var, scale, bias, added)


@partial(jax.jit, static_argnums=(5, 6))
def _normalised(x, scale, bias, residual, shift, epsilon, within):  # jitted: equal layers once
  with jax.named_scope("batch_norm"):
    mean, var = moments(x.astype(jnp.promote_types(x.dtype, jnp.float32)), shift)
    y = apply_norm(x, mean, var, scale, bias, residual, epsilon=epsilon, within=within)
    return barrier(y), mean, var  # else each reader of y computes it again


def _backward(epsilon, within, kept, gradients):
  *kept, added = kept
  alone = added is None
  *found, residual_gradient = _gradients(*kept, gradients[0], epsilon, within, alone)
  return *found, None if alone else residual_gradient, None  # none for the shift


@partial(jax.jit, static_argnums=(7, 8, 9))
def _gradients(x, y, mean, var, scale, bias, gradient, epsilon, within, alone):
  """Returns the gradients of x, scale, bias and residual from that of y.

  What was clipped shows in y. For an x that was normalised `alone`, without a residual, all but the
  CPU compute y again from x, which they read anyway.
  """
  count = math.prod(x.shape[:-1])
  with jax.named_scope("batch_norm"):
    if within is not None:
      if alone:
        again = lambda x, y, *others: apply_norm(x, *others, epsilon=epsilon)  # noqa: E731
        given = x, y, mean, var, scale, bias
        y = lax.platform_dependent(*given, cpu=lambda x, y, *_: y, default=again)
      low, high = within
      gradient = barrier(jnp.where((y > low) & (y < high), gradient, 0))
    total, along = gradient_sums(gradient, x, mean)
    inverse = lax.rsqrt(var + epsilon)
    a = scale * inverse
    b = -a * inverse * inverse * along / count
    a, b, c = barrier((a, b, -a * total / count - b * mean))
    x_gradient = (a * gradient + (x * b + c)).astype(x.dtype)
  return x_gradient, along * inverse, total, gradient


_batch_norm.defvjp(_forward, _backward)


def local_response_norm(
  x: jax.Array, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
) -> jax.Array:
  """Returns x [..., C] / (k + alpha * sum of squares of `size` neighbouring channels) ** beta.

  Krizhevsky et al. 2012, section 3.3, with its constants; alpha is not divided by `size`.
  """
  return _local_response_norm(x, size, k, alpha, beta)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _local_response_norm(x, size, k, alpha, beta):
  return _lrn_forward(x, size, k, alpha, beta)[0]


def _lrn_forward(x, size, k, alpha, beta):
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  scale = k + alpha * _neighbours(wide * wide, size // 2, (size - 1) // 2)
  return (wide * _power(scale, -beta)).astype(x.dtype), (x, scale)


def _lrn_backward(size, k, alpha, beta, kept, gradient):
  x, scale = kept
  gradient, wide = gradient.astype(scale.dtype), x.astype(scale.dtype)
  power = _power(scale, -beta)
  along = _neighbours(gradient * wide * power / scale, (size - 1) // 2, size // 2)
  return ((gradient * power - 2 * alpha * beta * wide * along).astype(x.dtype),)


_local_response_norm.defvjp(_lrn_forward, _lrn_backward)


def _neighbours(x: jax.Array, before: int, after: int) -> jax.Array:
  """Returns sums over x [..., C] from `before` channels before to `after` channels after each."""
  window, around = (1,) * (x.ndim - 1) + (before + 1 + after,), [(0, 0)] * (x.ndim - 1)
  zero = np.zeros((), x.dtype)[()]
  found = lax.reduce_window(x, zero, lax.add, window, (1,) * x.ndim, [*around, (before, after)])
  return barrier(found)


def _power(x: jax.Array, exponent: float) -> jax.Array:
  """Returns positive x to a power by exp and log: XLA's own power is not vectorised on the CPU."""
  return jnp.exp(exponent * jnp.log(x))
