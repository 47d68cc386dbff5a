"""What a person has left: found by its kind, and counted when it goes."""

from __future__ import annotations

from memory import Store, Table
from memory.people import OWN
from tests.memory.material import ANN, BEN, step, story, taught


async def fill(store: Store) -> None:
    """Of Ann something of every kind, each in a channel of its own."""
    await story(store, 1)
    await story(store, 2)
    turns = await step(store, 2)
    await store.put_summary(2, turns[0].id, 5, "{}", ANN)
    await store.put_summary(2, turns[0].id, 5, "{}", BEN)
    await store.put_note(2, "It rains.", 3, ANN)
    await store.put_table(2, Table(seats=(ANN, BEN), since=1.5, patience=60, missed=1))
    await taught(store, 3)
    await taught(store, 3, prompt="Where?", author=BEN)
    await store.add_pin(4, "Ann has a dog.", ANN, ("dog",))
    await store.set_setting(f"user:{ANN.id}", "colour", "red")
    await store.audit(ANN.id, 4, "memory.pin", "")
    await store.audit(BEN.id, 4, "memory.pin", "")


async def test_all_that_a_person_has_left_is_found_by_its_kind(store: Store) -> None:
    await fill(store)
    found = await store.belongings(ANN.id)
    assert {kind: len(rows) for kind, rows in found.items()} == {
        "stories": 2, "turns": 3, "summaries": 1, "lessons": 1, "pins": 1, "notes": 1, "seats": 1, "settings": 1,
        "acts": 1,
    }  # fmt: skip
    assert set(found) == set(OWN)
    assert found["turns"][-1]["text"] == "She ran."
    assert found["pins"][0]["keys"] == '["dog"]'
    assert await store.channels_of(ANN.id) == [1, 2, 3, 4]
    assert await store.channels_of(BEN.id) == [2, 3]


async def test_a_deletion_says_what_went_and_leaves_the_acts(store: Store) -> None:
    await fill(store)
    removed = await store.delete_author(ANN.id)
    counts = (removed.turns, removed.lessons, removed.pins, removed.summaries, removed.notes, removed.titles)
    assert counts == (3, 1, 1, 2, 1, 2), "a summary by somebody else was made from their words too"
    found = await store.belongings(ANN.id)
    assert [kind for kind, rows in found.items() if rows] == ["acts"]
    assert await store.channels_of(ANN.id) == []
    assert await store.table(2) == Table(seats=(BEN,), since=None, patience=60, missed=1), "Ben's turn begins anew"
    assert len((await store.belongings(BEN.id))["lessons"]) == 1


async def test_settings_are_found_by_how_their_keys_begin(store: Store) -> None:
    for scope, key in (
        ("channel:1", "reply.length"),
        ("guild:2", "reply.top_p"),
        ("guild:2", "replys"),
        ("guild:2", "a"),
    ):
        await store.set_setting(scope, key, "1")
    assert await store.settings_beginning("reply.") == {
        "channel:1": {"reply.length": "1"},
        "guild:2": {"reply.top_p": "1"},
    }
