"""PyTorch's own files as users have them, and the CIFAR ResNets that others publish."""

import argparse
import pathlib
import warnings
import zipfile

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
pytestmark = pytest.mark.parity

import cnnjax  # noqa: E402
from cnnjax.checkpoints import export  # noqa: E402
from cnnjax.checkpoints.opened import open_weights  # noqa: E402
from cnnjax.errors import UserError  # noqa: E402

nn, F = torch.nn, torch.nn.functional


class Block(nn.Module):
  """Two convolutions and a shortcut: option A's, or a projection of the given name (option B)."""

  def __init__(self, inputs, width, stride, projection):
    super().__init__()
    self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
    self.bn1 = nn.BatchNorm2d(width)
    self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
    self.bn2 = nn.BatchNorm2d(width)
    self.more, self.stride, self.projection = width - inputs, stride, projection
    if projection and self.more:
      layers = nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)
      setattr(self, projection, nn.Sequential(*layers))

  def forward(self, x):
    y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
    if self.projection and self.more:
      return F.relu(y + getattr(self, self.projection)(x))
    half = self.more // 2
    return F.relu(y + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half)))


class Net(nn.Module):
  """6n + 2 layers; the last is called `linear` or `fc`."""

  def __init__(self, n=3, last="linear", projection="", classes=10):
    super().__init__()
    torch.manual_seed(n)
    self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
    widths = [16] * (n + 1) + [32] * n + [64] * n
    blocks = [
      Block(a, b, 2 if b > a else 1, projection)
      for a, b in zip(widths[:-1], widths[1:], strict=True)
    ]
    for k in range(3):
      setattr(self, f"layer{k + 1}", nn.Sequential(*blocks[k * n : (k + 1) * n]))
    setattr(self, last, nn.Linear(64, classes))
    self.last = last
    for name, value in [*self.named_parameters(), *self.named_buffers()]:
      if value.ndim == 4:
        nn.init.kaiming_normal_(value)  # else the last layers hardly see the image
      elif "running_var" in name or ("bn" in name and name.endswith("weight")):
        nn.init.uniform_(value, 0.5, 1.0)
      elif value.ndim == 1:
        nn.init.normal_(value, 0, 0.1)

  def forward(self, x):
    x = F.relu(self.bn1(self.conv1(x)))
    x = self.layer3(self.layer2(self.layer1(x)))
    return getattr(self, self.last)(x.mean((2, 3)))


def same(model, variables, net):
  """Asserts that two networks give the same logits, up to 1e-5."""
  x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
  with torch.no_grad():
    want = net.eval()(torch.tensor(np.moveaxis(x, -1, 1).copy())).numpy()
  found = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, x)["logits"]
  assert np.ptp(want[0] - want[1]) > 1e-3
  np.testing.assert_allclose(found, want, atol=1e-5 * np.abs(want).max())


def quietly(*given, **options):
  """Loads, and fails where anything is warned of."""
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    return cnnjax.load_pretrained(*given, **options)


@pytest.mark.parametrize(
  "name, arguments",
  [
    ("resnet20_cifar", dict(n=3)),
    ("resnet32_cifar", dict(n=5, last="fc")),
    ("resnet20_cifar_b", dict(n=3, last="fc", projection="downsample")),
    ("resnet20_cifar_b", dict(n=3, projection="shortcut")),
  ],
)
def test_cifar_resnets_give_the_same_logits_and_go_back(tmp_path, name, arguments):
  """As akamaster's trainer saves them: DataParallel's names, in a table with an accuracy."""
  net = Net(**arguments)
  state = {"state_dict": nn.DataParallel(net).state_dict(), "best_prec1": 91.7, "epoch": 200}
  torch.save(state, tmp_path / "net.th")
  variables = quietly(name, tmp_path / "net.th")
  model = cnnjax.create_model(name)
  same(model, variables, net)
  naming = {"downsample": "chenyaofo", "shortcut": "akamaster, option B"}
  naming = naming.get(
    net.layer1[0].projection, {"linear": "akamaster"}.get(net.last, "torchvision's")
  )
  export(model, variables, tmp_path / "back.safetensors", naming=naming)
  from safetensors.torch import load_file

  other = Net(**arguments)
  nn.init.zeros_(other.conv1.weight)
  other.load_state_dict(load_file(tmp_path / "back.safetensors"))
  for key, value in net.state_dict().items():
    assert torch.equal(other.state_dict()[key], value) or key.endswith("num_batches_tracked")


