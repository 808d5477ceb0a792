"""Freed memory stays with the process; the rest of the house does not change it by itself."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
if sys.argv[1] == "keep":
  from cnnjax.engine.allocator import keep_memory
  assert keep_memory()
else:
  import cnnjax
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**24)
before = faults()
np.ones(2**24)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator alone is told")
def test_memory_is_kept_when_asked():
  def faults(how):
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return int(done.stdout)

  assert faults("keep") < 10  # 128 MiB are 32,768 pages, or 64 huge ones
  assert faults("import alone") > 50
