"""A setting of glibc's malloc that keeps the memory that a step has freed for the next step."""

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8  # glibc's malloc.h


def keep_memory() -> bool:
  """Makes glibc keep freed memory for this process; returns False where there is no glibc.

  XLA's CPU client allocates a step's scratch memory anew in each step. Without this setting glibc
  maps large blocks, zeroes them page by page and returns them to the system in each step, which
  takes a quarter of ResNet-50's time. A script calls it once, at its start. The process then holds
  its peak of memory, at times that of two or three steps, until it ends. Where that is too much,
  do not call this and start the process with GLIBC_TUNABLES=glibc.malloc.hugetlb=1: huge pages are
  nearly as fast.
  """
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (AttributeError, OSError, TypeError):  # no glibc; TypeError: Windows
    return False
  wanted = {ARENA_MAX: 1, MMAP_MAX: 0, TRIM_THRESHOLD: -1, TOP_PAD: 64 << 20}
  return all([mallopt(key, value) for key, value in wanted.items()])
