"""A small batch that a detector can memorise, and the loop that trains it."""

import jax
import numpy as np
import optax

LAST = 3  # the image without an object


def batch(side=32):
  """Returns images [4, side, side, 3], each but the last with one bright square, and the truth."""
  rng = np.random.default_rng(0)
  image = rng.normal(0, 0.1, (4, side, side, 3)).astype(np.float32)
  boxes, ids = np.zeros((4, 2, 4), np.float32), np.zeros((4, side, side), np.uint16)
  for n in range(LAST):
    x, y = rng.integers(2, side - 18, 2)
    image[n, y : y + 14, x : x + 14, n] += 2
    ids[n, y : y + 14, x : x + 14] = 1
    boxes[n, 0] = x, y, x + 14, y + 14
  return {
    "image": image,
    "boxes": boxes,
    "labels": np.int32([[0, 0], [1, 0], [2, 0], [0, 0]]),
    "valid": np.float32([[1, 0], [1, 0], [1, 0], [0, 0]]),
    "ids": ids,
    "mask": np.ones(4, np.float32),
  }


def compiled(function):
  """Compiles without LLVM's optimiser, which takes most of the time and is used once."""
  return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def learn(model, x, steps, rate=3e-3):
  """Returns variables after some steps of Adam on a batch, and each step's losses by part."""
  variables = compiled(lambda key: model.init(key, x["image"], train=False))(jax.random.key(0))
  optimizer = optax.adam(rate)

  @compiled
  def step(variables, state, key):
    def loss(params):
      both, rngs = {**variables, "params": params}, {"sample": key, "dropout": key}
      outputs, changed = model.apply(both, x, train=True, rngs=rngs, mutable=["batch_stats"])
      value, logs = model.loss(outputs, x)
      return value, (changed, logs)

    (_, (changed, logs)), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    updates, state = optimizer.update(gradient, state)
    return {**changed, "params": optax.apply_updates(variables["params"], updates)}, state, logs

  state, found = optimizer.init(variables["params"]), []
  for n in range(steps):
    variables, state, logs = step(variables, state, jax.random.key(n))
    found.append({k: float(total / count) for k, (total, count) in logs.items()})
  return variables, found


def detections(model, variables, x):
  """Returns the detections of a batch in evaluation."""

  @compiled
  def detect(variables):
    return model.decode(model.apply(variables, {"image": x["image"]}, train=False))

  return jax.tree.map(np.asarray, detect(variables))
