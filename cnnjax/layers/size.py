"""The smallest image that a network can take."""

import jax

from cnnjax.errors import UserError


def check_size(name: str, x: jax.Array, least: int) -> None:
  """Raises: UserError for images x [B, H, W, C] of which a side is below `least` pixels."""
  if x.ndim != 4 or min(x.shape[1:3]) < least:
    found = "x".join(map(str, x.shape[1:3])) if x.ndim == 4 else f"an array of shape {x.shape}"
    raise UserError(f"{name} needs images of at least {least}x{least}, found {found}")
