"""A batch cut into parts has the whole batch's gradient, for every loss whatever it divides by."""

import re
from functools import partial

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest

import cnnjax
from cnnjax.engine import state
from cnnjax.engine.step import train_step
from cnnjax.tasks import task

SIZE, CLASSES = 8, 3  # examples
RNG = np.random.default_rng(0)
MASK = np.float32([1, 1, 0, 1, 1, 0, 1, 1])  # as where a batch is padded
LABEL = np.int32([0, 0, 2, 1, 0, 0, 1, 0])  # so that the parts differ in what they divide by
MANY = np.int32([5, 0, 1, 3, 5, 0, 0, 2])  # objects or regions of an image; the third part has none


def normal(*shape):
  return RNG.normal(size=(SIZE, *shape)).astype(np.float32)


def first(places):
  """Returns which of an image's places are filled [SIZE, places]."""
  return np.arange(places) < MANY[:, None]


class Given:
  """A model whose outputs are columns of the batch, those of `learnt` times a parameter each."""

  def __init__(self, outputs, learnt):
    self.outputs, self.learnt = outputs, learnt

  def apply(self, variables, x, **_):
    scale = variables["params"]
    outputs = {k: x[k] * scale[k] if k in self.learnt else x[k] for k in self.outputs}
    outputs |= {"size": np.int32([32, 32]), "references": REFERENCES}
    return {**outputs, "aux": {"aux": x["aux"]}} if "aux" in x else outputs, {}


def boxes(*shape):
  corner = RNG.uniform(0, 16, (SIZE, *shape, 2))
  return np.concatenate([corner, corner + RNG.uniform(4, 16, corner.shape)], -1).astype(np.float32)


REFERENCES = boxes(20)[0]
TRUTH = {
  "boxes": boxes(5),
  "labels": RNG.integers(0, CLASSES, (SIZE, 5)).astype(np.int32),
  "valid": first(5).astype(np.float32),
}
REGIONS = {
  "taken": first(6),
  "kind": np.where(first(6), RNG.integers(0, CLASSES + 1, (SIZE, 6)), 0).astype(np.int32),
  "target": normal(6, 4),
  "logits": normal(6, CLASSES + 1),
  "offsets": normal(6, CLASSES, 4),
}
ANCHORS = {
  "sampled": np.arange(9) < 1 + MANY[:, None],
  "is_object": np.arange(9) < MANY[:, None] // 2,
  "objectness": normal(9),
  "anchor_offsets": normal(9, 4),
  "anchor_target": normal(9, 4),
}
MASKS = {"masks": normal(4, 3, 3), "mask_target": (normal(4, 3, 3) > 0).astype(np.float32)}
CELLS = {
  "boxes": np.abs(normal(3, 3, 2, 4)),
  "confidence": normal(3, 3, 2),
  "probabilities": normal(3, 3, CLASSES),
}
LOGITS = {"logits": normal(CLASSES), "aux": normal(CLASSES)}
SOFT = {"target": RNG.dirichlet(np.ones(CLASSES), SIZE).astype(np.float32)}
WEIGHTS = (0.2, 1.0, 5.0)
CASES = {  # task, its options, what the network gives, the rest of the batch
  "classification": ("classification", {}, LOGITS, {}),
  "weights": ("classification", {"class_weights": WEIGHTS}, LOGITS, {}),
  "weights, smooth": (
    "classification",
    {"class_weights": WEIGHTS, "label_smoothing": 0.1, "aux_weight": 0.5},
    LOGITS,
    {},
  ),
  "weights, soft target": ("classification", {"class_weights": WEIGHTS}, LOGITS, SOFT),
  "multilabel": (
    "multilabel",
    {"positive_weights": WEIGHTS},
    LOGITS,
    {"target": (normal(CLASSES) > 0).astype(np.float32)},
  ),
  "regression": ("regression", {"delta": 0.5}, LOGITS, {"target": normal(CLASSES)}),
  "ssd300": ("detection", {}, {"logits": normal(20, 1 + CLASSES), "offsets": normal(20, 4)}, TRUTH),
  "yolo_v1": ("detection", {}, CELLS, TRUTH),
  "rcnn": ("detection", {}, {k: REGIONS[k] for k in ("taken", "kind", "logits")}, {}),
  "fast_rcnn": ("detection", {}, REGIONS, {}),
  "faster_rcnn": ("detection", {}, REGIONS | ANCHORS, {}),
  "mask_rcnn": ("detection", {}, REGIONS | ANCHORS | MASKS, {}),
}
FIXED = (  # what a network gives without a gradient
  "taken",
  "kind",
  "target",
  "sampled",
  "is_object",
  "anchor_target",
  "mask_target",
  "aux",
)


