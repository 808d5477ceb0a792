"""How the suite runs: compiled quickly, and without keeping what earlier files compiled."""

import os
from importlib.metadata import version

import pytest

# Without LLVM's optimiser the suite takes a fifth to a third less time. XLA's older code generator
# for the CPU compiles twice as fast as its fusion emitters; jaxlib 0.12 no longer has it.
UNOPTIMISED = "--xla_backend_optimization_level=0"
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):
  UNOPTIMISED += " --xla_cpu_use_fusion_emitters=false"


def pytest_addoption(parser):
  parser.addoption("--optimise", action="store_true", help="compile as users' programs are")


def pytest_configure(config):
  """Sets XLA's flags before jax is imported; the processes that tests start inherit them."""
  more = "" if config.getoption("--optimise") else UNOPTIMISED
  os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {more}".strip()


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_are_dropped():
  """Compiled programs take gigabytes by the end of the suite, and no other file asks for them."""
  yield
  import jax

  jax.clear_caches()
