"""What the platform refuses in the payloads of a bot: its documented limits, each as one sentence with a path."""

from __future__ import annotations

import re
from typing import Any

from benchmarks.reliability.discord_client import live

from .messages import walk
from .world import COMPONENTS_V2, Json

_COMMAND_NAME = re.compile(r"^[-_'\w]{1,32}$")
_LOCALES = {
    "id", "da", "de", "en-GB", "en-US", "es-ES", "es-419", "fr", "hr", "it", "lt", "hu", "nl", "no", "pl", "pt-BR",
    "ro", "fi", "sv-SE", "vi", "tr", "cs", "el", "bg", "ru", "uk", "hi", "th", "zh-CN", "ja", "zh-TW", "ko",
}  # fmt: skip


SUPPRESS_EMBEDS = 1 << 2
_OWN_LINK = re.compile(r"^<https://discord\.com/channels/[\d/@me]+>$", re.MULTILINE)  # of /report, to the message
_OWN_TIME = re.compile(r"<t:\d+:[ft]>")  # which each client shows in its own zone
_OWN_THREAD = re.compile(r"^The story begins in <#\d+>\.$")  # which leads there, and pings nobody


def pointing_outwards(content: str) -> list[str]:
    """The mentions, live links and invites that a message's text holds, to the client's eye."""
    own = _OWN_THREAD.sub("", _OWN_TIME.sub("", _OWN_LINK.sub("", content)))
    return [kind for kind in live(own) if kind in ("mention", "link", "masked link")]


