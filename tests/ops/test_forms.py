"""The CPU's own forms equal XLA's convolution and pooling, forward and all gradients."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax

from cnnjax.engine.compiler import jit
from cnnjax.errors import UserError
from cnnjax.ops.conv import FORMS, choose, conv, each, pads
from cnnjax.ops.cpu import onednn, strided_gradient
from cnnjax.ops.cpu.onednn import use_onednn
from cnnjax.ops.cpu.windows import pad
from cnnjax.ops.dense import dense
from cnnjax.ops.geometry import Geometry
from cnnjax.ops.pool import avg_pool, max_pool

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
  ((2, 5, 6, 18), (3, 2, 1, 36), dict(groups=18, strides=(2, 1))),  # two maps a channel
  ((1, 4, 5, 24), (3, 3, 2, 12), dict(groups=12, padding=1)),
  ((1, 4, 5, 40), (3, 3, 20, 6), dict(groups=2, dilation=2, padding=2)),
  ((1, 2, 5, 2), (2, 2, 1, 2), dict(strides=4, padding=1, groups=2)),
  ((2, 4, 5, 3, 4), (1, 1, 1, 4, 3), dict()),
  ((2, 5, 4, 6, 3), (3, 2, 3, 3, 4), dict(strides=(2, 1, 2), padding=((0, 2), (1, 1), (0, 1)))),
  ((1, 7, 5, 4, 2), (2, 3, 1, 2, 3), dict(dilation=(3, 2, 1), padding=1)),
  ((1, 3, 4, 4, 4), (2, 3, 3, 2, 6), dict(groups=2)),
  ((2, 5, 3, 4), (5, 3, 4, 6), dict(strides=2)),  # a window that is the whole image
  ((2, 7, 8, 3), (3, 5, 3, 4), dict(padding=((0, 2), (1, 3)))),
  ((2, 7, 9, 2), (2, 3, 2, 4), dict(form="columns")),
  ((2, 1, 2, 3), (3, 3, 3, 4), dict(padding=1)),  # taps that read only padding
  ((2, 2, 2, 3), (3, 5, 3, 4), dict(padding=4, strides=3, dilation=2)),
  ((2, 7, 6, 3), (3, 3, 3, 5), dict(padding=1, form="winograd")),
  ((1, 5, 4, 2), (3, 3, 2, 3), dict(padding=((0, 2), (3, 0)), form="winograd")),
  ((1, 4, 3, 256), (3, 3, 256, 256), dict(padding=1, form="winograd")),  # kernel gradient too
  ((2, 7, 5, 9), (2, 2, 9, 4), dict(strides=2)),  # windows side by side
  ((1, 4, 6, 5, 2), (2, 2, 2, 2, 3), dict(strides=2)),
  ((2, 7, 9, 12), (3, 4, 12, 3), dict(padding=((0, 2), (3, 1)))),  # fewer features than channels
]
needs_onednn = pytest.mark.skipif(bool(onednn.lacking()), reason=onednn.lacking())


def random(*shape):
  return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def all_of(function, *arguments):
  """Returns the value and the gradients for a fixed gradient of the value, as one program."""
  return jax.jit(partial(one_by_one, function))(*arguments)


def one_by_one(function, *arguments):
  """Returns what `all_of` does, each operation a program of its own.

  oneDNN's are: XLA hung once in a program of several small ones (jaxlib 0.10.2, busy machine).
  """
  value, back = jax.vjp(function, *arguments)
  gradient = jnp.sin(jnp.arange(value.size, dtype=value.dtype)).reshape(value.shape)
  return value, *back(gradient)


@pytest.mark.parametrize("x, kernel, options", CONVOLUTIONS)
def test_a_convolution_and_its_gradients(x, kernel, options):
  x, kernel = random(*x), random(*kernel)
  ours = all_of(lambda x, k: conv(x, k, **options), x, kernel)
  xlas = all_of(lambda x, k: conv(x, k, **{**options, "form": "plain"}), x, kernel)
  for found, want in zip(ours, xlas, strict=True):
    np.testing.assert_allclose(found, want, atol=3e-6 * np.abs(want).max())


@pytest.mark.parametrize("padding", [((3, 1), (2, 2)), ((2, 2), (4, 0)), ((-2, 1), (0, 0))])
@pytest.mark.parametrize("form", ["auto", "direct"])
def test_padding_beyond_the_window_and_negative_padding(form, padding):
  """XLA's own then reads memory beyond x, or beyond the gradient, instead of zeros."""
  x, kernel = random(2, 9, 9, 4), random(3, 3, 4, 4)
  around = [(0, 0, 0), *((*pair, 0) for pair in padding), (0, 0, 0)]

  def plain(x, kernel):
    return conv(lax.pad(x, np.float32(0), around), kernel, form="plain")

  ours = all_of(partial(conv, padding=padding, form=form), x, kernel)
  for one, other in zip(ours, all_of(plain, x, kernel), strict=True):
    np.testing.assert_allclose(one, other, atol=3e-6 * np.abs(other).max())


