"""A file of weights without a run: evaluated as it is, and made a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.checkpoints.transfer import export
from cnnjax.errors import UserError
from configs import weights
from experiments.evaluate import adopt, score
from tests.experiments.test_scripts import command

ONE_BLOCK = {"n": 1}


def config_of(classes=10):
  config = weights.get_config("quick")
  config.data.arguments = {"examples": 40, "size": 32, "channels": 3, "classes": classes}
  config.model.arguments = ONE_BLOCK
  return config


@pytest.fixture(scope="module")
def file(tmp_path_factory):
  """The weights of a fresh ResNet-8, and the model."""
  path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
  model = cnnjax.create_model("resnet20_cifar", num_classes=10, **ONE_BLOCK)
  variables = jax.jit(lambda key: model.init(key, jnp.zeros((1, 32, 32, 3)), train=False))(
    jax.random.key(7)
  )
  export(model, variables, path)
  return path, variables


def test_weights_become_a_run(file, tmp_path, capsys):
  path, variables = file
  folder = adopt(config_of(), "resnet20_cifar", str(path), tmp_path / "run")
  run = cnnjax.restore(folder)
  assert run.step == 0
  assert jax.tree.all(jax.tree.map(np.array_equal, run.variables, variables))
  assert "does not name its classes" in capsys.readouterr().out
  again = score(run, "test")
  last = run.metrics[-1]
  assert (last["loss"], last["step"]) == (again["loss"], 0)


def test_weights_that_do_not_fit_the_data_are_refused(file, tmp_path):
  with pytest.raises(UserError, match="model.num_classes is 10, but the data have 4 classes"):
    adopt(config_of(classes=4), "resnet20_cifar", str(file[0]), tmp_path / "run")
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("flags", "sentence"),
  [
    ([], "evaluate needs --workdir=RUN, or --model=NAME and --weights=FILE"),
    (["--model=resnet18"], "evaluate needs --workdir=RUN, or --model=NAME and --weights=FILE"),
    (["--workdir=run", "--config.data.root=x"], "--config is for --weights: a run has its own"),
    (["--model=resnt18", "--weights=none.pth"], "did you mean resnet18"),
    (["--model=resnet18", "--weights=none.pth"], "no weights at none.pth"),
  ],
)
def test_flags_that_do_not_fit(flags, sentence):
  done = command("evaluate", *flags)
  assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
