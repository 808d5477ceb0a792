"""Files of tensors, which are read without running any code in them."""

import hashlib
import re
from pathlib import Path

import numpy as np

from cnnjax.errors import UserError

Tensors = dict[str, np.ndarray]


def fetch(source: str) -> Path:
  """Returns the file that a path or a Hugging Face hub id ("owner/name") names, checked.

  A file from the hub is cached, so that it is downloaded once. A file whose name or folder states
  its SHA-256 (torchvision's, the hub's) must have that checksum.

  Raises: UserError where there is no such file, or its checksum is wrong.
  """
  path = Path(source).expanduser()
  if not path.exists():
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", source) or path.suffix in (".safetensors", ".pth"):
      raise UserError(f"no weights at {source}: it is neither a file nor a hub id (owner/name)")
    path = _download(source)
  stated = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
  whole = path.resolve().name  # in the hub's cache the name of the content
  digest = stated[1] if stated else whole if re.fullmatch(r"[0-9a-f]{64}", whole) else ""
  if digest:
    with path.open("rb") as file:
      found = hashlib.file_digest(file, "sha256").hexdigest()
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
      f"({type(error).__name__}: {str(error).strip().splitlines()[0]})"
    ) from error


def read(path: Path) -> Tensors:
  """Returns the tensors of a .safetensors or a PyTorch file by name, floats as float32.

  Raises: UserError for a file of another kind, a damaged one, or one that holds code.
  """
  if path.suffix == ".safetensors":
    tensors = _safetensors(path)
  elif path.suffix in (".pth", ".pt", ".bin"):
    tensors = _pytorch(path)
  else:
    raise UserError(f"{path} is no weights file: expected .safetensors or .pth")
  return {name: np.asarray(value, np.float32) for name, value in tensors.items()}


def _safetensors(path):
  from safetensors import SafetensorError, safe_open

  try:
    with safe_open(path, framework="flax") as file:  # NumPy has no bfloat16
      return {name: file.get_tensor(name) for name in file.keys()}
  except (SafetensorError, OSError, ValueError) as error:
    raise UserError(f"{path} is no sound safetensors file: {error}") from error


def _pytorch(path):
  try:
    import torch
  except ImportError:
    raise UserError(f"{path} needs PyTorch to be read: pip install 'cnnjax[parity]'") from None
  if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):
    raise UserError(f"{path} needs torch 2.6 or newer to be read safely, found {torch.__version__}")
  try:
    found = torch.load(path, map_location="cpu", weights_only=True)
  except Exception as error:  # unpickling raises errors of many types
    raise UserError(
      f"{path} is refused: it holds more than tensors, or is damaged "
      f"({str(error).strip().splitlines()[0]})"
    ) from error
  found = found.get("state_dict", found) if isinstance(found, dict) else found
  if not isinstance(found, dict) or not all(isinstance(v, torch.Tensor) for v in found.values()):
    raise UserError(f"{path} holds no table of tensors (a PyTorch state_dict)")
  return {name: value.float().numpy() for name, value in found.items()}


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
