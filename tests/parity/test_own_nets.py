"""Networks that no library has as we do, against PyTorch versions written from their papers.

Each PyTorch network names its modules as ours does, so that one function carries all weights.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cnnjax.layers import Dense, LinearHead, SqueezeExcite
from cnnjax.models.classification import alexnet
from cnnjax.models.classification.googlenet import Auxiliary, Original
from cnnjax.models.zoo import create_model
from cnnjax.ops.norm import local_response_norm
from cnnjax.ops.pool import adaptive_avg_pool, max_pool
from cnnjax.tasks import classification
from tests.parity.test_torch import (  # the fixture works on this file, too
  first,
  full_precision,  # noqa: F401
  last,
  near,
  random,
  shallow,
)

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
pytestmark = pytest.mark.parity
F, nn = torch.nn.functional, torch.nn
CLASSES = 7
WIDE, NARROW = (
  4096,
  64,
)  # AlexNet's hidden layers, else most of its weights and of this file's memory


@pytest.fixture(autouse=True)
def narrow_head(monkeypatch):
  monkeypatch.setattr(alexnet, "Dense", lambda n, **o: Dense(NARROW if n == WIDE else n, **o))


def dense(c, h, w, width):
  """Returns a linear layer that reads a flattened map [C, h, w]."""
  layer = nn.Linear(c * h * w, width)
  layer.space = (c, h, w)
  return layer


class Logistic(nn.Module):
  def __init__(self):
    super().__init__()
    self.head = dense(3, 9, 8, CLASSES)

  def forward(self, x):
    return self.head(x.flatten(1))


class MLP(nn.Module):
  def __init__(self):
    super().__init__()
    self.trunk = nn.ModuleDict(dict(fc1=dense(3, 9, 8, 100), fc2=nn.Linear(100, 100)))
    self.head = nn.Linear(100, CLASSES)

  def forward(self, x):
    return self.head(F.relu(self.trunk["fc2"](F.relu(self.trunk["fc1"](x.flatten(1))))))


class CNN(nn.Module):
  """The listing of course/003, but for its line breaks."""

  def __init__(self):
    super().__init__()
    self.cnn_layers = nn.Sequential(
      nn.Conv2d(in_channels=1, out_channels=12, kernel_size=3, padding=1),
      nn.ReLU(),
      nn.MaxPool2d(kernel_size=2),
      nn.Conv2d(in_channels=12, out_channels=24, kernel_size=3, padding=1),
      nn.ReLU(),
      nn.MaxPool2d(kernel_size=2),
    )
    self.fc_layers = nn.Sequential(
      nn.Linear(in_features=24 * 7 * 7, out_features=64),
      nn.ReLU(),
      nn.Dropout(p=0.2),
      nn.Linear(in_features=64, out_features=10),
    )

  def forward(self, x):
    x = self.cnn_layers(x)  # Pass through convolutional layers
    x = x.view(x.size(0), -1)  # Flatten the tensor to 1D
    return self.fc_layers(x)  # Pass through fully connected layers


def lecture_cnn():
  """Returns the deck's network, told where our names are to be found in it."""
  net = CNN()
  net.fc_layers[0].space = (24, 7, 7)
  layers = ("cnn_layers.0", "cnn_layers.3", "fc_layers.0", "fc_layers.3")
  net.ours = dict(zip(("trunk.conv1", "trunk.conv2", "head.fc1", "head.fc2"), layers))
  return net


def tumor_net():
  """Returns the NetChain of course/000, for images of 23x20: their last map is 4x3."""
  net = nn.Sequential(
    nn.Conv2d(1, 20, 3), nn.ReLU(), nn.MaxPool2d(2, 2),
    nn.Conv2d(20, 10, 3), nn.ReLU(), nn.MaxPool2d(2, 2),
    nn.Flatten(), dense(10, 4, 3, 300), nn.ReLU(),
    nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, CLASSES),
  )  # fmt: skip
  ours = ("trunk.conv1", "trunk.conv2", "head.fc1", "head.fc2", "head.fc3")
  net.ours = dict(zip(ours, ("0", "3", "7", "9", "11")))
  return net


