"""The libraries that the benchmark compares with: the same networks in stock Flax and PyTorch."""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from tempfile import TemporaryDirectory
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import cnnjax
from cnnjax.checkpoints.port import namings
from cnnjax.checkpoints.transfer import to_others
from cnnjax.engine import state
from cnnjax.engine.compiler import compile_once, compile_step
from cnnjax.engine.environment import cores
from cnnjax.engine.mesh import make_mesh, replicated, shard
from cnnjax.engine.step import train_step
from cnnjax.models import zoo
from cnnjax.tasks import task as task_of

from .stock import stock
from .turns import Contestant

RATE, MOMENTUM = 1e-2, 0.9
FOLDED, COMPILED = "folded", "torch compiled"  # contestants that --fold and --compile add


class FlaxLeNet5(nn.Module):
  """LeNet-5 in Flax's own layers."""

  @nn.compact
  def __call__(self, x, train):
    x = nn.relu(nn.Conv(6, (5, 5), padding="VALID", name="conv1")(x))
    x = nn.max_pool(x, (2, 2), (2, 2))
    x = nn.relu(nn.Conv(16, (5, 5), padding="VALID", name="conv2")(x))
    x = nn.max_pool(x, (2, 2), (2, 2))
    x = nn.relu(nn.Conv(120, (5, 5), padding="VALID", name="conv3")(x))
    x = nn.relu(nn.Dense(84, name="fc1")(x.reshape(x.shape[0], -1)))
    return {"logits": nn.Dense(10, name="fc2")(x)}


def flax_lenet5(variables: Any) -> tuple[Callable, Any]:
  """Returns `apply` of LeNet-5 in stock Flax, and our variables by its names."""
  params = variables["params"]
  return FlaxLeNet5().apply, {"params": {**params["trunk"], **params["head"]}}


def flax_zoo(name: str, variables: Any) -> tuple[Callable, Any]:
  """Returns `apply` of a network of the zoo with stock Flax's layers, and our variables."""
  return stock(undropped(name)), variables


def user_zoo(name: str, variables: Any) -> tuple[Callable, Any]:
  """Returns `apply` of our model for a user's own training loop, and our variables."""
  return undropped(name).apply, variables


def torch_own(name: str, variables: Any) -> Any:
  """Returns the PyTorch module of this name in `torch_nets`, with our variables."""
  from . import torch_nets

  return torch_nets.fill(getattr(torch_nets, OWN[name])(), variables)


def torch_zoo(name: str, variables: Any) -> Any:
  """Returns torchvision's or timm's module of this name, with our variables and without dropout."""
  import torch

  from .reference import build

  tensors, net = to_others(zoo.create_model(name), variables), build(name)
  net.load_state_dict({key: torch.tensor(value) for key, value in tensors.items()})
  for module in net.modules():
    if isinstance(module, torch.nn.Dropout):
      module.p = 0.0
    if hasattr(module, "drop_rate"):  # timm's own
      module.drop_rate = 0.0
  return net


OWN = {"lenet5": "LeNet5", "resnet20_cifar": "ResNet20"}  # of torch_nets
PORTED = [  # those that PyTorch's libraries have
  n
  for n in zoo.list_models("classification")
  if {"torchvision", "timm"} & {*namings(zoo.create_model(n))}
]
PAPERS = ("alexnet_2012", "googlenet_2014", "resnet50_2015")  # not in torchvision or timm
PEERS = {  # peer: {model: our variables -> (apply, variables) of Flax, or PyTorch's module}
  "flax": {
    **{name: partial(flax_zoo, name) for name in (*PORTED, "resnet20_cifar")},
    "lenet5": flax_lenet5,
  },
  "user": {name: partial(user_zoo, name) for name in (*PORTED, *OWN)},
  "torch": {
    **{name: partial(torch_own, name) for name in OWN},
    **{name: partial(torch_zoo, name) for name in PORTED if name not in PAPERS},
  },
}


def undropped(name: str, **fields: Any) -> Any:
  """Returns a model of the zoo without dropout, whose random numbers differ between libraries."""
  model = zoo.create_model(name)
  off = {field: 0.0 for field in ("dropout", "aux_dropout") if hasattr(model, field)}
  return zoo.create_model(name, **off, **fields)


