"""Examples in several parts, such as the clips of a video: answers are averaged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.engine.evaluate import evaluate, evaluator
from cnnjax.engine.mesh import make_mesh
from cnnjax.ops.clip import ClipPreprocessing
from cnnjax.tasks import classification, multilabel, regression, task

LOGITS = np.random.default_rng(0).normal(0, 3, (4, 5, 3)).astype(np.float32)


def test_probabilities_are_averaged_and_numbers_too():
  found = jax.nn.softmax(classification.average(jnp.asarray(LOGITS)))
  np.testing.assert_allclose(found, jax.nn.softmax(LOGITS).mean(0), rtol=1e-5)
  found = jax.nn.sigmoid(multilabel.average(jnp.asarray(LOGITS)))
  np.testing.assert_allclose(found, jax.nn.sigmoid(LOGITS).mean(0), rtol=1e-5)
  np.testing.assert_allclose(regression.average(LOGITS), LOGITS.mean(0), rtol=1e-6)
  extreme = classification.average(jnp.asarray([[[0.0, 2000.0]], [[0.0, 2000.0]]]))
  assert np.isfinite(extreme).all() and extreme[0].argmax() == 1
  assert task("detection").average is None


@pytest.fixture(scope="module")
def small():
  to = ClipPreprocessing(frames=3, resize=(8, 8), clips=2, channels=1, std=(0.25,))
  model = cnnjax.create_model("r3d_18", width=2, depths=(1,), num_classes=3, preprocessing=to)
  clips = np.random.default_rng(1).integers(0, 256, (6, 2, 3, 8, 8, 1), np.uint8)
  variables = model.init(jax.random.key(0), jnp.zeros((1, *to.shape)), train=False)
  x = clips.reshape(12, 3, 8, 8, 1) / np.float32(255) / 0.25
  logits = model.apply(variables, x, train=False)["logits"]
  return model, variables, clips, jax.nn.softmax(logits).reshape(6, 2, 3).mean(1)


def test_evaluation_scores_the_mean_over_the_clips_of_a_video(small):
  model, variables, clips, want = small
  label = np.asarray([0, 1, 2, 0, 1, 2])
  mesh, kind = make_mesh(1), task("classification", top_k=1)
  batch = {"clip": clips, "label": label, "mask": np.float32([1, 1, 1, 1, 1, 0])}
  sums = evaluate(evaluator(model, kind, mesh, rows=True), variables, [batch], mesh)
  figures = kind.summarise(sums)
  assert figures["accuracy"] == pytest.approx(np.mean(want.argmax(-1)[:5] == label[:5]))
  loss = -np.log(want[np.arange(5), label[:5]]).mean()
  assert figures["loss"] == pytest.approx(float(loss), rel=1e-4)


def test_a_users_video_is_answered_by_the_mean_over_its_clips(small):
  model, variables, clips, want = small
  answers = cnnjax.predict(model, variables, list(clips), batch_size=4)
  found = [answer["probabilities"] for answer in answers]
  np.testing.assert_allclose(found, want, rtol=1e-4)
