"""A run's config, read back."""

import json

import pytest

from cnnjax.engine.config import SINCE, load_config
from cnnjax.errors import UserError
from configs.classification import lenet5_digits


def test_a_run_of_before_some_keys(tmp_path):
  config = lenet5_digits.get_config("quick")
  tree = config.to_dict()
  del tree["init"], tree["data"]["proposals"]
  tree["data"]["fraction"] = 0.5
  path = tmp_path / "config.json"
  path.write_text(json.dumps(tree))
  found = load_config(tmp_path)
  assert found.init.to_dict() == config.init.to_dict()
  assert found.data.proposals.to_dict() == SINCE["data.proposals"] == {}
  assert found.data.fraction == 0.5
  path.write_text(json.dumps({**tree, "data": 3}))
  with pytest.raises(UserError, match="is damaged"):
    load_config(tmp_path)
