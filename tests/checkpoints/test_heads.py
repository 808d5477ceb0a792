"""A head follows its classes by name: in every network, and from one run to the next."""

import warnings

import jax
import numpy as np
import pytest

import cnnjax
from cnnjax.checkpoints import export, heads
from cnnjax.checkpoints.transfer import head_of, nested, shapes
from cnnjax.engine.record import write_json
from cnnjax.models.detection.fast_rcnn import BoxHead
from cnnjax.models.detection.mask_rcnn import MaskHead
from cnnjax.models.detection.rcnn import Head
from cnnjax.models.zoo import ZOO
from experiments.evaluate import score
from experiments.train import train
from tests.checkpoints.test_transfer import random_variables, same
from tests.engine.test_fit import quick

ORDER = (2, 0, 1)
SMALL_SSD = dict(trunk="lenet5", taken=(4,), extra=((8, 8, 3, 2, 1),))
SMALL_YOLO = dict(table=((3, 8, 2), "M", (3, 8, 2)), norm=True)


def flat(variables):
  return {
    tuple(key.key for key in path): leaf for path, leaf in jax.tree.leaves_with_path(variables)
  }


def reordered(model, more, x, **mode):
  """Returns what a model gives with random weights, and with these in another order."""
  variables, grown = (
    jax.eval_shape(lambda x, m=m: m.init(jax.random.key(0), x, **mode), x) for m in (model, more)
  )
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), variables)
  leaves = flat(variables)
  at = heads.places(leaves, flat(grown), len(ORDER))
  changed = {p: heads.reorder(v, at[p], ORDER) if p in at else v for p, v in leaves.items()}
  apply = jax.jit(lambda v, x: model.apply(v, x, **mode))
  return apply(variables, x), apply(nested(changed), x)


def pick(outputs, key, first=0, axis=-1):
  """Returns an output with its classes in the new order; `first` places stay before them."""
  order = [*range(first), *(first + np.asarray(ORDER))]
  return np.take(outputs[key], order, axis)


@pytest.mark.parametrize(
  ("make", "shape", "rows"),
  [
    (lambda c: cnnjax.create_model("mlp", hidden=(8,), num_classes=c), (2, 4, 4, 1),
     {"logits": {}}),
    (lambda c: BoxHead(c, 8, 0.0, np.float32), (1, 2, 2, 2, 3),
     {"logits": dict(first=1), "offsets": dict(axis=-2)}),
    (lambda c: Head(c, 8, 0.0, np.float32), (2, 5),
     {"logits": dict(first=1), "scores": {}, "offsets": dict(axis=-2)}),
    (lambda c: cnnjax.create_model("ssd", num_classes=c, **SMALL_SSD), (1, 32, 32, 3),
     {"logits": dict(first=1)}),
    (lambda c: cnnjax.create_model("fast_yolo", num_classes=c, hidden=(4, 8), **SMALL_YOLO),
     (1, 32, 32, 3), {"probabilities": {}}),
    (lambda c: cnnjax.create_model("fast_yolo", num_classes=c, hidden=(), **SMALL_YOLO),
     (1, 32, 32, 3), {"probabilities": {}}),
  ],
  ids=["classifier", "box head", "SVMs", "SSD", "YOLO", "YOLO without dense layers"],
)  # fmt: skip
def test_outputs_change_places_with_their_classes(make, shape, rows):
  x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
  before, after = reordered(make(3), make(4), x, train=False)
  for key, how in rows.items():
    assert not np.allclose(after[key], before[key])
    np.testing.assert_allclose(after[key], pick(before, key, **how), rtol=1e-5, err_msg=key)
  for key in before.keys() - rows.keys():
    np.testing.assert_allclose(after[key], before[key], rtol=1e-5, err_msg=key)


def test_masks_change_places_with_their_classes():
  x = np.random.default_rng(1).normal(size=(1, 2, 3, 3, 4)).astype(np.float32)
  before, after = reordered(*(MaskHead(c, (4,), np.float32) for c in (3, 4)), x)
  np.testing.assert_allclose(after, np.take(before, ORDER, -1), rtol=1e-5)


@pytest.mark.parametrize("name", [n for n in ZOO if ZOO[n].parameters < 4e5])
def test_only_the_last_axis_of_a_head_depends_on_the_classes(name):
  """And each network but the one with fixed codes has such a layer."""
  model = cnnjax.create_model(name, num_classes=3)
  leaves = shapes(model, ZOO[name].input)
  at = head_of(model, leaves, ZOO[name].input)
  assert bool(at) == (name != "lenet5_1998")
  for path, place in at.items():
    assert place.groups * (place.first + 3) * place.together == leaves[path].shape[-1]
  assert not at or heads.count(leaves, at) == 3


def npz(path, names):
  """Writes images of three colours, whose classes stand in a given order."""
  rng = np.random.default_rng(0)
  colour = np.arange(60) % 3  # a, b, c
  images = rng.integers(0, 60, (60, 8, 8, 3), np.uint8)
  images[np.arange(60), :, :, colour] += 150
  label = np.array([names.index("abc"[c]) for c in colour])
  arrays = dict(x_train=images, y_train=label, x_test=images, y_test=label)
  np.savez(path, classes=np.array([n * 2 for n in names]), **arrays)
  return path


