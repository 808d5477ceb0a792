"""The networks of clips that torchvision has: the same weights give the same numbers."""

from dataclasses import replace

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
pytestmark = pytest.mark.parity
reference = pytest.importorskip("experiments.timing.reference", reason="timm is not installed")

import cnnjax  # noqa: E402
from cnnjax.checkpoints import export, files  # noqa: E402
from cnnjax.data.inputs import clip  # noqa: E402
from cnnjax.models.weights import WEIGHTS, labels  # noqa: E402
from cnnjax.ops.preprocess import normalize  # noqa: E402

NAMES = ("r3d_18", "mc3_18", "r2plus1d_18")


def theirs(name):
  """Returns torchvision's network with random weights, and statistics not of a fresh one."""
  torch.manual_seed(0)
  net = getattr(reference.torchvision.models.video, name)(weights=None, num_classes=10)
  for module in net.modules():
    if isinstance(module, torch.nn.BatchNorm3d):
      torch.nn.init.uniform_(module.weight, 0.5, 1.0)
      torch.nn.init.normal_(module.bias, 0, 0.1)
      torch.nn.init.normal_(module.running_mean, 0, 0.1)
      torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
  return net.eval()


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_back(tmp_path, monkeypatch, name):
  net = theirs(name)
  tensors = {key: value.numpy().copy() for key, value in net.state_dict().items()}
  monkeypatch.setattr(files, "fetch", lambda source: source)
  monkeypatch.setattr(files, "read", lambda path: tensors)
  model = cnnjax.create_model(name, num_classes=10)
  variables = cnnjax.load_pretrained(name, "file", num_classes=10)
  x = np.random.default_rng(0).normal(size=(2, 5, 40, 32, 3)).astype(np.float32)
  found = jax.jit(lambda x: model.apply(variables, x, train=False)["logits"])(x)
  with torch.no_grad():
    want = net(torch.tensor(np.ascontiguousarray(np.moveaxis(x, -1, 1)))).numpy()
  assert np.abs(found - want).max() < 1e-4 * np.abs(want).max()
  assert np.ptp(want, 0).max() > 0.01 * np.abs(want).max()  # it sees its clips
  export(model, variables, tmp_path / "back.safetensors")
  import safetensors.torch

  back = safetensors.torch.load_file(tmp_path / "back.safetensors")
  net.load_state_dict(back)
  for key, value in tensors.items():
    np.testing.assert_array_equal(back[key], value, err_msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_published_sets_are_used_as_torchvision_uses_them(name):
  video = np.random.default_rng(1).integers(0, 256, (16, 150, 201, 3), np.uint8)
  (weights,) = reference.torchvision.models.get_model_weights(name)
  row = WEIGHTS[name][weights.name]
  assert weights.url.endswith(row.file)
  assert row.top1 == pytest.approx(weights.meta["_metrics"]["Kinetics-400"]["acc@1"])
  assert list(labels(row.preprocessing.labels)) == weights.meta["categories"]
  want = weights.transforms()(torch.tensor(video).permute(0, 3, 1, 2)).numpy()
  made = cnnjax.create_model(name, weights=weights.name).preprocessing
  made = replace(made, clips=1, stride=1)  # the frames that torchvision is given
  found = normalize(clip.fit([video], made)["clip"][0], made)
  off = np.abs(found - np.moveaxis(want, 0, -1)) * np.asarray(made.std) * 255
  assert off.max() < 1.01 and (off > 0.01).mean() < 1e-3  # a level, where halves are rounded
