"""A group of commands of which some are imported only when they run."""

import importlib
from collections.abc import Mapping
from typing import Any

import click


def load(place: str) -> click.Command:
    """The command at ``module:name``."""
    module, _, name = place.partition(":")
    command: click.Command = getattr(importlib.import_module(module), name)
    return command


class LazyGroup(click.Group):
    """``elsewhere`` says of each command that is not here its ``module:name``; the group's own help imports them."""

    def __init__(self, *args: Any, elsewhere: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._elsewhere = elsewhere

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self._elsewhere])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._elsewhere:
            return load(self._elsewhere[cmd_name])
        return super().get_command(ctx, cmd_name)
