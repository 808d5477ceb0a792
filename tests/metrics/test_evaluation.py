"""Figures of a whole evaluation, over however many devices there are, against scikit-learn's."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as sklearn

from cnnjax.data.pipeline import eval_batches
from cnnjax.data.table import Table
from cnnjax.engine.evaluate import evaluate, evaluator
from cnnjax.engine.mesh import make_mesh
from cnnjax.ops.preprocess import Preprocessing
from cnnjax.tasks import classification as task

PLAIN = Preprocessing(channels=1, mean=(0.0,), std=(1.0,))
LINEAR = SimpleNamespace(  # the least that an evaluation asks of a model
  preprocessing=PLAIN,
  apply=lambda variables, x, train: {"logits": jnp.reshape(x, (len(x), -1)) @ variables["w"]},
)
RNG = np.random.default_rng(0)
VARIABLES = {"w": RNG.normal(0, 2, (9, 3)).astype(np.float32)}
TABLE = Table(
  {
    "image": RNG.integers(0, 256, (61, 3, 3, 1)).astype(np.uint8),
    "label": RNG.integers(0, 3, 61).astype(np.int32),
  }
)


def figures(batch_size, **options):
  mesh = make_mesh()
  step = evaluator(LINEAR, task, mesh, **options)
  return task.summarise(evaluate(step, VARIABLES, eval_batches(TABLE, batch_size), mesh))


@pytest.mark.parametrize("batch_size", [8, 40, 64])
def test_padded_batches_rank_as_the_whole(batch_size):
  found, label = figures(batch_size, rows=True), TABLE.columns["label"]
  image = TABLE.columns["image"].reshape(61, 9) / 255
  probabilities = softmax(image @ VARIABLES["w"].astype(np.float64), -1)
  for mean in ("macro", "weighted"):
    want = sklearn.roc_auc_score(label, probabilities, multi_class="ovr", average=mean)
    assert found[f"{mean}_roc_auc"] == pytest.approx(want, abs=1e-6)
  want = sklearn.average_precision_score(np.eye(3)[label], probabilities)
  assert found["macro_average_precision"] == pytest.approx(want, abs=1e-6)
  assert sum(b["examples"] for b in found["calibration"]) == 61


def test_rows_change_none_of_the_other_figures():
  plain, whole = figures(16), figures(16, rows=True)
  assert {k: whole[k] for k in plain} == plain
  assert sorted(whole.keys() - plain.keys()) == [
    "macro_average_precision",
    "macro_roc_auc",
    "ranking",
    "undefined",
    "weighted_roc_auc",
  ]
