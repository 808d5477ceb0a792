"""How steps are compiled for a mesh, and with which compiler options of XLA."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
from jax.sharding import Mesh

from cnnjax.engine.mesh import replicated, split

# By default XLA on the CPU removes optimization barriers; without them it holds values in memory
# that `rematerialise` wants computed again in the backward pass. By default it also gives
# convolutions to YNNPACK, which is slower than XLA's own: LeNet-5's step of 128 takes 80 ms with it
# and 46 without. Reductions still go to YNNPACK.
CPU = {
  "xla_disable_hlo_passes": "cse_barrier_expander",
  "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
}
DETERMINISTIC = {"xla_gpu_deterministic_ops": True, "xla_gpu_autotune_level": 0}


def options(platform: str, deterministic: bool = False) -> dict[str, str | bool | int]:
  """Returns the compiler options for a platform; a CPU is deterministic without any option.

  Options of the CPU that the installed jaxlib does not know are left out, with a warning in the
  log.
  """
  if platform == "cpu":
    return {name: value for name, value in CPU.items() if _known(name, value)}
  return DETERMINISTIC if deterministic else {}


def jit(function: Callable, **arguments: Any) -> Callable:
  """`jax.jit` with the compiler options that the CPU's lowerings of the operations need.

  Args:
    function: pure, for the default devices.
    arguments: of `jax.jit`; compiler options that are given there replace ours.
  """
  ours = options(jax.default_backend())
  chosen = {**ours, **(arguments.pop("compiler_options", None) or {})}
  return jax.jit(function, compiler_options=chosen or None, **arguments)


def compile_step(
  step: Callable,
  mesh: Mesh,
  sharding: Any = None,
  *,
  inputs: tuple = (),
  donate: bool = False,
  deterministic: bool = False,
) -> Callable:
  """Returns step(state, *inputs) compiled for the mesh.

  Args:
    step: a pure function that returns logs, or with `sharding` (state, logs).
    mesh: of devices.
    sharding: of the state, from `state_sharding`, for a step that returns its state; without it
      each device holds the whole state.
    inputs: the sharding of each input; by default there is one, a batch split along its first axis.
    donate: whether the step may overwrite the state that it gets.
    deterministic: whether a GPU must give the same bits each time, which costs speed; a CPU always
      does.
  """
  whole, platform = replicated(mesh), mesh.devices.flat[0].platform
  return jax.jit(
    step,
    in_shardings=(sharding or whole, *(inputs or (split(mesh),))),
    out_shardings=(sharding, whole) if sharding else whole,
    donate_argnums=(0,) if donate else (),
    compiler_options=options(platform, deterministic) or None,
  )


def compile_once(function: Callable, sharding: Any) -> Callable:
  """Returns function(key) compiled for a single call; its result has this sharding.

  On the CPU LLVM's optimisation is off: it takes most of the compile time (LeNet-5's first
  variables: 3.3 s with it, 0.8 without), and a single call saves less than that.
  """
  cpu = jax.tree.leaves(sharding)[0].mesh.devices.flat[0].platform == "cpu"
  options = {"xla_backend_optimization_level": 0} if cpu else None
  return jax.jit(function, out_shardings=sharding, compiler_options=options)


@cache
def _known(name: str, value: str) -> bool:
  cpu = jax.local_devices(backend="cpu")[0]
  try:
    with jax.default_device(cpu):
      jax.jit(lambda x: x, compiler_options={name: value}).lower(0.0).compile()
  except Exception as error:  # jaxlib's own; its type differs between versions
    reason = str(error).splitlines()[0]
    logging.getLogger(__name__).warning("training is slower without %s: %s", name, reason)
    return False
  return True