class Local(nn.Module):
  """A linear layer for each place [h, w] of the output, reading the patch there."""

  def __init__(self, c, window, h, w, width):
    super().__init__()
    self.unfold, self.place = nn.Unfold(window), (h, w)
    self.weight = nn.Parameter(torch.zeros(h * w, c * window**2, width))
    self.bias = nn.Parameter(torch.zeros(h * w, width))

  def forward(self, x):
    patches = self.unfold(x).permute(2, 0, 1)  # [place, B, C k k]
    y = torch.baddbmm(self.bias[:, None], patches, self.weight)
    return y.permute(1, 2, 0).unflatten(2, self.place)


class LocalNet(nn.Module):
  """For images of 20x18x3: local1 16x14, pooled 8x7, local2 6x5, pooled 3x2."""

  def __init__(self):
    super().__init__()
    self.trunk = nn.ModuleDict(dict(local1=Local(3, 5, 16, 14, 8), local2=Local(8, 3, 6, 5, 16)))
    self.head = nn.ModuleDict(dict(fc1=dense(16, 3, 2, CLASSES)))

  def forward(self, x):
    for name in ("local1", "local2"):
      x = F.max_pool2d(F.relu(self.trunk[name](x)), 2)
    return self.head["fc1"](x.flatten(1))


class AlexNet(nn.Module):
  """Krizhevsky et al. 2012, section 3: LRN behind the ReLU of layers 1 and 2, two towers."""

  def __init__(self):
    super().__init__()
    self.trunk = nn.ModuleDict(
      dict(
        conv1=nn.Conv2d(3, 96, 11, stride=4),
        conv2=nn.Conv2d(96, 256, 5, padding=2, groups=2),
        conv3=nn.Conv2d(256, 384, 3, padding=1),
        conv4=nn.Conv2d(384, 384, 3, padding=1, groups=2),
        conv5=nn.Conv2d(384, 256, 3, padding=1, groups=2),
      )
    )
    layers = dict(fc6=dense(256, 6, 6, NARROW), fc7=nn.Linear(NARROW, NARROW))
    self.head = nn.ModuleDict(layers | dict(fc8=nn.Linear(NARROW, CLASSES)))
    self.norm = nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)  # it divides by the size

  def forward(self, x):
    conv, fc = self.trunk, self.head
    x = F.max_pool2d(self.norm(F.relu(conv["conv1"](x))), 3, 2)
    x = F.max_pool2d(self.norm(F.relu(conv["conv2"](x))), 3, 2)
    x = F.relu(conv["conv4"](F.relu(conv["conv3"](x))))
    x = F.max_pool2d(F.relu(conv["conv5"](x)), 3, 2)
    return fc["fc8"](F.relu(fc["fc7"](F.relu(fc["fc6"](x.flatten(1))))))