RUN = {
  "model.name": "mlp",
  "model.arguments": {"hidden": (16,)},
  "data.name": "npz",
  "data.arguments": {},
  "data.resize": (8, 8),
  "data.crop": (),
  "data.channels": 3,
  "data.mean": (0.5,),
  "data.std": (0.25,),
  "augment.shift": 0,
  "task.views": "",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  """Returns a run that tells aa, bb and cc apart."""
  folder = tmp_path_factory.mktemp("run")
  data = npz(folder / "abc.npz", "abc")
  train(quick(**RUN, **{"data.root": str(data), "train.epochs": 8.0}), folder / "run")
  assert score(cnnjax.restore(folder / "run"), "test")["accuracy"] > 0.9
  return folder / "run"


def test_a_run_goes_on_with_its_classes_in_another_order(source, tmp_path, capsys):
  data = npz(tmp_path / "cab.npz", "cab")
  still = {"optim.learning_rate": 0.0, "init.source": str(source), "data.root": str(data)}
  folder, figures = train(quick(**{**RUN, **still, "train.epochs": 1.0}), tmp_path / "run")
  assert figures["accuracy"] == score(cnnjax.restore(source), "test")["accuracy"]
  assert "left fresh" not in capsys.readouterr().out
  old, new = (cnnjax.restore(f).variables["params"] for f in (source, folder))
  np.testing.assert_array_equal(new["head"]["bias"], old["head"]["bias"][np.array(ORDER)])
  assert same(new["trunk"], old["trunk"])


LOAD = dict(hidden=(16,), num_classes=3)


def load(source, classes, **more):
  preprocessing = cnnjax.restore(source).model.preprocessing
  return cnnjax.load_pretrained(
    "mlp", source, **{**LOAD, **more}, preprocessing=preprocessing, classes=classes
  )


@pytest.mark.parametrize(
  ("classes", "said"),
  [
    (("aa", "bb", "dd"), "tells aa, bb, cc apart and the model aa, bb, dd: head left fresh"),
    (("x", "y", "z"), "tells aa, bb, cc apart and the model x, y, z: head left fresh"),
    (
      ("aa", "bb"),
      r"tells 3 classes \(aa, bb, cc\) apart and the model 2 \(aa, bb\): head left fr",
    ),
  ],
)
def test_other_names_leave_the_head_fresh(source, classes, said):
  with pytest.warns(UserWarning, match=said):
    loaded = load(source, classes, num_classes=len(classes))
  old = cnnjax.restore(source).variables["params"]
  assert same(loaded["params"]["trunk"], old["trunk"])
  kernel = loaded["params"]["head"]["kernel"]
  assert kernel.shape == (16, len(classes)) and not np.allclose(
    kernel[:, 0], old["head"]["kernel"][:, 0]
  )


def test_the_same_names_and_unknown_ones_are_taken_as_they_are(source):
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    for classes in ((), ("aa", "bb", "cc"), ["aa", "bb", "cc"]):
      assert same(load(source, classes), cnnjax.restore(source).variables)


def test_classes_that_were_renamed_in_a_runs_config_are_told(source, tmp_path):
  import json
  import shutil

  shutil.copytree(source, tmp_path / "run")
  config = json.loads((source / "config.json").read_text())
  config["data"]["classes"] = ["cc", "bb", "aa"]
  write_json(tmp_path / "run" / "config.json", config)
  with pytest.warns(UserWarning, match="was changed after checkpoint .* were aa, bb, cc; .*cc, bb"):
    load(tmp_path / "run", ())


def test_a_file_without_names_says_what_its_classes_are_taken_for(tmp_path):
  model = cnnjax.create_model("resnet20_cifar", n=1)
  variables = random_variables(model)
  names = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
  for file, order, said in (
    (
      "mine.safetensors",
      names,
      "does not name its classes: head/fc taken over as if they were air",
    ),
    ("resnet20-12fca82f.th", names, None),
    ("resnet20-12fca82f.th", names[::-1], None),
    ("resnet20-12fca82f.th", ("plane", *names[1:]), "does not name its classes"),
  ):
    export(model, variables, tmp_path / file)
    with warnings.catch_warnings(record=True) as caught:
      warnings.simplefilter("always")
      found = cnnjax.load_pretrained("resnet20_cifar", tmp_path / file, n=1, classes=order)
    assert [said in str(w.message) for w in caught] == ([True] if said else [])
    bias = variables["params"]["head"]["fc"]["bias"]
    step = -1 if order == names[::-1] else 1
    np.testing.assert_array_equal(found["params"]["head"]["fc"]["bias"], bias[::step])


def test_a_network_without_layers_of_classes_says_so():
  """LeNet of 1998 compares with fixed codes."""
  with pytest.warns(
    UserWarning, match="tells b, a apart and the model a, b: none of its layers le"
  ):
    assert heads.meet({}, {}, "RUN", ("b", "a"), ("a", "b"), 2) == ({}, set())
