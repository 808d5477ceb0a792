"""Checkpoints: what is kept, found and given back."""

import hashlib
import shutil
from pathlib import Path

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


def flip(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


def truncate(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """Three steps, the last one the best, and the names of the files that hold a step."""
  folder = tmp_path_factory.mktemp("store") / "checkpoints"
  with Store(folder, keep=3, best="accuracy") as store:
    for step in (1, 2, 3):
      store.save(step, state(step), {"accuracy": step / 10}, {"sums": {"loss": [0.1 + step, 7.0]}})
  return folder


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink], ids=lambda d: d.__name__)
def test_any_damage_to_any_file_is_known_and_passed_over(saved, tmp_path, damage, capsys):
  names = [p.relative_to(saved / "3") for p in (saved / "3").rglob("*") if p.is_file()]
  harmless = {"_CHECKPOINT_METADATA", "commit_success.txt"}  # hold times only
  names = [name for name in names if str(name) not in harmless]
  assert {"SHA256SUMS", "manifest.ocdbt", "metrics"} <= {name.name for name in names}
  for i, name in enumerate(names):
    if name.name == "commit_success.txt" and damage is not Path.unlink:
      continue  # is empty
    folder = tmp_path / str(i) / "checkpoints"
    shutil.copytree(saved, folder)
    damage(folder / "3" / name)
    with Store(folder, best="accuracy", read_only=True) as store:  # for evaluation
      for which in ("latest", "best"):
        assert store.find(which) == 2, name
      assert "checkpoint 3" in capsys.readouterr().err
      with pytest.raises(UserError, match="checkpoint 3 .* is damaged: "):
        store.find("3")
      assert store.restore(2, state(0), PLACE)["b"]["n"] == 2
    with Store(folder, keep=3, best="accuracy") as store:  # for training, on from the step before
      assert store.find("latest") == 2 and store.notes(2) == {"sums": {"loss": [2.1, 7.0]}}
      store.save(3, state(3), {"accuracy": 0.3})
    assert "moved to" in capsys.readouterr().err
    with Store(folder, best="accuracy", read_only=True) as store:
      assert store.find("best") == 3
    assert (folder.parent / "damaged_checkpoints" / "3").is_dir()  # nothing is lost


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink], ids=lambda d: d.__name__)
def test_damaged_metadata_of_orbax_costs_nothing(saved, tmp_path, damage):
  shutil.copytree(saved, tmp_path / "c")
  damage(tmp_path / "c" / "3" / "_CHECKPOINT_METADATA")
  with Store(tmp_path / "c", keep=3, best="accuracy") as store:
    assert store.find("latest") == 3
    assert store.restore(3, state(0), PLACE)["b"]["n"] == 3


def test_sums_are_those_of_sha256sum(saved):
  for line in (saved / "1" / "SHA256SUMS").read_text().splitlines():
    digest, name = line.split("  ")
    assert hashlib.sha256((saved / "1" / name).read_bytes()).hexdigest() == digest


def test_none_whole(saved, tmp_path):
  shutil.copytree(saved, tmp_path / "c")
  for step in (1, 2, 3):
    flip(tmp_path / "c" / str(step) / "state" / "manifest.ocdbt")
  with Store(tmp_path / "c", read_only=True) as store:
    with pytest.raises(UserError, match=r"none of the checkpoints \[1, 2, 3\] .* is whole"):
      store.find("latest")


def test_a_save_that_fails_is_told_with_its_cause(tmp_path):
  with pytest.raises(UserError, match="c/1 was removed while this run was training"):
    with Store(tmp_path / "c") as store:
      store.save(1, state(1), {})
      store.wait()
      shutil.rmtree(store.folder)
      store.folder.write_text("no folder any more")
      store.save(2, state(2), {})
      store.wait()
  with Store(tmp_path / "d") as store:
    store.save(2, state(2), {})
    with pytest.raises(UserError, match="checkpoint 1 could not be written .*a later one is there"):
      store.save(1, state(1), {})


def test_a_save_that_a_lost_process_ends_is_no_failure_of_files(tmp_path, monkeypatch):
  with Store(tmp_path / "c") as store:
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    for error in (RuntimeError("Barrier timed out"), ValueError("Gloo: closed by peer")):
      with pytest.raises(type(error)), store._raising_user_error(4):
        raise error
    for error in (
      OSError(28, "No space left"),
      ValueError("[os_error_code='28'] w: No space left"),
    ):
      with pytest.raises(UserError, match="4 could not be written.*No space"):
        with store._raising_user_error(4):
          raise error
    monkeypatch.undo()


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
