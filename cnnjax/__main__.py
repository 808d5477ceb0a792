"""python -m cnnjax VERB: the command `cnnjax`, where it is not on the PATH."""

from cnnjax.cli import main

main()
