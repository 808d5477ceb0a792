"""The notebooks: stripped in git, true to the repository's address, run from top to bottom."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
COLAB = "https://colab.research.google.com"

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
  return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def files(folder):
  return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_there_are_notebooks():
  assert NOTEBOOKS


@each
def test_is_stripped(path):
  notebook = read(path)
  nbformat.validate(notebook)
  assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)  # has the cells' ids
  assert notebook.metadata.kernelspec.name == "python3"
  for cell in notebook.cells:
    if cell.cell_type == "code":
      assert not cell.outputs and cell.execution_count is None, (
        f"{path.name} holds outputs; clear them before a commit (Edit > Clear all outputs)"
      )


@each
def test_addresses_are_those_of_pyproject(path):
  name = REPOSITORY.removeprefix("https://github.com/")
  cells = read(path).cells
  found = {
    address.removesuffix(".git")
    for cell in cells
    for address in re.findall(r"github(?:\.com)?[/:]([\w.-]+/[\w.-]+)", cell.source)
  }
  assert found == {name}, (
    f"{path.name} names the repositories {sorted(found)}, pyproject.toml's project.urls.Repository "
    f"is {name}; where that moved: sed -i 's#OLD_OWNER/OLD_NAME#{name}#g' colab/*.ipynb"
  )
  badge = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]"
  assert f"{badge}({COLAB}/github/{name}/blob/main/colab/{path.name})" in cells[0].source


@each
def test_install_in_colab_keeps_its_jax_and_numpy(path, tmp_path, monkeypatch):
  plugin = tmp_path / "site" / "jax_cuda99_plugin-0.1.2.dist-info"
  plugin.mkdir(parents=True)
  (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: jax-cuda99-plugin\nVersion: 0.1.2")
  commands = []

  def run(command, check):
    assert check  # a failure must stop the notebook there
    commands.append(command)
    if command[0] == "git":
      Path(command[-1]).mkdir()

  monkeypatch.setattr(subprocess, "run", run)
  monkeypatch.setattr(sys, "path", [str(plugin.parent), *sys.path])
  monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
  monkeypatch.chdir(tmp_path)
  (source,) = (cell.source for cell in read(path).cells if cell.id == "install")
  for _ in range(2):  # students run cells twice
    exec(source.replace("/content", str(tmp_path)), {})
  assert Path.cwd() == tmp_path / "cnnjax"

  clone, pip, again = commands
  assert clone[:2] == ["git", "clone"] and REPOSITORY in clone and pip == again
  assert not {"-U", "--upgrade", "-I", "--ignore-installed", "--force-reinstall"} & set(pip)
  (constraints,) = (a.partition("=")[2] for a in pip if a.startswith("--constraint="))
  pins = set(Path(constraints).read_text().splitlines())
  kept = {f"{d.name}=={d.version}" for d in distributions() if d.name.startswith("jax")}
  assert "jax-cuda99-plugin==0.1.2" in kept and len(kept) >= 3  # with jax and jaxlib
  assert kept <= pins and any(pin.startswith("numpy==") for pin in pins)


@each
def test_runs_and_shows_pictures(path, tmp_path, monkeypatch):
  copy, scratch = tmp_path / "copy", tmp_path / "scratch"
  for name in ("cnnjax", "configs", "experiments", "colab"):
    shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
  scratch.mkdir()
  for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
    monkeypatch.setenv(name, str(scratch))
  monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
  before = files(copy)
  notebook = read(path)
  where = {"metadata": {"path": str(copy / "colab")}}
  NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
  outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
  assert sum("image/png" in output.get("data", {}) for output in outputs) >= 4
  assert files(copy) == before
