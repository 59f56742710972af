"""Options of all commands, which may stand before the command or after it.

The root's own options are declared once, in `clipper.cli.app`; here every command gets copies that
change the context when they are given.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from typing import Any

from click.core import ParameterSource

from clipper.cli.context import Context
from clipper.cli.modes import Mode
from clipper.cli.output import Format, Output

_PANEL = "Options of all commands"
_PLACE = {
    "namespace": "--namespace",
    "kubeconfig": "--kubeconfig",
    "context": "--context",
    "proxy": "--proxy",
    "internal_ip": "--internal-ip",
}
"""Options of one mode, which say where the cluster is → as the user writes them."""

_NAMES = ("cluster_name", "state_dir", "mode", *_PLACE, "output", "verbose")


def repeat_on_commands(group: Any) -> None:
    """Let every command below the group accept the group's global options."""
    shared = [option for option in group.params if option.name in _NAMES]
    for command in _commands_below(group):
        taken = {flag for option in command.params for flag in option.opts}
        command.params.extend(_copy_for_command(option, taken) for option in shared)


def apply(context: Context, name: str, value: Any) -> None:
    """Change the context as the option of this name says."""
    if name == "cluster_name":
        context.choice = dataclasses.replace(context.choice, name=value)
    elif name == "state_dir":
        context.choice = dataclasses.replace(context.choice, state_dir=value)
    elif name == "mode":
        context.choice = dataclasses.replace(context.choice, mode=Mode(value))
    elif name in _PLACE:
        place = context.choice.place
        flags = place.flags | {_PLACE[name]}
        place = dataclasses.replace(place, flags=flags, **{name: value})
        context.choice = dataclasses.replace(context.choice, place=place)
    elif name == "output":
        context.output = Output(Format(value))
    else:
        context.verbose = bool(value)
        configure_logging(context.verbose)


def configure_logging(verbose: bool) -> None:
    """Show the client's log, or keep it silent: it is told as progress and as the final error."""
    handler = logging.StreamHandler() if verbose else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(message)s"))
    logger = logging.getLogger("clipper")
    logger.handlers[:] = [handler]
    if verbose:
        logger.setLevel(logging.INFO)


def place_flags(ctx: Any) -> frozenset[str]:
    """Return which of the options that say where the cluster is stand on the command line.

    Variables may be set for good, and matter in their mode only.
    """
    return frozenset(
        flag
        for name, flag in _PLACE.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    )


def _commands_below(group: Any) -> list[Any]:
    found = []
    for command in group.commands.values():
        found.append(command)
        if hasattr(command, "commands"):
            found += _commands_below(command)
    return found


def _copy_for_command(option: Any, taken: set[str]) -> Any:
    """Return the option for a command; a short form that the command uses itself stays its own."""
    repeated = copy.copy(option)
    repeated.opts = [flag for flag in option.opts if flag not in taken]
    # Neither the default nor the variable may undo what was given before the command.
    repeated.default = None
    repeated.envvar = None
    repeated.expose_value = False
    repeated.rich_help_panel = option.rich_help_panel or _PANEL
    repeated.callback = _note
    return repeated


def _note(ctx: Any, param: Any, value: Any) -> None:
    if value not in (None, False):
        apply(ctx.obj, param.name, value)