@pytest.mark.parametrize(
  "x, kernel, options",
  [
    ((1, 6, 3, 2), (2, 4, 2, 2), dict(strides=(2, 3), padding=((1, 1), (3, 1)), dilation=(1, 2))),
    ((1, 10, 5, 2), (2, 4, 2, 1), dict(strides=2, padding=((1, 1), (3, 1)))),
    ((2, 5, 5, 3), (4, 2, 1, 3), dict(strides=2, padding=((3, 1), (3, 2)), groups=3)),
  ],
)
def test_windows_of_two_with_stride_two_and_padding_on_both_sides(x, kernel, options):
  """XLA's own input gradient then ends the process."""
  x, kernel = random(*x), random(*kernel)
  ours = all_of(partial(conv, form="direct", **options), x, kernel)
  for one, other in zip(ours, all_of(partial(padded, **options), x, kernel), strict=True):
    np.testing.assert_allclose(one, other, atol=3e-6 * np.abs(other).max())


@pytest.mark.parametrize("x, kernel", [((3, 5), (5, 4)), ((2, 3, 2, 6), (6, 1)), ((1, 1), (1, 7))])
def test_a_product_and_its_gradients(x, kernel):
  with jax.enable_x64(True):
    x, kernel = (jnp.asarray(random(*shape), jnp.float64) for shape in (x, kernel))
    ours, plain = all_of(dense, x, kernel), all_of(jnp.matmul, x, kernel)
  for found, want in zip(ours, plain, strict=True):
    np.testing.assert_allclose(found, want, atol=1e-12)


