"""Checkpoints: what is kept, found and given back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.checkpoints.store import Store
from cnnjax.engine.mesh import make_mesh, replicated
from cnnjax.errors import UserError

PLACE = replicated(make_mesh(1))


def state(value):
  return {"a": jnp.full((3, 2), value, jnp.float32), "b": {"n": jnp.asarray(value, jnp.int32)}}


def test_newest_and_best_are_kept(tmp_path):
  with Store(tmp_path / "c", keep=2, best="accuracy") as store:
    for step, accuracy in [(1, 0.2), (2, 0.9), (3, 0.4), (4, 0.1)]:
      store.save(step, state(step), {"accuracy": accuracy, "confusion": [[1]]})
    store.wait()
    assert store.steps() == [2, 3, 4]
    assert store.find("latest") == 4
    assert store.find("best") == 2
    assert store.find("3") == 3
  with Store(tmp_path / "c", keep=2, best="accuracy") as again:
    assert (again.find("best"), again.find("latest")) == (2, 4)
    found = again.restore(2, state(0), PLACE)
    assert jax.tree.all(jax.tree.map(np.array_equal, found, state(2)))
    assert found["a"].sharding == PLACE


def test_best_may_be_the_least_and_ties_go_to_the_newest(tmp_path):
  with Store(tmp_path / "c", keep=1, best="loss", mode="min") as store:
    for step, loss in [(1, 0.5), (2, 0.3), (3, 0.3), (4, 0.7)]:
      store.save(step, state(step), {"loss": loss})
    store.wait()
    assert store.find("best") == 3 and store.steps() == [3, 4]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_nan_is_never_the_best(tmp_path, mode):
  with Store(tmp_path / "c", keep=1, best="loss", mode=mode) as store:
    for step, loss in [(1, np.nan), (2, 0.5), (3, np.nan), (4, 0.5), (5, np.nan)]:
      store.save(step, state(step), {"loss": float(loss)})
    store.wait()
    assert store.find("best") == 4 and store.steps() == [4, 5]


def test_a_part_is_enough_and_a_misfit_is_told(tmp_path):
  with Store(tmp_path / "c") as store:
    store.save(1, state(7), {})
    store.wait()
    assert store.restore(1, {"b": state(0)["b"]}, PLACE)["b"]["n"] == 7
    with pytest.raises(UserError, match="does not fit"):
      store.restore(1, {"a": jnp.zeros((5, 5))}, PLACE)
    with pytest.raises(UserError, match="does not fit"):
      store.restore(1, {"missing": jnp.zeros(())}, PLACE)


@pytest.mark.parametrize(
  ("which", "sentence"),
  [("7", "has no checkpoint 7"), ("best", "keeps no best"), ("newest", "has no checkpoint newest")],
)
def test_unknown_checkpoints(tmp_path, which, sentence):
  with Store(tmp_path / "c") as store:
    with pytest.raises(UserError, match="no checkpoint yet"):
      store.find("latest")
    store.save(1, state(1), {})
    store.wait()
    with pytest.raises(UserError, match=sentence):
      store.find(which)


def test_what_is_saved_is_not_what_comes_after(tmp_path):
  """The arrays may be donated to the next step at once: the copy on disk is of before."""
  bump = jax.jit(lambda s: jax.tree.map(lambda a: a + 1, s), donate_argnums=0)
  now = {"a": jnp.zeros((1000, 1000))}
  with Store(tmp_path / "c", keep=5) as store:
    for step in range(3):
      store.save(step, now, {})
      for _ in range(20):
        now = bump(now)
    store.wait()
    for step in range(3):
      found = store.restore(step, now, PLACE)["a"]
      assert np.all(np.asarray(found) == 20 * step)
