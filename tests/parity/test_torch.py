"""Convolution, pooling, LeNet-5 and optimisers against PyTorch, with the same weights."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnjax.engine.optim import optimizer
from cnnjax.layers import BatchNorm
from cnnjax.models import zoo
from cnnjax.models.zoo import create_model
from cnnjax.ops.conv import conv
from cnnjax.ops.pool import avg_pool, max_pool
from cnnjax.tasks import classification, multilabel, regression

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
pytestmark = pytest.mark.parity
F = torch.nn.functional


@pytest.fixture(autouse=True)
def full_precision():
  """Keeps accelerators from multiplying in fewer bits than float32."""
  with jax.default_matmul_precision("highest"):
    yield


def random(*shape, seed=0):
  return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def first(x):
  """Returns [B, *space, C] as PyTorch's [B, C, *space]."""
  return torch.tensor(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def last(x):
  return np.moveaxis(x.detach().numpy(), 1, -1)


def kernel_first(kernel):
  """Returns [*window, C, D] as PyTorch's [D, C, *window]."""
  return torch.tensor(np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1))))


def kernel_last(kernel):
  return np.moveaxis(kernel.detach().numpy(), (0, 1), (-1, -2))


def near(found, want, tolerance=1e-5):
  """Asserts equality up to a share of the largest wanted value."""
  np.testing.assert_allclose(found, want, rtol=0, atol=tolerance * float(np.abs(want).max()))


def shallow(monkeypatch, name, depths):
  """Gives a deep network of the zoo these depths: its blocks are computed, not all their copies."""
  row = zoo.ZOO[name]
  others = row.make.args[1:]
  make = partial(row.make.func, depths, *others, **row.make.keywords)
  monkeypatch.setitem(zoo.ZOO, name, row._replace(make=make))


def test_batch_norm_its_statistics_and_gradients():
  ours, theirs = BatchNorm(), torch.nn.BatchNorm2d(3)
  variables = ours.init(jax.random.key(0), random(1, 2, 2, 3), train=False)
  statistics = variables["batch_stats"]
  for seed in range(3):
    x, weight = random(4, 5, 6, 3, seed=seed) * 3 + 50, random(4, 5, 6, 3, seed=9)

    def loss(x, params, statistics=statistics, weight=weight):
      both = {"params": params, "batch_stats": statistics}
      y, changed = ours.apply(both, x, train=True, mutable=["batch_stats"])
      return jnp.sum(y * weight), (y, changed["batch_stats"])

    grad, (y, statistics) = jax.grad(loss, (0, 1), has_aux=True)(x, variables["params"])
    their_x = first(x).requires_grad_()
    theirs.zero_grad()
    their_y = theirs(their_x)
    (their_y * first(weight)).sum().backward()
    near(y, last(their_y), 1e-4)  # of pixels near 50 with deviation 3
    near(grad[0], last(their_x.grad), 1e-4)
    near(grad[1]["scale"], theirs.weight.grad.numpy(), 1e-4)
    near(grad[1]["bias"], theirs.bias.grad.numpy(), 1e-4)
  near(statistics["mean"], theirs.running_mean.numpy())
  near(statistics["var"], theirs.running_var.numpy())
  theirs.eval()
  both = {"params": variables["params"], "batch_stats": statistics}
  near(ours.apply(both, x, train=False), last(theirs(first(x))), 1e-4)


CONVOLUTIONS = [
  dict(),
  dict(padding=1),
  dict(strides=2, padding=(0, 2)),
  dict(strides=(1, 3), padding=2, dilation=2),
  dict(dilation=(2, 1), groups=2),
  dict(strides=2, padding=1, groups=4),
]


