"""Segmentation networks against PyTorch's: the same random weights give the same logits."""

from functools import partial

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
pytestmark = pytest.mark.parity
reference = pytest.importorskip("experiments.timing.reference", reason="it needs the extra parity")

import cnnjax  # noqa: E402
from cnnjax.checkpoints import export, files  # noqa: E402
from cnnjax.models.weights import WEIGHTS, labels  # noqa: E402
from cnnjax.ops.conv_transpose import conv_transpose  # noqa: E402
from cnnjax.ops.resize import resize  # noqa: E402
from tests.parity.test_zoo import error, first, images  # noqa: E402

nn, F = torch.nn, torch.nn.functional
NAMES = ("fcn_resnet50", "deeplabv3_resnet50")


def shaken(net):
  """Gives a network random weights and statistics that are not those of a fresh one."""
  torch.manual_seed(0)
  for module in net.modules():
    if isinstance(module, (nn.Conv2d, nn.Conv3d)):
      nn.init.kaiming_normal_(module.weight)
    if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
      nn.init.uniform_(module.weight, 0.5, 1.0)
      nn.init.normal_(module.bias, 0, 0.1)
      nn.init.normal_(module.running_mean, 0, 0.1)
      nn.init.uniform_(module.running_var, 0.5, 1.5)
  return net.eval()


def theirs(name):
  make = getattr(reference.torchvision.models.segmentation, name)
  return shaken(make(weights=None, weights_backbone=None, aux_loss=True))


