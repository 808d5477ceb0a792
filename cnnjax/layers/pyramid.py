"""Maps of several strides, as detectors read them from a trunk."""

from collections.abc import Mapping

import jax

from cnnjax.errors import UserError


def of_strides(
  maps: Mapping[str, jax.Array], image: jax.Array, strides: tuple[int, ...]
) -> list[jax.Array]:
  """Returns a trunk's deepest map [B, H/s, W/s, C] of each stride s, in pixels of the image.

  Raises: UserError for a stride that the trunk does not have.
  """
  found = {round(image.shape[1] / m.shape[1]): m for m in maps.values() if m.ndim == 4}
  for stride in strides:
    if stride not in found:
      raise UserError(
        f"the trunk has maps of strides {sorted(found)} at {image.shape[1]}x{image.shape[2]} "
        f"pixels, none of {stride}"
      )
  return [found[stride] for stride in strides]