@pytest.mark.parametrize("hyper", CONVOLUTIONS, ids=str)
def test_conv_and_its_gradients(hyper):
  groups = hyper.get("groups", 1)
  x, kernel = random(2, 9, 8, 4), random(3, 3, 4 // groups, 8)
  their_x, their_kernel = first(x).requires_grad_(), kernel_first(kernel).requires_grad_()
  theirs = dict(stride=hyper.get("strides", 1), padding=hyper.get("padding", 0))
  theirs |= dict(dilation=hyper.get("dilation", 1), groups=groups)
  want = F.conv2d(their_x, their_kernel, **theirs)
  found, pull = jax.vjp(lambda x, kernel: conv(x, kernel, **hyper), x, kernel)
  near(found, last(want))
  weight = random(*found.shape, seed=1)
  want.backward(first(weight))
  to_x, to_kernel = pull(jnp.asarray(weight))
  near(to_x, last(their_x.grad))
  near(to_kernel, kernel_last(their_kernel.grad))


@pytest.mark.parametrize("rank", [1, 3])
def test_conv_of_other_ranks(rank):
  x, kernel = random(2, *[7, 6, 5][:rank], 3), random(*[3, 2, 3][:rank], 3, 4)
  theirs = {1: F.conv1d, 3: F.conv3d}[rank]
  want = theirs(first(x), kernel_first(kernel), stride=2, padding=1)
  near(conv(x, kernel, strides=2, padding=1), last(want))


POOLS = [(2, None, 0), (3, 2, 1), (3, 1, 1), ((2, 3), (1, 2), (1, 0)), ((1, 4), 3, (0, 2))]


@pytest.mark.parametrize("place", POOLS, ids=str)
@pytest.mark.parametrize(
  "ours, theirs",
  [
    (max_pool, F.max_pool2d),
    (avg_pool, F.avg_pool2d),
    (
      lambda *a: avg_pool(*a, count_padding=False),
      lambda *a: F.avg_pool2d(*a, count_include_pad=False),
    ),
  ],
  ids=["max", "avg", "avg without padding"],
)
def test_pools_and_their_gradients(ours, theirs, place):
  x = random(2, 9, 8, 3)
  their_x = first(x).requires_grad_()
  want = theirs(their_x, *place)
  found, pull = jax.vjp(lambda x: ours(x, *place), x)
  near(found, last(want))
  weight = random(*found.shape, seed=1)
  want.backward(first(weight))
  near(pull(jnp.asarray(weight))[0], last(their_x.grad))


def test_max_pool_sends_the_gradient_of_ties_where_pytorch_does():
  x = np.random.default_rng(0).integers(0, 2, (2, 7, 7, 2)).astype(np.float32)
  their_x = first(x).requires_grad_()
  F.max_pool2d(their_x, 3, 2, 1).sum().backward()
  found = jax.grad(lambda x: max_pool(x, 3, 2, 1).sum())(x)
  near(found, last(their_x.grad))


NAMES = [
  ("trunk", "conv1"),
  ("trunk", "conv2"),
  ("trunk", "conv3"),
  ("head", "fc1"),
  ("head", "fc2"),
]


class LeNet5(torch.nn.Module):
  """The same network as `cnnjax.models.classification.lenet`, in PyTorch's own layers."""

  def __init__(self, params):
    super().__init__()
    sizes = [(3, 6), (6, 16), (16, 120)]
    convs = [torch.nn.Conv2d(*size, 5) for size in sizes]
    dense = [torch.nn.Linear(120, 84), torch.nn.Linear(84, 10)]
    self.layers = torch.nn.ModuleList(convs + dense)
    with torch.no_grad():
      for (part, name), layer in zip(NAMES, self.layers):
        layer.weight.copy_(kernel_first(params[part][name]["kernel"]))
        layer.bias.copy_(torch.tensor(params[part][name]["bias"]))

  def forward(self, x):
    conv1, conv2, conv3, fc1, fc2 = self.layers
    x = F.max_pool2d(F.relu(conv1(x)), 2)
    x = F.max_pool2d(F.relu(conv2(x)), 2)
    return fc2(F.relu(fc1(F.relu(conv3(x)).flatten(1))))


def test_lenet5_with_the_same_weights():
  model, x, label = create_model("lenet5"), random(4, 32, 32, 3), np.int32([3, 0, 9, 3])
  shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)["params"]
  params = jax.tree.map(lambda p: 0.08 * random(*p.shape), shapes)
  batch = {"label": label, "mask": np.ones(4, np.float32)}

  @jax.jit
  @jax.grad
  def gradients(params):
    return classification.loss(model.apply({"params": params}, x, train=True), batch)[0]

  theirs = LeNet5(params)
  logits = theirs(first(x))
  F.cross_entropy(logits, torch.tensor(label).long()).backward()
  near(model.apply({"params": params}, x, train=False)["logits"], logits.detach().numpy())
  found = gradients(params)
  for (part, name), layer in zip(NAMES, theirs.layers):
    assert layer.weight.grad.abs().max() > 0, name
    near(found[part][name]["kernel"], kernel_last(layer.weight.grad))
    near(found[part][name]["bias"], layer.bias.grad.numpy())


