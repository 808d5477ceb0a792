"""What is asked of XLA, once for all programs."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import jax

# XLA on the CPU drops optimization barriers, and with them what keeps values from being held that
# are to be computed again (`rematerialise`). And it hands convolutions to YNNPACK, which is slower
# than what it has itself: without that LeNet-5's step of 128 takes 46 ms for 80; sums stay there.
CPU = {
  "xla_disable_hlo_passes": "cse_barrier_expander",
  "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
}
DETERMINISTIC = {"xla_gpu_deterministic_ops": True, "xla_gpu_autotune_level": 0}


def options(platform: str, deterministic: bool = False) -> dict[str, str | bool | int]:
  """Returns the compiler options for a platform; a CPU computes the same bits again unasked.

  Options of the CPU that the installed jaxlib does not know are left out, which is logged.
  """
  if platform == "cpu":
    return {name: value for name, value in CPU.items() if _known(name, value)}
  return DETERMINISTIC if deterministic else {}


def jit(function: Callable, **arguments: Any) -> Callable:
  """`jax.jit` with the compiler options that the CPU's forms of the operations need.

  Args:
    function: pure, for the default devices.
    arguments: of `jax.jit`; options given there win.
  """
  ours = options(jax.default_backend())
  chosen = {**ours, **(arguments.pop("compiler_options", None) or {})}
  return jax.jit(function, compiler_options=chosen or None, **arguments)


@cache
def _known(name: str, value: str) -> bool:
  cpu = jax.local_devices(backend="cpu")[0]
  try:
    with jax.default_device(cpu):
      jax.jit(lambda x: x, compiler_options={name: value}).lower(0.0).compile()
  except Exception as error:  # jaxlib's own, of a type that changes
    reason = str(error).splitlines()[0]
    logging.getLogger(__name__).warning("training is slower without %s: %s", name, reason)
    return False
  return True
