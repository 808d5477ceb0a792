"""A network's tensors are found in whatever wraps them; parity tests try PyTorch's own files."""

import warnings

import numpy as np
import pytest
from safetensors.numpy import save

import cnnjax
from cnnjax.checkpoints.match import take
from cnnjax.checkpoints.opened import open_weights
from cnnjax.checkpoints.transfer import to_others
from cnnjax.errors import UserError
from cnnjax.layers.norm import EPSILON
from tests.checkpoints.test_transfer import random_variables, same

NAME, SMALL = "resnet20_cifar", dict(n=1)


@pytest.fixture(scope="module")
def net():
  model = cnnjax.create_model(NAME, **SMALL)
  variables = random_variables(model)
  return model, variables, to_others(model, variables)


def save_file(tensors, path, metadata=None):
  path.write_bytes(save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata))


def prefixed(tensors, prefix):
  return {prefix + name: value for name, value in tensors.items()}


def quietly(path):
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    return cnnjax.load_pretrained(NAME, path, **SMALL)


@pytest.mark.parametrize(
  "prefix",
  ["module.", "model.", "net.", "backbone.", "encoder.", "_orig_mod.", "ema.", "student.", "conv1.",
   "module._orig_mod.model.", "Anything at all.0."],
)  # fmt: skip
def test_any_prefix_of_all_names(net, tmp_path, prefix):
  save_file(prefixed(net[2], prefix), tmp_path / "x.safetensors", {"format": "pt", "epoch": "3"})
  assert same(quietly(tmp_path / "x.safetensors"), net[1])


def test_a_file_is_told_by_its_content_and_a_folder_by_its_model(net, tmp_path):
  save_file(net[2], tmp_path / "model.safetensors")
  (tmp_path / "config.json").write_text("{}")  # as the hub's folders have one
  assert same(quietly(tmp_path), net[1])
  (tmp_path / "weights").write_bytes((tmp_path / "model.safetensors").read_bytes())
  assert same(quietly(tmp_path / "weights"), net[1])


def test_what_lies_beside_the_network_is_counted_and_said(net, tmp_path):
  more = {"loss.weight": np.ones(3, np.float32), "n_averaged": np.ones((), np.int64)}
  more |= {
    "module.conv1.total_ops": np.ones(1, np.float32)
  }  # a profiler's; counters are no weights
  save_file(prefixed(net[2], "module.") | more, tmp_path / "x.safetensors")
  said = r"took the \d+ tensors under module. and left 2 others out .loss.weight, n_averaged"
  with pytest.warns(UserWarning, match=said):
    assert same(cnnjax.load_pretrained(NAME, tmp_path / "x.safetensors", **SMALL), net[1])


@pytest.mark.parametrize(
  ("make", "sentence"),
  [
    (lambda t: prefixed(t, "student.") | prefixed(t, "teacher."),
     "holds 2 networks that fit resnet20_cifar, under student., teacher.: save the one"),
    (lambda t: t | prefixed(t, "ema."), r"holds 2 networks .* under \(nothing\), ema\.:"),
    (lambda t: prefixed(t, "net.") | {"net.more": np.ones(2, np.float32)},
     r"missing 0 \(none\), not wanted 1 \(net.more\)"),
    (lambda t: prefixed({k: v for k, v in t.items() if k != "linear.bias"}, "net."),
     r"missing 1 \(net.linear.bias\), not wanted 0"),
    (lambda t: {k: v.astype(np.int8) for k, v in t.items()}, "holds int8 numbers at .*, expected"),
    (lambda t: t | {"linear.bias": np.full(10, np.nan, np.float32)}, "at linear.bias that are not"),
    (lambda t: {}, r"missing 37 \(bn1.bias, .*, not wanted 0 \(none\)"),
    (lambda t: t | {"linear.weight": np.ones((0, 64), np.float32)},
     r"params/head/fc/kernel \(64, 0\), expected \(64, 10\)"),
  ],
)  # fmt: skip
def test_what_is_ambiguous_or_does_not_fit_is_shown(net, tmp_path, make, sentence):
  save_file(make(net[2]), tmp_path / "x.safetensors")
  with pytest.raises((UserError, UserWarning), match=sentence), warnings.catch_warnings():
    warnings.simplefilter("error")
    cnnjax.load_pretrained(NAME, tmp_path / "x.safetensors", **SMALL)


def test_weights_that_a_file_holds_twice_are_taken_once(net, tmp_path):
  save_file(net[2] | {"more": net[2]["linear.weight"]}, tmp_path / "x.safetensors")
  assert same(quietly(tmp_path / "x.safetensors"), net[1])
  save_file(net[2] | {"more": net[2]["linear.weight"] + 1}, tmp_path / "x.safetensors")
  with pytest.raises(UserError, match=r"not wanted 1 \(more\)"):
    quietly(tmp_path / "x.safetensors")


def test_of_two_libraries_names_those_are_taken_of_which_there_are_most():
  """The trunks' names are the same; what the head is called tells them apart."""
  known = {"one": {"trunk/a": "a", "head/b": "x"}, "other": {"trunk/a": "a", "head/b": "y"}}
  wanted = [("params", "trunk", "a", "bias"), ("params", "head", "b", "bias")]
  tensors = {"a.bias": np.ones(2, np.float32), "y.bias": np.zeros(3, np.float32)}
  found = take("net", "file", tensors, known, wanted, optional=wanted[1:])
  assert {path[1]: leaf.shape for path, leaf in found.items()} == {"trunk": (2,), "head": (3,)}


def test_weights_are_opened_with_the_classes_that_they_tell_apart(tmp_path):
  model, path = cnnjax.create_model(NAME, num_classes=5, **SMALL), tmp_path / "mine.safetensors"
  variables = random_variables(model)
  save_file(prefixed(to_others(model, variables), "module."), path)
  opened = open_weights(NAME, path, **SMALL)
  assert opened.model == model and same(opened.variables, variables)
  assert opened.classes == () and opened.published is None
  named = open_weights(
    "resnet20_cifar_b", _of(path, "resnet20_cifar_b"), weights="CIFAR10", **SMALL
  )
  assert named.model.preprocessing.std == (0.2023, 0.1994, 0.2010) and named.classes == ()
  with pytest.raises(UserError, match="does not fit resnet20_cifar: params/head/fc/"):
    open_weights(NAME, path, num_classes=6, **SMALL)
  with pytest.raises(UserError, match="unknown model 'resnet21_cifar'; did you mean"):
    open_weights("resnet21_cifar", path)
  (tmp_path / "config.json").write_text("{}")
  with pytest.raises(UserError, match="is a run, which has its own model"):
    open_weights(NAME, tmp_path)


def _of(path, name):
  """Returns a file of another model with four classes beside a file."""
  model = cnnjax.create_model(name, num_classes=4, **SMALL)
  save_file(to_others(model, random_variables(model)), path.with_name("b.safetensors"))
  return path.with_name("b.safetensors")


def test_a_published_cifar_resnet_brings_its_preprocessing_and_classes(tmp_path):
  """By its file's name, whose digits are not torchvision's kind of checksum."""
  model = cnnjax.create_model("resnet20_cifar", weights="resnet20-12fca82f.th")
  assert model.preprocessing.mean == (0.485, 0.456, 0.406) and model.preprocessing.crop is None
  path = tmp_path / "resnet20-12fca82f.th"
  save_file(prefixed(to_others(model, random_variables(model)), "module."), path)
  opened = open_weights("resnet20_cifar", path)
  assert opened.classes[:2] == ("airplane", "automobile") and opened.published.top1 == 91.73
  assert opened.model == model and opened.published.epsilon == EPSILON
