"""Memory that a step has freed stays with the process, for the next one."""

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8  # glibc's malloc.h


def keep_memory() -> bool:
  """Tells glibc to keep what is freed, and returns whether it could: elsewhere nothing happens.

  XLA's CPU client allocates a step's scratch memory anew each time. Large blocks are otherwise
  mapped, zeroed page by page and given back in each step, a quarter of ResNet-50's time. For a
  script to call once, at its start; the process holds its peak of memory until it ends, which at
  times is that of two or three steps. Where that is too much, huge pages are nearly as fast: start
  it with GLIBC_TUNABLES=glibc.malloc.hugetlb=1 and do not call this.
  """
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (AttributeError, OSError, TypeError):  # no glibc; TypeError: Windows
    return False
  wanted = {ARENA_MAX: 1, MMAP_MAX: 0, TRIM_THRESHOLD: -1, TOP_PAD: 64 << 20}
  return all([mallopt(key, value) for key, value in wanted.items()])