def engine(name: str, batch_size: int, train: bool) -> Contestant:
  """Returns the engine's own step for a model, or its logits."""
  if not train:
    return logits(name, batch_size)
  step, now, batch = training(name, batch_size)

  def advance():
    nonlocal now
    now, logs = step(now, batch)
    return logs["loss"]

  return Contestant(advance, lambda loss: np.divide(*jax.device_get(loss)))


def training(name: str, batch_size: int) -> tuple[Callable, state.State, dict]:
  """Returns the engine's compiled step for a model, its first state, and a batch."""
  mesh, optimizer, task = make_mesh(1), optax.sgd(RATE, MOMENTUM), task_of(zoo.row(name).task)
  step = partial(
    train_step,
    model=undropped(name),
    inputs=task.inputs,
    loss=task.loss,
    transform=lambda key, batch: batch,
    optimizer=optimizer,
    seed=0,
  )
  first = state.create(jax.tree.map(jnp.array, weights(name)), optimizer, ema=False)
  first = jax.device_put(first, replicated(mesh))  # as a step returns it: one compilation
  return compile_step(step, mesh, donate=True), first, shard(examples(name, batch_size), mesh)


def logits(name: str, batch_size: int, folded: bool = False) -> Contestant:
  """Returns a model's compiled inference, with `folded` after folding its batch norms."""
  mesh, model, task = make_mesh(1), undropped(name), task_of(zoo.row(name).task)
  variables, batch = weights(name), examples(name, batch_size)
  if folded:
    model, variables = cnnjax.fold(model, variables, task.inputs(batch))
  variables, batch = jax.device_put(variables, replicated(mesh)), shard(batch, mesh)
  forward = compile_step(
    lambda v, batch: model.apply(v, task.inputs(batch), train=False)["logits"], mesh
  )
  return Contestant(lambda: jax.block_until_ready(forward(variables, batch)))


def own_loop(
  apply: Callable, variables: Any, batch: dict, task: Any, train: bool, jit: Callable = jax.jit
) -> Contestant:
  """Returns the loop of Flax's guides: `jit` around a step of optax, or around `apply`."""
  batch, variables = jax.device_put((batch, variables))
  optimizer = optax.sgd(RATE, MOMENTUM)
  if not train:
    forward = jit(lambda variables, image: apply(variables, image, train=False)["logits"])
    return Contestant(lambda: jax.block_until_ready(forward(variables, batch["image"])))

  @jit
  def step(variables, opt_state, batch):
    params, others = variables["params"], {k: v for k, v in variables.items() if k != "params"}

    def loss_of(params):
      everything = {"params": params, **others}
      outputs, changed = apply(everything, batch["image"], train=True, mutable=list(others))
      value, logs = task.loss(outputs, batch)
      return value, (changed, logs["loss"])

    grads, (others, loss) = jax.grad(loss_of, has_aux=True)(params)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return {"params": optax.apply_updates(params, updates), **others}, opt_state, loss

  now = variables, optimizer.init(variables["params"])

  def advance():
    nonlocal now
    *now, loss = step(*now, batch)
    return loss

  return Contestant(advance, lambda loss: np.divide(*jax.device_get(loss)))


def cross_entropy(outputs: Any, label: Any) -> Any:
  """Returns the loss of PyTorch's logits, and of GoogLeNet's auxiliary ones if any."""
  import torch

  loss = torch.nn.functional.cross_entropy(getattr(outputs, "logits", outputs), label)
  for aux in ("aux_logits1", "aux_logits2"):
    if hasattr(outputs, aux):
      loss = loss + 0.3 * torch.nn.functional.cross_entropy(getattr(outputs, aux), label)
  return loss


def torch_sides(
  make: Callable[[], Any], peers: Sequence[str], batch: dict, train: bool, *loss_of: Callable
) -> dict[str, Contestant]:
  """Returns PyTorch in both memory formats, and compiled if it is a peer, each with a new net."""
  layouts = ("contiguous_format", "channels_last") if "torch" in peers else ()
  found = {f"torch {layout}": pytorch(make(), batch, train, layout, *loss_of) for layout in layouts}
  if COMPILED in peers:
    found[COMPILED] = pytorch(make(), batch, train, "channels_last", *loss_of, compiled=True)
  return found


@lru_cache
def compiler_folder() -> TemporaryDirectory:
  """Returns the folder of PyTorch's compilation cache, a new one for each run."""
  folder = TemporaryDirectory(prefix="torch_compiled_", ignore_cleanup_errors=True)
  os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder.name
  return folder