def relu_conv(c, width, size, stride=1):
  """Returns GoogLeNet's unit: a convolution that keeps the size, or halves it, and a ReLU."""
  conv = nn.Conv2d(c, width, size, stride, size // 2)
  return nn.Sequential(OrderedDict(conv=conv, relu=nn.ReLU()))


class Inception(nn.Module):
  """arXiv:1409.4842, figure 2b, with the columns of table 1."""

  def __init__(self, c, ch1, ch3_reduce, ch3, ch5_reduce, ch5, projection):
    super().__init__()
    self.one = relu_conv(c, ch1, 1)
    self.three_reduce, self.three = relu_conv(c, ch3_reduce, 1), relu_conv(ch3_reduce, ch3, 3)
    self.five_reduce, self.five = relu_conv(c, ch5_reduce, 1), relu_conv(ch5_reduce, ch5, 5)
    self.projection = relu_conv(c, projection, 1)

  def forward(self, x):
    three, five = self.three(self.three_reduce(x)), self.five(self.five_reduce(x))
    return torch.cat((self.one(x), three, five, self.projection(F.max_pool2d(x, 3, 1, 1))), 1)


class Aux(nn.Module):
  """Section 5: 5x5 average pooling of stride 3 makes 4x4 of the paper's 14x14 maps."""

  def __init__(self, c, pool=None):
    super().__init__()
    self.pool = pool or nn.AdaptiveAvgPool2d(4)
    self.conv, self.fc1 = relu_conv(c, 128, 1), dense(128, 4, 4, 1024)
    self.fc2 = nn.Linear(1024, CLASSES)

  def forward(self, x):
    return self.fc2(F.relu(self.fc1(self.conv(self.pool(x)).flatten(1))))


class GoogLeNet(nn.Module):
  """arXiv:1409.4842, table 1; pools that round up, as sizes from 112 to 56 and 28 want it."""

  def __init__(self):
    super().__init__()
    self.trunk = nn.ModuleDict(
      dict(
        conv1=relu_conv(3, 64, 7, 2),
        conv2_reduce=relu_conv(64, 64, 1),
        conv2=relu_conv(64, 192, 3),
        inception3a=Inception(192, 64, 96, 128, 16, 32, 32),
        inception3b=Inception(256, 128, 128, 192, 32, 96, 64),
        inception4a=Inception(480, 192, 96, 208, 16, 48, 64),
        inception4b=Inception(512, 160, 112, 224, 24, 64, 64),
        inception4c=Inception(512, 128, 128, 256, 24, 64, 64),
        inception4d=Inception(512, 112, 144, 288, 32, 64, 64),
        inception4e=Inception(528, 256, 160, 320, 32, 128, 128),
        inception5a=Inception(832, 256, 160, 320, 32, 128, 128),
        inception5b=Inception(832, 384, 192, 384, 48, 128, 128),
      )
    )
    self.aux1, self.aux2 = Aux(512), Aux(528)
    self.head = nn.ModuleDict(dict(fc=nn.Linear(1024, CLASSES)))
    self.norm = nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)
    self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)

  def forward(self, x):
    net, pool, norm = self.trunk, self.pool, self.norm
    x = norm(pool(net["conv1"](x)))
    x = pool(norm(net["conv2"](net["conv2_reduce"](x))))
    x = pool(net["inception3b"](net["inception3a"](x)))
    x = net["inception4a"](x)
    aux1 = self.aux1(x)
    x = net["inception4d"](net["inception4c"](net["inception4b"](x)))
    aux2 = self.aux2(x)
    x = net["inception5b"](net["inception5a"](pool(net["inception4e"](x))))
    return self.head["fc"](x.mean((2, 3))), aux1, aux2


def conv_norm(c, width, size, stride=1):
  conv = nn.Conv2d(c, width, size, stride, size // 2, bias=False)
  return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(width)))


class Squeeze(nn.Module):
  """arXiv:1709.01507, figure 3: what each channel is multiplied by."""

  def __init__(self, c, reduction):
    super().__init__()
    self.fc1, self.fc2 = nn.Linear(c, c // reduction), nn.Linear(c // reduction, c)

  def forward(self, x):
    gate = torch.sigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1).flatten(1)))))
    return x * gate[:, :, None, None]


class CifarBlock(nn.Module):
  """Two 3x3 convolutions (arXiv:1512.03385, section 4.2) in one of four ways to use its input."""

  def __init__(self, kind, c, width, stride):
    super().__init__()
    self.kind, self.stride, self.more = kind, stride, width - c
    self.conv1, self.conv2 = conv_norm(c, width, 3, stride), conv_norm(width, width, 3)
    if kind == "squeeze":
      self.squeeze = Squeeze(width, 16)
    if kind == "highway":
      self.gate = nn.Conv2d(c, width, 3, stride, 1)

  def forward(self, x):
    y = self.conv2(F.relu(self.conv1(x)))
    half = self.more // 2  # option A: subsampled, as many zero channels on either side
    shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half))
    if self.kind == "plain":
      return F.relu(y)
    if self.kind == "squeeze":
      y = self.squeeze(y)
    if self.kind == "highway":  # arXiv:1505.00387, equation 3
      transform = torch.sigmoid(self.gate(x))
      return F.relu(y * transform + shortcut * (1 - transform))
    return F.relu(y + shortcut)


