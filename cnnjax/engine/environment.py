"""What a run's numbers may depend on."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

LIBRARIES = ("cnnjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def environment() -> dict[str, Any]:
  """Returns what a run's numbers may depend on: versions, devices, commit, command."""
  here = Path(__file__).parent
  git = subprocess.run(
    ["git", "-C", here, "describe", "--always", "--dirty"], capture_output=True, text=True
  )
  return {
    "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    "commit": git.stdout.strip() or None,
    "python": platform.python_version(),
    **{name: metadata.version(name) for name in LIBRARIES},
    "platform": platform.platform(),
    "cpu": cpu_model(),
    "cores": os.cpu_count(),
    "devices": [f"{d.platform} {d.device_kind}" for d in jax.devices()],
    "xla_flags": os.environ.get("XLA_FLAGS", ""),
  }


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
