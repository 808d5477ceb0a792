"""The loss of class maps against loops, what is completed from the data, and windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.data import fake, inputs
from cnnjax.data.table import Table
from cnnjax.data.window import cut
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing
from cnnjax.tasks import complete, segmentation, task

RNG = np.random.default_rng(0)
VOID, CLASSES = 255, 4


def batch_of(*space, examples=3):
  """Returns logits and a batch whose last example is padding, with some void pixels."""
  logits = RNG.normal(size=(examples, *space, CLASSES)).astype(np.float32)
  segments = RNG.integers(0, CLASSES - 1, (examples, *space)).astype(np.uint8)
  segments[RNG.random(segments.shape) < 0.2] = VOID
  mask = np.ones(examples, np.float32)
  mask[-1] = 0
  return logits, {"segments": segments, "mask": mask}


def by_hand(logits, batch, *, weights=None, gamma=0.0):
  """Returns the loss over pixels by a loop, in float64."""
  total = count = 0.0
  for example, segments, real in zip(logits.astype(np.float64), batch["segments"], batch["mask"]):
    for scores, kind in zip(example.reshape(-1, CLASSES), segments.ravel()):
      if real and kind != VOID:
        p = np.exp(scores[kind]) / np.exp(scores).sum()
        weight = 1 if weights is None else weights[kind]
        total -= weight * (1 - p) ** gamma * np.log(p)
        count += weight
  return total / count


def dice_by_hand(logits, batch):
  each = []
  for example, segments, real in zip(logits.astype(np.float64), batch["segments"], batch["mask"]):
    p = np.exp(example) / np.exp(example).sum(-1, keepdims=True)
    for kind in range(CLASSES) if real else ():
      q, t = p[..., kind][segments != VOID], segments[segments != VOID] == kind
      each.append(1 - (2 * (q * t).sum() + 1) / (q.sum() + t.sum() + 1))
  return np.mean(each)


@pytest.mark.parametrize("space", [(5, 7), (3, 4, 5)])
def test_losses_as_loops_say(space):
  logits, batch = batch_of(*space)
  weights = (1.0, 0.5, 3.0, 2.0)
  plain, focal, dice = (
    by_hand(logits, batch),
    by_hand(logits, batch, gamma=2.0),
    dice_by_hand(logits, batch),
  )
  weighted = by_hand(logits, batch, weights=weights)
  some = dict(cross_entropy=0.0)
  for options, want in (
    ({}, plain),
    (dict(class_weights=weights), weighted),
    (dict(some, focal=1.0), focal),
    (dict(some, dice=1.0), dice),
    (dict(cross_entropy=0.5, dice=2.0, class_weights=weights), 0.5 * weighted + 2 * dice),
    (dict(cross_entropy=1.0, focal=0.3, dice=1.0), plain + 0.3 * focal + dice),
  ):
    value, logs = segmentation.loss({"logits": logits}, batch, **options)
    np.testing.assert_allclose(value, want, rtol=1e-5)
    total, count = logs["loss"]
    np.testing.assert_allclose(total / count, want, rtol=1e-5)
    parts = [t / n for name, (t, n) in logs.items() if name.endswith("_loss")]
    assert not parts or sum(parts) == pytest.approx(want, rel=1e-5)
  there = (batch["segments"] != VOID) & (batch["mask"][:, None] > 0).reshape(-1, *[1] * len(space))
  hits = (logits.argmax(-1) == batch["segments"])[there]
  total, count = logs["pixel_accuracy"]
  assert (total, count) == (hits.sum(), hits.size)


def test_auxiliary_heads_and_networks_without_padding():
  logits, batch = batch_of(8, 9)
  other = RNG.normal(size=logits.shape).astype(np.float32)
  value, _ = segmentation.loss(
    {"logits": logits, "aux": {"a": other}}, batch, aux_weight=0.5, dice=1.0
  )
  want = [by_hand(one, batch) + dice_by_hand(one, batch) for one in (logits, other)]
  np.testing.assert_allclose(value, want[0] + 0.5 * want[1], rtol=1e-5)
  inner = {**batch, "segments": batch["segments"][:, 2:6, 1:8]}
  value, _ = segmentation.loss({"logits": logits[:, 2:6, 1:8]}, batch)
  np.testing.assert_allclose(value, by_hand(logits[:, 2:6, 1:8], inner), rtol=1e-5)
  found = segmentation.metrics({"logits": logits[:, 2:6, 1:8]}, batch)
  want = segmentation.metrics({"logits": logits[:, 2:6, 1:8]}, inner)
  np.testing.assert_array_equal(found["confusion"], want["confusion"])


def test_parts_of_a_batch_add_up_to_its_gradient():
  logits, batch = batch_of(4, 4, examples=4)
  options = dict(dice=1.0, class_weights=(1.0, 2.0, 3.0, 4.0))

  def whole(x, batch, counts=None):
    return segmentation.loss({"logits": x}, batch, counts, **options)

  gradient = jax.jit(jax.grad(whole, has_aux=True))
  want, logs = gradient(logits, batch)
  counts = {name: count / 2 for name, (_, count) in logs.items()}
  for part in (slice(0, 2), slice(2, 4)):
    some = {key: column[part] for key, column in batch.items()}
    found, _ = gradient(logits[part], some, counts)
    np.testing.assert_allclose(found / 2, want[part], rtol=1e-4, atol=1e-7)


def test_an_image_of_void_alone_costs_nothing():
  logits, batch = batch_of(4, 4)
  batch["segments"] = np.full_like(batch["segments"], VOID)
  loss = lambda x: segmentation.loss({"logits": x}, batch, focal=1.0, dice=1.0)[0]  # noqa: E731
  value, grads = jax.jit(jax.value_and_grad(loss))(jnp.asarray(logits))
  assert value == 0 and not np.asarray(grads).any()


def test_figures_and_rows():
  logits, batch = batch_of(20, 30)
  of_task = task("segmentation", cross_entropy=1.0)
  sums = of_task.metrics(
    {"logits": logits}, {**batch, "size": np.asarray([[40, 60]] * 3)}, rows=True
  )
  assert sums["rows"]["spacing"].tolist() == [[2, 2]] * 3
  figures = of_task.summarise(sums)
  assert figures["loss"] == pytest.approx(by_hand(logits, batch), rel=1e-5)
  assert {"hd95", "boundary_f1", "mean_iou", "case_dice", "missed"} <= figures.keys()
  assert {"iou", "hd95", "pixels"} <= figures["per_class"][0].keys()
  answer = {"segments": of_task.predict({"logits": logits}, batch)["segments"][0]}
  count = np.bincount(logits[0].argmax(-1).ravel(), minlength=4).tolist()
  assert of_task.named(answer, "abcd")["pixels"] == dict(zip("abcd", count))
  assert segmentation._spacing({**batch, "spacing": "as given"}) == "as given"


def test_weights_are_completed_from_the_pixels():
  splits = fake.load("", 0, label="segments", classes=3, examples=16, size=12)
  segments = splits["train"].columns["segments"]
  segments[:, :2] = VOID
  found = complete(dict(name="segmentation", class_weights="balanced"), splits)["class_weights"]
  count = [(segments == kind).sum() for kind in range(3)]
  np.testing.assert_allclose(found, [sum(count) / (3 * n) for n in count])
  assert complete(dict(name="segmentation", class_weights=found), splits)["class_weights"] == found
  options = dict(name="segmentation", cross_entropy=0.0)
  with pytest.raises(UserError, match="task.cross_entropy, task.focal and task.dice are all 0"):
    complete(options, splits)
  with pytest.raises(
    UserError, match="needs a class for each pixel, but the data hold a class for"
  ):
    complete(dict(name="segmentation"), fake.load("", 0, examples=16))
  lost = {"train": Table({"segments": np.zeros((1, 2, 2), np.uint8)}, ("a", "b"))}
  with pytest.raises(UserError, match="cannot be balanced: .* no example, or nothing else, of b"):
    complete(dict(name="segmentation", class_weights="balanced"), lost)


def test_training_sees_windows_of_image_and_map_alike():
  image = RNG.integers(0, 200, (64, 12, 15, 1), dtype=np.uint8)
  batch = {"image": image, "segments": image[..., 0]}
  found = jax.jit(cut, static_argnames="size")(jax.random.key(0), batch, size=(12, 6))
  assert found["image"].shape == (64, 12, 6, 1)
  np.testing.assert_array_equal(found["image"][..., 0], found["segments"])
  corners = [
    np.flatnonzero((one[0, :10] == f[0, 0]) & (one[1, :10] == f[1, 0]))
    for one, f in zip(image[..., 0], np.asarray(found["segments"]))
  ]
  assert set(np.concatenate(corners)) == set(range(10))
  to = Preprocessing(channels=1, tile=(8, 8))
  seen = inputs.transform(jax.random.key(1), batch, preprocessing=to, options=dict(flip=True))
  np.testing.assert_allclose(seen["image"][..., 0] * 255, seen["segments"], rtol=1e-4)
  assert inputs.empty(to).shape == (1, 8, 8, 1)