class Bottleneck(nn.Module):
  """arXiv:1512.03385, table 1: the stride is in the first convolution; projections (option B)."""

  def __init__(self, c, width, stride):
    super().__init__()
    self.conv1, self.conv2 = conv_norm(c, width, 1, stride), conv_norm(width, width, 3)
    self.conv3 = conv_norm(width, 4 * width, 1)
    if c != 4 * width:
      self.shortcut = conv_norm(c, 4 * width, 1, stride)

  def forward(self, x):
    y = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
    return F.relu(y + (self.shortcut(x) if hasattr(self, "shortcut") else x))


class ResNet(nn.Module):
  """A stem, stages of blocks and the mean of the last map."""

  def __init__(self, stem, stages):
    super().__init__()
    names = [f"stage{s}_{i}" for s, blocks in enumerate(stages, 1) for i in range(len(blocks))]
    blocks = [block for blocks in stages for block in blocks]
    self.trunk = nn.ModuleDict(dict(stem=stem, **dict(zip(names, blocks))))
    self.imagenet, self.names = stem.conv.kernel_size == (7, 7), names
    width = blocks[-1].conv2.conv.out_channels * (4 if self.imagenet else 1)
    self.head = nn.ModuleDict(dict(fc=nn.Linear(width, CLASSES)))

  def forward(self, x):
    x = F.relu(self.trunk["stem"](x))
    x = F.max_pool2d(x, 3, 2, 1) if self.imagenet else x
    for name in self.names:
      x = self.trunk[name](x)
    return self.head["fc"](x.mean((2, 3)))


class Airbench(nn.Module):
  """arXiv:2404.00498: a layer of 2x2 patches, three blocks, 3x3 maxima of the last."""

  def __init__(self):
    super().__init__()
    layers, c = dict(whiten=nn.Conv2d(3, 24, 2)), 24
    for n, width in enumerate((64, 256, 256), 1):
      unit = OrderedDict(
        conv1=nn.Conv2d(c, width, 3, padding="same", bias=False),
        pool=nn.MaxPool2d(2),
        norm1=norm_without_scale(width),
        gelu1=nn.GELU(),
        conv2=nn.Conv2d(width, width, 3, padding="same", bias=False),
        norm2=norm_without_scale(width),
        gelu2=nn.GELU(),
      )
      layers[f"block{n}"], c = nn.Sequential(unit), width
    self.trunk = nn.ModuleDict(layers)
    self.head = nn.ModuleDict(dict(fc=nn.Linear(c, CLASSES, bias=False)))

  def forward(self, x):
    x = F.gelu(self.trunk["whiten"](x))
    for n in (1, 2, 3):
      x = self.trunk[f"block{n}"](x)
    return self.head["fc"](F.max_pool2d(x, 3).flatten(1)) / 9


def norm_without_scale(width):
  """Returns a batch norm that keeps 0.6 of its statistics a step and learns a bias alone."""
  norm = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4)
  del norm.weight
  norm.register_buffer("weight", torch.ones(width), persistent=False)
  return norm


def cifar(kind):
  stages = [
    [CifarBlock(kind, 16, 16, 1), CifarBlock(kind, 16, 16, 1)],
    [CifarBlock(kind, 16, 32, 2), CifarBlock(kind, 32, 32, 1)],
    [CifarBlock(kind, 32, 64, 2), CifarBlock(kind, 64, 64, 1)],
  ]
  return ResNet(conv_norm(3, 16, 3), stages)


def bottlenecks():
  stages, c = [], 64
  for width, depth, stride in ((64, 2, 1), (128, 2, 2), (256, 1, 2), (512, 1, 2)):
    rest = [Bottleneck(4 * width, width, 1) for _ in range(depth - 1)]
    stages.append([Bottleneck(c, width, stride), *rest])
    c = 4 * width
  return ResNet(conv_norm(3, 64, 7, 2), stages)


