"""README.md against the program. `python tests/test_readme.py` writes the help texts anew."""

from __future__ import annotations

import re
from pathlib import Path

import click
from click.testing import CliRunner

from mura_batch.cli import cli


def _below(name: str, command: click.Command) -> list[tuple[str, str]]:
    """The commands of a group."""
    return [(name, below) for below in command.commands] if isinstance(command, click.Group) else []


ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
COMMANDS = ((), *(words for name, command in cli.commands.items() for words in ((name,), *_below(name, command))))
_BLOCK = re.compile(r"<!-- help -->\n.*?<!-- /help -->", re.DOTALL)


def help_texts() -> str:
    parts = []
    for words in COMMANDS:
        # The width is fixed, so that the text is the same in every terminal.
        done = CliRunner().invoke(cli, [*words, "--help"], prog_name="mura-batch", terminal_width=100)
        assert done.exit_code == 0, done.output
        indented = "".join(f"    {line}".rstrip() + "\n" for line in done.output.rstrip().splitlines())
        parts.append(f"### `{' '.join(('mura-batch', *words))}`\n\n{indented}\n")
    return "<!-- help -->\n" + "".join(parts) + "<!-- /help -->"


def test_the_help_texts_are_the_programs_own() -> None:
    found = _BLOCK.search(README.read_text(encoding="utf-8"))
    assert found is not None
    assert found.group(0) == help_texts(), "run: python tests/test_readme.py"


def test_every_option_has_help_and_every_command_an_example() -> None:
    for name, command in cli.commands.items():
        assert command.epilog is not None, name
        assert f"mura-batch {name}" in command.epilog, name
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"{name} {parameter.name}"


def test_every_file_that_the_documents_link_to_is_there() -> None:
    missing = [
        f"{document.name}: {link}"
        for document in (README, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
        if not (document.parent / link).exists()
    ]
    assert missing == []


if __name__ == "__main__":
    README.write_text(_BLOCK.sub(lambda _: help_texts(), README.read_text(encoding="utf-8")), encoding="utf-8")
