"""Read by the Python of a child process: lets discord.py talk to the loopback named in LOOPBACK_DISCORD.

Nothing is imported here; each module of discord.py is changed right after the child itself has imported it.
"""

# mypy: disable-error-code="method-assign"

from __future__ import annotations

import importlib.machinery
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import Any

BASE = os.environ.get("LOOPBACK_DISCORD", "")


def _http(module: Any) -> None:
    module.Route.BASE = BASE + "/api/v10"


def _gateway(module: Any) -> None:
    module.DiscordWebSocket.DEFAULT_GATEWAY = module.yarl.URL(BASE.replace("http", "ws", 1) + "/gateway")


def _asset(module: Any) -> None:
    module.Asset.BASE = BASE + "/cdn"


def _state(module: Any) -> None:
    """on_ready waits 2 s after the last guild unless told otherwise."""
    original = module.ConnectionState.__init__

    def shorter(self: Any, **options: Any) -> None:
        options.setdefault("guild_ready_timeout", 0.1)
        original(self, **options)

    module.ConnectionState.__init__ = shorter


def _client(module: Any) -> None:
    """A second IDENTIFY waits 5 s, by the platform's limit of one per 5 s."""

    async def at_once(self: Any, shard_id: int | None, *, initial: bool = False) -> None:
        return None

    module.Client.before_identify_hook = at_once


CHANGES: dict[str, Callable[[Any], None]] = {
    "discord.http": _http,
    "discord.gateway": _gateway,
    "discord.asset": _asset,
    "discord.state": _state,
    "discord.client": _client,
}


class Redirect:
    """Finds the modules in CHANGES as usual and changes each after its code has run."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in CHANGES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def run_and_change(module: ModuleType) -> None:
            run(module)
            CHANGES[name](module)

        spec.loader.exec_module = run_and_change
        return spec


if BASE:
    sys.meta_path.insert(0, Redirect)