def test_another_shortcut_is_no_part_of_the_network(tmp_path):
  torch.save(Net(last="fc", projection="downsample").state_dict(), tmp_path / "b.pt")
  with pytest.raises(UserError, match=r"missing 0 .*not wanted 10 \(layer2.0.downsample.0.weight"):
    cnnjax.load_pretrained("resnet20_cifar", tmp_path / "b.pt")


@pytest.fixture(scope="module")
def net():
  return Net()


def rename(state, prefix):
  return {prefix + key: value for key, value in state.items()}


WRAPPED = {  # file: how a table of tensors is wrapped in it
  "plain-20240115.pth": lambda s: s,
  "dated-2024011a.pth": lambda s: s,
  "model.pth.tar": lambda s: {"epoch": 3, "state_dict": rename(s, "module.")},
  "net.t7.pt": lambda s: {"net": rename(s, "module."), "acc": 91.2, "epoch": 3},
  "params.bin": lambda s: {"params": s},
  "msd.ckpt": lambda s: {"model_state_dict": rename(s, "_orig_mod."), "loss": torch.tensor(0.3)},
  "twice": lambda s: {"checkpoint": {"model": rename(s, "_orig_mod.module."), "lr": 0.1}},
  "backbone.pth": lambda s: rename(s, "encoder.backbone."),
  "numpy.pth": lambda s: {"model": s, "best": np.float64(0.9), "all": np.ones(3), "n": np.int64(2)},
  "args.pth": lambda s: {"model": s, "args": argparse.Namespace(lr=1, out=pathlib.Path("x"))},
}  # fmt: skip


@pytest.mark.parametrize("file", WRAPPED)
def test_what_wraps_tensors_is_taken_off(tmp_path, net, file):
  state = net.state_dict()
  torch.save(WRAPPED[file](state), tmp_path / file)
  with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    variables = cnnjax.load_pretrained("resnet20_cifar", tmp_path / file)
  kernel = variables["params"]["head"]["fc"]["kernel"]
  np.testing.assert_array_equal(kernel, state["linear.weight"].numpy().T)
  others = [str(w.message) for w in said if "others out" in str(w.message)]
  assert bool(others) == (file in ("msd.ckpt", "numpy.pth")), others  # they hold a tensor more


def test_older_files_parameters_with_gradients_and_halves(tmp_path, net):
  state = {**net.state_dict(), **dict(net.named_parameters())}
  assert state["conv1.weight"].requires_grad
  old = dict(_use_new_zipfile_serialization=False)
  for options in ({}, old):
    torch.save(state, tmp_path / "net.pth", **options)
    variables = quietly("resnet20_cifar", tmp_path / "net.pth")
    same(cnnjax.create_model("resnet20_cifar"), variables, net)
  for dtype in (torch.bfloat16, torch.float16, torch.float64):
    torch.save({k: v.to(dtype) for k, v in net.state_dict().items()}, tmp_path / "other.pth")
    kernel = quietly("resnet20_cifar", tmp_path / "other.pth")["params"]["head"]["fc"]["kernel"]
    assert kernel.dtype == np.float32
    np.testing.assert_allclose(kernel, state["linear.weight"].detach().numpy().T, rtol=0.01)


