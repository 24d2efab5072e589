"""What the commands share: options that may come from three sources, option types, examples in the help.

A value comes from the command line, from MURA_BATCH_<OPTION> or from the TOML file of --config; the first one wins. A
message about a wrong value names the one that it came from.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta
from functools import wraps
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from mura_batch.cli.outcome import current_outcome
from mura_batch.cli.process import keep_crashes_in
from mura_batch.errors import InputError
from mura_batch.regular_files import read_regular

if TYPE_CHECKING:
    from mura_batch.agreement.truth_file import Truth

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
_CONFIG = "mura_batch.config"  # in Context.meta: the file that --config named
R = TypeVar("R")


class SourcedOption(click.Option):
    """Names the source of a wrong value: option, environment variable, or file and key."""

    @property
    def long_name(self) -> str:
        """As on the command line, without its dashes."""
        return max(self.opts, key=len).removeprefix("--")

    def get_error_hint(self, ctx: click.Context | None) -> str:
        source = ctx.get_parameter_source(str(self.name)) if ctx is not None else None
        if ctx is not None and source is ParameterSource.DEFAULT_MAP:
            return config_key(ctx.meta[_CONFIG], self.long_name)
        if source is ParameterSource.ENVIRONMENT:
            return f"environment variable {self.envvar}"
        return super().get_error_hint(ctx)


class NameList(click.ParamType[tuple[str, ...]]):
    """Some of the names that allowed() gives, by comma, or a list of them in TOML. Converts to a tuple in the order of
    allowed()."""

    name = "names"

    def __init__(self, allowed: Callable[[], Sequence[str]]) -> None:
        self._allowed = allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        allowed = self._allowed()
        parts = value.split(",") if isinstance(value, str) else value
        names = [name.strip().lower() for name in parts if name.strip()]
        wrong = [name for name in names if name not in allowed]
        if wrong or not names:
            self.fail(f"{', '.join(wrong) or 'nothing'} is not one of {', '.join(allowed)}", param, ctx)
        return tuple(name for name in allowed if name in names)


class NumberList(click.ParamType[tuple[int, ...]]):
    """Whole numbers, by comma. Converts to a tuple."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            return tuple(int(number) for number in value.split(","))
        except ValueError:
            self.fail(f"{value!r}: write whole numbers with commas, as in 1,8,32", param, ctx)


class ViewerUrl(click.ParamType[str]):
    """A template of links to a viewer."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from mura_batch.outputs.report.viewer_link import check_viewer_url

        try:
            return check_viewer_url(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


def option(*names: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that MURA_BATCH_<OPTION> may set and whose default its help shows."""
    long = max((name for name in names if name.startswith("--")), key=len).removeprefix("--").replace("-", "_").upper()
    show_default = settings.pop("show_default", True)
    if "--out" in names and settings.get("default") is not None:  # OUT of `score`
        settings["callback"] = _keep_crashes
    if "--json" in names:  # known before another option is found wrong: then the error is JSON, too
        settings |= {"is_eager": True, "callback": _note_json}
    return click.option(*names, cls=SourcedOption, envvar=f"MURA_BATCH_{long}", show_default=show_default, **settings)


def _note_json(_: click.Context, __: click.Parameter, value: bool) -> bool:
    current_outcome().json = value
    return value


def _note_notify(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    current_outcome().notify = value
    return value


class CommandLine(click.ParamType[str]):
    """A program with its arguments, quoted as in a shell, which is not used."""

    name = "command"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            words = shlex.split(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)
        return shlex.join(words) if words else self.fail("name a program", param, ctx)


class ClockTime(click.ParamType[datetime]):
    """HH:MM of local time. Converts to the next moment at which clocks show it."""

    name = "hh:mm"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            at = time.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r}: write hours and minutes of local time, as in 06:00", param, ctx)
        return next_time(at, datetime.now())


def next_time(at: time, now: datetime) -> datetime:
    """The first moment after now (local, without a zone) at which clocks show this time, with the zone it then has."""
    today = now.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return (today if today > now else today + timedelta(days=1)).astimezone()


