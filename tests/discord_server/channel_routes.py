"""REST: channels, threads and messages, with the checks that the platform makes."""

from __future__ import annotations

from datetime import UTC, datetime

from .interactions import Interaction
from .messages import Message
from .payloads import check_message
from .routes import Answer, ApiError, Call, route
from .world import (
    COMPONENTS_V2,
    MANAGE_CHANNELS,
    MANAGE_MESSAGES,
    PRIVATE_THREAD,
    PRIVATE_THREADS,
    PUBLIC_THREAD,
    PUBLIC_THREADS,
    READ_HISTORY,
    SEND_IN_THREADS,
    SEND_MESSAGES,
    VIEW_CHANNEL,
    Channel,
    Json,
)


def create_message(call: Call, channel: Channel, data: Json, *, flags: int = 0,
                   interaction: Interaction | None = None) -> Message:  # fmt: skip
    """Checks and stores a message of the bot; also the way of the interaction routes."""
    call.check(lambda check: check_message(check, data, files=len(call.files)))
    reference = None
    if wanted := data.get("message_reference"):
        try:
            reference = call.message_of(channel, str(wanted["message_id"]))
        except ApiError:
            if wanted.get("fail_if_not_exists", True):
                errors = {"message_reference": {"_errors": [{"code": "X", "message": "Unknown message"}]}}
                raise ApiError(400, 50035, "Invalid Form Body", errors) from None
    attachments = call.server.store_uploads(call.files, data)
    return call.server.add_message(channel, call.bot, data, attachments=attachments, reference=reference,
                                   flags=flags, interaction=interaction)  # fmt: skip


def edit_message(call: Call, message: Message, data: Json) -> None:
    call.check(lambda check: check_message(check, data, files=len(call.files), editing=True,
                                           flags=message.flags & COMPONENTS_V2))  # fmt: skip
    kept = None
    if "attachments" in data:
        ids = {str(entry["id"]) for entry in data["attachments"]}
        kept = [a for a in message.attachments if str(a.id) in ids]
    if call.files:
        kept = (message.attachments if kept is None else kept) + call.server.store_uploads(call.files, data)
    call.server.edit_message(message, data, attachments=kept)


@route("GET", "/channels/{channel}")
def get_channel(call: Call) -> Answer:
    call.need(call.channel, VIEW_CHANNEL)
    return call.channel.json()


@route("PATCH", "/channels/{channel}")
def patch_channel(call: Call) -> Answer:
    channel = call.channel
    if channel.owner is not call.bot:
        call.need(channel, MANAGE_CHANNELS)
    for key in ("name", "archived", "locked", "nsfw"):
        if key in call.json:
            setattr(channel, key, call.json[key])
    channel.changed()
    return channel.json()


@route("DELETE", "/channels/{channel}")
def delete_channel(call: Call) -> Answer:
    channel = call.channel
    call.need(channel, MANAGE_CHANNELS)
    data = channel.json()
    channel.delete()
    return data


@route("POST", "/channels/{channel}/typing")
def typing(call: Call) -> Answer:
    call.need(call.channel, SEND_IN_THREADS if call.channel.is_thread else SEND_MESSAGES)
    call.channel.typing += 1
    return None


@route("GET", "/channels/{channel}/messages")
def history(call: Call) -> Answer:
    channel = call.channel
    call.need(channel, READ_HISTORY)
    messages = [m for m in channel.messages if m.id < int(call.query.get("before", 1 << 63))]
    messages = [m for m in messages if m.id > int(call.query.get("after", 0))]
    limit = int(call.query.get("limit", 50))
    messages = messages[:limit] if "after" in call.query else messages[-limit:]
    return [message.json(call.server.intents) for message in reversed(messages)]


@route("GET", "/channels/{channel}/messages/{message}")
def get_message(call: Call) -> Answer:
    call.need(call.channel, READ_HISTORY)
    if call.message.ephemeral:
        raise ApiError(404, 10008, "Unknown Message")
    return call.message.json(call.server.intents)


@route("POST", "/channels/{channel}/messages")
def post_message(call: Call) -> Answer:
    channel = call.channel
    call.need(channel, SEND_IN_THREADS if channel.is_thread else SEND_MESSAGES)
    if channel.archived and channel.locked:
        raise ApiError(400, 50083, "Thread is archived")
    if channel.recipient in call.server.blocked:
        raise ApiError(403, 50007, "Cannot send messages to this user")
    return create_message(call, channel, call.json).json()


@route("PATCH", "/channels/{channel}/messages/{message}")
def patch_message(call: Call) -> Answer:
    message = call.message
    call.need(call.channel, VIEW_CHANNEL)
    if message.ephemeral:
        raise ApiError(404, 10008, "Unknown Message")
    if message.author is not call.bot:
        raise ApiError(403, 50005, "Cannot edit a message authored by another user")
    age = (datetime.now(UTC) - message.created_at).total_seconds()
    if call.server.edit_age_limit is not None and age > call.server.edit_age_limit:
        raise ApiError(400, 30046, "Maximum number of edits to messages older than 1 hour reached. Try again later.")
    edit_message(call, message, call.json)
    return message.json()


@route("DELETE", "/channels/{channel}/messages/{message}")
def delete_message(call: Call) -> Answer:
    message = call.message
    if message.ephemeral:
        raise ApiError(404, 10008, "Unknown Message")
    if message.author is not call.bot:
        call.need(call.channel, MANAGE_MESSAGES)
    call.server.delete_message(message)
    return None


@route("PUT", "/channels/{channel}/messages/{message}/reactions/{emoji}/@me")
@route("DELETE", "/channels/{channel}/messages/{message}/reactions/{emoji}/@me")
def react(call: Call) -> Answer:
    assert call.message  # 404 where there is none
    return None


@route("POST", "/channels/{channel}/threads")
def post_thread(call: Call) -> Answer:
    kind = call.json.get("type", PRIVATE_THREAD)
    return _thread(call, kind, None)


@route("POST", "/channels/{channel}/messages/{message}/threads")
def post_thread_of_message(call: Call) -> Answer:
    return _thread(call, PUBLIC_THREAD, call.message)


def _thread(call: Call, kind: int, message: Message | None) -> Answer:
    channel = call.channel
    call.need(channel, PRIVATE_THREADS if kind == PRIVATE_THREAD else PUBLIC_THREADS)
    if channel.guild is None or channel.is_thread:
        raise ApiError(400, 50024, "Cannot execute action on this channel type")
    if message and message.id in call.server.channels:
        raise ApiError(400, 160004, "A thread has already been created for this message")
    call.check(lambda check: check.length(call.json.get("name"), "name", 1, 100))
    thread = channel.add_thread(call.json["name"], call.bot, kind=kind, thread_id=message.id if message else None)
    return thread.json()


@route("PUT", "/channels/{channel}/thread-members/{user}")
@route("DELETE", "/channels/{channel}/thread-members/{user}")
def thread_member(call: Call) -> Answer:
    if not call.channel.is_thread:
        raise ApiError(400, 50024, "Cannot execute action on this channel type")
    return None


@route("POST", "/users/@me/channels")
def open_dm(call: Call) -> Answer:
    user = call.server.users.get(int(call.json["recipient_id"]))
    if user is None or user.bot:
        raise ApiError(400, 50007, "Cannot send messages to this user")
    return user.dm.json()


