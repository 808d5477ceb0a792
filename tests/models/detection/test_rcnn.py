"""R-CNN and SPPnet: targets of windows, the networks' outputs for them, and the detections."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.errors import UserError
from cnnjax.models.detection import svm
from cnnjax.models.detection.rcnn import decode, encode
from cnnjax.ops import boxes as geometry

RNG = np.random.default_rng(0)
SMALL = dict(trunk="lenet5", layer="conv2", num_classes=2, hidden=8)
FIELDS = {"rcnn": dict(side=32, context=4, cells=2, crops=6), "sppnet": {}}
BOXES = jnp.asarray([[10, 10, 30, 30], [50, 10, 70, 30], [10, 50, 30, 70], [0, 0, 0, 0]], float)
LABELS, VALID = jnp.asarray([0, 1, 1, 0]), jnp.asarray([1, 1, 0, 0])  # the third is difficult


def test_targets_of_windows():
  windows = jnp.asarray(
    [
      [10, 10, 30, 30],  # the first box
      [10, 10, 30, 21],  # overlaps it by 0.55: too little for the regression
      [10, 10, 30, 17],  # 0.35: no negative of its class
      [10, 10, 30, 15],  # 0.25: negative of all
      [10, 50, 30, 70],  # the difficult box: no negative of class 1
      [80, 80, 90, 90],
      [10, 10, 30, 30],  # not real
    ],
    float,
  )
  found = encode(windows, jnp.asarray([1, 1, 1, 1, 1, 1, 0]), BOXES, LABELS, VALID, 2)
  assert found.negative.astype(int).tolist() == [
    *([0, 1], [0, 1], [0, 1], [1, 1], [1, 0], [1, 1], [0, 0])
  ]
  assert found.near.tolist() == [True, False, False, False, False, False, False]
  moved = geometry.decode(found.offsets[:4], windows[:4])
  np.testing.assert_allclose(moved, jnp.tile(BOXES[0], (4, 1)), atol=1e-4)


def test_decoded_boxes():
  windows = jnp.asarray(
    [[[0, 0, 20, 20], [1, 0, 21, 20], [50, 50, 130, 90], [0, 0, 20, 20]]], float
  )
  offsets = jnp.zeros((1, 4, 2, 4)).at[0, 2, 1, 0].set(-0.25)  # class 1 moves 20 to the left
  margins = jnp.asarray([[[1, -3.0], [2, -4], [-1, 5], [9, 9]]])
  outputs = {"regions": windows, "taken": jnp.asarray([[1, 1, 1, 0]]) > 0, "scores": margins}
  found = decode({**outputs, "offsets": offsets, "extent": jnp.asarray([[80, 100.0]])}, 9, 0.3)
  assert found["valid"][0].tolist() == [True] * 4 + [False] * 5
  assert found["labels"][0, :4].tolist() == [1, 0, 0, 1]  # margins 5, 2, -1, -3
  np.testing.assert_allclose(found["boxes"][0, 0], [30, 50, 100, 80])  # cut off at the image
  np.testing.assert_allclose(found["scores"][0, :2], 1 / (1 + np.exp([-5.0, -2.0])), rtol=1e-6)


def inputs(count=7):
  corner = RNG.uniform(0, 40, (2, count, 2))
  boxes = np.concatenate([corner, corner + RNG.uniform(8, 30, (2, count, 2))], -1)
  image = RNG.normal(size=(2, 64, 72, 3))
  return {
    "image": jnp.asarray(image, jnp.float32),
    "proposals": jnp.asarray(boxes, jnp.float32),
    "proposed": jnp.ones((2, count)).at[1, 4:].set(0),
  }


def filled(model, x):
  """Returns variables of random numbers: to compile an init would take longer than the test."""
  shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x["image"])
  return jax.tree.map(lambda s: RNG.normal(size=s.shape) / np.prod(s.shape[:-1]) ** 0.5, shapes)


@pytest.mark.parametrize("name", ["rcnn", "sppnet"])
def test_outputs_of_a_window_depend_on_that_window_alone(name):
  """Whatever the other windows are, and however many are computed at once."""
  model, x = cnnjax.create_model(name, **SMALL, **FIELDS[name]), inputs()
  variables = filled(model, x)
  assert set(variables["params"]) == {"trunk", "head"}
  apply = jax.jit(model.apply, static_argnames="train")
  first = apply(variables, x, train=False)
  assert first["scores"].shape == (2, 7, 2) and first["offsets"].shape == (2, 7, 2, 4)
  assert first["features"].shape == (2, 7, 8) and first["logits"].shape == (2, 7, 3)
  others = inputs()["proposals"].at[:, 0].set(x["proposals"][:, 5])
  again = apply(variables, {**x, "proposals": others}, train=False)
  for key in ("scores", "offsets", "features", "pooled", "logits"):
    np.testing.assert_allclose(again[key][:, 0], first[key][:, 5], rtol=1e-4, atol=1e-5)
    assert (np.asarray(again[key][:, 1]) != np.asarray(first[key][:, 1])).any()
  with pytest.raises(UserError, match="needs proposals beside its images; set data.proposals"):
    model.apply(variables, x["image"], train=False)
  other = cnnjax.create_model(name, **{**SMALL, **FIELDS[name], "layer": "stage3"})
  with pytest.raises(UserError, match="unknown layer of the trunk 'stage3'"):
    jax.eval_shape(lambda x: other.init(jax.random.key(0), x, train=False), x["image"])


@pytest.mark.parametrize("name", ["rcnn", "sppnet"])
def test_training_draws_windows_of_both_kinds(name):
  model = cnnjax.create_model(name, **SMALL, **FIELDS[name], count=8, dropout=0.0)
  x = {**inputs(), "labels": jnp.ones((2, 3), int), "valid": jnp.asarray([[1, 1, 1], [0, 0, 0]])}
  x["boxes"] = x["proposals"][:, :3]
  variables = filled(model, x)

  def loss(params):
    rngs = {"sample": jax.random.key(1)}
    outputs = model.apply({"params": params}, x, train=True, rngs=rngs)
    value, logs = model.loss(outputs, {"mask": jnp.ones(2)})
    return value, (outputs, logs)

  (value, (outputs, logs)), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(
    variables["params"]
  )
  kind, there = np.asarray(outputs["kind"]), np.asarray(outputs["taken"])
  assert kind.shape == (2, 8) and (kind[0, :2] == 2).all()  # a quarter of them, class 1
  assert not kind[1].any() and there[1].sum() == 4  # no box: background alone
  logits = np.asarray(outputs["logits"], np.float64)
  chosen = np.take_along_axis(logits, kind[..., None], -1)[..., 0]
  each = np.log(np.exp(logits).sum(-1)) - chosen
  np.testing.assert_allclose(value, each[there].mean(), rtol=1e-5)
  assert float(logs["loss"][1]) == there.sum()
  del gradient["trunk"]["conv3"]  # after the map that is used
  assert all(np.asarray(leaf).any() for leaf in jax.tree.leaves(gradient["trunk"]))
  assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(gradient["head"]["svm"]))


def test_hard_negatives_are_found_after_easy_ones():
  rng = np.random.default_rng(0)
  positives = rng.normal((3, 0, 0), 0.3, (50, 3))
  easy, hard = rng.normal((-3, 0, 0), 0.3, (9_000, 3)), rng.normal((2.5, 3, 0), 0.3, (300, 3))
  rows = np.float32(np.concatenate([positives, easy, hard]))
  order = np.arange(50, len(rows))  # the hard ones are not among the first
  weights, bias, kept = svm.mine(rows, np.arange(50), order, svm.scale_of(rows))
  assert ((rows @ weights + bias > 0) == (np.arange(len(rows)) < 50)).all()
  assert 300 <= kept < 2_500
  alone, at, _ = svm.mine(rows, np.arange(50), order[: len(easy)], svm.scale_of(rows))
  assert (rows[-300:] @ alone + at > 0).all()  # without them in training they score as the class


def test_regression_and_scale():
  rng = np.random.default_rng(0)
  maps, kernel = rng.normal(size=(4_000, 5)), rng.normal(size=(5, 4))
  wanted = maps @ kernel + [1, 2, 3, 4]
  found, bias = svm.regress(maps, wanted, svm.scale_of(maps))
  np.testing.assert_allclose(maps @ found + bias, wanted, atol=0.05)
  np.testing.assert_allclose(
    np.linalg.norm(maps * svm.scale_of(maps), axis=1).mean(), 20, rtol=0.01
  )
  assert svm.scale_of(maps[:0]) == svm.scale_of(0 * maps) == 1
