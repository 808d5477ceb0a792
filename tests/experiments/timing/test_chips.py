"""What a compiled step is said to move, and how a chip that is not there is named."""

import flax.linen as nn
import jax.numpy as jnp
import pytest

from cnnjax.engine.mesh import make_mesh
from cnnjax.errors import UserError
from cnnjax.layers import ConvNorm, LinearHead
from experiments.timing.chips import Stock, compiled, mesh_of, moved, report

PROGRAM = """HloModule step

%inner (a: f32[8,4]) -> f32[8,4] {
  ROOT %twice = f32[8,4]{1,0} add(%a, %a)
}

ENTRY %main (p: f32[8,4], q: bf16[8,4]) -> (f32[8,4]) {
  %p = f32[8,4]{1,0} parameter(0)
  %q = bf16[8,4]{1,0} parameter(1)
  %fused = (f32[8,4]{1,0}, f32[4]{0}) fusion(%p, %q), kind=kLoop, calls=%inner
  %one = f32[8,4]{1,0} get-tuple-element(%fused), index=0
  %start = f32[8,4]{1,0} copy-start(%one)
  %done = f32[8,4]{1,0} copy-done(%start)
  ROOT %out = (f32[8,4]{1,0}) tuple(%done)
}
"""


def test_bytes_are_operands_and_results_of_the_outermost_instructions():
  whole, half, four = 8 * 4 * 4, 8 * 4 * 2, 4 * 4
  assert moved(PROGRAM) == (whole + half) + (whole + four) + 2 * whole


def test_a_report_of_a_step():
  class Net(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      x = ConvNorm(8, 3, dtype=jnp.bfloat16)(x, train=train)
      return {"logits": LinearHead(3)(x, train=train)}

  images = 2 * 16 * 16 * 3 * 4
  for layers in (Net(), Stock(Net())):
    found = report(compiled(make_mesh(1), Net(), layers, batch=2, side=16))
    assert found["all-reduces"] == 0 and found["scratch MiB"] > 0
    assert images < 1e9 * found["GB"] < 1000 * images


def test_an_unknown_chip():
  with pytest.raises(UserError, match="unknown chip 'v5'; did you mean v5e"):
    mesh_of("v5")


def test_a_compiler_that_is_not_installed(monkeypatch):
  def refuse(**_):
    raise RuntimeError("JAX TPU support not installed\nmore")

  monkeypatch.setattr("experiments.timing.chips.topologies.get_topology_desc", refuse)
  with pytest.raises(UserError, match=r"of pip install 'jax\[tpu\]', does not start: JAX.*led$"):
    mesh_of("v5e")
