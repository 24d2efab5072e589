"""The command line: parse, assemble, call, map errors to exit codes. The only importer of Click.

main.py      the command group, errors to exit codes      score.py     score, from options to a request
options.py   what the commands share                      studies.py   phantom, inspect, report
                                                          engine.py    compile, doctor, bench
"""

from mura_batch.cli.main import cli, main

__all__ = ["cli", "main"]
