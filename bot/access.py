"""Who may do what: the one declaration. The table in CONTRIBUTING.md repeats it, and a test compares every cell."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import IntEnum
from types import MappingProxyType

from bot.errors import NotAllowedError


class Role(IntEnum):
    """Each role may do everything that a lower one may."""

    STRANGER = 0  # reads along
    WRITER = 1  # writes the story
    TEACHER = 2  # changes what the channel's model knows
    KEEPER = 3  # runs the place: a server's managers
    OWNER = 4  # runs the process: weights are shared by all servers


ACTIONS: Mapping[str, Role] = MappingProxyType(
    {
        "story.show": Role.STRANGER,
        "story.tree": Role.STRANGER,
        "story.list": Role.STRANGER,
        "story.export": Role.WRITER,
        "story.start": Role.WRITER,
        "story.add": Role.WRITER,
        "story.continue": Role.WRITER,
        "story.retry": Role.WRITER,
        "story.undo": Role.WRITER,
        "story.redo": Role.WRITER,
        "story.stop": Role.WRITER,
        "story.pick": Role.WRITER,
        "story.vote": Role.WRITER,
        "story.edit": Role.WRITER,
        "story.branch": Role.WRITER,
        "story.finish": Role.WRITER,
        "story.resume": Role.WRITER,
        "story.import": Role.WRITER,
        "story.note": Role.WRITER,
        "story.mode": Role.WRITER,
        "story.join": Role.WRITER,
        "story.leave": Role.WRITER,
        "story.skip": Role.WRITER,
        "memory.show": Role.WRITER,
        "memory.pin": Role.WRITER,
        "memory.unpin": Role.WRITER,
        "memory.edit": Role.WRITER,
        "memory.history": Role.WRITER,
        "memory.restore": Role.WRITER,
        "memory.pause": Role.KEEPER,
        "memory.resume": Role.KEEPER,
        "memory.reset": Role.KEEPER,
        "teach.add": Role.TEACHER,
        "teach.list": Role.TEACHER,
        "teach.forget": Role.TEACHER,
        "teach.test": Role.TEACHER,
        "teach.forget_member": Role.KEEPER,
        "teach.always": Role.KEEPER,
        "teach.switch": Role.KEEPER,
        "style.list": Role.WRITER,
        "style.use": Role.KEEPER,
        "style.off": Role.KEEPER,
        "privacy.show": Role.STRANGER,
        "privacy.export": Role.STRANGER,
        "privacy.delete": Role.STRANGER,
        "report.send": Role.STRANGER,
        "settings.show": Role.WRITER,
        "settings.set": Role.KEEPER,
        "settings.preset": Role.KEEPER,
        "settings.clear": Role.KEEPER,
        "settings.mature": Role.KEEPER,
        "access.show": Role.WRITER,
        "access.set": Role.KEEPER,
        "weights.list": Role.WRITER,
        "weights.show": Role.WRITER,
        "status.show": Role.OWNER,
        "weights.activate": Role.OWNER,
        "weights.rollback": Role.OWNER,
        "weights.add": Role.OWNER,
        "weights.remove": Role.OWNER,
    }
)


ALONE = frozenset({"weights.activate", "weights.rollback", "weights.add", "weights.remove"})
"""Actions that are an owner's because all servers share what they change: where the bot serves one server alone, that
server's administrators may do them as well."""


def allowed(action: str, role: Role, *, runs_alone: bool = False) -> bool:
    """Whether `role` may do `action`; `KeyError` for an action that was never declared.

    `runs_alone`: an administrator of the one server that the bot serves asks, in that server.
    """
    return role >= ACTIONS[action] or (runs_alone and action in ALONE)


def require(action: str, role: Role, *, runs_alone: bool = False) -> None:
    """Raises `NotAllowedError`, which names the least role that would do."""
    if not allowed(action, role, runs_alone=runs_alone):
        raise NotAllowedError(action, ACTIONS[action])


def managers_only(command: str) -> bool:
    """Whether Discord itself is to offer a top-level command to nobody but those who may Manage Server.

    One default holds for all of a group, and Discord knows nothing of the roles of `/access set`: so it hides only what
    is for keepers and owners throughout. An owner who manages nothing has such commands in direct messages.
    """
    return min(role for action, role in ACTIONS.items() if action.split(".")[0] == command) >= Role.KEEPER


def role_of(
    *,
    owns_process: bool,
    manages_server: bool,
    held: Collection[int] = (),
    assigned: Mapping[Role, int] = MappingProxyType({}),
) -> Role:
    """The role of a member.

    Args:
        owns_process: the member is an owner of the application.
        manages_server: the member may manage the server.
        held: ids of the Discord roles that the member has.
        assigned: the Discord role that stands for a role of ours, as `/access set` stored it. Where WRITER is
            assigned, only its holders write; where it is not, every member does. Nobody teaches by default.
    """
    if owns_process:
        return Role.OWNER
    if manages_server:
        return Role.KEEPER
    by_role = (role for role, discord_role in assigned.items() if discord_role in held)
    default = Role.STRANGER if Role.WRITER in assigned else Role.WRITER
    # No role of a server makes an owner of the process that other servers share.
    return min(max([default, *by_role]), Role.KEEPER)
