"""What all scripts share: flags, the compilation cache, and errors printed in one sentence."""

import hashlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from cnnjax import keys
from cnnjax.engine import hosts
from cnnjax.engine.allocator import keep_memory
from cnnjax.engine.config import with_defaults
from cnnjax.engine.environment import cpu_model
from cnnjax.engine.hosts import Stopped
from cnnjax.engine.run import newest
from cnnjax.errors import UserError, unknown
from cnnjax.keys import flatten
from cnnjax.ops.cpu.onednn import lacking, use_onednn

MODES = ("full", "quick")
CONFIGS = Path(__file__).parents[1] / "configs"  # the same in a checkout and where installed


def command(verb: str) -> str:
  """Returns the command that a user types for a verb, in a checkout or with cnnjax installed."""
  return f"python -m experiments.{verb}" if __package__ == "experiments" else f"cnnjax {verb}"


def run(main: Callable[[list[str]], None], config: str = "") -> None:
  """Parses the flags and calls main with the other arguments.

  Scripts define their flags where they are run, not where they are imported, so that a notebook can
  import several. With `config`, a default path, --config and the config's keys are flags as well.
  """
  flags.DEFINE_bool("keep_memory", True, "keep what a step has freed for the next; --nokeep_memory")
  flags.DEFINE_bool(
    "onednn", False, "convolve by oneDNN on a CPU: faster steps, but each start compiles anew"
  )
  app.run(partial(_guarded, main), flags_parser=partial(_parse, config=config))


def define_run_flags(required: bool = True) -> None:
  """Defines the flags that say which run to load, and how."""
  flags.DEFINE_string("workdir", None, "run folder", required=required)
  flags.DEFINE_string("checkpoint", "latest", "best, latest or a step")
  flags.DEFINE_enum(
    "parameters", "auto", ["auto", "raw", "ema"], "auto: the average where the run keeps one"
  )


def define_host_flags() -> None:
  """Defines the flags that make a process one of several."""
  flags.DEFINE_bool(
    "distributed", False, "one of several processes, as Slurm, GKE or a TPU pod has it"
  )
  flags.DEFINE_string("coordinator", "", "elsewhere: HOST:PORT of process 0, the same for all")
  flags.DEFINE_integer("processes", 0, "elsewhere: how many processes there are")
  flags.DEFINE_integer("process", -1, "elsewhere: which of them this is, from 0")


def _connect() -> None:
  """Connects to the other processes, where the flags say that there are some."""
  if "coordinator" not in flags.FLAGS:
    return
  given = flags.FLAGS.coordinator, flags.FLAGS.processes, flags.FLAGS.process
  if flags.FLAGS.distributed or given != ("", 0, -1):
    hosts.on_abort(partial(_lost, "jaxlib's last words are above"))
    hosts.connect(*given)


def keep_compiled() -> None:
  """Turns on JAX's persistent compilation cache, for programs of any size and compile time.

  It lies in $JAX_COMPILATION_CACHE_DIR, else in ~/.cache/cnnjax/xla, with a folder for each model
  of CPU, since a program that was compiled for one may not run on another.
  """
  if not jax.config.jax_compilation_cache_dir:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(cpu_model(flags=True).encode()).hexdigest()[:16]
    jax.config.update("jax_compilation_cache_dir", str(home / "cnnjax" / "xla" / key))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
  jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def read_config(name: str) -> Any:
  """Returns the config of FILE or FILE:MODE, with all its keys; FILE is a path or a name.

  Raises: UserError for an unknown file, mode or key.
  """
  file, mode = split_mode(name)
  if mode not in MODES:
    raise unknown("config mode", mode, MODES)
  path = find(file, "config")
  with user_errors(path, "config"):
    config = with_defaults(load_module(path, "config").get_config(mode))
    keys.check(config.to_dict())
    return config


def split_mode(name: str) -> tuple[str, str]:
  """Returns the file and the mode of FILE or FILE:MODE; in C:\\FILE the C is no file."""
  file, colon, mode = name.rpartition(":")
  return (file, mode) if colon and not {"/", "\\"} & {*mode} else (name, "full")


def find(name: str, kind: str) -> str:
  """Returns the path of a config or a space: a user's file, or one of ours by its name or path.

  Raises: UserError for an unknown name, with the nearest ones.
  """
  if Path(name).is_file() and Path(name).suffix == ".py":
    return name
  ours = {path.relative_to(CONFIGS.parent).as_posix(): path for path in CONFIGS.rglob("*.py")}
  ours = {path: file for path, file in ours.items() if ("/spaces/" in path) == (kind == "space")}
  for path, file in ours.items():
    if name in (path, file.stem):
      return str(file)
  raise unknown(f"{kind} file", name, [*ours, *(file.stem for file in ours.values())])


def load_module(path: str, kind: str) -> ModuleType:
  """Returns the module of a user's file, beside which nothing is written.

  Raises: UserError where it fails.
  """
  module = ModuleType(kind)
  module.__file__ = str(Path(path).absolute())
  with user_errors(path, kind):
    exec(compile(Path(path).read_text(), module.__file__, "exec"), module.__dict__)
  return module


