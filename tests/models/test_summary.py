"""The summary against the decks' table, the paper's counts and multiply-adds worked out by hand."""

import flax.linen as nn
import jax.numpy as jnp
import pytest

from cnnjax.errors import UserError
from cnnjax.layers import Conv, Dense, Flatten, MaxPool
from cnnjax.models.summary import summarize

LENET5 = [  # course/000, "LeNet-5": output shape and parameters; then multiply-adds
  ("conv1", (28, 28, 6), 456, 5 * 5 * 3 * 6 * 28 * 28),
  ("pool1", (14, 14, 6), 0, 0),
  ("conv2", (10, 10, 16), 2416, 5 * 5 * 6 * 16 * 10 * 10),
  ("pool2", (5, 5, 16), 0, 0),
  ("conv3", (1, 1, 120), 48120, 5 * 5 * 16 * 120),
  ("flatten", (120,), 0, 0),
  ("fc1", (84,), 10164, 120 * 84),
  ("fc2", (10,), 850, 84 * 10),
]

LENET5_1998 = [  # LeCun et al. 1998, section II.B: C1 to F6 have 60,000 in all
  ("C1", (28, 28, 6), 156, 5 * 5 * 6 * 28 * 28),
  ("S2", (14, 14, 6), 12, 6 * 14 * 14),
  ("C3", (10, 10, 16), 1516, 5 * 5 * 60 * 10 * 10),
  ("S4", (5, 5, 16), 32, 16 * 5 * 5),
  ("C5", (1, 1, 120), 48120, 5 * 5 * 16 * 120),
  ("flatten", (120,), 0, 0),
  ("F6", (84,), 10164, 120 * 84),
  ("RBF", (10,), 0, 84 * 10),
]


@pytest.mark.parametrize(
  "name, table, parameters", [("lenet5", LENET5, 62_006), ("lenet5_1998", LENET5_1998, 60_000)]
)
def test_table_row_by_row(name, table, parameters):
  summary = summarize(name)
  assert [(r.layer.split("/")[-1], *r[2:5]) for r in summary.rows] == table
  assert summary.parameters == parameters
  assert summary.multiply_adds == sum(row[3] for row in table)
  values = [4704, 1176, 1600, 400, 120, 120, 84, 10]
  assert [r.activation_bytes for r in summary.rows] == [4 * v for v in values]
  assert summary.activation_bytes == 4 * sum(values)


def test_layers_stand_in_trunk_or_head():
  parts = [r.layer.split("/")[0] for r in summarize("lenet5").rows]
  assert parts == ["trunk"] * 5 + ["head"] * 3


def test_printed_table():
  lines = str(summarize("lenet5")).splitlines()
  assert lines[0] == "lenet5, input 32x32x3"
  assert lines[3].split() == ["trunk/conv1", "(Conv)", "28x28x6", "456", "352,800", "18.4", "KiB"]
  assert lines[-1].split() == ["total", "62,006", "651,720", "32.1", "KiB"]
  assert lines[2] == lines[-2] == "-" * max(map(len, lines))
  assert not any(line != line.rstrip() for line in lines)


def test_arguments_and_input_reach_the_model():
  summary = summarize("lenet5", (32, 32, 1), num_classes=4)
  assert summary.rows[0].parameters == 156 and summary.rows[-1].output == (4,)
  half = summarize("lenet5", dtype="bfloat16")
  assert half.rows[0].activation_bytes == 2 * 28 * 28 * 6
  assert half.parameters == 62_006


def test_unknown_name_is_a_user_error():
  with pytest.raises(UserError, match="lenet5"):
    summarize("lenet6")


class Stem(nn.Module):
  """A parameter outside of layers, and a layer called twice."""

  @nn.compact
  def __call__(self, x, *, train):
    del train
    x = x * self.param("gain", nn.initializers.ones, (x.shape[-1],))
    again = Conv(3, 3, padding=1, name="again")
    x = MaxPool(2, name="pool")(again(again(x)))
    return {"logits": Dense(2, name="fc")(Flatten(name="flatten")(x))}


def test_parameters_outside_of_layers_have_their_row():
  last = summarize(Stem(), (4, 4, 3)).rows[-1]
  assert last.layer == "outside of layers"
  assert last.parameters == 3 and last.multiply_adds == 0


def test_a_layer_called_twice_counts_its_parameters_once():
  summary = summarize(Stem(), (4, 4, 3))
  rows = [r for r in summary.rows if r.layer == "again"]
  assert [r.parameters for r in rows] == [9 * 3 * 3 + 3, 0]
  assert [r.multiply_adds for r in rows] == [9 * 3 * 3 * 16] * 2
  assert summary.parameters == 3 + (9 * 3 * 3 + 3) + (2 * 2 * 3 * 2 + 2)
  assert summary.title == "Stem, input 4x4x3"


def test_a_model_without_parameters():
  class Bare(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      del train
      return {"logits": jnp.mean(MaxPool(2, name="pool")(x), (1, 2))}

  summary = summarize(Bare(), (4, 4, 3))
  assert [r.layer for r in summary.rows] == ["pool"] and summary.parameters == 0


def test_a_module_must_state_its_input():
  with pytest.raises(UserError, match="Dense states no input size"):
    summarize(Dense(3))
