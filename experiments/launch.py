"""What every script does first and last: flags, the compilation cache, errors in one sentence."""

import hashlib
import os
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
from absl import app, flags, logging

from cnnjax.engine.run import cpu_model
from cnnjax.errors import UserError, unknown


def run(main: Callable[[list[str]], None]) -> None:
  """Parses the flags and calls main with the arguments that are none."""
  app.run(partial(_guarded, main), flags_parser=_parse)


def cache_folder() -> Path:
  """Returns where compiled programs are kept from run to run: a folder for each kind of CPU."""
  home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
  key = hashlib.sha256(f"{cpu_model()} {_cpu_flags()}".encode()).hexdigest()[:16]
  return home / "cnnjax" / "xla" / key


def keep_compiled() -> None:
  """Turns the persistent compilation cache on, for programs of any size and compile time."""
  if not jax.config.jax_compilation_cache_dir:
    jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
  jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _cpu_flags() -> str:
  try:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line for line in lines if line.startswith(("flags", "Features")))
  except (OSError, StopIteration):
    return ""


def _guarded(main, argv):
  logging.set_verbosity(logging.WARNING)  # Orbax says much
  keep_compiled()
  try:
    main(argv)
  except (UserError, OSError) as error:
    _stop(error)
  except KeyboardInterrupt:
    print("interrupted", file=sys.stderr)
    sys.exit(130)


def _stop(error: object) -> None:
  print(f"error: {error}", file=sys.stderr)
  sys.exit(2)


def _parse(argv):
  try:
    return flags.FLAGS(argv)
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
    raise
