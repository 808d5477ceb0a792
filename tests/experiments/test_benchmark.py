"""The benchmark: its tables and figures, whatever the speed, and one wrong input of each kind."""

import json
from functools import partial

import jax
import numpy as np
import pytest

from cnnjax.errors import UserError
from cnnjax.ops.cpu.onednn import lacking
from configs.classification import lenet5_mnist
from experiments import benchmark
from experiments.timing import contest, detector_peers, peers, turns, whole_path
from tests.experiments.test_scripts import command

tiny = partial(contest.compare, "lenet5", batch_size=4, rounds=2, seconds=0.01)


def check_figures(found, names, peers):
  assert set(found["rounds"]) == set(found["images_per_second"]) == names
  assert set(found["first_step_seconds"]) == names
  for rates in found["rounds"].values():
    assert len(rates) == 2 and min(rates) > 0
  assert min(found["first_step_seconds"].values()) > 0
  assert set(found["ratios"]) == peers
  for ratio in found["ratios"].values():
    assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]


def test_command_prints_tables_and_writes_figures(tmp_path):
  out = tmp_path / "speed.json"
  flags = ["--batch=4", "--rounds=2", "--seconds=0.01", "--inference", "--peers=flax"]
  flags += [] if lacking() else ["--onednn"]
  done = command("benchmark", "--models=lenet5", *flags, f"--out={out}")
  assert done.returncode == 0 and done.stderr == "", done.stderr
  for told in ("lenet5, training, batch 4", "inference, batch 16", "images/s", "first step"):
    assert told in done.stdout
  figures = json.loads(out.read_text())
  assert figures["environment"]["cpu"] in done.stdout
  shown = [(found["kind"], found["batch"]) for found in figures["results"]]
  assert shown == [("training", 4), ("inference", 1), ("inference", 16)]
  for found in figures["results"]:
    check_figures(found, {"cnnjax", "flax"}, {"flax"})


@pytest.mark.parity
def test_torch_in_both_formats():
  pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
  for train in (True, False):
    found = tiny(["torch"], train=train)
    layouts = {"torch contiguous_format", "torch channels_last"}
    check_figures(found, {"cnnjax", *layouts}, {"torch"})
    better = max(layouts, key=found["images_per_second"].get)
    assert found["ratios"]["torch"]["to"] == better


@pytest.mark.parity
def test_torch_compiled():
  pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
  if why := peers.broken_compiler():
    pytest.skip(f"torch.compile does not work here: {why}")
  found = tiny(["torch", peers.COMPILED], train=False)
  three = {"torch contiguous_format", "torch channels_last", peers.COMPILED}
  check_figures(found, {"cnnjax", *three}, {"torch"})
  assert found["ratios"]["torch"]["to"] == max(three, key=found["images_per_second"].get)


def test_what_pytorch_cannot_compile_is_left_out(capsys):
  def fail():
    raise RuntimeError("no C++\ncompiler\n\nSet A=1 for more")

  one = turns.Contestant(lambda: np.float32(1.0))
  seconds = contest.agree({"cnnjax": one, peers.COMPILED: turns.Contestant(fail)})
  assert set(seconds) == {"cnnjax"}
  assert capsys.readouterr().out == "torch compiled is left out: no C++ compiler\n"
  with pytest.raises(RuntimeError):
    contest.agree({"cnnjax": one, "flax": turns.Contestant(fail)})


def test_a_machine_without_compiler_or_pytorch(monkeypatch, capsys):
  monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda name: True)
  monkeypatch.setattr(benchmark, "broken_compiler", lambda: "no C++ compiler")
  asked = ["flax", "torch", peers.COMPILED, peers.FOLDED]
  assert benchmark.present(asked) == ["flax", "torch", peers.FOLDED]
  assert capsys.readouterr().out == "torch compiled is left out: no C++ compiler\n"
  monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda name: None)
  assert benchmark.present(asked) == ["flax", peers.FOLDED]
  assert capsys.readouterr().out.startswith("PyTorch is not installed")


def test_folded(capsys):
  found = contest.compare("resnet20_cifar", [peers.FOLDED], 2, 2, 0.01, train=False)
  check_figures(found, {"cnnjax", "folded"}, {"folded"})
  check_figures(tiny([peers.FOLDED], train=False), {"cnnjax"}, set())
  assert "lenet5 has no batch norm to fold" in capsys.readouterr().out


@pytest.mark.parity
def test_torch_of_the_zoo():
  pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
  found = contest.compare("mobilenet_v2", ["torch"], 2, 2, 0.01, train=False)
  assert set(found["ratios"]) == {"torch"}


@pytest.mark.parity
def test_torch_has_what_is_said_to_be_its():
  pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
  from experiments.timing import reference

  theirs = {*reference.TIMM, *reference.torchvision.models.list_models()}
  assert set(peers.PEERS["torch"]) - set(peers.OWN) == set(peers.PORTED) & theirs


@pytest.mark.parity
def test_torchs_dropout_is_off():
  torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
  from experiments.timing import reference

  with pytest.MonkeyPatch.context() as patch:  # SENet-154 itself takes seconds to build
    small = torch.nn.Sequential(torch.nn.Dropout(0.5))
    small.drop_rate = 0.2
    patch.setattr(reference, "build", lambda name: small)
    patch.setattr(peers, "to_others", lambda model, variables: {})
    net = peers.torch_zoo("legacy_senet154", {})
  assert net.drop_rate == 0.0 and net[0].p == 0.0


