"""`python -m isobench_operator.cli`: the command line, for where the console script is not on PATH."""

from isobench_operator.cli import main

main()