def update(case, accumulate, penalty=None):
  """Returns the update of one step of descent by each parameter, and the step's logs."""
  name, options, outputs, rest = CASES[case]
  learnt = [k for k in outputs if k not in FIXED]
  model = Given([k for k in outputs if k != "aux"], learnt)
  detector = cnnjax.create_model(case, num_classes=CLASSES) if name == "detection" else None
  chosen = task(name, model=detector, **options)
  optimizer = optax.sgd(1.0)
  params = {k: np.full(outputs[k].shape[-1:], 0.7, np.float32) for k in learnt}
  step = partial(
    train_step,
    model=model,
    inputs=lambda batch: {k: batch[f"given_{k}"] for k in outputs},
    loss=chosen.loss,
    transform=lambda key, batch: batch,
    optimizer=optimizer,
    seed=0,
    accumulate=accumulate,
    penalty=penalty,
  )
  batch = {f"given_{k}": v for k, v in outputs.items()} | {"label": LABEL, "mask": MASK, **rest}
  after, logs = jax.jit(step)(state.create({"params": params}, optimizer, False), batch)
  return jax.tree.map(np.subtract, after.variables["params"], params), logs


@pytest.mark.parametrize("case", CASES)
def test_parts_have_the_gradient_of_the_whole(case):
  whole, logs = update(case, 1)
  parts, logs_of_parts = update(case, 4)
  for key in whole:
    assert np.abs(whole[key]).max() > 1e-4, key
    np.testing.assert_allclose(parts[key], whole[key], rtol=2e-5, atol=1e-6, err_msg=key)
  for key, (total, count) in logs.items():
    sums = logs_of_parts[key]
    assert float(sums[0] / sums[1]) == pytest.approx(float(total / count), rel=1e-4), key


def test_a_penalty_is_added_once():
  penalty = lambda params: sum((v**2).sum() for v in params.values())  # noqa: E731
  whole, parts = (update("weights", n, penalty)[0]["logits"] for n in (1, 4))
  np.testing.assert_allclose(parts, whole, rtol=2e-5)


def test_a_part_without_anything_to_count():
  """The last of two parts has no box, region or example: the other's gradient is the whole's."""
  for case in ("ssd300", "mask_rcnn", "weights"):
    _, logs = update(case, 4)
    assert all(np.isfinite(total) for total, _ in logs.values())


def test_counting_does_not_run_the_network_again():
  """Where the batch alone says what is counted, the program has as many products as one part's."""

  class Net(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      x = cnnjax.layers.Conv(4, 3)(x)
      return {"logits": nn.Dense(CLASSES)(nn.relu(x).reshape(x.shape[0], -1))}

  model, optimizer = Net(), optax.sgd(0.1)
  batch = {"image": normal(6, 6, 2), "label": LABEL, "mask": MASK}
  fresh = lambda key: state.create(model.init(key, batch["image"], train=False), optimizer, False)  # noqa: E731
  chosen = task("classification", class_weights=WEIGHTS)
  products = []
  for accumulate in (1, 4):
    step = partial(
      train_step,
      model=model,
      inputs=chosen.inputs,
      loss=chosen.loss,
      transform=lambda key, batch: batch,
      optimizer=optimizer,
      seed=0,
      accumulate=accumulate,
    )
    shapes = jax.eval_shape(fresh, jax.random.key(0))
    program = jax.jit(step).lower(shapes, batch).compile().as_text()
    products.append(len(re.findall(r" (?:dot|convolution)[(]", program)))
  assert products[0] and products[0] == products[1]