class Case(NamedTuple):
  """PyTorch's network, its images [B, H, W, C] and their deviation, the names of our dropouts.

  `arguments` or `depths` make a deep network of ours as shallow as theirs, with all its blocks.
  `dtype` is the step's. In float32 a ReLU of a deep network may fall on either side of its corner,
  and the gradient with it; in float64 it does not. The normalisation of responses needs contrast.
  """

  theirs: Callable[[], nn.Module]
  shape: tuple[int, ...]
  dropouts: tuple[str, ...] = ()
  dtype: type = np.float64
  classes: int = CLASSES
  contrast: float = 1.0
  arguments: dict[str, Any] = {}
  depths: tuple[int, ...] = ()

  def ours(self, name, **more):
    return create_model(name, num_classes=self.classes, **self.arguments, **more)

  @property
  def images(self):
    return self.contrast * random(*self.shape, seed=2)


DROP, BOTH = ("dropout",), ("dropout", "aux_dropout")
CIFAR, TWO = (4, 20, 18, 3), dict(n=2)  # last map 5x5; two blocks a stage show all there is
CASES = {
  "logistic": Case(Logistic, (4, 9, 8, 3)),
  "mlp": Case(MLP, (4, 9, 8, 3)),
  "lecture_cnn": Case(lecture_cnn, (4, 28, 28, 1), DROP, classes=10),
  "tumor_net": Case(tumor_net, (4, 23, 20, 1)),
  "local_net": Case(LocalNet, (4, 20, 18, 3)),
  "alexnet_2012": Case(AlexNet, (2, 227, 227, 3), DROP, np.float32, contrast=30.0),
  "googlenet_2014": Case(GoogLeNet, (2, 64, 80, 3), BOTH, contrast=30.0),  # last map 2x3
  "resnet20_cifar": Case(partial(cifar, "residual"), CIFAR, arguments=TWO),
  "plain20_cifar": Case(partial(cifar, "plain"), CIFAR, arguments=TWO),
  "highway20_cifar": Case(partial(cifar, "highway"), CIFAR, arguments=TWO),
  "seresnet20_cifar": Case(partial(cifar, "squeeze"), CIFAR, arguments=TWO),
  "airbench94": Case(Airbench, (4, 32, 26, 3)),  # last map 3x3
  "resnet50_2015": Case(bottlenecks, (2, 64, 32, 3), depths=(2, 2, 1, 1)),
}


def draw(path, leaf, local):
  """Returns values for a variable at which every unit is alive and no statistic is trivial."""
  values = np.random.default_rng([len(path), *map(ord, path), *leaf.shape])
  if path.endswith("kernel"):
    inputs = leaf.shape[-2] if local else np.prod(leaf.shape[:-1])
    return values.standard_normal(leaf.shape, np.float32) * np.float32(np.sqrt(2 / inputs))
  low, high = {"mean": (-0.5, 0.5), "bias": (-0.1, 0.4)}.get(path.split(".")[-1], (0.5, 1.5))
  return values.uniform(low, high, leaf.shape).astype(np.float32)


def filled(model, *arguments, **options):
  """Returns random variables of a model, without compiling its init."""
  init = partial(model.init, jax.random.key(0), **options)
  shapes = jax.eval_shape(init, *arguments)

  def fill(path, leaf):
    path = ".".join(p.key for p in path)
    return draw(path, leaf, ".local" in path)

  return jax.tree_util.tree_map_with_path(fill, shapes)


NAMES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def carried(tree, net):
  """Returns a tree of ours, parameters, statistics or gradients, in PyTorch's names and layout."""
  found, ours = {}, getattr(net, "ours", {})
  for path, value in flatten_dict(tree, sep=".").items():
    where, _, leaf = path.rpartition(".")
    where = ours.get(where, where)
    module, value = net.get_submodule(where), np.asarray(value)
    if isinstance(module, Local):
      value = value.reshape(-1, *value.shape[2:])  # one axis of places
    elif leaf == "kernel" and hasattr(module, "space"):
      c, h, w = module.space
      value = value.reshape(h, w, c, -1).transpose(3, 2, 0, 1).reshape(-1, c * h * w)
    elif leaf == "kernel":
      value = np.moveaxis(value, (-1, -2), (0, 1))
    found[f"{where}.{NAMES.get(leaf, leaf)}"] = np.ascontiguousarray(value)
  return found