OPTIMISERS = [
  ("sgd", dict(), torch.optim.SGD, dict()),
  ("sgd", dict(momentum=0.9), torch.optim.SGD, dict(momentum=0.9)),
  (
    "sgd",
    dict(momentum=0.9, nesterov=True),
    torch.optim.SGD,
    dict(momentum=0.9, nesterov=True),
  ),
  ("sgd", dict(momentum=0.9), torch.optim.SGD, dict(momentum=0.9, weight_decay=0.1)),
  ("adam", dict(), torch.optim.Adam, dict()),
  ("adam", dict(), torch.optim.Adam, dict(weight_decay=0.1)),
  ("adam", dict(b1=0.8, b2=0.9, eps=1e-3), torch.optim.Adam, dict(betas=(0.8, 0.9), eps=1e-3)),
  ("adamw", dict(weight_decay=0.1), torch.optim.AdamW, dict(weight_decay=0.1)),
]


@pytest.mark.parametrize("name, arguments, make, options", OPTIMISERS)
@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_three_steps_of_an_optimiser(name, arguments, make, options, clip_norm):
  inputs, target, start = random(16, 5), random(16, 3), random(5, 3)
  own = "weight_decay" in arguments  # of adamw: no part of the gradient
  section = SimpleNamespace(
    name=name,
    arguments=arguments,
    clip_norm=clip_norm,
    weight_decay=0.0 if own else options.get("weight_decay", 0.0),
    schedule="cosine",
    warmup_epochs=0,
    penalties=(),
    decoupled=False,
    rates=(),
  )
  ours = optimizer(section, optax.constant_schedule(0.05))
  weight = torch.nn.Parameter(torch.tensor(start))
  theirs = make([weight], lr=0.05, **options)
  params = jnp.asarray(start)
  state = ours.init(params)
  for _ in range(3):
    theirs.zero_grad()
    F.mse_loss(torch.tensor(inputs) @ weight, torch.tensor(target)).backward()
    if clip_norm:
      assert torch.nn.utils.clip_grad_norm_([weight], clip_norm) > clip_norm
    theirs.step()
    gradients = jax.grad(lambda w: jnp.mean((inputs @ w - target) ** 2))(params)
    updates, state = ours.update(gradients, state, params)
    params = optax.apply_updates(params, updates)
    near(params, weight.detach().numpy(), 1e-6 if name == "sgd" else 1e-5)
  assert np.abs(np.asarray(params) - start).max() > 1e-2


def gradient_too(loss, logits):
  """Returns a loss of ours and its gradient by the logits."""
  return jax.value_and_grad(lambda x: loss(x)[0])(logits)


def theirs_too(loss, logits):
  x = torch.tensor(logits, requires_grad=True)
  value = loss(x)
  value.backward()
  return value.item(), x.grad.numpy()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("soft", [False, True])
def test_weighted_cross_entropy_and_its_gradient(smoothing, soft):
  logits, weights = random(12, 5), (0.2, 1.0, 3.0, 0.7, 9.0)
  batch = {"label": np.arange(12) % 5, "mask": np.ones(12, np.float32)}
  target = torch.tensor(batch["label"])
  if soft:
    batch["target"] = np.asarray(jax.nn.softmax(random(12, 5, seed=1)))
    target, smoothing = torch.tensor(batch["target"]), 0.0  # ours does not smooth what is soft
  options = {"label_smoothing": smoothing}
  ours = gradient_too(
    lambda x: classification.loss({"logits": x}, batch, class_weights=weights, **options), logits
  )
  criterion = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights), **options)
  for found, want in zip(ours, theirs_too(lambda x: criterion(x, target), logits)):
    near(found, want)


def test_several_labels_with_positive_weights():
  logits, target = random(12, 4), (random(12, 4, seed=1) > 0).astype(np.float32)
  weights, batch = (0.2, 1.0, 3.0, 9.0), {"target": target, "mask": np.ones(12, np.float32)}
  ours = gradient_too(
    lambda x: multilabel.loss({"logits": x}, batch, positive_weights=weights), logits
  )
  criterion = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weights))
  for found, want in zip(ours, theirs_too(lambda x: criterion(x, torch.tensor(target)), logits)):
    near(found, want)


@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_squared_and_huber_errors(delta):
  logits, target = random(12, 3), random(12, 3, seed=1)
  batch = {"target": target, "mask": np.ones(12, np.float32)}
  ours = gradient_too(lambda x: regression.loss({"logits": x}, batch, delta=delta), logits)
  criterion = torch.nn.HuberLoss(delta=delta) if delta else torch.nn.MSELoss()
  for found, want in zip(ours, theirs_too(lambda x: criterion(x, torch.tensor(target)), logits)):
    near(found, want)
