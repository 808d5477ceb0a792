"""The cost that 1x1 reductions save in GoogLeNet (course/004; arXiv:1409.4842)."""

import cnnjax
from cnnjax.models.bypass import bypass

from .finding import Finding

REDUCTIONS = ("three_reduce", "five_reduce")  # names of these layers in each inception module


def inception_cost() -> list[Finding]:
  """GoogLeNet's size compared with AlexNet's and VGG's, and its modules' cost without reductions.

  Without them the 3x3 and the 5x5 convolutions read all channels of the module's input; the numbers
  of output channels stay the same.
  """
  reduced = cnnjax.summarize("googlenet_2014", aux=False)
  with bypass(lambda module: module.name in REDUCTIONS):
    whole = cnnjax.summarize("googlenet_2014", aux=False)
  size, rivals = reduced.parameters, ("alexnet_2012", "vgg16", "vgg19")
  sizes = {name: cnnjax.summarize(name).parameters for name in rivals}
  times = {name: count / size for name, count in sizes.items()}
  low, high = min(times.values()), max(times.values())
  findings = [
    Finding("GoogLeNet, parameters", "5 M", f"{size / 1e6:.2f} M", 4.5e6 <= size < 5.5e6),
    Finding("AlexNet, parameters", "60 M", *_near(sizes["alexnet_2012"], 60)),
    Finding("VGG-16, parameters", "138 M", *_near(sizes["vgg16"], 138)),
    Finding(
      "GoogLeNet is smaller", "10 to 25 times", f"{low:.1f} to {high:.1f} times",
      10 <= low and high <= 25,
    ),
  ]  # fmt: skip
  findings += [Finding(f"smaller than {name}", "", f"{n:.1f} times") for name, n in times.items()]
  for what, pick in (("parameters", "parameters"), ("multiply-adds", "multiply_adds")):
    few, many = (sum(getattr(r, pick) for r in _modules(s)) for s in (reduced, whole))
    ours = f"{few / 1e6:,.1f} M with, {many / 1e6:,.1f} M without: {many / few:.2f} times"
    findings.append(Finding(f"{what} of the modules", "fewer with 1x1", ours, few < many))
  return findings


def _near(count, millions):
  return f"{count / 1e6:.2f} M", abs(count / 1e6 / millions - 1) < 0.03


def _modules(summary):
  return [row for row in summary.rows if "/inception" in row.layer]
