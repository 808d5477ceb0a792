"""YOLO: its loss against a loop over cells and boxes, its boxes there and back, its heads."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import cnnjax
from cnnjax.errors import UserError
from cnnjax.models.detection.yolo import YOLOv1, corners, encode

SIZE, GRID, CLASSES = (60, 80), (3, 4), 3  # cells of 20 pixels
MODEL = YOLOv1(num_classes=CLASSES)
RNG = np.random.default_rng(0)


def slow_iou(a, b):
  across = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
  down = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
  both = across * down
  union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
  return both / union if union else 0.0


def slow_loss(outputs, truth):
  """Returns the sums of the four parts over a batch, cell by cell, as equation 3 is written."""
  (height, width), (rows, columns) = SIZE, GRID
  parts = dict.fromkeys(("box_loss", "object_loss", "background_loss", "class_loss"), 0.0)
  for image in np.flatnonzero(truth["mask"]):
    objects = {}
    for box, label, valid in zip(*(truth[k][image] for k in ("boxes", "labels", "valid"))):
      x, y = (box[0] + box[2]) / 2 / width * columns, (box[1] + box[3]) / 2 / height * rows
      cell = min(int(y), rows - 1), min(int(x), columns - 1)
      if valid and cell not in objects:  # the first listed has the cell
        objects[cell] = box, label, (x - cell[1], y - cell[0])
    for row, column in np.ndindex(*GRID):
      confidence = outputs["confidence"][image, row, column]
      if (row, column) not in objects:
        parts["background_loss"] += 0.5 * (confidence**2).sum()
        continue
      box, label, (x, y) = objects[row, column]
      roots = math.sqrt((box[2] - box[0]) / width), math.sqrt((box[3] - box[1]) / height)
      overlaps, errors = [], []
      for px, py, pw, ph in outputs["boxes"][image, row, column]:
        cx, cy = (column + px) / columns * width, (row + py) / rows * height
        half = pw**2 * width / 2, ph**2 * height / 2
        overlaps.append(slow_iou((cx - half[0], cy - half[1], cx + half[0], cy + half[1]), box))
        errors.append((px - x) ** 2 + (py - y) ** 2 + (pw - roots[0]) ** 2 + (ph - roots[1]) ** 2)
      best = int(np.argmax(overlaps)) if max(overlaps) > 0 else int(np.argmin(errors))
      for n in range(len(overlaps)):
        if n == best:
          parts["box_loss"] += 5 * errors[n]
          parts["object_loss"] += (confidence[n] - overlaps[n]) ** 2
        else:
          parts["background_loss"] += 0.5 * confidence[n] ** 2
      for c in range(CLASSES):
        wrong = outputs["probabilities"][image, row, column, c] - (c == label)
        parts["class_loss"] += wrong**2
  return parts


def random_outputs(count):
  shape = (count, *GRID)
  return {
    "boxes": RNG.normal(0.4, 0.4, (*shape, 2, 4)).astype(np.float32),
    "confidence": RNG.normal(0.3, 0.5, (*shape, 2)).astype(np.float32),
    "probabilities": RNG.normal(0.3, 0.5, (*shape, CLASSES)).astype(np.float32),
    "size": np.asarray(SIZE),
  }


def random_truth(count, places=6):
  low, high = np.sort(RNG.uniform(0, 1, (2, count, places, 2)), 0)
  return {
    "boxes": np.float32(np.concatenate([low, high], -1) * [80, 60, 80, 60]),
    "labels": RNG.integers(0, CLASSES, (count, places)),
    "valid": np.float32(RNG.uniform(size=(count, places)) < 0.7),
    "mask": np.ones(count, np.float32),
  }


def adversarial():
  """Returns outputs and truth, an image a case: see the comments."""
  outputs, truth = random_outputs(8), random_truth(8)
  truth["valid"][0] = 0  # no boxes
  truth["boxes"][1, :2], truth["valid"][1] = [[2, 2, 18, 18], [6, 6, 16, 12]], 1  # one cell
  truth["boxes"][2, 0], truth["valid"][2] = [30, 30, 30, 30], 1  # no area
  truth["boxes"][3, 0], truth["valid"][3, 0] = [80, 60, 80, 60], 1  # the last corner
  truth["boxes"][4, 0], truth["valid"][4, 0] = [30, 30, 50, 50], 1  # a centre where cells meet
  outputs["boxes"][5] = outputs["boxes"][5, ..., :1, :]  # equal boxes: the first is responsible
  outputs["boxes"][6, ..., 2:] = 0  # no width: nothing overlaps
  outputs["boxes"][7, ..., 2:] = -np.abs(outputs["boxes"][7, ..., 2:])
  return outputs, truth


loss = jax.jit(MODEL.loss)
decode = jax.jit(YOLOv1(num_classes=CLASSES, suppression=1.0).decode)
gradient = jax.jit(jax.grad(lambda found, rest, truth: MODEL.loss({**found, **rest}, truth)[0]))


@pytest.mark.parametrize("case", ["random", "adversarial", "padded", "empty"])
def test_the_loss_is_that_of_a_loop(case):
  outputs, truth = adversarial() if case == "adversarial" else (random_outputs(8), random_truth(8))
  truth["mask"][5:] = case != "padded"
  truth["mask"][:] *= case != "empty"
  count = truth["mask"].sum()
  value, logs = loss(outputs, truth)
  want = slow_loss(outputs, truth)
  assert logs.keys() == {"loss", *want}
  for name, part in want.items():
    np.testing.assert_allclose(logs[name][0], part, rtol=1e-4, atol=1e-4, err_msg=name)
    assert logs[name][1] == count
  np.testing.assert_allclose(value, sum(want.values()) / max(count, 1), rtol=1e-4, atol=1e-5)
  assert (value > 0) == (case != "empty")
  found = {k: outputs[k] for k in ("boxes", "confidence", "probabilities")}
  grads = gradient(found, {"size": outputs["size"]}, truth)
  assert all(np.isfinite(g).all() for g in grads.values())
  assert not any(g[truth["mask"] == 0].any() for g in grads.values())


def test_no_gradient_passes_through_the_target_of_the_confidence():
  outputs, truth = random_outputs(8), random_truth(8)
  target = jax.vmap(lambda *t: encode(*t, GRID, jnp.asarray(SIZE)))
  there, _, parts = target(truth["boxes"], truth["labels"], truth["valid"])
  grads = gradient(
    {k: v for k, v in outputs.items() if k != "size"}, {"size": np.asarray(SIZE)}, truth
  )["boxes"]
  own = 2 * 5 * (outputs["boxes"] - parts[..., None, :]) / 8  # of the boxes' errors alone
  taught = (grads != 0).any(-1)
  np.testing.assert_array_equal(taught.sum(-1), there)  # one box a cell with an object
  np.testing.assert_allclose(grads, np.where(taught[..., None], own, 0), rtol=1e-4, atol=1e-6)


def test_decode_inverts_encode():
  truth = random_truth(4)
  size = jnp.asarray(SIZE)
  there, labels, parts = jax.vmap(lambda *t: encode(*t, GRID, size))(
    truth["boxes"], truth["labels"], truth["valid"]
  )
  sign = np.float32([[1, 1, 1, 1], [1, 1, -1, -1]])  # a root below 0 stands for its square
  outputs = {
    "boxes": parts[..., None, :] * sign,
    "confidence": np.stack([there, 0 * there], -1).astype(np.float32),
    "probabilities": 0.9 * jax.nn.one_hot(labels, CLASSES),
    "size": size,
  }
  np.testing.assert_array_equal(*np.moveaxis(corners(outputs["boxes"], size), -2, 0))
  found = jax.tree.map(np.asarray, decode(outputs))
  assert found["boxes"].shape == (4, 100, 4)
  for n in range(4):
    listed, cells = [], set()
    for box, label, valid in zip(*(truth[k][n] for k in ("boxes", "labels", "valid"))):
      cell = tuple((box[:2] + box[2:]) // 40)
      if valid and cell not in cells:
        listed.append((*box, label))
        cells.add(cell)
    answer = np.column_stack([found["boxes"][n], found["labels"][n]])[found["valid"][n]]
    assert len(listed) > 1
    np.testing.assert_allclose(sorted(answer.tolist()), sorted(listed), atol=1e-3)
    np.testing.assert_allclose(found["scores"][n][found["valid"][n]], 0.9)


def test_two_negative_factors_do_not_make_a_positive_score():
  outputs = random_outputs(4)
  assert decode(outputs)["valid"].any()
  outputs["confidence"], outputs["probabilities"] = (
    -np.abs(outputs[key]) for key in ("confidence", "probabilities")
  )
  assert not decode(outputs)["valid"].any()


SMALL = dict(table=((3, 8, 1), "M", (3, 16, 2), "M", (3, 16, 1)), num_classes=2, norm=True)


def test_a_few_steps_lower_the_loss():
  model = YOLOv1(**SMALL, hidden=(32,), dropout=0.0)
  truth = {
    "boxes": np.float32([[[4, 4, 12, 16]], [[16, 8, 30, 20]], [[2, 18, 20, 30]], [[0] * 4]]),
    "labels": np.int32([[0], [1], [0], [0]]),
    "valid": np.float32([[1], [1], [1], [0]]),
    "mask": np.ones(4, np.float32),
  }
  image = np.zeros((4, 32, 32, 3), np.float32)
  for n, (x0, y0, x1, y1) in enumerate(truth["boxes"][:, 0].astype(int)):
    image[n, y0:y1, x0:x1, truth["labels"][n, 0]] = 1
  optimizer = optax.adam(3e-3)

  @jax.jit
  def run(key):
    variables = model.init(key, image, train=False)
    params, rest = variables["params"], {"batch_stats": variables["batch_stats"]}

    def cost(params):
      outputs, _ = model.apply({"params": params, **rest}, image, train=True, mutable=list(rest))
      return model.loss(outputs, truth)[0]

    def step(state, _):
      params, opt = state
      value, grads = jax.value_and_grad(cost)(params)
      updates, opt = optimizer.update(grads, opt)
      return (optax.apply_updates(params, updates), opt), value

    return jax.lax.scan(step, (params, optimizer.init(params)), length=60)[1]

  losses = np.asarray(run(jax.random.key(0)))
  assert np.isfinite(losses).all() and losses[-1] < 0.2 * losses[0]


def outputs_of(model, *shape, variables=None, train=False):
  """Returns the shapes of variables and outputs."""

  def run(x, variables, key):
    variables = variables or model.init(key, x, train=False)
    rngs = {"dropout": key}
    return variables, model.apply(variables, x, train=train, rngs=rngs, mutable=["batch_stats"])[0]

  x = jax.ShapeDtypeStruct(shape, jnp.float32)
  return jax.eval_shape(run, x, variables, jax.random.key(0))


@pytest.mark.parametrize("name", ["yolo_v1", "fast_yolo"])
def test_the_paper_s_grid_at_448(name):
  model = cnnjax.create_model(name, dtype="bfloat16")
  variables, outputs = outputs_of(model, 2, 448, 448, 3)
  assert outputs["boxes"].shape == (2, 7, 7, 2, 4) and outputs["confidence"].shape == (2, 7, 7, 2)
  assert outputs["probabilities"].shape == (2, 7, 7, 20)
  assert {outputs[k].dtype for k in outputs if k != "size"} == {jnp.dtype("float32")}
  assert variables["params"]["answers"]["kernel"].shape == (4096, 7 * 7 * 30)
  assert len(variables["params"]["trunk"]) == {"yolo_v1": 24, "fast_yolo": 9}[name]
  assert outputs_of(model, 2, 448, 448, 3, train=True)[1] == outputs
  with pytest.raises(UserError, match="made for a map of 50176 numbers, but images of 448x512"):
    outputs_of(model, 1, 448, 512, 3, variables=variables)
  with pytest.raises(UserError, match="yolo needs images of at least 64x64, found 63x80"):
    outputs_of(model, 1, 63, 80, 3)


def test_any_trunk_and_a_head_for_any_size():
  model = cnnjax.create_model("fast_yolo", trunk="resnet18", hidden=(), num_classes=3, boxes=4)
  variables, outputs = outputs_of(model, 1, 224, 320, 3)
  assert outputs["boxes"].shape == (1, 7, 10, 4, 4)
  assert variables["params"]["answers"]["kernel"].shape == (1, 1, 512, 5 * 4 + 3)
  assert "stage4_1" in variables["params"]["trunk"]
  assert outputs_of(model, 1, 100, 70, 3, variables=variables)[1]["boxes"].shape == (1, 4, 3, 4, 4)
  dense = cnnjax.create_model("yolo_v1", trunk="mobilenet_v1", hidden=(64,), norm=True)
  assert outputs_of(dense, 1, 64, 96, 3)[1]["probabilities"].shape == (1, 2, 3, 20)


def test_batch_norm_replaces_the_biases():
  plain, _ = outputs_of(YOLOv1(**{**SMALL, "norm": False}, hidden=()), 1, 32, 32, 3)
  normed, _ = outputs_of(cnnjax.create_model("fast_yolo", **SMALL, hidden=()), 1, 32, 32, 3)
  assert "batch_stats" not in plain and len(normed["batch_stats"]["trunk"]) == 3
  assert normed["params"]["trunk"]["conv1"].keys() == {"conv", "norm"}