@pytest.mark.parametrize("name", NAMES)
def test_logits_at_the_images_size(monkeypatch, tmp_path, name):
  """And what we write opens in torchvision, number by number."""
  import safetensors.torch

  net, x = theirs(name), images(2, 65, 90)
  with torch.no_grad():
    want = net(first(x))
  tensors = {key: value.numpy().copy() for key, value in net.state_dict().items()}
  monkeypatch.setattr(files, "fetch", lambda source: source)
  monkeypatch.setattr(files, "read", lambda path: tensors)
  model, variables = cnnjax.create_model(name), cnnjax.load_pretrained(name, "file")
  found = jax.jit(partial(model.apply, train=False))(variables, x)
  for ours, theirs_ in ((found["logits"], want["out"]), (found["aux"]["aux"], want["aux"])):
    theirs_ = np.moveaxis(theirs_.numpy(), 1, -1)
    assert ours.shape == theirs_.shape == (2, 65, 90, 21)
    assert np.abs(theirs_[0] - theirs_[1]).max() > 0.1 * np.abs(theirs_).max()  # it sees images
    assert error(ours, theirs_) < 1e-4
    np.testing.assert_allclose(ours, theirs_, atol=1e-3)
  export(model, variables, tmp_path / "back.safetensors")
  back = safetensors.torch.load_file(tmp_path / "back.safetensors")
  net.load_state_dict(back)
  for key, value in tensors.items():
    np.testing.assert_array_equal(back[key], value, err_msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_published_sets_are_used_as_torchvision_uses_them(name):
  (weights,) = reference.torchvision.models.get_model_weights(name)
  row = WEIGHTS[name][weights.name]
  assert weights.url.endswith(row.file)
  assert list(labels(row.preprocessing.labels))[1:] == weights.meta["categories"][1:]
  model, transforms = cnnjax.create_model(name, weights=weights.name), weights.transforms()
  found = model.preprocessing
  assert [found.resize] == transforms.resize_size and found.crop is None
  assert [*found.mean, *found.std] == [*transforms.mean, *transforms.std]


class TheirUNet(nn.Module):
  """Figure 1 of arXiv:1505.04597 or figure 2 of arXiv:1606.06650, in PyTorch's own layers."""

  def __init__(self, widths, halved, norm, channels, classes, space):
    super().__init__()
    conv, up, bn, self.pool = {
      2: (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, F.max_pool2d),
      3: (nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d, F.max_pool3d),
    }[space]

    def level(before, *widths):
      parts = []
      for width in widths:
        parts += [conv(before, width, 3, padding=1, bias=not norm)]
        parts += [*([bn(width)] if norm else []), nn.ReLU()]
        before = width
      return nn.Sequential(*parts)

    self.down, self.up, self.back = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
    for width in widths:
      self.down.append(level(channels, width // 2 if halved else width, width))
      channels = width
    for width in reversed(widths[:-1]):
      grown = channels if halved else width
      self.up.append(up(channels, grown, 2, 2, bias=False))
      self.back.append(level(width + grown, width, width))
      channels = width
    self.head = conv(channels, classes, 1)

  def forward(self, x):
    skips = []
    for n, down in enumerate(self.down):
      x = down(self.pool(x, 2) if n else x)
      skips.append(x)
    for up, back, skip in zip(self.up, self.back, reversed(skips[:-1])):
      x = back(torch.cat([skip, up(x)], 1))
    return self.head(x)


def carried(net, levels, norm):
  """Returns the numbers of `TheirUNet` as variables of ours."""
  variables = {"params": {"trunk": {}}, "batch_stats": {"trunk": {}}}
  params, stats = variables["params"], variables["batch_stats"]

  def numbers(layer):
    kernel = layer.weight.detach().numpy()
    bias = {} if layer.bias is None else {"bias": layer.bias.detach().numpy()}
    if kernel.ndim == 1:
      running = {"mean": layer.running_mean.numpy(), "var": layer.running_var.numpy()}
      return {"scale": kernel, **bias}, running
    return {"kernel": np.moveaxis(kernel, (1, 0), (-2, -1)), **bias}, None

  def level(sequence, params, stats, name):
    params[name], stats[name] = {}, {}
    for n, layer in enumerate(x for x in sequence if not isinstance(x, nn.ReLU)):
      place = f"norm{n // 2 + 1}" if norm and n % 2 else f"conv{(n // 2 if norm else n) + 1}"
      params[name][place], running = numbers(layer)
      if running:
        stats[name][place] = running

  for n, sequence in enumerate(net.down, 1):
    level(sequence, params["trunk"], stats["trunk"], f"level{n}")
  for n, (up, sequence) in enumerate(zip(net.up, net.back), 1):
    kernel = np.moveaxis(up.weight.detach().numpy(), (0, 1), (-2, -1))
    params[f"up{levels - n}"] = {"transposed": kernel}
    level(sequence, params, stats, f"back{levels - n}")
  params["head"] = numbers(net.head)[0]
  return variables if norm else {"params": params}


@pytest.mark.parametrize(
  "space, halved, norm", [(2, False, True), (2, False, False), (3, True, True)]
)
def test_unet(space, halved, norm):
  widths, size = (4, 8, 16), (12, 16, 8)[:space]
  net = shaken(TheirUNet(widths, halved, norm, 3, 5, space))
  x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
  options = dict(widths=widths, halved=halved, norm="batch" if norm else "none", num_classes=5)
  model = cnnjax.create_model("unet", **options)
  variables = carried(net, len(widths), norm)
  with torch.no_grad():
    want = np.moveaxis(net(first(x)).numpy(), 1, -1)
  fresh = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)
  assert jax.tree.all(jax.tree.map(lambda a, b: a.shape == b.shape, fresh, variables))
  found = jax.jit(partial(model.apply, train=False))(variables, x)["logits"]
  assert error(found, want) < 1e-4


@pytest.mark.parametrize(
  "name, arguments, channels, space",
  [
    ("unet", ((64, 128, 256, 512, 1024), False, True), 3, 2),
    ("unet_2015", ((64, 128, 256, 512, 1024), False, False), 1, 2),
    ("unet3d", ((64, 128, 256, 512), True, True), 1, 3),
  ],
)
def test_numbers_of_parameters(name, arguments, channels, space):
  with torch.device("meta"):
    net = TheirUNet(*arguments, channels, 2, space)
  assert sum(p.numel() for p in net.parameters()) == cnnjax.models.zoo.row(name).parameters


@pytest.mark.parametrize("size", [(10, 21), (4, 5), (7, 40), (5, 7)])
def test_resizing(size):
  x = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
  want = F.interpolate(first(x), size=size, mode="bilinear", align_corners=False)
  np.testing.assert_allclose(resize(x, size), np.moveaxis(want.numpy(), 1, -1), atol=1e-5)


def test_resizing_of_volumes():
  x = np.random.default_rng(0).normal(size=(1, 3, 5, 2, 4)).astype(np.float32)
  want = F.interpolate(first(x), size=(6, 4, 5), mode="trilinear", align_corners=False)
  np.testing.assert_allclose(resize(x, (6, 4, 5)), np.moveaxis(want.numpy(), 1, -1), atol=1e-5)


@pytest.mark.parametrize(
  "shape, window, strides, padding",
  [
    ((2, 7, 3), (4,), 2, 1),
    ((2, 5, 4, 3), (2, 2), 2, 0),
    ((2, 5, 4, 3), (3, 2), (3, 2), 0),
    ((2, 5, 4, 3), (4, 4), 2, 1),
    ((2, 5, 4, 3), (3, 3), 1, 1),
    ((1, 3, 4, 2, 3), (2, 2, 2), 2, 0),
    ((1, 3, 4, 2, 3), (1, 2, 2), (1, 2, 2), 0),
    ((1, 3, 4, 2, 3), (3, 3, 3), 2, 1),
  ],
)
def test_transposed_convolution_and_its_gradients(shape, window, strides, padding):
  rng, n = np.random.default_rng(0), len(window)
  theirs_ = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
  x, kernel = (rng.normal(size=s).astype(np.float32) for s in (shape, (*window, shape[-1], 5)))
  ours = jax.jit(partial(conv_transpose, strides=strides, padding=padding))
  found, pull = jax.vjp(ours, x, kernel)
  weight = rng.normal(size=found.shape).astype(np.float32)
  their_x = first(x).requires_grad_()
  their_kernel = torch.tensor(np.moveaxis(kernel, (-2, -1), (0, 1)).copy()).requires_grad_()
  want = theirs_(their_x, their_kernel, stride=strides, padding=padding)
  want.backward(first(weight))
  to_x, to_kernel = pull(weight)
  assert error(found, np.moveaxis(want.detach().numpy(), 1, -1)) < 1e-5
  assert error(to_x, np.moveaxis(their_x.grad.numpy(), 1, -1)) < 1e-5
  assert error(to_kernel, np.moveaxis(their_kernel.grad.numpy(), (0, 1), (-2, -1))) < 1e-5
