"""Numbers of channels rounded to what hardware computes fast."""


def divisible(width: float, by: int = 8) -> int:
  """Returns the multiple of `by` nearest to a width, not under 90 % of it.

  As in the authors' code of MobileNet, and in timm's gates of squeeze and excitation.
  """
  near = max(by, int(width + by / 2) // by * by)
  return near + by if near < 0.9 * width else near
