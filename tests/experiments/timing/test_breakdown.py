"""Where a step's time goes: the program is read, the trace's spans are shared out."""

import jax.numpy as jnp
import pytest

import cnnjax
from experiments.timing import breakdown

PROGRAM = """
ENTRY %main.1 (a: f32[8,4], b: f32[4,2]) -> f32[8,2] {
  %a = f32[8,4]{1,0} parameter(0)
  %b = f32[4,2]{1,0} parameter(1)
  %dot.3 = f32[8,2]{1,0} dot(%a, %b), metadata={op_name="f/head/fc1/dot_general"}
  %wrapped_transpose.1 = f32[2,8]{0,1} fusion(%dot.3), metadata={op_name="f/conv_forward/t"}
  %convolution.2 = f32[1,1,4,2]{3,2,1,0} convolution(%a, %b), window={size=1}
  ROOT %norm.4 = (f32[8,2]{1,0}, u8[16]{0}) fusion(%dot.3, %b), metadata={op_name="f/norm/mul"}
}
"""


def test_a_program_is_read():
  found = breakdown.instructions(PROGRAM)
  assert found["dot.3"] == (breakdown.DENSE, 64, ("a", "b"))
  assert found["wrapped_transpose.1"].kind == breakdown.COPIES
  assert found["convolution.2"].kind == breakdown.KERNEL
  assert found["norm.4"] == ("normalisation", 64 + 16, ("dot.3", "b"))


def test_what_runs_at_once_shares_the_time():
  spans = [("a", 0.0, 4.0), ("b", 2.0, 6.0), ("c", 10.0, 11.0), ("c", 20.0, 21.0)]
  assert breakdown.shared(spans) == pytest.approx({"a": 3.0, "b": 3.0, "c": 2.0})


def test_operations_of_the_formulas():
  found = breakdown.operations("lenet5", 3)
  rows = {row.layer: row.multiply_adds for row in cnnjax.summarize("lenet5").rows}
  convs = [count for layer, count in rows.items() if "conv" in layer]
  assert found[breakdown.FORWARD] == found[breakdown.KERNEL] == 2 * 3 * sum(convs)
  assert found[breakdown.INPUT] == 2 * 3 * sum(convs[1:])
  assert found[breakdown.DENSE] == 3 * 2 * 3 * (sum(rows.values()) - sum(convs))


def test_a_profile_of_lenet(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(breakdown, "peaks", lambda: {"flops": 1e11, "bytes": 1e10})
  found = breakdown.profile("lenet5", 4, 2, tmp_path / "roof.png")
  shown = capsys.readouterr().out
  for kind in (breakdown.FORWARD, breakdown.INPUT, breakdown.KERNEL, "optimiser"):
    assert found["parts"][kind]["seconds"] > 0 and kind in shown
  assert (tmp_path / "roof.png").read_bytes().startswith(b"\x89PNG")


def test_bytes_of_shapes():
  assert breakdown.bytes_of("(bf16[2,3]{1,0}, pred[4]{0}, f32[])") == 12 + 4 + 4
  assert jnp.zeros((2, 3), jnp.bfloat16).nbytes == 12