class Check:
    """Collects what is wrong with one payload."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, str]] = []

    def that(self, holds: Any, path: str, text: str) -> bool:
        if not holds:
            self.errors.append((path, text))
        return bool(holds)

    def length(self, value: Any, path: str, low: int, high: int) -> bool:
        if not self.that(isinstance(value, str), path, f"must be a string, not {value!r}"):
            return False
        return self.that(low <= len(value) <= high, path, f"must be {low} to {high} in length, not {len(value)}")

    def count(self, values: Any, path: str, low: int, high: int) -> bool:
        if not self.that(isinstance(values, list), path, f"must be a list, not {values!r}"):
            return False
        return self.that(low <= len(values) <= high, path, f"must hold {low} to {high}, not {len(values)}")

    def unique(self, values: list[Any], path: str) -> bool:
        return self.that(len(set(values)) == len(values), path, f"must be unique: {values}")


def check_message(check: Check, data: Json, *, files: int = 0, editing: bool = False, flags: int = 0) -> None:
    """A message to send, or the changed fields of one to edit (`flags`: those it has)."""
    content = data.get("content") or ""
    check.length(content, "content", 0, 2000)
    embeds = data.get("embeds") or []
    if check.count(embeds, "embeds", 0, 10):
        total = sum(_check_embed(check, embed, f"embeds.{i}") for i, embed in enumerate(embeds))
        check.that(total <= 6000, "embeds", f"must be 6000 characters in all, not {total}")
    components = data.get("components") or []
    v2 = bool(((data.get("flags") or 0) | flags) & COMPONENTS_V2)
    if v2:
        check.that(not content and not embeds, "content", "components v2 allow neither content nor embeds")
        check.count(walk(components), "components", 0, 40)
        text = sum(len(c.get("content", "")) for c in walk(components) if c["type"] == 10)
        check.that(text <= 4000, "components", f"text displays must be 4000 characters in all, not {text}")
    else:
        check.count(components, "components", 0, 5)
        for i, row in enumerate(components):
            check.that(row.get("type") == 1, f"components.{i}.type", "must be an action row without components v2")
    _check_components(check, components)
    check.that(files <= 10, "files", "must be at most 10")
    check.that("sticker_ids" not in data or len(data["sticker_ids"]) <= 3, "sticker_ids", "must be at most 3")
    mentions = data.get("allowed_mentions")
    if mentions is not None:
        for kind in ("users", "roles"):
            both = kind in mentions.get("parse", []) and mentions.get(kind)
            check.that(not both, f"allowed_mentions.{kind}", f"parse:[{kind}] and {kind}: [ids...] are exclusive")
            check.count(mentions.get(kind) or [], f"allowed_mentions.{kind}", 0, 100)
    if not editing:
        something = content.strip() or embeds or components or files or data.get("poll") or data.get("sticker_ids")
        check.that(something, "", "Cannot send an empty message")


def _check_embed(check: Check, embed: Json, path: str) -> int:
    limits = [("title", embed.get("title"), 256), ("description", embed.get("description"), 4096),
              ("footer.text", (embed.get("footer") or {}).get("text"), 2048),
              ("author.name", (embed.get("author") or {}).get("name"), 256)]  # fmt: skip
    total = 0
    for key, value, high in limits:
        if value is not None and check.length(value, f"{path}.{key}", 0, high):
            total += len(value)
    fields = embed.get("fields") or []
    check.count(fields, f"{path}.fields", 0, 25)
    for i, item in enumerate(fields):
        if check.length(item.get("name"), f"{path}.fields.{i}.name", 1, 256):
            total += len(item["name"])
        if check.length(item.get("value"), f"{path}.fields.{i}.value", 1, 1024):
            total += len(item["value"])
    return total


def _check_components(check: Check, components: list[Json]) -> None:
    for i, component in enumerate(components):
        path = f"components.{i}"
        if component.get("type") == 1:
            inner = component.get("components")
            if check.count(inner, f"{path}.components", 1, 5) and any(c["type"] != 2 for c in inner or []):
                check.count(inner, f"{path}.components", 1, 1)
    every = walk(components)
    check.unique([c["custom_id"] for c in every if "custom_id" in c], "components.custom_id")
    for component in every:
        path = f"components[{component.get('custom_id') or component.get('label') or component.get('type')}]"
        if component["type"] == 2:
            _check_button(check, component, path)
        elif component["type"] in (3, 5, 6, 7, 8):
            _check_select(check, component, path)


def _check_button(check: Check, button: Json, path: str) -> None:
    check.length(button.get("label") or "", f"{path}.label", 0, 80)
    check.that(button.get("label") or button.get("emoji"), f"{path}.label", "a button needs a label or an emoji")
    if button.get("style") == 5:
        check.that("url" in button and "custom_id" not in button, f"{path}.url", "a link has a url and no custom_id")
    else:
        check.that(button.get("style") in (1, 2, 3, 4), f"{path}.style", "unknown style")
        check.length(button.get("custom_id"), f"{path}.custom_id", 1, 100)


def _check_select(check: Check, select: Json, path: str) -> None:
    check.length(select.get("custom_id"), f"{path}.custom_id", 1, 100)
    check.length(select.get("placeholder") or "", f"{path}.placeholder", 0, 150)
    low, high = select.get("min_values", 1), select.get("max_values", 1)
    check.that(0 <= low <= 25 and 1 <= high <= 25 and low <= high, f"{path}.max_values", f"{low} to {high}")
    if select["type"] == 3:
        options = select.get("options") or []
        check.count(options, f"{path}.options", 1, 25)
        check.unique([option["value"] for option in options], f"{path}.options.value")
        for i, option in enumerate(options):
            check.length(option.get("label"), f"{path}.options.{i}.label", 1, 100)
            check.length(option.get("value"), f"{path}.options.{i}.value", 1, 100)
            check.length(option.get("description") or "", f"{path}.options.{i}.description", 0, 100)


def check_modal(check: Check, data: Json) -> None:
    check.length(data.get("title"), "title", 1, 45)
    check.length(data.get("custom_id"), "custom_id", 1, 100)
    components = data.get("components") or []
    check.count(components, "components", 1, 5)
    inputs: list[Json] = []
    for i, component in enumerate(components):
        path = f"components.{i}"
        if component.get("type") == 18:
            check.length(component.get("label"), f"{path}.label", 1, 45)
            check.length(component.get("description") or "", f"{path}.description", 0, 100)
            inputs.append(component.get("component") or {"type": 0})
        elif component.get("type") == 1:
            check.count(component.get("components"), f"{path}.components", 1, 1)
            inputs += component.get("components") or []
            check.length(inputs[-1].get("label"), f"{path}.label", 1, 45)
        else:
            check.that(component.get("type") == 10, f"{path}.type", "a modal holds rows, labels and text displays")
    check.unique([item.get("custom_id") for item in inputs], "components.custom_id")
    for item in inputs:
        path = f"components[{item.get('custom_id')}]"
        check.length(item.get("custom_id"), f"{path}.custom_id", 1, 100)
        if item["type"] == 4:
            low, high = item.get("min_length"), item.get("max_length")
            check.that(low is None or 0 <= low <= 4000, f"{path}.min_length", "must be 0 to 4000")
            check.that(high is None or 1 <= high <= 4000, f"{path}.max_length", "must be 1 to 4000")
            check.that(low is None or high is None or low <= high, f"{path}.min_length", "is above max_length")
            check.length(item.get("placeholder") or "", f"{path}.placeholder", 0, 100)
            check.length(item.get("value") or "", f"{path}.value", 0, high or 4000)
            check.that(item.get("style") in (1, 2), f"{path}.style", "unknown style")
        elif item["type"] in (3, 5, 6, 7, 8):
            _check_select(check, item, path)
        else:
            check.that(item["type"] in (19, 21, 22, 23), f"{path}.type", "does not belong in a modal")


def check_choices(check: Check, choices: Any, path: str = "choices") -> None:
    if check.count(choices, path, 0, 25):
        for i, choice in enumerate(choices):
            check.length(choice.get("name"), f"{path}.{i}.name", 1, 100)
            if isinstance(choice.get("value"), str):
                check.length(choice["value"], f"{path}.{i}.value", 1, 100)


def check_commands(check: Check, commands: list[Json]) -> None:
    """A whole set of commands, as they are registered in bulk."""
    for kind, limit in ((1, 100), (2, 5), (3, 5)):
        names = [c.get("name") for c in commands if c.get("type", 1) == kind]
        check.that(len(names) <= limit, "", f"at most {limit} commands of type {kind}, not {len(names)}")
        check.unique(names, "name")
    for i, command in enumerate(commands):
        if command.get("type", 1) == 1:
            _check_command(check, command, str(i), depth=0)
            size = _size(command)
            check.that(size <= 8000, str(i), f"names, descriptions and values are {size} characters, over 8000")
        else:
            check.length(command.get("name"), f"{i}.name", 1, 32)
            check.that(not command.get("description"), f"{i}.description", "a context menu has none")


def _check_command(check: Check, node: Json, path: str, *, depth: int) -> None:
    names = [("name", node.get("name"))]
    for locale, name in (node.get("name_localizations") or {}).items():
        check.that(locale in _LOCALES, f"{path}.name_localizations", f"unknown locale {locale}")
        names.append((f"name_localizations.{locale}", name))
    for key, name in names:
        valid = isinstance(name, str) and _COMMAND_NAME.match(name) and name == name.lower()
        check.that(valid, f"{path}.{key}", f"{name!r} is no lower-case name of 1 to 32 characters")
    check.length(node.get("description"), f"{path}.description", 1, 100)
    for locale, text in (node.get("description_localizations") or {}).items():
        check.that(locale in _LOCALES, f"{path}.description_localizations", f"unknown locale {locale}")
        check.length(text, f"{path}.description_localizations.{locale}", 1, 100)
    options = node.get("options") or []
    check.count(options, f"{path}.options", 0, 25)
    check.unique([option.get("name") for option in options], f"{path}.options.name")
    kinds = [option.get("type") in (1, 2) for option in options]
    check.that(all(kinds) or not any(kinds), f"{path}.options", "subcommands and options cannot be mixed")
    required = [bool(option.get("required")) for option in options]
    check.that(required == sorted(required, reverse=True), f"{path}.options", "required options stand first")
    if node.get("choices"):
        check_choices(check, node["choices"], f"{path}.choices")
        check.that(not node.get("autocomplete"), f"{path}.autocomplete", "excludes choices")
    for i, option in enumerate(options):
        nested = option.get("type") in (1, 2)
        check.that(depth < 2 or not nested, f"{path}.options.{i}", "nested too deep")
        check.that(option.get("type") != 2 or depth == 0, f"{path}.options.{i}", "a group inside a group")
        _check_command(check, option, f"{path}.options.{i}", depth=depth + 1)


def _size(node: Json) -> int:
    def longest(key: str) -> int:
        values = [node.get(key) or "", *(node.get(f"{key}_localizations") or {}).values()]
        return max(len(value) for value in values)

    choices = sum(len(c["name"]) + len(str(c["value"])) for c in node.get("choices") or [])
    return longest("name") + longest("description") + choices + sum(_size(o) for o in node.get("options") or [])


def error_tree(errors: list[tuple[str, str]]) -> Json:
    """The nested `errors` object of the platform's answer."""
    root: Json = {}
    for path, text in errors:
        node = root
        for part in re.sub(r"\[(.*)\]", r".\1", path).split("."):
            node = node.setdefault(part or "_", {})
        node.setdefault("_errors", []).append({"code": "LOOPBACK", "message": text})
    return root
