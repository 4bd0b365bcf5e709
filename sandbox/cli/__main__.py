"""Lets ``python -m sandbox.cli`` be the command."""

from sandbox.cli.main import main

main()
