"""Volumes of several sizes: an evaluation counts what a prediction answers, at each one's size."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnnjax import tasks
from cnnjax.data import solids
from cnnjax.data.inputs import volume as kind
from cnnjax.data.pipeline import eval_batches
from cnnjax.data.scan import Scan
from cnnjax.engine.evaluate import evaluate, evaluator
from cnnjax.engine.mesh import make_mesh
from cnnjax.engine.segment import segment
from cnnjax.ops.volume import VolumePreprocessing


class Smooth(nn.Module):
  """A convolution over 3x3x3 voxels to three classes."""

  preprocessing: VolumePreprocessing
  num_classes: int = 3
  task = "segmentation"

  @nn.compact
  def __call__(self, x, *, train):
    return {"logits": nn.Conv(3, (3, 3, 3))(x)}


def figures(to, spacing=1.0):
  """Returns an evaluation's figures, the maps that a prediction gives, and the true ones."""
  raw = solids.load("", 0, examples=4, size=20)["test"]
  raw = raw.replace(spacing=np.full((4, 3), spacing, np.float32))
  model = Smooth(to)
  variables = model.init(jax.random.key(1), jnp.zeros((1, *to.shape)), train=False)
  mesh, task = make_mesh(1), tasks.task("segmentation", model=model)
  table = kind.prepare(raw, to)
  batches = eval_batches(table, 3)  # a batch size that examples of several sizes do not have
  sums = evaluate(evaluator(model, task, mesh, rows=True), variables, batches, mesh)
  volumes = [Scan(raw.columns["volume"][n : n + 1][0], (spacing,) * 3) for n in range(4)]
  truth = [raw.columns["segments"][n : n + 1][0] for n in range(4)]
  return sums, task.summarise(sums), [segment(model, variables, one) for one in volumes], truth


def test_an_evaluation_counts_what_a_prediction_answers():
  to = VolumePreprocessing(spacing=(1.0,) * 3, tile=(8, 12, 8))
  sums, found, maps, truth = figures(to)
  assert len({one.shape for one in truth}) > 1
  for key, wanted in {"segments": maps, "truth": truth}.items():
    for one, other in zip(sums["rows"][key], wanted, strict=True):
      np.testing.assert_array_equal(one, other)
  confusion = np.zeros((3, 3), int)
  for one, other in zip(truth, maps):
    np.add.at(confusion, (one.ravel(), other.ravel()), 1)
  np.testing.assert_array_equal(found["confusion"], confusion)
  sizes = [row["size_error"] for row in found["per_class"]]
  errors = [[abs((m == c).sum() - (t == c).sum()) / (t == c).sum() for c in range(3)]
            for m, t in zip(maps, truth)]  # fmt: skip
  np.testing.assert_allclose(sizes, np.mean(errors, 0))


def test_distances_are_in_millimetres_and_answers_at_the_files_voxels():
  to = VolumePreprocessing(spacing=(1.0,) * 3, tile=(8, 8, 8))
  _, found, maps, truth = figures(to)
  double = VolumePreprocessing(spacing=(2.0,) * 3, tile=(8, 8, 8))
  _, twice, same, _ = figures(double, 2.0)
  for one, other in zip(maps, same):  # the same voxels, of twice the size
    np.testing.assert_array_equal(one, other)
  assert abs(twice["hd95"] - 2 * found["hd95"]) < 1e-6 and found["hd95"] > 0
  _, _, coarse, _ = figures(double, 1.0)  # of half the size of the network's
  assert [one.shape for one in coarse] == [one.shape for one in truth]
