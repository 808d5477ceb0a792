"""The software and the machine that a run's numbers may depend on."""

import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

LIBRARIES = ("cnnjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def environment() -> dict[str, Any]:
  """Returns versions, devices, commit and command."""
  return {
    "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    "commit": _commit(),
    "python": platform.python_version(),
    **{name: _version(name) for name in LIBRARIES},
    "platform": platform.platform(),
    "cpu": cpu_model(),
    "cores": cores(),
    "devices": [f"{d.platform} {d.device_kind}" for d in jax.devices()],
    "xla_flags": os.environ.get("XLA_FLAGS", ""),
  }


def cores() -> int:
  """Returns how many cores this process may use: `taskset` or a job queue may allow only some."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count()


def _commit() -> str | None:
  """Returns the code's git commit, with -dirty where files differ from it; None without git."""
  if not shutil.which("git"):
    return None
  command = ["git", "-C", Path(__file__).parent, "describe", "--always", "--dirty"]
  return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None


def _version(name: str) -> str | None:
  try:
    return metadata.version(name)
  except metadata.PackageNotFoundError:  # the code runs from a checkout that is not installed
    return None


def cpu_model(flags: bool = False) -> str:
  """Returns the processor's name, and with `flags` its instruction sets too."""
  keys = ("model name", "flags", "Features") if flags else ("model name",)
  try:
    lines = dict(
      map(str.strip, line.split(":", 1))
      for line in Path("/proc/cpuinfo").read_text().splitlines()
      if ":" in line
    )
  except OSError:
    lines = {}
  return " ".join(lines[k] for k in keys if k in lines) or platform.processor() or "unknown"
