"""A barrier to XLA's optimiser on the CPU alone.

There it keeps apart what XLA would compute again for each reader. The compilers of GPUs and TPUs
choose better by themselves (docs/lab-book.md has the bytes that barriers cost there).
"""

from typing import Any

from jax import lax


def barrier(values: Any) -> Any:
  """Returns the arrays as they are; on the CPU all are computed before one of them is used."""
  return lax.platform_dependent(values, cpu=lax.optimization_barrier, default=lambda values: values)
