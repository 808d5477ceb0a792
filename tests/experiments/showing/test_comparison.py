"""The comparison: depths as the networks are named, costs as published, the deck's slips told."""

from functools import cache

import pytest
from PIL import Image

from cnnjax.models.depth import depth
from cnnjax.visualise.balls import balls
from cnnjax.visualise.figure import save
from experiments.showing import comparison
from experiments.showing.comparison import Entry, contradictions
from tests.experiments.test_scripts import command

count = cache(comparison.count)

DEPTHS = {  # as the papers count, which is what most of the names say
  "lenet5": 5,
  "lenet5_1998": 7,  # "comprises 7 layers, not counting the input", subsampling among them
  "tumor_net": 5,
  "local_net": 3,
  "resnet110_cifar": 110,
  "plain56_cifar": 56,
  "seresnet20_cifar": 20,
}
# Depth, multiply-adds in G: torchvision's, timm's for SE, the paper's for V1. ResNet-101,
# DenseNet-169 and -201 have other numbers of blocks only, which test_zoo's parameters tell.
PUBLISHED = {
  "alexnet": (8, 0.71),
  "vgg16": (16, 15.5),
  "vgg19": (19, 19.6),
  "googlenet": (22, 1.50),
  "resnet18": (18, 1.82),
  "resnet34": (34, 3.66),
  "resnet50": (50, 4.1),
  "resnet152": (152, 11.5),
  "seresnet50": (50, 4.1),
  "legacy_senet154": (154, 20.8),
  "densenet121": (121, 2.9),
  "densenet161": (161, 7.8),
  "mobilenet_v1": (28, 0.58),
  "mobilenet_v2": (53, 0.30),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_depth_of_small_networks(name):
  assert depth(name) == DEPTHS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_depth_and_multiply_adds_are_the_published_ones(name):
  layers, cost = PUBLISHED[name]
  found = count(name)
  assert found.depth == layers
  rounding = 10 ** -len(str(cost).partition(".")[2]) / 2
  assert abs(found.multiply_adds / 1e9 - cost) <= 0.02 * cost + rounding


def test_auxiliary_classifiers_do_not_count():
  assert count("googlenet").parameters == 6_624_904
  assert count("googlenet_2014").parameters == 6_998_552


def test_all_published_figures_are_of_compared_models():
  names = comparison.names()
  assert len(names) == 30 and set(comparison.TOP1) | set(comparison.DECK) <= set(names)
  assert all(comparison.ZOO[name].input[2] == 3 for name in names)


def test_years_are_the_papers():
  assert comparison.year("arXiv:1404.5997") == 2014
  assert comparison.year("Krizhevsky et al. 2012") == 2012


def test_contradictions_name_the_model_that_the_deck_means():
  entries = {
    name: Entry(2000, deck.depth or 1, round(deck.millions * 1e6), 1, None)
    for name, deck in comparison.DECK.items()
  }
  assert contradictions(entries) == []
  entries["vgg16"] = entries["vgg19"]
  entries["vgg19"] = Entry(2014, 20, 143_667_240, 1, None)
  assert contradictions(entries) == [
    "VGG: the deck says 19 layers, vgg19 has 20",
    "VGG: the deck says 138 M parameters, vgg19 has 143.67 M; 138 M is nearest to vgg16",
  ]


def test_picture_and_table(tmp_path):
  entries = {
    name: Entry(2015, 50, 10**7 * i, 10**9 * i, top1)
    for i, (name, top1) in enumerate(comparison.TOP1.items(), 1)
  }
  entries["alexnet_2012"] = Entry(2012, 8, 60_965_224, 10**9, None)
  figure = comparison.picture(entries)
  (axes,) = figure.axes
  names = [text for text in axes.texts if text.get_text()]  # the others are lines to far names
  assert {text.get_text() for text in names} == set(comparison.TOP1)
  boxes = [text.get_window_extent() for text in names]
  assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
  save(figure, tmp_path / "balls.png")
  assert Image.open(tmp_path / "balls.png").size > (800, 500)
  rows = comparison.columns(entries)
  assert list(rows["alexnet_2012"].values()) == ["2012", "8", "60.97", "1.00", "", "16.4"]
  assert list(rows["vgg16"].values())[-2:] == ["71.6", ""]


@pytest.mark.parametrize(
  ("arguments", "sentence"),
  [
    (["--all", "lenet5"], "--all compares all ImageNet classifiers"),
    (["--all", "--out=/nowhere/at/all.png"], "lies in no folder that exists"),
    (["lenet5", "--out=a.png"], "give --all with it"),
    ([], "or give --all"),
  ],
)
def test_wrong_input_ends_in_one_sentence(arguments, sentence):
  done = command("summarize", *arguments)
  assert done.returncode == 2 and done.stderr.count("\n") == 1
  assert sentence in done.stderr


def test_names_stay_where_all_points_are_one():
  points = {f"a long name {i}": (1.0 + i / 1e6, 1.0, 1.0) for i in range(20)}
  (axes,) = balls(points, xlabel="x", ylabel="y", unit="M").axes
  assert {text.get_text() for text in axes.texts if text.get_text()} == set(points)