def torch_compile(net: Callable, **options: Any) -> Callable:
  """Returns `torch.compile(net)`, after it has forgotten earlier nets, which have the same code."""
  import torch

  compiler_folder()
  torch.compiler.reset()
  return torch.compile(net, options=options)


def broken_compiler() -> str:
  """Returns why `torch.compile` does not work on this machine, "" where it does."""
  import torch

  try:
    torch_compile(lambda x: x.sin() + 1)(torch.ones(8, device=torch_device()))
  except Exception as error:  # of many types: it needs a C++ compiler, headers, on a GPU Triton
    return reason(error)
  return ""


def reason(error: Exception) -> str:
  """Returns the first paragraph of an error's message, in one line."""
  return " ".join(str(error).split("\n\n")[0].split()) or type(error).__name__


def torch_device() -> str:
  """Returns PyTorch's name of the device that JAX uses."""
  return "cuda" if jax.default_backend() == "gpu" else "cpu"


def pytorch(
  net: Any,
  batch: dict,
  train: bool,
  layout: str,
  loss_of: Callable = cross_entropy,
  compiled: bool = False,
) -> Contestant:
  """Returns a training step of PyTorch, or its inference, with arrays in a memory format.

  In compiled inference the weights are constants ("frozen"), into which PyTorch folds batch norms.
  """
  import torch

  torch.set_num_threads(cores())
  device = torch_device()
  if device == "cuda":
    torch.set_float32_matmul_precision("high")  # TensorFloat-32, XLA's and cuDNN's default
  clips = "_3d" if layout == "channels_last" and batch["image"].ndim == 5 else ""
  place = dict(device=device, memory_format=getattr(torch, layout + clips))
  image = torch.tensor(np.moveaxis(batch["image"], -1, 1)).to(**place)
  label = torch.tensor(batch.get("label", ()), dtype=torch.long, device=device)
  net = net.to(**place).train(train)
  optimizer = torch.optim.SGD(net.parameters(), RATE, MOMENTUM, fused=True)  # the fastest
  net = torch_compile(net, freezing=not train) if compiled else net

  def advance():
    optimizer.zero_grad()
    loss = loss_of(net(image), label)
    loss.backward()
    optimizer.step()
    return loss.detach()

  @torch.inference_mode()
  def answer():
    logits = net(image)
    if device == "cuda":
      torch.cuda.synchronize()
    return logits

  return Contestant(advance if train else answer, lambda result: result.cpu().numpy())


@lru_cache
def weights(name: str) -> Any:
  """Returns a model's first variables, in NumPy.

  Scales of batch norms are a half. With scales of one, residual sums grow from block to block: in
  152 layers rounding then changes logits, or the loss of a later step, by a tenth.
  """
  model, x = zoo.create_model(name), np.zeros((1, *zoo.row(name).input), np.float32)
  fresh = compile_once(lambda key: model.init(key, x, train=False), replicated(make_mesh(1)))
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: 0.5 * leaf if path[-1].key == "scale" else leaf,
    jax.device_get(fresh(jax.random.key(0))),
  )


def examples(name: str, batch_size: int) -> dict[str, np.ndarray]:
  """Returns a batch of noise."""
  rng = np.random.default_rng(0)
  return {
    "image": rng.normal(size=(batch_size, *zoo.row(name).input)).astype(np.float32),
    "label": rng.integers(0, 10, batch_size).astype(np.int32),
    "mask": np.ones(batch_size, np.float32),
  }


def line_up(name: str, peers: Sequence[str], batch_size: int, train: bool) -> dict[str, Contestant]:
  """Returns the contestants for a model, all with the same weights and batch."""
  found = {"cnnjax": engine(name, batch_size, train)}
  variables, batch, task = weights(name), examples(name, batch_size), task_of(zoo.row(name).task)
  builders = {peer: PEERS[peer][name] for peer in peers if name in PEERS.get(peer, ())}
  if "flax" in builders:
    found["flax"] = own_loop(*builders["flax"](variables), batch, task, train)
  if "user" in builders:
    found["user"] = own_loop(*builders["user"](variables), batch, task, train, cnnjax.jit)
  if FOLDED in peers and not train and "batch_stats" in variables:
    found[FOLDED] = logits(name, batch_size, folded=True)
  if "torch" in builders:
    found |= torch_sides(lambda: builders["torch"](variables), peers, batch, train)
  return found