class Range(click.ParamType[tuple[float, float] | str]):
    """LOW,HIGH, two shares from 0 to 1, or the word that is allowed instead."""

    name = "low,high"

    def __init__(self, word: str) -> None:
        self._word = word

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float] | str:
        if value == self._word:
            return self._word
        try:
            low, high = map(float, value.split(","))
        except ValueError:
            low, high = 1.0, 0.0
        if not 0 <= low <= high <= 1:
            self.fail(f"{value!r}: write two shares from 0 to 1, as in 0.1,0.4, or {self._word}", param, ctx)
        return low, high


notify_option = option(
    "--notify",
    type=CommandLine(),
    default=None,
    is_eager=True,
    callback=_note_notify,
    help="Program to run at the end, however the run ended, with its summary as JSON on standard input. No shell.",
)


def _keep_crashes(_: click.Context, __: click.Parameter, out: Path) -> Path:
    """The record of an unexpected error goes to OUT."""
    keep_crashes_in(out)
    return out


viewer_option = option(
    "--viewer-url",
    type=ViewerUrl(),
    default=None,
    help="Links of the report to a viewer, as in https://viewer.example/{study_uid}; {accession} likewise.",
)

shared_out_option = option(
    "--allow-shared-out", is_flag=True, help="Allow an OUT of another user, or that others may write to."
)

config_option = click.option(
    "--config",
    type=FILE,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, path: _load_config(context, path),
    envvar="MURA_BATCH_CONFIG",
    help="TOML file with these options; the command line comes first.",
)


def config_key(path: Path, key: str) -> str:
    return f"--config {path}: {key}"


def _load_config(context: click.Context, path: Path | None) -> None:
    """Feeds the values of the TOML file to the options of the command, below environment and command line. Raises
    InputError for a file that cannot be read or a key that is no option, BadParameter for a value of a wrong type."""
    if path is None:
        return
    try:
        values = tomllib.loads(read_regular(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"--config {path} cannot be read: {error}") from error
    options = {p.long_name: p for p in context.command.params if isinstance(p, SourcedOption)}
    given = {key.replace("_", "-"): value for key, value in values.items()}
    if unknown := sorted(given.keys() - options.keys()):
        raise InputError(f"--config {path}: unknown {', '.join(unknown)}; known are {', '.join(sorted(options))}")
    for key, value in given.items():
        if wanted := _wrong_type(options[key], value):
            raise click.BadParameter(
                f"{dumps(value, default=str)} is not {wanted}", context, param_hint=config_key(path, key)
            )
    context.meta[_CONFIG] = path
    context.default_map = {str(options[key].name): value for key, value in given.items()}


def _wrong_type(option: click.Option, value: object) -> str:
    """What a TOML value should have been; '' where it fits. Without this a `true` would be the number 1."""
    if option.is_flag:
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(option.type, click.IntRange):
        return "" if isinstance(value, int) and not isinstance(value, bool) else "a whole number"
    if isinstance(option.type, click.FloatRange):
        return "" if isinstance(value, int | float) and not isinstance(value, bool) else "a number"
    if isinstance(option.type, NameList) and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return ""
    return "" if isinstance(value, str) else "a text"


def as_record(record: type[R]) -> Callable[[Callable[[R], int]], Callable[..., int]]:
    """Gives a command its arguments and options as one record, whose fields have their names."""

    def decorate(command: Callable[[R], int]) -> Callable[..., int]:
        @wraps(command)
        def call(**values: Any) -> int:
            return command(record(**values))

        return call

    return decorate


def example(*lines: str) -> str:
    return "Examples:\n\n\b\n" + "\n".join(f"  {line}" for line in lines)


def read_truth_option(path: Path | None) -> Truth | None:
    if path is None:
        return None
    from mura_batch.agreement.truth_csv import read_truth
    from mura_batch.agreement.truth_file import Truth

    return Truth((read_truth(path),))


def reference_model() -> Path:
    from mura_batch.resources import engines_folder

    return engines_folder() / "reference"
