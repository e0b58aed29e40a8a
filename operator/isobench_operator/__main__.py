"""`python -m isobench_operator`: the command line, for where the console script is not on PATH."""

from isobench_operator.cli import main

main()
