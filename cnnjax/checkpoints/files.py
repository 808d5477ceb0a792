"""Files of tensors, which are read without running any code in them."""

import hashlib
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from cnnjax.checkpoints import pytorch
from cnnjax.errors import UserError
from cnnjax.models import weights

Tensors = dict[str, np.ndarray]
SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".bin", ".ckpt", ".tar", ".pkl", ".npz", ".h5")
KNOWN = ".safetensors, or a file of PyTorch's (.pth, .pt, .th, .pth.tar, .ckpt, .bin)"


def fetch(source: str) -> Path:
  """Returns the file that a path or a Hugging Face hub id ("owner/name") names, checked.

  A file from the hub is cached, so that it is downloaded once, and must have the SHA-256 that the
  cache names it by. A file with a published set's name must have the SHA-256 of that set; digits
  in other names say nothing. A folder stands for the model.safetensors in it.

  Raises: UserError where there is no such file, or its checksum is wrong.
  """
  path = Path(source).expanduser()
  if path.is_dir():
    if not (path / "model.safetensors").is_file():
      raise UserError(f"no weights at {source}: the folder holds no run and no model.safetensors")
    path /= "model.safetensors"
  if path.exists():
    return _checked(path)
  if not re.fullmatch(r"[\w.-]+/[\w.-]+", source) or path.suffix in SUFFIXES:
    raise UserError(f"no weights at {source}: it is neither a file nor a hub id (owner/name)")
  return _checked(_download(source))


def _checked(path: Path) -> Path:
  digest, content = weights.digest(path.name), path.resolve().name
  if path.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", content):
    digest = content  # the hub's cache names a file by its content
  if digest:
    try:
      with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
      raise UserError(f"{path} could not be read: {error.strerror or error}") from error
    if not found.startswith(digest):
      raise UserError(f"{path} is damaged: its SHA-256 is {found}, expected {digest}")
  return path


def _download(hub_id: str) -> Path:
  from huggingface_hub import hf_hub_download

  try:
    return Path(hf_hub_download(hub_id, "model.safetensors"))
  except Exception as error:  # errors of the hub, requests or httpx, of many types
    raise UserError(
      f"no weights at {hub_id}: it is no file here, and the hub gave none "
      f"({type(error).__name__}: {str(error).strip().partition(chr(10))[0]})"
    ) from error


def read(path: Path) -> Tensors:
  """Returns the tensors of a .safetensors or a PyTorch file by name, floats as float32.

  What the file is, is told by its first bytes. Tables in tables have joined names, such as
  "state_dict.module.conv1.weight"; what is no tensor is left out.

  Raises: UserError for a file of another kind, a damaged one, or one that holds code.
  """
  try:
    with path.open("rb") as file:
      head = file.read(24)
  except OSError as error:
    raise UserError(f"{path} could not be read: {error.strerror or error}") from error
  if path.suffix == ".safetensors" or head[8:9] == b"{":
    tensors = _safetensors(path)
  elif head.startswith((b"PK", b"\x80")):  # a zip archive, or an older file's pickle
    tensors = pytorch.read(path)
  else:
    found = f"it begins with {head!r}" if head else "it is empty"
    raise UserError(f"{path} is no weights file: expected {KNOWN}; {found}")
  return {
    name: value.astype(np.float32) if jnp.issubdtype(value.dtype, jnp.floating) else value
    for name, value in tensors.items()
  }


def _safetensors(path):
  from safetensors import SafetensorError, safe_open

  try:
    with safe_open(path, framework="flax") as file:  # NumPy has no bfloat16
      return {name: np.asarray(file.get_tensor(name)) for name in file.keys()}
  except (SafetensorError, OSError, ValueError) as error:
    raise UserError(f"{path} is no sound safetensors file: {error}") from error


def write(path: str | Path, tensors: Tensors) -> None:
  """Writes a .safetensors file. Raises: UserError where the writing fails."""
  from safetensors.numpy import save

  path = Path(path)
  scratch = path.with_name(path.name + ".tmp")
  try:
    scratch.write_bytes(save({k: np.ascontiguousarray(v) for k, v in tensors.items()}))
    scratch.replace(path)
  except OSError as error:
    scratch.unlink(missing_ok=True)
    raise UserError(f"{path} could not be written: {error.strerror or error}") from error