def load(net, variables):
  """Gives a PyTorch network our parameters and statistics: all that it has, and no others."""
  state = {}
  for tree in variables.values():
    state |= {name: torch.tensor(value) for name, value in carried(tree, net).items()}
  missing, unexpected = net.load_state_dict(state, strict=False)
  assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), missing
  return net


def upright(x):
  """Returns x as PyTorch's [B, C, H, W], laid out so even for one channel: `view` asks for it."""
  return first(x).clone(memory_format=torch.contiguous_format)


@pytest.mark.parametrize("name", CASES)
def test_logits(monkeypatch, name):
  case = CASES[name]
  if case.depths:
    shallow(monkeypatch, name, case.depths)
  model, x = case.ours(name), case.images
  variables = filled(model, x, train=False)
  net = load(case.theirs(), variables).eval()
  with torch.no_grad():
    wanted = net(upright(x))
  wanted = wanted if isinstance(wanted, tuple) else (wanted,)
  outputs = jax.jit(partial(model.apply, train=False))(variables, x)
  for found, want in zip(
    (outputs["logits"], *outputs.get("aux", {}).values()), wanted, strict=True
  ):
    assert want.std() > 1e-3 and not torch.allclose(want[0], want[1], rtol=1e-2)  # it looks at x
    near(found, want.numpy(), 1e-4)


@pytest.mark.parametrize("name", CASES)
def test_a_training_step(monkeypatch, name):
  case = CASES[name]
  if case.depths:
    shallow(monkeypatch, name, case.depths)
  label = np.int32([3, 0, 6, 3])[: case.shape[0]]
  double = case.dtype == np.float64
  near_enough = partial(near, tolerance=1e-5 if double else 1e-3)
  with jax.enable_x64(double):
    model = case.ours(name, dtype=case.dtype)
    model = model.clone(**dict.fromkeys(case.dropouts, 0.0))  # PyTorch's draws others
    x = case.images.astype(case.dtype)
    variables = jax.tree.map(case.dtype, filled(model, x, train=False))
    (our_loss, changed), grads = our_step(model, variables, x, label)
  net = case.theirs().train()
  net = load(net.double() if double else net, variables)
  loss = their_loss(net, upright(x), torch.tensor(label).long())
  loss.backward()
  near_enough(our_loss, loss.detach().numpy())
  new = carried(changed, net)
  for key, value in net.named_buffers():
    if "running" in key:
      near_enough(new.pop(key), value.numpy())
  gradients = carried(grads, net)
  for key, parameter in net.named_parameters():
    assert parameter.grad.abs().max() > 0, key
    near_enough(gradients.pop(key), parameter.grad.numpy())
  assert not new and not gradients


def our_step(model, variables, x, label):
  """Returns (loss, new statistics), gradients of one step."""
  statistics = variables.get("batch_stats", {})
  batch = {"label": label, "mask": np.ones(len(x))}

  @jax.jit
  @partial(jax.value_and_grad, has_aux=True)
  def step(params):
    both = {"params": params, "batch_stats": statistics}
    outputs, changed = model.apply(both, x, train=True, mutable=["batch_stats"])
    return classification.loss(outputs, batch)[0], changed.get("batch_stats", {})

  return step(variables["params"])


def their_loss(net, x, label):
  """Returns the cross-entropy, auxiliary logits weighted as in arXiv:1409.4842, section 5."""
  for module in net.modules():
    if isinstance(module, nn.Dropout):
      module.p = 0
  outputs = net(x)
  outputs = outputs if isinstance(outputs, tuple) else (outputs,)
  return sum(w * F.cross_entropy(y, label) for w, y in zip((1, 0.3, 0.3), outputs))