def test_what_else_is_in_a_file_is_counted(tmp_path, net):
  """Lightning's names, with a loss beside the network; and a whole training's checkpoint."""
  state = rename(net.state_dict(), "model.") | {"loss.weight": torch.ones(10)}
  torch.save({"state_dict": state, "hyper_parameters": {"lr": 0.1}}, tmp_path / "last.ckpt")
  said = r"took the \d+ tensors under state_dict.model. and left 1 others out .state_dict.loss.weig"
  with pytest.warns(UserWarning, match=said):
    cnnjax.load_pretrained("resnet20_cifar", tmp_path / "last.ckpt")
  moments = {n: {"step": torch.ones(()), "exp_avg": torch.ones(3)} for n in range(5)}
  every = {"model": net.state_dict(), "optimizer": {"state": moments, "param_groups": [{"lr": 1}]}}
  torch.save(every, tmp_path / "all.pt")
  with pytest.warns(UserWarning, match="under model. and left 10 others out .optimizer.state.0.ex"):
    cnnjax.load_pretrained("resnet20_cifar", tmp_path / "all.pt")


def whole(net):
  return net


REFUSED = {  # what is saved, and what is said of it
  "two": (lambda n: {"model": n.state_dict(), "ema": Net().state_dict()},
          r"holds 2 networks that fit resnet20_cifar, under ema., model."),
  "none": (lambda n: {"epoch": 3, "args": {"lr": 0.1}, "history": [1, 2]},
           r"but epoch \(a int\), args \(a dict of 1\), history \(a list of 2\)"),
  "module": (whole, r"refused: it holds more than tensors: \S*Net, and .*torch.save\(model.state"),
  "list": (lambda n: [torch.ones(2)], r"holds no table of tensors .*, but a list of 1"),
  "other": (lambda n: {"model": {"fc1.weight": torch.ones(3, 4)}},
            r"missing \d+ .*not wanted 1 \(model.fc1.weight\)"),
  "int8": (lambda n: {k: v.to(torch.int8) for k, v in n.state_dict().items()}, "expected floats"),
  "sparse": (lambda n: {"fc.weight": torch.eye(3).to_sparse()}, "a tensor that cannot be read"),
  "huge": (lambda n: {"fc.weight": torch.ones(1).expand(10**9, 10**6)}, "larger than what is stor"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_says_what_is_there(tmp_path, net, what):
  make, sentence = REFUSED[what]
  torch.save(make(net), tmp_path / "file.pth")
  with pytest.raises(UserError, match=sentence) as caught:
    cnnjax.load_pretrained("resnet20_cifar", tmp_path / "file.pth")
  assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_damage_that_pytorch_does_not_see(tmp_path, net):
  """An archive has a checksum for each part, and may claim any size."""
  torch.save(net.state_dict(), tmp_path / "net.pth")
  content = bytearray((tmp_path / "net.pth").read_bytes())
  content[len(content) // 2] ^= 1
  (tmp_path / "net.pth").write_bytes(content)
  torch.load(tmp_path / "net.pth")
  with pytest.raises(UserError, match="net/data/.* does not have its checksum"):
    cnnjax.load_pretrained("resnet20_cifar", tmp_path / "net.pth")
  with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("net/data/0", bytes(10**8))
  with pytest.raises(UserError, match="it claims to hold 100000000 bytes in"):
    cnnjax.load_pretrained("resnet20_cifar", tmp_path / "bomb.pth")


def test_a_table_that_holds_itself(tmp_path, net):
  state = {"model": net.state_dict()}
  state["again"] = state["shared"] = state
  state["ema"] = state["model"]  # one table under two names is one table
  torch.save(state, tmp_path / "round.pth")
  quietly("resnet20_cifar", tmp_path / "round.pth")


def test_a_file_is_opened_as_it_is(tmp_path):
  """The number of classes is the file's; a published file's name brings preprocessing and names."""
  torch.save(
    {"state_dict": rename(Net().state_dict(), "module.")}, tmp_path / "resnet20-12fca82f.th"
  )
  opened = open_weights("resnet20_cifar", tmp_path / "resnet20-12fca82f.th")
  assert opened.classes[:2] == ("airplane", "automobile") and opened.published.top1 == 91.73
  assert opened.model.preprocessing.mean == (0.485, 0.456, 0.406)
  same(opened.model, opened.variables, Net())
  torch.save(Net(classes=4).state_dict(), tmp_path / "mine.pth")
  opened = open_weights("resnet20_cifar", tmp_path / "mine.pth")
  assert opened.model.num_classes == 4 and opened.classes == () and opened.published is None
  same(opened.model, opened.variables, Net(classes=4))