@pytest.mark.parity
@pytest.mark.parametrize("name", detector_peers.SIDES)
def test_torch_of_a_detector(name):
  pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
  found = contest.compare(name, ["torch"], 1, 1, 0.01, train=False)
  assert set(found["ratios"]) == {"torch"}


def test_operators_of_detectors(capsys):
  found = detector_peers.operators(rounds=1)["operators"]
  assert min(found.values()) > 0 and "nms of 10,000" in capsys.readouterr().out


def test_a_model_without_peers_is_timed_alone(capsys):
  found = contest.compare("lenet5_1998", ["flax", "torch"], 2, 2, 0.01, train=False)
  check_figures(found, {"cnnjax"}, set())
  assert "lenet5_1998 has no counterpart here for flax and torch" in capsys.readouterr().out


def test_path_and_where_it_is_lost(monkeypatch, capsys):
  monkeypatch.setattr(whole_path, "SHARE", 9e9)
  config = lenet5_mnist.get_config("quick")
  config.data.arguments = {"examples": 200}
  found = whole_path.path(config, batch_size=8, steps=8, rounds=1)
  shown = capsys.readouterr().out
  for told in ("lenet5, whole path, batch 8", "ms a step", "+ logs read", "+ checkpoints"):
    assert told in shown
  assert 0 < found["share"]["min"] <= found["share"]["median"] <= found["share"]["max"]
  assert len(found["rounds"]) == 6
  assert all(len(rates) == 1 and rates[0] > 0 for rates in found["rounds"].values())


def test_path_runs_from_the_first_row_to_the_last():
  config = lenet5_mnist.get_config("quick")
  config.data.arguments = {"examples": 200}
  job, config, _ = whole_path.path_job(config, batch_size=8, steps=80)
  assert (job.steps, config.train.log_every, config.checkpoint.every) == (100, 20, 40)
  assert job.evaluations == {100}


def test_contestants_that_disagree_are_not_timed():
  start = turns.Contestant(lambda: np.float32(2.0))
  near = turns.Contestant(lambda: np.float32(2.001))
  contest.agree({"cnnjax": start, "flax": near})
  for other, message in (
    (2.01, "flax does not compute what cnnjax does: its results are off by 5.0e-03 of their size"),
    (np.nan, "the first results of flax are not all finite"),
  ):
    far = turns.Contestant(lambda other=other: np.float32(other))
    with pytest.raises(UserError, match=message):
      contest.agree({"cnnjax": start, "flax": far})


def test_a_loss_that_falls_to_nothing_is_held_against_the_first():
  falling = lambda last: turns.Contestant(iter(map(np.float32, (2.0, 0.5, last))).__next__)  # noqa: E731
  contest.agree({"cnnjax": falling(0.01), "flax": falling(0.02)})
  with pytest.raises(UserError, match="off by 1.0e-01"):
    contest.agree({"cnnjax": falling(0.01), "flax": falling(0.21)})


def test_other_weights_are_seen(monkeypatch):
  build = peers.flax_lenet5
  monkeypatch.setitem(
    peers.PEERS["flax"], "lenet5", lambda v: build(jax.tree.map(lambda a: 1.02 * a, v))
  )
  with pytest.raises(UserError, match="nothing was timed"):
    tiny(["flax"], train=False)


def test_turns_rotate():
  order = []
  timers = {name: lambda name=name: order.append(name) or len(order) for name in "abc"}
  rates = turns.take_turns(timers, 4)
  assert "".join(order) == "abcbcacababc"
  assert rates == {"a": [1, 6, 8, 10], "b": [2, 4, 9, 11], "c": [3, 5, 7, 12]}
  assert turns.ratio([1, 4, 3], [2, 2, 2]) == {"median": 1.5, "min": 0.5, "max": 2.0}


@pytest.mark.parametrize(
  ("models", "peers", "numbers", "sentence"),
  [
    (["lenet6"], [], {}, "unknown model 'lenet6'; did you mean lenet5"),
    (
      ["yolo_v1"],
      [],
      {},
      "of detectors the benchmark times ssd300, faster_rcnn_fpn; found yolo_v1",
    ),
    (["lenet5"], ["pytorch"], {}, "unknown peer 'pytorch'; did you mean torch"),
    (["lenet5"], [], {"batch": 0}, "--batch must be a number of at least 1, found 0"),
    (["lenet5"], [], {"rounds": -1}, "--rounds must be a number of at least 1"),
    (["lenet5"], [], {"seconds": float("nan")}, "--seconds must be a number of at least 0.001"),
    (["lenet5"], [], {"steps": 3}, "--steps must be a number of at least 4"),
  ],
)
def test_wrong_input(models, peers, numbers, sentence):
  with pytest.raises(UserError) as error:
    benchmark.check(models, peers, **numbers)
  assert sentence in str(error.value)


def test_what_stands_there_by_a_flag_of_its_own():
  both = dict(compiled=True, folded=True, inference=True)
  assert benchmark.with_others(["torch"], **both) == ["torch", "torch compiled", "folded"]
  with pytest.raises(UserError, match="--compile is of PyTorch, but --peers=flax leaves torch out"):
    benchmark.with_others(["flax"], **both)
  with pytest.raises(UserError, match="--fold is of inference; add --inference"):
    benchmark.with_others(["torch"], **{**both, "inference": False})


def test_wrong_input_ends_the_command_in_one_sentence():
  done = command("benchmark", "--models=lenet5", "--path")
  assert done.returncode == 2
  assert done.stderr == "error: --path times what --config says; name no model beside it\n"