def test_the_papers_auxiliary_pooling():
  model, x = Auxiliary(CLASSES, Original, 0.0), random(2, 14, 14, 20)
  variables = filled(model, x, train=False)
  net = load(Aux(20, nn.AvgPool2d(5, 3)), variables)
  near(model.apply(variables, x, train=False), net(first(x)).detach().numpy())


@pytest.mark.parametrize("shape", [(3, 4, 5, 12), (2, 3, 4), (2, 5, 6, 1)], ids=str)
@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_local_response_norm_and_its_gradient(shape, size):
  x, constants = 20 * random(*shape), dict(k=1.5, alpha=2e-3, beta=0.6)
  their_x = first(x).requires_grad_()
  want = nn.LocalResponseNorm(size, **constants | dict(alpha=size * 2e-3))(their_x)
  found, pull = jax.vjp(lambda x: local_response_norm(x, size, **constants), x)
  near(found, last(want))
  weight = random(*shape, seed=1)
  want.backward(first(weight))
  near(pull(jnp.asarray(weight))[0], last(their_x.grad))
  their_default = nn.LocalResponseNorm(5, alpha=5e-4, k=2.0)(first(x))  # the paper's constants
  near(local_response_norm(x), last(their_default))


@pytest.mark.parametrize(
  "space, size",
  [((9, 7), 4), ((3, 3), 6), ((7, 5), (3, 8)), ((1, 1), 3), ((12, 6), 6), ((5, 11), (1, 7))],
  ids=str,
)
def test_adaptive_avg_pool_and_its_gradient(space, size):
  x = random(2, *space, 3)
  their_x = first(x).requires_grad_()
  want = F.adaptive_avg_pool2d(their_x, size)
  found, pull = jax.vjp(lambda x: adaptive_avg_pool(x, size), x)
  near(found, last(want))
  weight = random(*found.shape, seed=1)
  want.backward(first(weight))
  near(pull(jnp.asarray(weight))[0], last(their_x.grad))


def test_max_pool_that_rounds_up():
  cases = [
    (n, window, stride, padding)
    for n, window, stride in product(range(1, 5), range(1, 5), range(1, 4))
    for padding in range(window // 2 + 1)  # PyTorch takes no more
    if n + 2 * padding + stride > window  # else there is no window, with PyTorch an error
  ]
  assert len(cases) == 85
  images = [random(1, n, n + 4, 1) for n, *_ in cases]

  @jax.jit  # one program: 85 take longer to compile
  def pooled(images):
    return [max_pool(x, *place, ceil=True) for x, (_, *place) in zip(images, cases)]

  for x, case, found in zip(images, cases, pooled(images), strict=True):
    want = last(F.max_pool2d(first(x), *case[1:], ceil_mode=True))
    assert found.shape == want.shape, case
    np.testing.assert_array_equal(found, want, str(case))


@pytest.mark.parametrize("use_bias", [True, False])
def test_squeeze_excite_and_its_gradients(use_bias):
  model, x = SqueezeExcite(2, use_bias), random(3, 5, 4, 32)
  variables = filled(model, x)
  net = Squeeze(32, 16)
  if not use_bias:
    net.fc1.bias = net.fc2.bias = None
  compare(model.apply, variables, load(net, variables), x)


def test_linear_head_and_its_gradients():
  model, x = LinearHead(CLASSES), random(3, 5, 4, 6)
  variables = filled(model, x, train=False)
  layers = OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(6, CLASSES))
  apply = partial(model.apply, train=False)
  compare(apply, variables, load(nn.Sequential(layers), variables), x)


def compare(apply, variables, net, x):
  """Asserts that a module's result and all its gradients are PyTorch's."""
  their_x = first(x).requires_grad_()
  want = net(their_x)
  found, pull = jax.vjp(apply, variables, x)
  weight = random(*found.shape, seed=1)
  want.backward(first(weight))
  near(found, last(want))
  gradients, to_x = pull(jnp.asarray(weight))
  near(to_x, last(their_x.grad))
  for key, value in carried(gradients["params"], net).items():
    near(value, net.get_parameter(key).grad.numpy())
