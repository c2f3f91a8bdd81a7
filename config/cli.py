"""The table as a command line: click options from the settings, and click's result as a layer.

Rules: every option comes from the table, except the four parts of an address and the actions (``--version`` and the
like). Click only cuts the words; values are converted by ``coerce`` like those of any other source. What was not given
stays absent: defaults are never applied here. Of the several hundred options, click gets those that the words of the
command line mention; making all of them, which help and completion need, takes as long as importing click.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from .address import DEFAULT_HOST, DEFAULT_PORT
from .errors import ConfigError, ConflictingSettings, UnknownSetting
from .layers import PREFIX, Given, Layer, Origin
from .schema import Kind, Option
from .settings import defaults, names, options
from .words import CommandLine, split
from .written import display_default

__all__ = ["command", "complaint", "flags", "gunicorn_arguments", "parse"]

_METAVARS = {
    Kind.TEXT: "TEXT",
    Kind.PATH: "PATH",
    Kind.HOOK: "MODULE:FUNCTION",
    Kind.FLAG: "BOOLEAN",
    Kind.COUNT: "NUMBER",
    Kind.WORKERS: "NUMBER|auto",
    Kind.SECONDS: "SECONDS",
    Kind.SIZE: "SIZE",
    Kind.MEMORY: "SIZE|PERCENT",
    Kind.MODE: "MODE",
    Kind.WORDS: "TEXT",
    Kind.LINES: "TEXT",
    Kind.PAIRS: "NAME=VALUE",
    Kind.BINDS: "ADDRESS",
}
_FEW = 3
"""How many flags are named when their common beginning was given."""
_PARTS = {
    "host": ("HOST", f"Host of the address, as uvicorn has it.  [default: {DEFAULT_HOST}]"),
    "port": ("PORT", f"Port of the address, as uvicorn has it; 0 takes a free one.  [default: {DEFAULT_PORT}]"),
    "uds": ("PATH", "Listen on this Unix socket."),
    "fd": ("NUMBER", "Listen on this inherited file descriptor."),
}


class _Spelling(click.Option):
    """One click option for one spelling of a setting, so that messages can repeat what was typed."""

    def __init__(self, setting: str, declarations: Sequence[str], *, section: str, **rest: Any) -> None:
        super().__init__(declarations, **rest)
        self.setting = setting
        self.section = section

    @property
    def typed(self) -> str:
        """The primary spelling."""
        return next((flag for flag in self.opts if flag.startswith("--")), self.opts[0])


class _Command(click.Command):
    """Has the options that are mentioned, and help by section, in the order of the manual, instead of one list."""

    def __init__(self, actions: Sequence[click.Parameter] = (), **rest: Any) -> None:
        super().__init__("asgi-arbiter", add_help_option=False, **rest)
        self.actions = actions

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Cut ``args``; completion (``resilient_parsing``) has to know every option."""
        self.params = [*_parameters(None if ctx.resilient_parsing else _mentioned(args)), *self.actions]
        return super().parse_args(ctx, args)

    def make_parser(self, ctx: click.Context) -> Any:
        """Click's parser. It looks for ``-w`` among the long flags first and, not finding it, loads ``difflib`` for a
        suggestion that nobody will see; so the short flags stand among the long ones too, if click is as we know it."""
        parser = super().make_parser(ctx)
        long, short = getattr(parser, "_long_opt", None), getattr(parser, "_short_opt", None)
        if isinstance(long, dict) and isinstance(short, dict):
            long.update(short)
        return parser

    def get_help(self, ctx: click.Context) -> str:
        """The help text, which names every option."""
        self.params = [*_parameters(), *self.actions]
        return super().get_help(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections that have visible options, the actions last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                section = parameter.section if isinstance(parameter, _Spelling) else "Actions"
                sections.setdefault(section, []).append(record)
        actions = sections.pop("Actions", [])
        for title, records in [*sections.items(), ("Actions", actions)]:
            with formatter.section(title):
                formatter.write_dl(records, col_max=32)


def command(run: Callable[[CommandLine], Any], version: Callable[[], str]) -> click.Command:
    """The click command: ``run`` gets the cut command line, ``version`` gives the text for ``--version``."""

    def callback(**parameters: Any) -> Any:
        return run(_collect(click.get_current_context()))

    def action(flags: tuple[str, str], text: Callable[[click.Context], str], help: str) -> click.Option:
        def show(context: click.Context, _: click.Parameter, wanted: bool) -> None:
            if wanted and not context.resilient_parsing:
                click.echo(text(context))
                context.exit()

        return click.Option(flags, is_flag=True, is_eager=True, expose_value=False, callback=show, help=help)

    show_versions = "Show the versions of the program and of what it uses, and exit."
    return _Command(
        actions=[
            action(("--version", "-v"), lambda _: version(), show_versions),
            action(("-h", "--help"), lambda context: context.get_help(), "Show this message and exit."),
        ],
        callback=callback,
        help="Serve the ASGI application APP (module:attribute) with supervised worker processes.",
        epilog="Each setting can also stand in asgi-arbiter.toml or in a variable ASGI_ARBITER_<NAME>. Options that "
        "gunicorn has and that have no effect here are accepted with a warning and not listed. asgi-arbiter migrate "
        "prints another server's command line as a settings file.",
        context_settings={"max_content_width": 110},
    )


def parse(arguments: Sequence[str]) -> CommandLine:
    """Cut ``arguments``; those that print and leave are not known. Raises ``UnknownSetting`` or ``ConfigError``."""
    with _Command().make_context("asgi-arbiter", list(arguments)) as context:
        return _collect(context)


def gunicorn_arguments(text: str) -> tuple[Layer, str]:
    """``GUNICORN_CMD_ARGS`` as a layer, and the settings file that it names. Raises ``ConfigError``."""
    import shlex

    title = "GUNICORN_CMD_ARGS"
    try:
        line = parse(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"environment, {title}: {error}") from None
    except click.ClickException as error:
        raise UnknownSetting(f"environment, {title}: {complaint(error)}") from None
    values = {name: Given(given.raw, given.where.replace("command line", title)) for name, given in line.values.items()}
    values.pop("app", None)  # gunicorn ignores it there too
    layer = Layer(Origin.ENVIRONMENT, title, values)
    layer.notices.append(f"{title} is taken into account: {text.strip()}")
    return layer, line.config_file


def complaint(error: click.ClickException) -> str:
    """Click's complaint in our words, with the nearest flag."""
    if isinstance(error, click.NoSuchOption):
        return _no_such_option(error.option_name)
    text = error.format_message()
    if isinstance(error, click.UsageError) and text.startswith("Got unexpected extra argument"):
        return _superfluous(text.partition("(")[2].rstrip(")"), str(error.ctx.params.get("app") if error.ctx else ""))
    if isinstance(error, click.BadOptionUsage) and "requires" in text:
        return f"{error.option_name} needs a value"
    return text[:1].lower() + text[1:].rstrip(".")


def _no_such_option(given: str) -> str:
    """What was meant: the beginning of a long flag (gunicorn takes those), a setting without a flag, or a similar flag."""
    from .layers import unknown

    whole = {flag for flag in flags() if flag.startswith(given)} if len(given) > 3 else set()
    if whole:
        *others, last = sorted(whole, key=lambda flag: (len(flag), flag))[:_FEW]
        return f"no such option {given}; did you mean {', '.join(others)}{' or ' if others else ''}{last}?"
    setting = names().get(given.removeprefix("--").replace("-", "_"))
    if setting is not None and not options()[setting].flags:
        return f"no such option {given}; set {setting} in the settings file or as {PREFIX}{setting.upper()}"
    return unknown("option", given, flags()).replace('"', "")


def _superfluous(extra: str, app: str) -> str:
    """A second word beside APP, and what it was probably meant to be."""
    first = extra.split()[0]
    if app.isidentifier() and (":" in first or first.endswith(".py")):  # other programs have subcommands
        meant = f"{first.removesuffix('.py').replace('/', '.')}:app" if first.endswith(".py") else first
        return f'there is no subcommand "{app}"; write asgi-arbiter {meant}'
    options_are = "options begin with --, and those for on and off take no value"
    why = f"a port is --port {first}" if first.isdigit() else options_are
    if (more := len(extra.split()) - 1) > _FEW:
        return f'"{first}" and {more} more words are too much: the application is "{app}"; the shell replaces a *: write "*"'
    return f'"{extra}" is too much: the application is "{app}"; {why}'


def flags() -> list[str]:
    """Every spelling that the command line knows."""
    return [
        flag for parameter in _parameters() if isinstance(parameter, click.Option)
        for flag in (*parameter.opts, *parameter.secondary_opts)
    ] + ["--version", "--help"]  # fmt: skip


# ------------------------------------------------------------------------------------------------------- from the table


def _mentioned(words: Sequence[str]) -> set[str]:
    """Every flag that ``words`` can mean, and more: some are values, and the letters behind a short flag may be either."""
    found: set[str] = set()
    for word in words:
        if word.startswith("--"):
            found.add(word.partition("=")[0].replace("--no-", "--", 1))
            found.add(word.partition("=")[0])
        elif word.startswith("-"):
            found.update(f"-{letter}" for letter in word[1:])
    return found


def _parameters(mentioned: set[str] | None = None) -> list[click.Parameter]:
    """What click is to know: APP, the actions of ours, and the settings that have a ``mentioned`` flag; or all."""
    rendered: list[click.Parameter] = [click.Argument(["app"], required=False, metavar="APP")]
    for name, option in options().items():
        if mentioned is None or not mentioned.isdisjoint((*option.flags, *option.also)):
            rendered += _spellings(name, option)
        if name == "bind":
            rendered += _address_parts()
    rendered += [
        click.Option(["-c", "--config"], metavar="FILE", help="Read the settings from this TOML or gunicorn.conf.py file."),
        click.Option(["--check-config"], is_flag=True, help="Check the settings, import the application, and exit."),
        click.Option(["--print-config"], is_flag=True, help="Show each setting with its value and source, and exit."),
    ]  # fmt: skip
    return rendered


def _address_parts() -> Iterator[click.Parameter]:
    for part, (metavar, text) in _PARTS.items():
        yield _Spelling(part, [part, f"--{part}"], section=options()["bind"].section, metavar=metavar, help=text)


def _spellings(name: str, option: Option) -> Iterator[click.Parameter]:
    """The advertised option, and a hidden one for each foreign spelling."""
    if option.flags:
        yield _spelling(name, name, option, option.flags, hidden=bool(option.inert))
    for index, flag in enumerate(option.also):
        yield _spelling(name, f"{name}__{index}", option, (flag,), hidden=True)


def _spelling(name: str, parameter: str, option: Option, flags: tuple[str, ...], *, hidden: bool) -> click.Option:
    default = display_default(option, defaults()[name])
    text = option.help if default == "none" else f"{option.help}  [default: {default}]"
    common: dict[str, Any] = {"section": option.section, "hidden": hidden, "help": text, "default": None}
    if option.is_boolean and not option.takes_value:
        words = [f"{flag}/--no-{flag[2:]}" if flag.startswith("--") and option.negatable else flag for flag in flags]
        return _Spelling(name, [parameter, *words], is_flag=True, **common)
    metavar = "[" + "|".join(option.choices) + "]" if option.choices else _METAVARS.get(option.kind, "TEXT")
    if option.numbered:
        metavar = "NUMBER"
    extra: dict[str, Any] = {"is_flag": False, "flag_value": option.bare} if option.bare else {}
    if option.choices:
        extra["shell_complete"] = lambda _context, _parameter, text: [w for w in option.choices if w.startswith(text)]
    return _Spelling(
        name, [parameter, *flags], type=str, metavar=metavar, multiple=option.is_list, **extra, **common
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- click's result


def _collect(context: click.Context) -> CommandLine:
    """Click's parameters as values under the settings' names. Raises ``ConflictingSettings`` for two spellings of one
    setting that is no list."""
    values: dict[str, Given] = {}
    parameters = context.params
    for spelling in context.command.params:
        if not isinstance(spelling, _Spelling):
            continue
        raw = parameters.get(spelling.name or "")
        if raw is None or raw == ():
            continue
        where = f"command line, {_typed(spelling, raw)}"
        name = spelling.setting
        if isinstance(raw, tuple):
            raw = list(raw) if name not in options() or options()[name].kind is Kind.LINES else split(raw)
            if name in values:
                raw = [*_listed(values[name].raw), *raw]
        elif name in values:
            raise ConflictingSettings(f"{where}: the same setting as in {values[name].where}; keep one of them")
        values[name] = Given(raw, where)
    app = parameters.get("app")
    for name, option in options().items():
        if option.bare and app is None and name in values and _is_swallowed(option, values[name].raw):
            app, values[name] = values[name].raw, Given(option.bare, values[name].where)
    if app is not None:
        values["app"] = Given(app, "command line, APP")
    action = next((word for word in ("check-config", "print-config") if parameters.get(word.replace("-", "_"))), "")
    return CommandLine(values, str(parameters.get("config") or ""), action)


def _is_swallowed(option: Option, raw: object) -> bool:
    """Whether a flag with an optional value has taken the application that stood behind it."""
    return ":" in str(raw) and str(raw).lower() not in (*option.choices, *option.spelled)


def _typed(spelling: _Spelling, raw: object) -> str:
    return spelling.secondary_opts[0] if raw is False and spelling.secondary_opts else spelling.typed


def _listed(raw: object) -> list[str]:
    return list(raw) if isinstance(raw, (list, tuple)) else [str(raw)]
