"""Windows of images: they add up, and give what the whole image gives, away from their seams."""

import tracemalloc
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.engine import tiles
from cnnjax.errors import UserError
from cnnjax.metrics.segmentation import pixels

RNG = np.random.default_rng(0)
REACH = 3  # pixels to each side that the logits of a pixel depend on


class Net(nn.Module):
  """Three convolutions of 3, in two dimensions or three."""

  padding: str = "SAME"
  classes: int = 4

  @nn.compact
  def __call__(self, x, *, train):
    x = x.astype(jnp.float32) / 100
    for width in (5, 5, self.classes):
      x = jnp.sin(nn.Conv(width, (3,) * (x.ndim - 2), padding=self.padding)(x))
    return {"logits": x}


def network(padding, *size):
  """Returns x -> logits, of random variables."""
  net = Net(padding)
  variables = net.init(jax.random.key(0), jnp.zeros((1, *(9,) * len(size), 2)), train=False)
  return jax.jit(lambda x: net.apply(variables, x, train=False)["logits"])


def image_of(*size):
  return RNG.integers(0, 256, (*size, 2), dtype=np.uint8)


def away_from_seams(size, window, overlap):
  """Returns which pixels no window covers that has a seam within reach of them, bool [*size]."""
  each = []
  for s, w in zip(size, window):
    good = np.ones(s, bool)
    for start in tiles.starts(s, w, overlap):
      if start > 0:
        good[start : start + REACH] = False
      if start + w < s:
        good[start + w - REACH : start + w] = False
    each.append(good)
  return np.logical_and.reduce(np.meshgrid(*each, indexing="ij"))


SIZES = [  # size, window, overlap
  ((40, 57), (16, 20), 0.5),
  ((57, 40), (16, 20), 0.25),
  ((33, 16), (16, 16), 0.0),
  ((18, 30, 21), (12, 14, 13), 0.5),
]


@pytest.mark.parametrize("kind", tiles.WEIGHTS)
@pytest.mark.parametrize(("size", "window", "overlap"), SIZES)
def test_as_the_whole_image_away_from_seams(size, window, overlap, kind):
  step, image = network("SAME", *size), image_of(*size)
  found = np.full((*size, 4), np.nan, np.float32)
  for part, logits in tiles.slabs(step, image, window, overlap=overlap, kind=kind, many=4):
    found[part] = logits
  whole, there = np.asarray(step(image[None]))[0], away_from_seams(size, window, overlap)
  assert 0.05 < there.mean() < 0.9
  np.testing.assert_allclose(found[there], whole[there], rtol=1e-4, atol=1e-5)
  assert np.isfinite(found).all()
  assert np.abs(found - whole)[~there].max() > 1e-2  # a seam shows


@pytest.mark.parametrize(("size", "window", "overlap"), SIZES)
def test_a_network_without_padding_has_no_seams(size, window, overlap):
  step, image = network("VALID", *size), image_of(*size)
  wide = np.pad(image, [(REACH, REACH)] * len(size) + [(0, 0)], "reflect")
  whole = np.asarray(step(wide[None]))[0]
  found = np.zeros_like(whole)
  inner = [w - 2 * REACH for w in window]
  for part, logits in tiles.slabs(step, image, window, inner=inner, overlap=overlap):
    found[part] = logits
  np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("size", "window", "overlap"), SIZES)
def test_inside_a_step_as_outside(size, window, overlap, padding):
  step, images = network(padding, *size), np.stack([image_of(*size) for _ in range(2)])
  truth = RNG.integers(0, 4, (2, *size)).astype(np.uint8)
  truth[:, :3] = 255
  apply = lambda x: {"logits": step(x)}  # noqa: E731
  found = jax.jit(partial(tiles.found, apply, window=window, overlap=overlap))(images, truth)
  for image, true, segments, cost in zip(images, truth, found["segments"], found["cost"]):
    logits = np.zeros((*size, 4), np.float32)
    inner = [w - 2 * REACH * (padding == "VALID") for w in window]
    for part, of_part in tiles.slabs(step, image, window, inner=inner, overlap=overlap):
      logits[part] = of_part
    want = pixels(logits[None], true[None])
    assert (np.asarray(segments) == want["segments"][0]).mean() > 0.999
    np.testing.assert_allclose(cost, want["cost"][0], rtol=1e-3, atol=1e-4)
  assert not np.asarray(found["cost"])[:, :3].any()


def test_weights_add_up_and_fall_from_the_centre():
  for size, window, overlap in ((57, 16, 0.5), (16, 16, 0.5), (9, 16, 0.5), (100, 7, 0.9)):
    for kind in tiles.WEIGHTS:
      total = np.zeros(max(size, window))
      places = tiles.starts(size, window, overlap)
      for start, one in zip(places, tiles.weights(size, window, overlap, kind)):
        total[start : start + window] += one
      np.testing.assert_allclose(total, 1, rtol=1e-5)
      assert places[0] == 0 and places[-1] == max(0, size - window)
      assert max(np.diff(places), default=0) <= max(1, window * (1 - overlap))
  inner = tiles.weights(64, 16, 0.5)[3]
  assert inner.argmax() in (7, 8) and inner[0] < 0.01


def test_an_image_smaller_than_its_window_is_mirrored():
  step, image = network("SAME", 16, 16), image_of(10, 13)
  ((part, logits),) = tiles.slabs(step, image, (16, 16))
  wide = np.pad(image, [(0, 6), (0, 3), (0, 0)], "reflect")
  assert part == (slice(0, 10), slice(0, 13))
  np.testing.assert_allclose(logits, step(wide[None])[0, :10, :13], rtol=1e-4, atol=1e-5)


def test_a_map_larger_than_its_logits_may_be_is_written_as_it_comes(tmp_path):
  """The logits of the whole would take 64 MiB; two rows of windows take 4."""
  shape, classes = (2048, 1024), 8
  image = np.lib.format.open_memmap(tmp_path / "image.npy", "w+", np.uint8, (*shape, 1))
  image[:] = (np.arange(shape[0]) // 256)[:, None, None]
  out = np.lib.format.open_memmap(tmp_path / "map.npy", "w+", np.uint8, shape)

  @jax.jit
  def step(x):
    return -jnp.abs(x.astype(jnp.float32) - jnp.arange(classes))

  tiles.class_map(step, image[:64], (64, 64))  # compiled
  tracemalloc.start()
  tiles.class_map(step, image, (64, 64), out)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  np.testing.assert_array_equal(out, image[..., 0])
  assert peak < 12 << 20


def test_what_can_be_wrong():
  with pytest.raises(UserError, match="overlap by a part from 0 to below 1; found 1"):
    tiles.starts(10, 5, 1)
  with pytest.raises(UserError, match="unknown weights of windows 'gauss'; did you mean gaussian"):
    tiles.weights(10, 5, 0.5, "gauss")
