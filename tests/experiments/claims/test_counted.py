"""The claims that are counted: every figure exactly, and which of them the deck misses."""

import numpy as np
import pytest
from PIL import Image

from cnnjax.errors import UserError
from cnnjax.layers import Conv
from experiments import claim
from experiments.claims import separable, small_filters
from experiments.claims.counts import dense_counts, leaves, shared_counts
from experiments.claims.finding import Finding, show
from experiments.claims.inception_cost import inception_cost
from tests.experiments.test_scripts import command


def test_dense_counts():
  assert [(f.ours, f.holds) for f in dense_counts()] == [
    ("92,170,100", True),
    ("943,728,500", True),
  ]


def test_shared_counts():
  assert [(f.ours, f.holds) for f in shared_counts()] == [(n, True) for n in ("4", "5", "36", "40")]


@pytest.mark.parametrize(
  ("windows", "side"), [([3], 3), ([3, 3], 5), ([5], 5), ([3, 3, 3], 7), ([7], 7), ([5, 3], 7)]
)
def test_receptive_fields_are_measured(windows, side):
  field = small_filters.field(windows)
  assert small_filters.extent(field) == (side, side)
  assert np.count_nonzero(field) == side**2
  assert field[7, 7] == field.max()


def test_small_filters(tmp_path):
  findings = small_filters.small_filters(out=tmp_path)
  assert [f.ours for f in findings] == [
    "5x5",
    "73,728 : 102,400 = 0.72",  # 18 : 25
    "7x7",
    "110,592 : 200,704 = 0.55",  # 27 : 49
  ]
  assert all(f.holds for f in findings)
  assert Image.open(tmp_path / "small_filters.png").size > (100, 100)


def test_inception_cost():
  found = {f.what: f for f in inception_cost()}
  assert found["GoogLeNet, parameters"][2:] == ("7.00 M", False)
  assert found["GoogLeNet is smaller"][2:] == ("8.7 to 20.5 times", False)
  assert found["VGG-16, parameters"].holds and found["AlexNet, parameters"].holds
  assert found["multiply-adds of the modules"].holds
  assert module_3a(reduced=True) == 163_328  # weights by hand, biases 368
  assert module_3a(reduced=False) == 393_216


def module_3a(reduced):
  """Returns the weights of module 3a as the claim's two networks have them."""
  import cnnjax
  from cnnjax.models.bypass import bypass

  chosen = (lambda m: False) if reduced else (lambda m: m.name in ("three_reduce", "five_reduce"))
  with bypass(chosen):
    rows = cnnjax.summarize("googlenet_2014", aux=False).rows
  rows = [row for row in rows if "/inception3a/" in row.layer and row.parameters]
  return sum(row.parameters - row.output[-1] for row in rows)


def test_separable(monkeypatch):
  monkeypatch.setattr(separable, "SIDE", 4)  # of the layer that is timed
  findings = separable.separable(repetitions=1)
  assert [(f.ours, f.holds) for f in findings[:3]] == [
    ("7.89 to 8.92 times", True),
    ("8.56 times", True),
    ("32.7", True),
  ]
  assert all(f.holds is None and " ms = " in f.ours for f in findings[3:])


def test_both_layers_of_the_speed_test_give_the_same_shape():
  shape = (separable.SIDE, separable.SIDE, separable.CHANNELS)
  full, separate = (
    sum(leaves(layer, shape) for layer in ls) for ls in (separable.FULL, separable.SEPARABLE)
  )
  assert (full, separate) == (9 * 128 * 128, 9 * 128 + 128 * 128)


def test_leaves_counts_by_name():
  conv = Conv(4, 3)
  assert (leaves(conv, (8, 8, 2)), leaves(conv, (8, 8, 2), "bias")) == (76, 4)


def test_what_the_deck_misses_is_said(capsys):
  show(
    "title", [Finding("a", "1", "2", False), Finding("b", "", "3"), Finding("c", "4", "4", True)]
  )
  shown = capsys.readouterr().out
  assert "contradicted: a: the deck says 1, here 2" in shown
  assert shown.count("contradicted") == 1 and "NO" in shown and "yes" in shown


def test_wrong_input():
  with pytest.raises(UserError, match="unknown claim 'squeze'; did you mean squeeze"):
    claim.run("squeze")
  with pytest.raises(UserError, match="dense_counts does not take --epochs; its options: none"):
    claim.run("dense_counts", epochs=3.0)


def test_command():
  listed = command("claim")
  assert listed.returncode == 0, listed.stderr
  assert all(name in listed.stdout for name in claim.CLAIMS)
  done = command("claim", "shared_counts")
  assert done.returncode == 0 and "fully connected" in done.stdout, done.stderr
  wrong = command("claim", "separable", "--repetitions=0")
  assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1