@contextmanager
def user_errors(path: str, kind: str) -> Iterator[None]:
  """Guards code of a user's file. Raises: UserError, with the line, for any error in it."""
  try:
    yield
  except UserError:
    raise
  except Exception as error:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if Path(f.filename) == Path(path).absolute()]
    where = f" in line {lines[-1]}" if lines else ""
    raise UserError(f"{path} gives no {kind}: {type(error).__name__}{where}: {error}") from error


def _guarded(main, argv):
  logging.set_verbosity(logging.FATAL)  # Orbax logs much, and raises what matters
  sys.unraisablehook = _unraisable
  keep_compiled()
  if flags.FLAGS.keep_memory:
    keep_memory()
  try:
    if flags.FLAGS.onednn and lacking():
      print(f"--onednn is left out: {lacking()}", file=sys.stderr)
      flags.FLAGS.onednn = False
    if flags.FLAGS.onednn:
      use_onednn()
      jax.config.update("jax_enable_compilation_cache", False)  # XLA cannot save them
    _connect()
    main(argv)
  except (UserError, OSError) as error:
    _stop(error)
  except Stopped as word:
    print(f"{word}; the same command with the same --workdir goes on", file=sys.stderr)
    _exit(128 + signal.SIGTERM)
  except KeyboardInterrupt:
    print("interrupted; the same command with the same --workdir goes on", file=sys.stderr)
    _exit(130)
  except Exception as error:
    if jax.process_count() == 1:
      raise
    _lost(next(filter(None, str(error).splitlines()), type(error).__name__))


def _parse(argv, config):
  try:
    if config:
      argv = _define_config(argv, config)
    for module, own in flags.FLAGS.flags_by_module_dict().items():
      for flag in own if module.startswith(f"{__package__}.") else ():
        flags.FLAGS.register_key_flag_for_module(argv[0], flag)  # so that --help shows it
    return flags.FLAGS(argv)
  except (flags.Error, UserError) as error:
    _stop(str(error).strip().splitlines()[-1])


def _define_config(argv, default):
  """Makes each key of --config=FILE a flag, and returns the other arguments."""
  name, rest = default, []
  arguments = iter(argv)
  for argument in arguments:
    if re.match("--?config=", argument):
      name = argument.partition("=")[2]
    elif re.fullmatch("--?config", argument):
      name = next(arguments, "")
    else:
      rest.append(argument)
  config = read_config(name)
  _check_overrides(rest, flatten(config.to_dict()))
  config_flags.DEFINE_config_dict(
    "config",
    config,
    "a config's path or name, such as lenet5_digits; NAME:quick is a short try. Its keys, which "
    f"{command('keys')} lists, are flags too: --config.optim.learning_rate=0.01",
    sys_argv=rest,
  )
  flags.FLAGS["config"].default_as_str = repr(name)  # not all of its keys
  file, mode = split_mode(name)
  own = "_".join([Path(file).stem, *([mode] if mode != "full" else [])])
  flags.DEFINE_string("name", own, "name of the run; without --workdir its folder is runs/NAME/<n>")
  return rest


def _check_overrides(arguments, known):
  """Raises: UserError for --config.KEY where the config has no such key."""
  sections = {key.rpartition(".")[0] for key in known}
  for argument in arguments:
    found = re.match(r"--?(?:no)?config\.([^=]+)", argument)
    if found and found[1] not in known.keys() | sections:
      parent, _, last = found[1].rpartition(".")
      if parent in keys.FREE:
        given = {
          k.removeprefix(f"{parent}."): v for k, v in known.items() if k.startswith(f"{parent}.")
        }
        whole = ", ".join([*(f"'{k}': {v!r}" for k, v in given.items()), f"'{last}': ..."])
        raise UserError(
          f'this config\'s {parent} has no {last}; give it whole: --config.{parent}="{{{whole}}}"'
        )
      raise unknown("config key", found[1], known)


def _unraisable(what):
  """Shows errors that Python cannot raise, except those of TensorStore after a failed write."""
  if str(what.exc_value) != "Event loop is closed":
    sys.__unraisablehook__(what)


def _lost(cause: str) -> None:
  """Ends one of several processes, of which another was lost."""
  step = newest(flags.FLAGS.workdir) if flags.FLAGS.workdir else None
  goes_on = "begins anew: no step is saved" if step is None else f"goes on from step {step}"
  print(
    f"error: another process of this run was lost ({cause}); start all of them again with the "
    f"same --workdir, and it {goes_on}",
    file=sys.stderr,
  )
  _exit(3)


def _stop(error: object) -> None:
  print(f"error: {error}", file=sys.stderr)
  _exit(2)


def _exit(status: int) -> None:
  """Ends the process at once, without the exit handlers of libraries.

  These would wait for the other processes of a run, or try again to write to a full disk.
  """
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)
