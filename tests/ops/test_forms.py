"""The CPU's own forms equal XLA's convolution and pooling, forward and all gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnjax.errors import UserError
from cnnjax.ops.conv import _form, conv
from cnnjax.ops.cpu import depthwise, pointwise
from cnnjax.ops.geometry import Geometry
from cnnjax.ops.pool import max_pool

CONVOLUTIONS = [  # x, kernel, options: odd sizes, every phase of a stride, uneven padding, dilation
  ((2, 7, 8, 5), (1, 1, 5, 7), dict()),
  ((2, 7, 8, 7), (1, 1, 7, 3), dict(strides=2)),
  ((1, 6, 9, 4), (1, 1, 4, 6), dict(strides=(2, 3))),
  ((2, 7, 8, 4), (3, 3, 1, 4), dict(padding=1, groups=4)),
  ((2, 7, 8, 4), (3, 3, 1, 4), dict(padding=1, strides=2, groups=4)),
  ((2, 8, 6, 3), (5, 5, 1, 3), dict(padding=2, strides=3, groups=3)),
  ((2, 9, 8, 4), (3, 2, 1, 4), dict(strides=(2, 1), padding=((0, 1), (2, 1)), groups=4)),
  ((2, 9, 9, 4), (3, 3, 1, 4), dict(dilation=2, padding=2, groups=4)),
  ((2, 9, 10, 4), (3, 3, 1, 4), dict(dilation=(2, 3), strides=2, padding=3, groups=4)),
  ((2, 9, 8, 4), (3, 3, 1, 4), dict(strides=2, padding="SAME", groups=4)),
  ((1, 3, 3, 2), (3, 3, 1, 2), dict(groups=2)),
  ((1, 2, 5, 2), (2, 2, 1, 2), dict(strides=4, padding=1, groups=2)),
]


def random(*shape):
  return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def all_of(function, *arguments):
  """Returns the value and the slopes for a random slope of the value, compiled fast."""

  @jax.jit
  def run(*arguments):
    value, back = jax.vjp(function, *arguments)
    slope = jnp.sin(jnp.arange(value.size, dtype=value.dtype)).reshape(value.shape)
    return value, *back(slope)

  options = {"xla_backend_optimization_level": 0}
  return run.lower(*arguments).compile(compiler_options=options)(*arguments)


@pytest.mark.parametrize("x, kernel, options", CONVOLUTIONS)
def test_a_convolution_and_its_gradients(x, kernel, options):
  x, kernel = random(*x), random(*kernel)
  ours = all_of(lambda x, k: conv(x, k, **options), x, kernel)
  xlas = all_of(lambda x, k: conv(x, k, form="plain", **options), x, kernel)
  for found, want in zip(ours, xlas, strict=True):
    np.testing.assert_allclose(found, want, atol=3e-6 * np.abs(want).max())


def test_which_form_is_taken():
  still = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
  assert _form((1, 4, 4, 8), (1, 1, 8, 8), still) is pointwise
  assert _form((1, 4, 4, 8), (3, 3, 1, 8), still._replace(groups=8)) is depthwise
  for kernel, geometry in (
    ((3, 3, 8, 8), still),
    ((1, 1, 4, 8), still._replace(groups=2)),
    ((3, 3, 1, 16), still._replace(groups=8)),  # two maps a channel
    ((1, 1, 8, 8), still._replace(padding=((-1, 0), (0, 0)))),
  ):
    assert _form((1, 4, 4, 8), kernel, geometry) is None
  with pytest.raises(UserError, match="unknown form of a convolution 'plane'; did you mean plain"):
    conv(random(1, 4, 4, 8), random(1, 1, 8, 8), form="plane")


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_forms_keep_the_dtype(dtype):
  with jax.enable_x64(True):
    for kernel, groups in (((1, 1, 4, 4), 1), ((3, 3, 1, 4), 4)):
      x, k = jnp.asarray(random(1, 5, 5, 4), dtype), jnp.asarray(random(*kernel), dtype)
      y, back = jax.vjp(lambda x, k, groups=groups: conv(x, k, strides=2, groups=groups), x, k)
      assert {a.dtype for a in (y, *back(y))} == {jnp.dtype(dtype)}


@pytest.mark.parametrize(
  "shape, window, strides, padding",
  [
    ((2, 8, 8, 3), 2, 2, 0),
    ((2, 9, 7, 3), 3, 2, 1),
    ((2, 7, 7, 3), 3, 1, 1),
    ((2, 7, 9, 3), (3, 2), (1, 3), ((0, 1), (1, 0))),
    ((1, 7, 7, 2), 2, 3, 0),  # pixels that no window sees
  ],
)
def test_max_pooling_and_its_gradient(shape, window, strides, padding):
  """With ties, which ReLU makes: the slope goes to the first, as in PyTorch."""
  x = np.maximum(np.round(random(*shape)), 0)

  def xlas(x):
    two = [(s, s) if isinstance(s, int) else s for s in (window, strides)]
    around = ((padding,) * 2,) * 2 if isinstance(padding, int) else padding
    arguments = (1, *two[0], 1), (1, *two[1], 1), ((0, 0), *around, (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, *arguments)

  ours = all_of(lambda x: max_pool(x, window, strides, padding), x)
  for found, want in zip(ours, all_of(xlas, x), strict=True):
    np.testing.assert_allclose(found, want, atol=1e-6)


def test_max_pooling_passes_nan_on():
  x = random(1, 4, 4, 1)
  x[0, 1, 1, 0] = np.nan
  value, back = jax.vjp(lambda x: max_pool(x, 2), x)
  assert np.isnan(value[0, 0, 0, 0]) and np.isfinite(value[0, 1:, :, 0]).all()
  (slope,) = back(jnp.ones_like(value))
  assert slope[0, 1, 1, 0] == 1 and slope.sum() == 4
