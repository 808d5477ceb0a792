"""How the suite runs: without LLVM's optimiser, and without keeping what earlier files compiled."""

import os

import pytest

UNOPTIMISED = "--xla_backend_optimization_level=0"  # a fifth to a third less of the suite's time


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
