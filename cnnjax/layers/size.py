"""The smallest image, clip or volume that a network can take."""

import jax

from cnnjax.errors import UserError


def check_size(name: str, x: jax.Array, least: int | tuple[int, int, int]) -> None:
  """Raises: UserError for x of which a side is below `least`.

  That is (T, H, W) of clips [B, T, H, W, C]; or one number for height and width of images
  [B, H, W, C], and of clips whose frames an inflated network sees.
  """
  alone = isinstance(least, int)
  what, sides = ("images", (least, least)) if alone else ("clips", least)
  fits = x.ndim in ((4, 5) if alone else (5,))
  seen = x.shape[-1 - len(sides) : -1]
  if not fits or any(have < want for have, want in zip(seen, sides)):
    found = "x".join(map(str, seen)) if fits else f"an array of shape {x.shape}"
    raise UserError(f"{name} needs {what} of at least {'x'.join(map(str, sides))}, found {found}")
