"""REST: responses to interactions, the original response and followups, under the interaction's token."""

from __future__ import annotations

import asyncio

from .channel_routes import create_message, edit_message
from .interactions import (
    AUTOCOMPLETE,
    CHOICES,
    COMMAND,
    DEFER,
    DEFER_UPDATE,
    MESSAGE,
    MODAL,
    MODAL_SUBMIT,
    UPDATE,
    Interaction,
)
from .messages import Message
from .payloads import check_choices, check_modal
from .routes import Answer, ApiError, Call, route
from .world import EPHEMERAL, LOADING, Json


def _interaction(call: Call) -> Interaction:
    interaction = call.server.interactions.get(call.ids["token"])
    if interaction is None or call.ids["app"] != str(call.server.application_id):
        raise ApiError(404, 10015, "Unknown Webhook")
    if interaction.expired:
        raise ApiError(401, 50027, "Invalid Webhook Token")
    if interaction.response_type is None:
        raise ApiError(404, 10015, "Unknown Webhook")
    return interaction


def _original(call: Call) -> Message:
    message = _interaction(call).message
    if message is None or message.deleted:
        raise ApiError(404, 10008, "Unknown Message")
    return message


@route("POST", "/interactions/{id}/{token}/callback", authorized=False)
def callback(call: Call) -> Answer:
    server = call.server
    interaction = server.interactions.get(call.ids["token"])
    if interaction is None or str(interaction.id) != call.ids["id"] or interaction.expired:
        raise ApiError(404, 10062, "Unknown interaction")
    if interaction.response_type is not None:
        raise ApiError(400, 40060, "Interaction has already been acknowledged.")
    after = asyncio.get_running_loop().time() - interaction.created
    if server.acknowledge_within is not None and after > server.acknowledge_within:
        raise ApiError(404, 10062, "Unknown interaction")
    kind, data = call.json["type"], call.json.get("data") or {}
    _check_kind(call, interaction, kind)
    message = _respond(call, interaction, kind, data)
    interaction.response_type, interaction.response, interaction.acknowledged_after = kind, data, after
    interaction.message = message
    if kind in (MESSAGE, UPDATE):
        interaction.mark_answered()
    server.touch()
    if call.query.get("with_response", "").lower() not in ("1", "true"):
        return None
    shown: Json = {"id": str(interaction.id), "type": interaction.kind}
    resource: Json = {"type": kind}
    if message:
        shown |= {"response_message_id": str(message.id), "response_message_loading": message.loading,
                  "response_message_ephemeral": message.ephemeral}  # fmt: skip
        resource["message"] = message.json()
    return {"interaction": shown, "resource": resource}


def _check_kind(call: Call, interaction: Interaction, kind: int) -> None:
    allowed = {COMMAND: (MESSAGE, DEFER, MODAL), AUTOCOMPLETE: (CHOICES,), MODAL_SUBMIT: (MESSAGE, DEFER)}.get(
        interaction.kind, (MESSAGE, DEFER, DEFER_UPDATE, UPDATE, MODAL)
    )
    if interaction.kind == MODAL_SUBMIT and interaction.source:
        allowed = (*allowed, DEFER_UPDATE, UPDATE)
    call.check(lambda check: check.that(kind in allowed, "type", f"must be one of {allowed}, not {kind}"))


def _respond(call: Call, interaction: Interaction, kind: int, data: Json) -> Message | None:
    flags = (data.get("flags") or 0) & EPHEMERAL
    if kind == MESSAGE:
        return create_message(call, interaction.channel, data, flags=flags, interaction=interaction)
    if kind == DEFER:
        return call.server.add_message(interaction.channel, call.bot, {}, flags=flags | LOADING,
                                       interaction=interaction)  # fmt: skip
    if kind == UPDATE:
        assert interaction.source is not None
        edit_message(call, interaction.source, data)
    if kind in (UPDATE, DEFER_UPDATE):
        return interaction.source
    if kind == CHOICES:
        call.check(lambda check: check_choices(check, data.get("choices")))
    if kind == MODAL:
        call.check(lambda check: check_modal(check, data))
    return None


def _fill(call: Call, interaction: Interaction, message: Message) -> Json:
    data = call.json or {}
    if message.loading:
        empty = not (data.get("content") or data.get("embeds") or data.get("components") or call.files)
        if empty:
            call.server.violations.append(f"{call.method} {call.path}: Cannot send an empty message")
            raise ApiError(400, 50006, "Cannot send an empty message")
    edit_message(call, message, data)
    interaction.mark_answered()
    call.server.touch()
    return message.json()


@route("GET", "/webhooks/{app}/{token}/messages/@original", authorized=False)
def get_original(call: Call) -> Answer:
    return _original(call).json()


@route("PATCH", "/webhooks/{app}/{token}/messages/@original", authorized=False)
def patch_original(call: Call) -> Answer:
    return _fill(call, _interaction(call), _original(call))


@route("DELETE", "/webhooks/{app}/{token}/messages/@original", authorized=False)
def delete_original(call: Call) -> Answer:
    interaction, message = _interaction(call), _original(call)
    call.server.delete_message(message)
    interaction.mark_answered()
    call.server.touch()
    return None


@route("POST", "/webhooks/{app}/{token}", authorized=False)
def post_followup(call: Call) -> Answer:
    interaction = _interaction(call)
    original = interaction.message
    if interaction.response_type == DEFER and original and original.loading and not original.deleted:
        # the first followup takes the place of "is thinking"; the flags of the deferral hold
        return _fill(call, interaction, original)
    flags = (call.json.get("flags") or 0) & EPHEMERAL
    message = create_message(call, interaction.channel, call.json, flags=flags, interaction=interaction)
    interaction.followups.append(message)
    if interaction.response_type == DEFER_UPDATE:
        interaction.mark_answered()
    call.server.touch()
    return message.json()


def _webhook_message(call: Call) -> Message:
    interaction = _interaction(call)
    for message in [interaction.message, *interaction.followups]:
        if message and str(message.id) == call.ids["message"] and not message.deleted:
            return message
    raise ApiError(404, 10008, "Unknown Message")


@route("GET", "/webhooks/{app}/{token}/messages/{message}", authorized=False)
def get_followup(call: Call) -> Answer:
    return _webhook_message(call).json()


@route("PATCH", "/webhooks/{app}/{token}/messages/{message}", authorized=False)
def patch_followup(call: Call) -> Answer:
    return _fill(call, _interaction(call), _webhook_message(call))


@route("DELETE", "/webhooks/{app}/{token}/messages/{message}", authorized=False)
def delete_followup(call: Call) -> Answer:
    call.server.delete_message(_webhook_message(call))
    return None
