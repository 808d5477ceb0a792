"""Every architecture that torchvision or timm has: the same weights give the same numbers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
pytestmark = pytest.mark.parity
reference = pytest.importorskip("experiments.timing.reference", reason="timm is not installed")

import cnnjax  # noqa: E402
from cnnjax.checkpoints import export, files  # noqa: E402
from cnnjax.data.image import fit  # noqa: E402
from cnnjax.layers import Dense  # noqa: E402
from cnnjax.models.classification import alexnet, vgg  # noqa: E402
from cnnjax.models.weights import WEIGHTS, labels  # noqa: E402
from cnnjax.ops.preprocess import normalize  # noqa: E402
from cnnjax.tasks import classification  # noqa: E402
from tests.parity.test_torch import shallow  # noqa: E402

F = torch.nn.functional
TORCHVISION = (
  "alexnet vgg11 vgg13 vgg16 vgg19 vgg11_bn vgg13_bn vgg16_bn vgg19_bn googlenet resnet18 resnet34 "
  "resnet50 resnet101 resnet152 densenet121 densenet161 densenet169 densenet201 mobilenet_v2"
).split()
EVERY = TORCHVISION + list(reference.TIMM)
OTHER_NAMES = {"vgg11": "vgg11", "densenet121": "densenet121", "mobilenet_v2": "mobilenetv2_100"}
TRAINED = (  # one a family, dropout off: it draws other numbers on the two sides; deep ones shorter
  ("alexnet", dict(dropout=0.0), (96, 64)),
  ("vgg11", dict(dropout=0.0), (64, 32)),
  ("vgg11_bn", dict(dropout=0.0), (64, 32)),
  ("googlenet", dict(dropout=0.0, aux_dropout=0.0), (64, 80)),
  ("resnet18", {}, (64, 32)),
  ("resnet50", dict(depths=(2, 2, 1, 1)), (64, 32)),
  ("seresnet50", dict(depths=(2, 2, 1, 1)), (64, 32)),
  ("densenet121", dict(depths=(3, 2, 2, 2)), (64, 32)),
  ("mobilenet_v1", dict(dropout=0.0), (64, 32)),
  ("mobilenet_v2", dict(dropout=0.0), (64, 32)),
)
NARROWED = ("alexnet", "vgg")
WIDE, NARROW = 4096, 32  # hidden layers of AlexNet and VGG, where numbers are compared


def empty(name, classes=10, source=None, depths=None):
  """Returns the reference without numbers, with other depths of its stages where asked for."""
  made = reference.torchvision.models
  with torch.device("meta"):
    if depths and name == "densenet121":
      return made.DenseNet(block_config=depths, num_classes=classes)
    if depths and name == "resnet50":
      return made.ResNet(made.resnet.Bottleneck, depths, num_classes=classes)
    if depths:
      return reference.timm.create_model(name, num_classes=classes, layers=depths)
    if source:
      return reference.timm.create_model(source, num_classes=classes)
    return reference.build(name, classes)


def narrow(net):
  """Gives hidden layers of 4096 units, most of a network's weights, 32 instead."""
  for parent in list(net.modules()):
    for name, layer in list(parent.named_children()):
      if WIDE in layer.__dict__.values() and isinstance(layer, torch.nn.Linear):
        sizes = (layer.in_features, layer.out_features)
        setattr(parent, name, torch.nn.Linear(*(NARROW if n == WIDE else n for n in sizes)))
      elif WIDE in layer.__dict__.values() and isinstance(layer, torch.nn.Conv2d):
        sizes = (layer.in_channels, layer.out_channels)
        sizes = (NARROW if n == WIDE else n for n in sizes)
        setattr(parent, name, torch.nn.Conv2d(*sizes, layer.kernel_size))


def theirs(name, classes=10, source=None, depths=None):
  """Returns the reference with random weights and statistics that are not those of a fresh one."""
  torch.manual_seed(0)
  net = empty(name, classes, source, depths)
  narrow(net)
  net.to_empty(device="cpu")
  for module in net.modules():
    if hasattr(module, "reset_parameters"):
      module.reset_parameters()
    if isinstance(module, torch.nn.Conv2d):
      torch.nn.init.kaiming_normal_(module.weight)  # else deep ones hardly see their images
    if isinstance(module, torch.nn.BatchNorm2d):
      top = 1.3 if name == "mobilenet_v1" else 1.0  # at 1.0 it hardly sees its images
      torch.nn.init.uniform_(module.weight, 0.5, top)
      torch.nn.init.normal_(module.bias, 0, 0.1)
      torch.nn.init.normal_(module.running_mean, 0, 0.1)
      torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
  return net.eval()


