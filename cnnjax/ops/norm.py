"""Normalisation as pure functions."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.ops.cpu.row_sums import row_sums

Range = tuple[float, float]  # of a clipping: (0, inf) is relu, (0, 6) relu6


def batch_norm(
  x: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  residual: jax.Array | None = None,
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
    epsilon: added to the variance.
    within: the range that the sum is then clipped to, (0, inf) for relu; None for none.

  Returns: the result in x's type, and the mean and biased variance [C], through which no gradient
    passes. The gradient is one expression in x, the result and its gradient, which reads and writes
    half as much as the gradients of all operations of the forward pass.
  """
  residual = None if residual is None else residual.astype(x.dtype)
  return _batch_norm(x, scale, bias, residual, epsilon, within)


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
  factor, offset = lax.optimization_barrier((factor, bias - mean * factor))
  y = x.astype(factor.dtype) * factor + offset
  if residual is not None:
    y = y + residual
  return (y if within is None else jnp.clip(y, *within)).astype(x.dtype)


def moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns mean and biased variance [C] of x [B, *space, C] over all axes but the last.

  They are computed in one pass from differences to each image's first pixel, so that a large mean
  costs no precision, and combined over the images as by Chan, Golub and LeVeque (1983).
  """
  x = x.reshape(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1])
  pixels, first = x.shape[1], x[:, :1]
  off = x - first
  sums, squares = _pixel_sums(off, off * off)
  off, means = sums / pixels, first[:, 0] + sums / pixels
  mean = means.mean(0)
  return mean, (squares / pixels - off * off).mean(0) + jnp.square(means - mean).mean(0)


def _pixel_sums(*terms: jax.Array) -> tuple[jax.Array, ...]:
  """Returns the sum over pixels, [B, C], of each of the terms [B, N, C]."""

  def plain(*terms):
    return tuple(term.sum(1) for term in terms)

  return lax.platform_dependent(*terms, cpu=row_sums, default=plain)


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _batch_norm(x, scale, bias, residual, epsilon, within):
  return _forward(x, scale, bias, residual, epsilon, within)[0]


def _forward(x, scale, bias, residual, epsilon, within):
  y, mean, var = _normalised(x, scale, bias, residual, epsilon, within)
  added = None if residual is None else ()
  return (y, mean, var), (x, None if within is None else y, mean, var, scale, added)


@partial(jax.jit, static_argnums=(4, 5))
def _normalised(x, scale, bias, residual, epsilon, within):  # jitted: equal layers traced once
  with jax.named_scope("batch_norm"):
    mean, var = moments(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
    y = apply_norm(x, mean, var, scale, bias, residual, epsilon=epsilon, within=within)
    return lax.optimization_barrier(y), mean, var  # else each reader of y computes it again


def _backward(epsilon, within, kept, gradients):
  *kept, added = kept
  *found, residual_gradient = _gradients(*kept, gradients[0], epsilon, within)
  return *found, None if added is None else residual_gradient


@partial(jax.jit, static_argnums=(6, 7))
def _gradients(x, y, mean, var, scale, gradient, epsilon, within):
  """Returns the gradients of x, scale, bias and residual from that of y."""
  count = math.prod(x.shape[:-1])
  with jax.named_scope("batch_norm"):
    if within is not None:
      low, high = within
      gradient = lax.optimization_barrier(jnp.where((y > low) & (y < high), gradient, 0))

    shape = (x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1])
    rows, row_gradients = x.reshape(shape), gradient.reshape(shape).astype(mean.dtype)
    sums = _pixel_sums(row_gradients, row_gradients * (rows - mean))
    total, along = (s.sum(0) for s in sums)
    inverse = lax.rsqrt(var + epsilon)
    a = scale * inverse
    b = -a * inverse * inverse * along / count
    a, b, c = lax.optimization_barrier((a, b, -a * total / count - b * mean))
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
  return lax.optimization_barrier(found)


def _power(x: jax.Array, exponent: float) -> jax.Array:
  """Returns positive x to a power by exp and log: XLA's own power is not vectorised on the CPU."""
  return jnp.exp(exponent * jnp.log(x))
