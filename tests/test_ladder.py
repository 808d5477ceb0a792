"""The rooms of the house: imports point down, and two walls stand."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUNGS = (
  *("errors", "keys", "ops", "layers", "models", "data", "metrics", "tasks", "checkpoints"),
  *("engine", "visualise", "cli", "__main__"),
)  # each may import itself and those before it
LIGHT = {"numpy", "jax", "flax", "optax", "orbax", "cnnjax"}  # all that `import cnnjax` needs
FILES = sorted((ROOT / "cnnjax").rglob("*.py"))


def imports(path, top_level_only=False):
  """Yields (line, module) of the imports in a file."""
  tree = ast.parse(path.read_text())
  for node in tree.body if top_level_only else ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from ((node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f"{path}:{node.lineno} imports relatively"
      yield node.lineno, node.module
      yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def rung(path):
  return path.relative_to(ROOT / "cnnjax").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
  if path == ROOT / "cnnjax/__init__.py":
    return
  here = RUNGS.index(rung(path))
  for line, module in imports(path):
    parts = module.split(".")
    if parts[0] == "cnnjax" and len(parts) > 1:
      assert parts[1] in RUNGS, f"{path}:{line} imports {module}, which is on no rung"
      assert RUNGS.index(parts[1]) <= here, f"{path}:{line} climbs to {module}"
    assert parts[0] not in ("experiments", "configs"), f"{path}:{line} imports {module}"


def test_only_layers_and_models_know_flax():
  for path in FILES:
    if rung(path) not in ("layers", "models"):
      for line, module in imports(path):
        assert module.split(".")[0] != "flax", f"{path}:{line} imports {module}"


def test_import_cnnjax_needs_little():
  seen, queue = set(), [ROOT / "cnnjax/__init__.py"]
  while queue:
    path = queue.pop()
    if path in seen:
      continue
    seen.add(path)
    for line, module in imports(path, top_level_only=True):
      top = module.split(".")[0]
      assert top in LIGHT | sys.stdlib_module_names, f"{path}:{line} imports {module}"
      if top == "cnnjax":
        file = ROOT / Path(*module.split("."))
        places = [file.with_suffix(".py"), file / "__init__.py"]
        queue += [p for p in places if p.exists()]
        queue += [p for f in file.parents if (p := f / "__init__.py").exists() and f != ROOT]
  assert ROOT / "cnnjax/engine/run.py" in seen


def test_a_machine_with_only_those_trains():
  """With every other library of ours out of reach, a model is built and takes a step."""
  program = """
import sys
class Wall:
  def find_spec(self, name, path=None, target=None):
    if name.split(".")[0] in {"PIL", "sklearn", "matplotlib", "tensorboardX", "ml_collections"}:
      raise ImportError(f"{name} is not on this machine")
sys.meta_path.insert(0, Wall())
import jax, jax.numpy as jnp, optax, cnnjax
from cnnjax.engine import state, step
from cnnjax.tasks import classification as task
print(cnnjax.summarize("lenet5").parameters)
model = cnnjax.create_model("lenet5")
batch = {"image": jnp.ones((2, 32, 32, 1)), "label": jnp.arange(2), "mask": jnp.ones(2)}
variables, sgd = model.init(jax.random.key(0), batch["image"], train=False), optax.sgd(0.1)
now, logs = step.train_step(state.create(variables, sgd, False), batch, model=model,
                            inputs=task.inputs, loss=task.loss, transform=lambda key, b: b,
                            optimizer=sgd, seed=0)
print(int(now.step))
"""
  done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
  assert done.stdout.split() == ["62006", "1"], done.stderr


def test_nothing_sets_jax_config_on_import():
  for path in FILES:
    assert "jax.config" not in path.read_text(), path


def test_every_folder_is_in_the_wheel():
  """Installed, experiments/ and configs/ lie in cnnjax."""
  listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
  folders = {"configs"}
  for top in ("cnnjax", "experiments", "configs"):
    folders |= {file.parent.relative_to(ROOT).as_posix() for file in (ROOT / top).rglob("*.py")}
  names = {folder.replace("/", ".") for folder in folders}
  assert {n if n.split(".")[0] == "cnnjax" else f"cnnjax.{n}" for n in names} == set(listed)
