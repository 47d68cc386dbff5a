"""REST: the application, its commands, the gateway's address, users and guilds."""

from __future__ import annotations

from .payloads import check_commands
from .routes import Answer, ApiError, Call, route
from .world import Guild, Json


@route("GET", "/users/@me")
def me(call: Call) -> Answer:
    return call.bot.json() | {"verified": True, "mfa_enabled": False, "locale": "en-US", "email": None}


@route("GET", "/users/{user}")
def user(call: Call) -> Answer:
    found = call.server.users.get(int(call.ids["user"]))
    if found is None:
        raise ApiError(404, 10013, "Unknown User")
    return found.json()


@route("GET", "/oauth2/applications/@me")
@route("GET", "/applications/@me")
def application(call: Call) -> Answer:
    server = call.server
    return {"id": str(server.application_id), "name": server.bot_user.name, "icon": None, "description": "",
            "summary": "", "bot_public": True, "bot_require_code_grant": False, "verify_key": "0" * 64, "flags": 0,
            "owner": server.owner.json(), "team": None, "approximate_guild_count": len(server.guilds),
            "redirect_uris": [], "interactions_endpoint_url": None, "bot": server.bot_user.json()}  # fmt: skip


@route("GET", "/gateway")
def gateway(call: Call) -> Answer:
    return {"url": call.server.gateway_url}


@route("GET", "/gateway/bot")
def gateway_bot(call: Call) -> Answer:
    limit = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 16}
    return {"url": call.server.gateway_url, "shards": call.server.recommended_shards, "session_start_limit": limit}


def _scope(call: Call) -> list[Json]:
    if call.ids["app"] != str(call.server.application_id):
        raise ApiError(403, 20012, "You are not authorized to perform this action on this application")
    if "guild" in call.ids:
        return call.server.guild_commands.setdefault(_guild(call).id, [])
    return call.server.commands


@route("GET", "/applications/{app}/commands")
@route("GET", "/applications/{app}/guilds/{guild}/commands")
def get_commands(call: Call) -> Answer:
    return list(_scope(call))


@route("PUT", "/applications/{app}/commands")
@route("PUT", "/applications/{app}/guilds/{guild}/commands")
def put_commands(call: Call) -> Answer:
    scope = _scope(call)
    call.check(lambda check: check_commands(check, call.json))
    old = {(command["name"], command["type"]): command["id"] for command in scope}
    scope[:] = [_stored(call, command, old.get((command["name"], command.get("type", 1)))) for command in call.json]
    call.server.registrations += 1
    call.server.touch()
    return list(scope)


@route("POST", "/applications/{app}/commands")
@route("POST", "/applications/{app}/guilds/{guild}/commands")
def post_command(call: Call) -> Answer:
    scope, key = _scope(call), (call.json.get("name"), call.json.get("type", 1))
    others = [command for command in scope if (command["name"], command["type"]) != key]
    call.check(lambda check: check_commands(check, [*others, call.json]))
    stored = _stored(call, call.json, None)
    scope[:] = [*others, stored]
    call.server.registrations += 1
    call.server.touch()
    return stored


@route("GET", "/applications/{app}/commands/{command}")
def get_command(call: Call) -> Answer:
    for command in _scope(call):
        if command["id"] == call.ids["command"]:
            return command
    raise ApiError(404, 10063, "Unknown application command")


@route("DELETE", "/applications/{app}/commands/{command}")
@route("DELETE", "/applications/{app}/guilds/{guild}/commands/{command}")
def delete_command(call: Call) -> Answer:
    scope = _scope(call)
    scope[:] = [command for command in scope if command["id"] != call.ids["command"]]
    return None


def _stored(call: Call, command: Json, known: str | None) -> Json:
    own = {"id": known or str(call.server.new_id()), "application_id": str(call.server.application_id),
           "version": str(call.server.new_id())}  # fmt: skip
    defaults = {"type": 1, "description": "", "options": [], "default_member_permissions": None, "nsfw": False}
    if "guild" in call.ids:
        own["guild_id"] = call.ids["guild"]
    return defaults | command | own


def _guild(call: Call) -> Guild:
    guild = call.server.guilds.get(int(call.ids["guild"]))
    if guild is None:
        raise ApiError(404, 10004, "Unknown Guild")
    return guild


@route("GET", "/guilds/{guild}")
def get_guild(call: Call) -> Answer:
    return _guild(call).json()


@route("GET", "/guilds/{guild}/channels")
def get_channels(call: Call) -> Answer:
    return [channel.json() for channel in _guild(call).channels]


@route("GET", "/guilds/{guild}/roles")
def get_roles(call: Call) -> Answer:
    return [role.json() for role in _guild(call).roles]


@route("GET", "/guilds/{guild}/threads/active")
def get_threads(call: Call) -> Answer:
    return {"threads": [thread.json() for thread in _guild(call).threads()], "members": []}


@route("GET", "/guilds/{guild}/members/{user}")
def get_member(call: Call) -> Answer:
    member = _guild(call).members.get(int(call.ids["user"]))
    if member is None:
        raise ApiError(404, 10007, "Unknown Member")
    return member.json()


@route("GET", "/users/@me/guilds")
def my_guilds(call: Call) -> Answer:
    return [guild.json() for guild in call.server.guilds.values()]
