"""A loopback Discord for tests of the real bot process: see `DiscordServer`, `BotProcess` and the actors."""

from .commands import NotOffered, Upload
from .interactions import Interaction, Modal
from .messages import Attachment, Message
from .process import BotProcess
from .routes import Payload
from .server import DiscordServer
from .world import Channel, Guild, Member, Role, User

__all__ = [
    "Attachment", "BotProcess", "Channel", "DiscordServer", "Guild", "Interaction", "Member", "Message", "Modal",
    "NotOffered", "Payload", "Role", "Upload", "User",
]  # fmt: skip
