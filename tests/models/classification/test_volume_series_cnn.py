"""The network of series of volumes: what it computes is a 3-D trunk, then a network of series."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.errors import UserError
from tests.models.test_zoo import shapes, weight

SMALL = dict(trunk="r3d_18", trunk_arguments=dict(width=4, depths=(1, 1)))
BLOCKS = ((6, 4), (5, 3))
X = np.random.default_rng(0).normal(size=(2, 5, 8, 10, 9, 1)).astype(np.float32)


def test_it_is_a_network_of_volumes_and_one_of_series():
  """The volumes of two series go one by one, as examples of a batch of their own."""
  model = cnnjax.create_model("volume_series_cnn", blocks=BLOCKS, grid=(1, 2, 3), **SMALL)
  variables = jax.tree.map(weight, shapes(model, X))
  found = model.apply(variables, X, train=False)["logits"]

  of_volumes = cnnjax.create_model("r3d_18", **SMALL["trunk_arguments"]).make_trunk()
  trunk = {name: part["trunk"] for name, part in variables.items()}
  rows = []
  for volumes in X:
    last = of_volumes.apply(trunk, volumes, train=False)["stage2"]
    assert last.shape == (5, 4, 3, 3, 8)
    cells = [last[:, :, high, wide].mean((1, 2)) for high in np.s_[:2, 1:] for wide in range(3)]
    rows.append(np.concatenate(cells, -1))
  of_series = cnnjax.create_model("series_cnn", blocks=BLOCKS, num_classes=2)
  params = {"trunk": variables["params"]["time"], "head": variables["params"]["head"]}
  own = {"params": params, "batch_stats": {"trunk": variables["batch_stats"]["time"]}}
  want = of_series.apply(own, np.stack(rows), train=False)["logits"]
  assert np.ptp(want) > 0.1
  np.testing.assert_allclose(found, want, atol=1e-5 * np.abs(want).max())


def test_any_length_size_channels_and_trunk():
  for trunk in ("r3d_18", "c3d"):
    model = cnnjax.create_model("volume_series_cnn", num_classes=3, trunk=trunk)
    for shape in ((1, 1, 33, 20, 17, 2), (2, 7, 1, 5, 5, 1)):
      x = jax.ShapeDtypeStruct(shape, jnp.float32)
      run = partial(model.init_with_output, train=True)
      outputs, _ = jax.eval_shape(run, jax.random.key(0), x)
      assert outputs["logits"].shape == (shape[0], 3)


def test_a_volume_or_a_network_of_images_is_a_user_error():
  model = cnnjax.create_model("volume_series_cnn")
  with pytest.raises(UserError, match=r"needs series of volumes, .* shape \(5, 8, 10, 9, 1\)"):
    shapes(model, X[0])
  model = cnnjax.create_model("volume_series_cnn", trunk="resnet18")
  with pytest.raises(UserError, match="needs images of at least 32x32"):
    shapes(model, X)