def ours(monkeypatch, name, net, **arguments):
  """Returns the model and its variables, loaded as from a file that holds the reference's."""
  for module in (alexnet, vgg):  # as `narrow` does
    monkeypatch.setattr(module, "Dense", lambda n, **o: Dense(NARROW if n == WIDE else n, **o))
  tensors = {key: value.numpy().copy() for key, value in net.state_dict().items()}
  monkeypatch.setattr(files, "fetch", lambda source: source)
  monkeypatch.setattr(files, "read", lambda path: tensors)
  arguments = {"num_classes": 10, **arguments}
  variables = cnnjax.load_pretrained(name, "file", **arguments)
  return cnnjax.create_model(name, **arguments), variables


def compiled(function, **options):
  """Compiles without LLVM's optimiser, which takes most of the time and is used once."""
  return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0}, **options)


@partial(compiled, static_argnums=0)  # once for all tests of a model: images are of one shape
def logits(model, variables, x):
  return model.apply(variables, x, train=False)["logits"]


def images(count, *size):
  return np.random.default_rng(0).normal(size=(count, *size, 3)).astype(np.float32)


def first(x):
  return torch.tensor(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def error(found, want):
  """Returns the largest difference as a share of the largest wanted value."""
  found, want = np.asarray(found, np.float64), np.asarray(want, np.float64)
  assert found.shape == want.shape
  return np.abs(found - want).max() / np.abs(want).max()


@pytest.mark.parametrize("name", [name for name in EVERY if name.startswith(NARROWED)])
def test_names_and_shapes(monkeypatch, name):
  """A file of the reference's fits, tensor by tensor, whole width and all; no number is drawn."""
  zero = np.zeros((), np.float32)
  tensors = {k: np.broadcast_to(zero, v.shape) for k, v in empty(name, 1000).state_dict().items()}
  monkeypatch.setattr(files, "fetch", lambda source: source)
  monkeypatch.setattr(files, "read", lambda path: tensors)
  found = cnnjax.load_pretrained(name, "file")  # it raises where one is missing, extra or misfits
  count = sum(v.size for k, v in tensors.items() if not k.endswith("num_batches_tracked"))
  assert sum(leaf.size for leaf in jax.tree.leaves(found)) == count


@pytest.mark.parametrize("name", EVERY)
def test_logits(monkeypatch, name):
  net, x = theirs(name), images(2, 64, 64 if name == "alexnet" else 32)
  with torch.no_grad():
    want = net(first(x)).numpy()
  model, variables = ours(monkeypatch, name, net)
  found = logits(model, variables, x)
  assert np.ptp(want[0] - want[1]) > 1e-3 * np.abs(want).max()  # it sees its images
  assert error(found, want) < 1e-4


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_logits_by_timms_names(monkeypatch, name):
  net, x = theirs(name, source=OTHER_NAMES[name]), images(2, 64, 32)
  model, variables = ours(monkeypatch, name, net)
  if name == "vgg11":  # timm's makes 1x1 of what ours averages to 7x7: the weights are compared
    kernel = net.pre_logits.fc1.weight.detach().numpy().transpose(2, 3, 1, 0).reshape(-1, NARROW)
    np.testing.assert_array_equal(variables["params"]["head"]["fc6"]["kernel"], kernel)
    return
  with torch.no_grad():
    want = net(first(x)).numpy()
  assert error(logits(model, variables, x), want) < 1e-4


@pytest.mark.parametrize("name, arguments, size", TRAINED, ids=[row[0] for row in TRAINED])
def test_a_training_step(monkeypatch, name, arguments, size):
  """Loss, running statistics and every gradient, on maps that are larger than 1x1 at the end.

  In float64: in float32 both sides round, and a ReLU or a maximum that tips changes gradients.
  """
  arguments, depths = dict(arguments), arguments.get("depths")
  if arguments.pop("depths", None):
    shallow(monkeypatch, name, depths)
  net = theirs(name, depths=depths).double().train()
  x, label = images(2, *size), np.array([1, 7])
  for module in net.modules():
    if isinstance(module, torch.nn.Dropout):
      module.p = 0.0
  with jax.enable_x64(True):
    arguments = {**arguments, "dtype": "float64"}
    model, variables = ours(monkeypatch, name, net, **arguments)
    outputs, target = net(first(x).double()), torch.tensor(label)
    if name == "googlenet":
      loss = F.cross_entropy(outputs.logits, target) + 0.3 * sum(
        F.cross_entropy(aux, target) for aux in (outputs.aux_logits1, outputs.aux_logits2)
      )
    else:
      loss = F.cross_entropy(outputs, target)
    loss.backward()

    @compiled
    def step(variables, x):
      def loss_of(params):
        outputs, changed = model.apply(
          {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
        )
        batch = {"label": jnp.asarray(label), "mask": jnp.ones(len(label))}
        return classification.loss(outputs, batch)[0], changed

      (value, changed), gradients = jax.value_and_grad(loss_of, has_aux=True)(variables["params"])
      return value, {"params": gradients, **changed}

    value, found = step(variables, x.astype(np.float64))
    assert error(value, loss.item()) < 1e-6
    want = {key: p.grad.numpy() for key, p in net.named_parameters()}
    want |= {key: b.numpy() for key, b in net.named_buffers() if "running" in key}
    monkeypatch.setattr(files, "read", lambda path: want)
    want = cnnjax.load_pretrained(name, "file", num_classes=10, **arguments)  # in our places
    top = max(np.abs(leaf).max() for leaf in jax.tree.leaves(want["params"]))
    want = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(want)}
    for path, leaf in jax.tree.leaves_with_path(found):
      key = jax.tree_util.keystr(path)
      scale = max(np.abs(want[key]).max(), 1e-6 * top)  # some gradients are zero but for rounding
      assert np.abs(leaf - want[key]).max() < 1e-5 * scale, key


def test_files(tmp_path):
  """From .pth and .safetensors and back: what we write opens in PyTorch, strictly."""
  import safetensors.torch

  net, x = theirs("resnet18"), images(2, 64, 32)
  with torch.no_grad():
    want = net(first(x)).numpy()
  torch.save(net.state_dict(), tmp_path / "resnet18.pth")
  safetensors.torch.save_file(net.state_dict(), tmp_path / "resnet18.safetensors")
  half = {k: v.bfloat16() if v.is_floating_point() else v for k, v in net.state_dict().items()}
  safetensors.torch.save_file(half, tmp_path / "half.safetensors")
  model = cnnjax.create_model("resnet18", num_classes=10)
  for file, tolerance in (
    ("resnet18.pth", 1e-4),
    ("resnet18.safetensors", 1e-4),
    ("half.safetensors", 0.1),
  ):
    variables = cnnjax.load_pretrained("resnet18", tmp_path / file, num_classes=10)
    assert error(logits(model, variables, x), want) < tolerance
  variables = cnnjax.load_pretrained("resnet18", tmp_path / "resnet18.pth", num_classes=10)
  export(model, variables, tmp_path / "back.safetensors")
  other = theirs("resnet18")
  torch.nn.init.zeros_(other.conv1.weight)
  other.load_state_dict(safetensors.torch.load_file(tmp_path / "back.safetensors"))
  with torch.no_grad():
    np.testing.assert_array_equal(other(first(x)).numpy(), want)


@pytest.mark.parametrize(
  "name", ["alexnet", "googlenet", "seresnet18", "mobilenet_v2", "densenet121"]
)
def test_what_we_write_opens_in_pytorch(tmp_path, monkeypatch, name):
  import safetensors.torch

  net = theirs(name)
  model, variables = ours(monkeypatch, name, net)
  export(model, variables, tmp_path / "back.safetensors")
  other = safetensors.torch.load_file(tmp_path / "back.safetensors")
  theirs(name).load_state_dict(other)
  for key, value in net.state_dict().items():
    np.testing.assert_array_equal(other[key], value, err_msg=key)


def test_code_in_a_pth_is_not_run(tmp_path):
  class Trap:
    def __reduce__(self):
      return open, (str(tmp_path / "sprung"), "w")

  torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pth")
  with pytest.raises(cnnjax.UserError, match="trap.pth is refused: it holds more than tensors"):
    cnnjax.load_pretrained("resnet18", tmp_path / "trap.pth")
  assert not (tmp_path / "sprung").exists()


def test_a_pth_of_something_else(tmp_path):
  torch.save([torch.ones(2)], tmp_path / "list.pth")
  with pytest.raises(cnnjax.UserError, match="holds no table of tensors"):
    cnnjax.load_pretrained("resnet18", tmp_path / "list.pth")


@pytest.mark.parametrize("name", [n for n in TORCHVISION if n in WEIGHTS])
def test_published_sets_are_used_as_torchvision_uses_them(name):
  """Our table's preprocessing gives torchvision's numbers, GoogLeNet's transform_input included."""
  from PIL import Image

  rng = np.random.default_rng(1)
  picture = rng.integers(0, 256, (301, 427, 3), np.uint8)
  for weights in reference.torchvision.models.get_model_weights(name):
    if weights.name not in WEIGHTS[name]:
      continue
    row = WEIGHTS[name][weights.name]
    assert weights.url.endswith(row.file)
    assert row.top1 == pytest.approx(weights.meta["_metrics"]["ImageNet-1K"]["acc@1"], abs=5e-4)
    assert list(labels(row.preprocessing.labels)) == weights.meta["categories"]
    want = weights.transforms()(Image.fromarray(picture))
    if name == "googlenet":
      net = reference.torchvision.models.googlenet(
        weights=None, init_weights=False, transform_input=True
      )
      want = net._transform_input(want[None])[0]
    found = normalize(fit([picture], row.preprocessing), row.preprocessing)[0]
    np.testing.assert_allclose(found, np.moveaxis(want.numpy(), 0, -1), atol=1e-5)