def test_which_form_is_chosen():
  unit = Geometry((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
  volume = Geometry((1, 1, 1), ((0, 0), (0, 0), (0, 0)), (1, 1, 1), 1)
  eight, stride_2 = unit._replace(groups=8), unit._replace(strides=(2, 2))
  for x, kernel, geometry, form in (
    ((1, 4, 4, 8), (1, 1, 8, 8), unit, "pointwise"),
    ((1, 4, 4, 8), (1, 1, 8, 8), stride_2, "pointwise"),
    ((1, 5, 5, 9), (3, 3, 9, 9), unit, "direct"),
    ((1, 4, 4, 8), (3, 3, 1, 8), eight, "depthwise"),
    ((1, 14, 14, 128), (3, 3, 128, 128), unit, "winograd"),
    ((1, 14, 14, 128), (3, 3, 128, 128), stride_2, "direct"),
    ((1, 7, 7, 128), (3, 3, 128, 128), unit, "direct"),
    ((1, 5, 5, 16), (5, 5, 16, 20), unit, "pointwise"),  # all of the image
    ((1, 32, 32, 3), (5, 5, 3, 6), unit, "columns"),
    ((1, 2, 9, 16), (3, 3, 16, 16), unit._replace(padding=((1, 1), (1, 1))), "patches"),
    ((1, 32, 32, 3), (5, 5, 3, 6), stride_2, "direct"),
    ((1, 4, 4, 9), (3, 3, 9, 8), unit, "narrow"),
    ((1, 4, 4, 8), (1, 1, 4, 8), unit._replace(groups=2), "grouped"),
    ((1, 4, 4, 8), (3, 3, 1, 16), eight, "grouped"),  # two maps a channel
    ((1, 4, 4, 4, 8), (1, 1, 1, 8, 8), volume, "volume"),
    ((1, 4, 4, 4, 8), (1, 1, 1, 4, 8), volume._replace(groups=2), "direct"),
    ((1, 4, 8), (1, 8, 8), unit, "plain"),
  ):
    assert choose(x, kernel, geometry, jnp.float32) == form
  assert choose((1, 14, 14, 128), (3, 3, 128, 128), unit, jnp.bfloat16) == "direct"


def test_an_unknown_form_or_one_that_does_not_fit_is_a_user_error():
  x, kernel = random(1, 4, 4, 8), random(3, 3, 8, 8)
  with pytest.raises(UserError, match="unknown form of a convolution 'plane'; did you mean plain"):
    conv(x, kernel, form="plane")
  with pytest.raises(
    UserError, match="winograd does not compute a convolution of .* Geometry.strides=.2, 2"
  ):
    conv(x, kernel, strides=2, form="winograd")


def drawn(data):
  """Returns shapes of x and kernel, options and geometry of a convolution with some output."""
  pick = lambda least, most: data.draw(st.integers(least, most))  # noqa: E731
  groups, window = pick(1, 3), (pick(1, 4), pick(1, 4))
  inside = 1 if data.draw(st.booleans()) else pick(1, 3)
  shape = (pick(1, 2), pick(1, 9), pick(1, 9), inside * groups)
  options = dict(
    strides=(pick(1, 3), pick(1, 3)),
    padding=((pick(0, 3), pick(0, 3)), (pick(0, 3), pick(0, 3))),
    dilation=(pick(1, 2), pick(1, 2)),
    groups=groups,
  )
  if data.draw(st.booleans()):  # which winograd needs, and which is seldom drawn
    window, options["strides"], options["dilation"] = (3, 3), (1, 1), (1, 1)
  kernel = (*window, inside, pick(1, 3) * groups)
  sizes = zip(shape[1:3], window, options["padding"], options["dilation"])
  assume(all(n + sum(p) > d * (k - 1) for n, k, p, d in sizes))
  geometry = Geometry(
    each(options["strides"], 2),
    pads(options["padding"], 2),
    *[options[key] for key in ("dilation", "groups")],
  )
  return shape, kernel, options, geometry


def padded(x, kernel, padding, **options):
  """XLA's own convolution of x, padded before it: else it may read beyond x, or crash."""
  return conv(jnp.pad(x, [(0, 0), *padding, (0, 0)]), kernel, form="plain", **options)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_form_equals_xlas_convolution(data):
  """In float64, where only a mistake is as large as 1e-12."""
  shape, kernel, options, geometry = drawn(data)
  with jax.enable_x64(True):
    x, k = (jnp.asarray(random(*s), jnp.float64) for s in (shape, kernel))
    want = all_of(partial(padded, **options), x, k)
    for form in FORMS:
      if form not in ("plain", "onednn") and FORMS[form].fits(shape, kernel, geometry):
        found = all_of(lambda x, k, form=form: conv(x, k, form=form, **options), x, k)
        for one, other in zip(found, want, strict=True):
          np.testing.assert_allclose(one, other, atol=1e-12 * max(1.0, np.abs(other).max()))


def test_phases_of_the_docstrings_example():
  geometry = Geometry((2, 2), ((1, 1), (1, 1)), (1, 1), 1)
  x, kernel, gradient = (1, 5, 5, 1), (3, 3, 1, 1), (1, 3, 3, 1)
  found = strided_gradient._phases(0, x, kernel, geometry, gradient)
  assert found == [(1, (0, 0)), (0, (0, 1))]


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_strided_gradients_equal_xlas(data):
  """In float64, where only a mistake is as large as 1e-12."""
  shape, kernel, options, _ = drawn(data)
  kernel, options = (*kernel[:2], shape[3], kernel[3]), {**options, "groups": 1, "dilation": (1, 1)}
  geometry = Geometry(options["strides"], options["padding"], (1, 1), 1)
  convolve = lambda x, k, g: conv(pad(x, g.padding), k, form="plain")  # noqa: E731

  @jax.jit
  def both(x, k, gradient):
    want = jax.vjp(partial(padded, **options), x, k)[1](gradient)[0]
    return strided_gradient.input_gradient(gradient, k, shape, geometry, convolve), want

  with jax.enable_x64(True):
    x, k = (jnp.asarray(random(*s), jnp.float64) for s in (shape, kernel))
    y = jax.eval_shape(partial(padded, **options), x, k)
    found, want = both(x, k, jnp.asarray(random(*y.shape), jnp.float64))
  np.testing.assert_allclose(found, want, atol=1e-12 * max(1.0, np.abs(want).max()))


@needs_onednn
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_onednn_equals_xlas_convolution(data):
  """In float32, the only type that it computes in."""
  shape, kernel, options, geometry = drawn(data)
  if not onednn.fits(shape, kernel, geometry):  # groups of several channels
    kernel, options["groups"] = (*kernel[:2], shape[3], kernel[3]), 1
  x, k = random(*shape), random(*kernel)
  found = one_by_one(lambda x, k: conv(x, k, form="onednn", **options), x, k)
  want = all_of(partial(padded, **options), x, k)
  for one, other in zip(found, want, strict=True):
    np.testing.assert_allclose(one, other, atol=3e-6 * max(1.0, np.abs(other).max()))


@needs_onednn
@pytest.mark.parametrize(
  "x, kernel, options",
  [
    ((2, 5, 4, 6, 3), (3, 3, 3, 3, 4), dict(padding=1)),
    ((1, 6, 5, 4, 2), (1, 3, 2, 2, 3), dict(padding=((0, 0), (2, 0), (0, 1)))),
    ((2, 5, 6, 7, 1), (3, 3, 3, 1, 4), dict(strides=(1, 2, 2), padding=1)),
    ((1, 7, 5, 4, 2), (2, 3, 1, 2, 3), dict(dilation=(3, 2, 1))),
  ],
)
def test_onednns_convolution_of_volumes(x, kernel, options):
  x, kernel = random(*x), random(*kernel)
  found = one_by_one(partial(conv, form="onednn", **options), x, kernel)
  want = all_of(partial(conv, form="volume", **options), x, kernel)
  for one, other in zip(found, want, strict=True):
    np.testing.assert_allclose(one, other, atol=3e-6 * np.abs(other).max())


@needs_onednn
def test_onednn_is_chosen_where_it_is_enabled_and_faster():
  wanted = {
    "onednn": (
      ((8, 14, 14, 64), (3, 3, 64, 64)),
      ((8, 14, 14, 8), (3, 3, 1, 8)),
      ((8, 14, 14, 64), (1, 1, 64, 64)),
      ((8, 8, 8, 1024), (1, 1, 1024, 1024)),
      ((2, 8, 8, 8, 16), (3, 3, 3, 16, 16)),
    ),
    "volume": (((2, 8, 8, 8, 16), (1, 1, 1, 16, 16)),),
    "pointwise": (((8, 14, 14, 256), (1, 1, 256, 256)), ((1, 14, 14, 64), (1, 1, 64, 64))),
    "winograd": (((8, 14, 14, 128), (3, 3, 128, 128)),),
    "direct": (((1, 14, 14, 64), (3, 3, 64, 64)),),  # too small to copy the kernel for it
  }
  use_onednn()
  try:
    for form, shapes in wanted.items():
      for x, kernel in shapes:
        n = len(x) - 2
        around = ((kernel[0] // 2,) * 2,) * n
        geometry = Geometry((1,) * n, around, (1,) * n, x[-1] // kernel[-2])
        assert choose(x, kernel, geometry, jnp.float32) == form
        assert choose(x, kernel, geometry, jnp.bfloat16) != "onednn"
  finally:
    use_onednn(False)
  geometry = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
  assert choose((8, 14, 14, 64), (3, 3, 64, 64), geometry, jnp.float32) == "direct"


@needs_onednn
def test_onednn_under_vmap_over_images_and_over_kernels():
  x, kernels = random(3, 2, 6, 5, 4), (random(3, 3, 3, 4, 5), random(3, 1, 1, 4, 5))
  mapped = (0, None), (None, 0), (0, 0)
  for kernel, axes in product(kernels, mapped):
    k = kernel if axes[1] == 0 else kernel[0]
    padding = kernel.shape[1] // 2
    ours, plain = (partial(conv, padding=padding, form=form) for form in ("onednn", "plain"))
    images = x if axes[0] == 0 else x[0]
    found, want = (one_by_one(jax.vmap(one, axes), images, k) for one in (ours, plain))
    for one, other in zip(found, want, strict=True):
      np.testing.assert_allclose(one, other, atol=3e-6 * np.abs(other).max())


@needs_onednn
def test_large_1x1_kernels_are_products_of_onednn_with_both_gradients(monkeypatch):
  monkeypatch.setattr(onednn, "LARGE_KERNEL", 0)
  x, kernels = random(3, 2, 7, 5, 6), random(3, 1, 1, 6, 11)
  for strides in (1, 2):
    ours, plain = (partial(conv, strides=strides, form=form) for form in ("onednn", "plain"))
    gradients = jax.grad(lambda x, k, ours=ours: ours(x, k).sum(), (0, 1))
    assert str(jax.make_jaxpr(gradients)(x[0], kernels[0])).count("__onednn$matmul") >= 3
    for axes in ((0, None), (0, 0)):
      k = kernels[0] if axes[1] is None else kernels
      found, want = (one_by_one(jax.vmap(one, axes), x, k) for one in (ours, plain))
      for one, other in zip(found, want, strict=True):
        np.testing.assert_allclose(one, other, atol=3e-6 * np.abs(other).max())
    found, want = (one_by_one(one, x[0], kernels[0]) for one in (ours, plain))
    for one, other in zip(found, want, strict=True):
      np.testing.assert_allclose(one, other, atol=3e-6 * np.abs(other).max())


@needs_onednn
def test_onednn_can_be_rematerialised():
  x, kernel = random(2, 6, 5, 4), random(3, 3, 4, 5)
  ours, plain = (partial(conv, padding=1, form=form) for form in ("onednn", "plain"))
  found, want = one_by_one(jax.checkpoint(ours), x, kernel), one_by_one(plain, x, kernel)
  for one, other in zip(found, want, strict=True):
    np.testing.assert_allclose(one, other, atol=3e-6 * np.abs(other).max())


def test_where_onednn_cannot_be_called(monkeypatch):
  monkeypatch.setattr(onednn, "VERSIONS", ("0.0.1",))
  with pytest.raises(UserError, match="oneDNN.* jaxlib must be 0.0.1, found 0"):
    use_onednn()
  with pytest.raises(UserError, match="the form onednn does not compute"):
    conv(random(1, 4, 4, 2), random(3, 3, 2, 2), form="onednn")


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_forms_keep_the_dtype(dtype):
  def value_and_gradients(function, *shapes):
    def run(*arguments):
      y, back = jax.vjp(function, *arguments)
      return y, *back(y)

    return jax.eval_shape(run, *(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes))

  with jax.enable_x64(True):
    found = [value_and_gradients(dense, (2, 2), (2, 2))]
    for kernel, groups in (((1, 1, 4, 4), 1), ((3, 3, 1, 4), 4)):
      found.append(
        value_and_gradients(partial(conv, strides=2, groups=groups), (1, 5, 5, 4), kernel)
      )
  assert {a.dtype for a in jax.tree.leaves(found)} == {jnp.dtype(dtype)}


@pytest.mark.parametrize(
  "shape, window, strides, padding",
  [
    ((2, 8, 8, 3), 2, 2, 0),
    ((2, 6, 8, 3), (3, 2), (3, 2), 0),
    ((2, 6, 6, 3), 2, 2, 1),
    ((2, 9, 7, 3), 3, 2, 1),
    ((2, 7, 7, 3), 3, 1, 1),
    ((2, 7, 9, 3), (3, 2), (1, 3), ((0, 1), (1, 0))),
    ((1, 7, 7, 2), 2, 3, 0),  # pixels that no window reads
    ((2, 5, 4, 6, 3), 2, 2, 0),
    ((1, 5, 6, 4, 2), (3, 2, 2), (2, 1, 2), ((1, 1), (0, 1), (1, 0))),
  ],
)
def test_pooling_and_its_gradient(shape, window, strides, padding):
  """With ties, which ReLU makes: the gradient of a maximum goes to the first, as in PyTorch."""
  x = np.maximum(np.round(random(*shape)), 0)

  def xlas(x, initial=-jnp.inf, operation=lax.max):
    two = [each(s, x.ndim - 2) for s in (window, strides)]
    around = pads(padding, x.ndim - 2)
    arguments = (1, *two[0], 1), (1, *two[1], 1), ((0, 0), *around, (0, 0))
    return lax.reduce_window(x, initial, operation, *arguments)

  def means(x):
    return xlas(x, 0.0, lax.add) / np.prod(each(window, x.ndim - 2))

  for pool, plain in ((max_pool, xlas), (avg_pool, means)):
    ours = all_of(lambda x, pool=pool: pool(x, window, strides, padding), x)
    for found, want in zip(ours, all_of(plain, x), strict=True):
      np.testing.assert_allclose(found, want, atol=1e-6)


def test_the_maximum_of_values_that_xla_computes_again():
  """Without LLVM's optimiser XLA rounds them otherwise: no tap then equalled the maximum."""
  x, scale, gradient = random(2, 8, 8, 4), random(4), random(2, 4, 4, 4)

  def loss(x):
    return (max_pool(x * scale + gradient[0, 0, 0], 2) * gradient).sum()

  found = jit(jax.grad(loss))(x)
  want = jax.grad(loss)(x)  # each operation a program of its own
  np.testing.assert_allclose(found, want, atol=1e-6)


def test_max_of_a_window_with_nan_is_nan():
  x = random(1, 4, 4, 1)
  x[0, 1, 1, 0] = np.nan
  value, back = jax.jit(lambda x: jax.vjp(lambda x: max_pool(x, 2), x))(x)
  assert np.isnan(value[0, 0, 0, 0]) and np.isfinite(value[0, 1:, :, 0]).all()
  (gradient,) = jax.jit(back)(jnp.ones_like(value))
  assert gradient[0, 1, 1, 0] == 1 and gradient.sum() == 4  # the window's last pixel
