"""The command line: parse, assemble, call, map errors to exit codes. The only importer of Click.

main.py has the command group and maps errors to exit codes; options.py has what the commands share; every other file is
one command.
"""

from mura_batch.cli.main import cli, main

__all__ = ["cli", "main"]
