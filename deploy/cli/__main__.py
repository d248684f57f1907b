"""`python -m deploy.cli`: the same program."""

from deploy.cli import main

main()
