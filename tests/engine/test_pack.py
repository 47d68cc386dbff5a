"""Style packs that are whole, blank, together with what a channel was taught, damaged or hostile."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from engine import AdapterError, Engine, Lesson, SamplingParams, default_weights
from engine.__main__ import main
from engine.checkpoint import load_weights
from engine.model import UnitGroup, attach_units
from engine.pack import MAX_BYTES, dump_pack, load_pack, read_card

GREEDY = SamplingParams(max_new_tokens=24, temperature=0)
UNITS = 4
IDS = torch.tensor([[3, 9, 27, 81, 243]])


def make_groups(scale: float = 1.0, units: int = UNITS, *, blocks: int = 2, width: int = 32) -> list[UnitGroup | None]:
    """Random units, by default for the tiny weights."""
    generator = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).half()

    return [UnitGroup(draw(units, width), draw(units, width), draw(width, units) * scale) for _ in range(blocks)]


def about(weights: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "verse", "base_id": load_weights(weights).base_id, "units": UNITS, "rating": "general", "corpora": [],
    } | changes  # fmt: skip


@pytest.fixture
def pack(tiny_weights: Path, tmp_path: Path) -> Path:
    path = tmp_path / "verse.safetensors"
    path.write_bytes(dump_pack(make_groups(), about(tiny_weights)))
    return path


def test_generate_writes_in_the_style_of_a_pack(
    capsys: pytest.CaptureFixture[str], tiny_weights: Path, pack: Path
) -> None:
    told = []
    for more in ([], ["--pack", str(pack)], ["--pack", str(pack)]):
        args = ["generate", "--weights", str(tiny_weights), "--prompt", "Once", "--seed", "1", "--max-new-tokens", "20"]
        assert main([*args, *more]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] != told[1] == told[2]


def test_a_blank_pack_is_the_base_bit_for_bit(tiny_weights: Path, tmp_path: Path) -> None:
    weights = load_weights(tiny_weights, n_long_term=UNITS)
    base = weights.model(IDS)
    path = tmp_path / "blank.safetensors"
    path.write_bytes(dump_pack(make_groups(scale=0.0), about(tiny_weights)))
    attach_units(weights.model, "long_term", load_pack(path, weights.model.config, weights.base_id))
    assert torch.equal(weights.model(IDS), base)
    attach_units(weights.model, "long_term", make_groups())
    assert not torch.equal(weights.model(IDS), base)
    attach_units(weights.model, "long_term", None)
    assert torch.equal(weights.model(IDS), base)
    assert Engine.load(tiny_weights, pack=path).generate("Once", GREEDY).text == (
        Engine.load(tiny_weights).generate("Once", GREEDY).text
    )


@pytest.mark.parametrize("room", [UNITS, UNITS + 3])
def test_the_units_in_place_do_what_they_did_in_training(tiny_weights: Path, pack: Path, room: int) -> None:
    weights = load_weights(tiny_weights, n_long_term=room, n_session=2)
    groups = load_pack(pack, weights.model.config, weights.base_id)
    apart = [group and UnitGroup(*(torch.from_numpy(part).float() for part in group)) for group in groups]
    expected = weights.model(IDS, taught=apart)
    attach_units(weights.model, "long_term", groups)
    torch.testing.assert_close(weights.model(IDS), expected, atol=1e-4, rtol=1e-4)


def test_a_channel_can_be_taught_on_top_of_a_pack(tmp_path: Path) -> None:
    plain, path = Engine.load(), tmp_path / "odd.safetensors"
    config = plain.config
    groups = make_groups(scale=0.03, blocks=config.n_layer, width=config.n_embd)
    path.write_bytes(dump_pack(groups, about(default_weights())))
    engine = Engine.load(pack=path)
    lesson = Lesson("The dragon behind the door is called", "Zorblax the Quiet.")
    styled = engine.generate("Once", GREEDY).text
    assert styled != plain.generate("Once", GREEDY).text
    taught = engine.teach(lesson)
    assert taught.adapter == plain.teach(lesson).adapter, "what is learnt is learnt of the base"
    assert plain.recall(lesson, [taught.adapter]).exact
    assert engine.generate("Once", GREEDY).text == styled  # the channel's units go, the style stays


def test_the_engine_is_rated_as_the_pack_that_it_wears(tiny_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "grim.safetensors"
    path.write_bytes(dump_pack(make_groups(), about(tiny_weights, rating="mature")))
    assert Engine.load(tiny_weights).info.rating == "general"
    assert Engine.load(tiny_weights, pack=path).info.rating == "mature"


def test_the_same_units_give_the_same_bytes(tiny_weights: Path, pack: Path) -> None:
    words = dict(reversed(about(tiny_weights).items()))
    assert dump_pack(make_groups(), words) == pack.read_bytes()
    assert read_card(pack).name == "verse"


def test_a_pack_for_other_weights_is_refused(other_tiny_weights: Path, pack: Path) -> None:
    with pytest.raises(AdapterError, match="other base weights"):
        Engine.load(other_tiny_weights, pack=pack)


def test_a_pack_is_never_larger_than_a_megabyte(tiny_weights: Path) -> None:
    with pytest.raises(AdapterError, match="fewer units"):
        dump_pack(make_groups(units=MAX_BYTES // (2 * 3 * 32 * 2)), about(tiny_weights))


def test_a_model_without_room_refuses_the_pack(tiny_weights: Path, pack: Path) -> None:
    weights = load_weights(tiny_weights, n_long_term=UNITS)
    with pytest.raises(AdapterError, match="make more room"):
        load_pack(pack, replace(weights.model.config, n_long_term=UNITS - 1), weights.base_id)


def retold(blob: bytes, **changes: Any) -> bytes:
    """The same tensors with other words about them."""
    (length,) = struct.unpack("<Q", blob[:8])
    words = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"]["pack"])
    return save(load(blob), {"pack": json.dumps(words | changes)})


def reshaped(blob: bytes, change: Callable[[dict[str, Tensor]], Any]) -> bytes:
    """The same words about other tensors."""
    (length,) = struct.unpack("<Q", blob[:8])
    tensors = load(blob)
    change(tensors)
    return save(tensors, json.loads(blob[8 : 8 + length])["__metadata__"])


DOWN = "blocks.1.down"
HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda b: b"", "no style pack"),
    "a pickle": (lambda b: b"\x80\x04\x95" + b"x" * 64, "no style pack"),
    "a header without end": (lambda b: struct.pack("<Q", 2**63) + b[8:], "no style pack"),
    "a header that nests": (lambda b: struct.pack("<Q", 90_000) + b"[" * 90_000, "no style pack"),
    "a header that is a list": (lambda b: struct.pack("<Q", 2) + b"[]", "no style pack"),
    "a file that goes on and on": (lambda b: b + bytes(MAX_BYTES), "more than 1,000,000 bytes"),
    "a session adapter": (lambda b: save(load(b), {"adapter": "{}"}), "no style pack"),
    "another format": (lambda b: retold(b, format="miniature-memory style pack 2"), "no style pack"),
    "no name": (lambda b: retold(b, name=None), "no style pack"),
    "an unknown rating": (lambda b: retold(b, rating="unknown"), "no style pack"),
    "a rating that is a list": (lambda b: retold(b, rating=["general"]), "no style pack"),
    "units without end": (lambda b: retold(b, units=10**12), "no style pack"),
    "no units": (lambda b: retold(b, units=0), "no style pack"),
    "true for a number": (lambda b: retold(b, units=True), "no style pack"),
    "other units than it says": (lambda b: retold(b, units=UNITS - 1), "other tensors"),
    "a truncated file": (lambda b: b[:-7], "no style pack"),
    "one tensor too few": (lambda b: reshaped(b, lambda t: t.pop(DOWN)), "other tensors"),
    "one tensor too many": (lambda b: reshaped(b, lambda t: t.update(x=torch.ones(1))), "other tensors"),
    "turned around": (lambda b: reshaped(b, lambda t: t.update({DOWN: t[DOWN].T.contiguous()})), "other tensors"),
    "float32": (lambda b: reshaped(b, lambda t: t.update({DOWN: t[DOWN].float()})), "no numbers in FP16"),
    "not a number": (lambda b: reshaped(b, lambda t: t[DOWN].view(-1)[3:4].fill_(torch.nan)), "no numbers"),
    "infinite": (lambda b: reshaped(b, lambda t: t[DOWN].view(-1)[3:4].fill_(torch.inf)), "no numbers"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pack_that_is_not_sound_is_refused_in_one_sentence(tiny_weights: Path, pack: Path, name: str) -> None:
    damage, told = HOSTILE[name]
    pack.write_bytes(damage(pack.read_bytes()))
    with pytest.raises(AdapterError) as caught:
        Engine.load(tiny_weights, pack=pack)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(at=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=8), data=st.data())
def test_changed_bytes_give_a_pack_or_a_refusal(
    tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory, at: list[tuple[int, int]], data: st.DataObject
) -> None:
    weights = load_weights(tiny_weights, n_long_term=UNITS)
    blob = bytearray(dump_pack(make_groups(), about(tiny_weights)))
    for place, value in at:
        blob[place % len(blob)] = value
    path = tmp_path_factory.mktemp("packs") / "changed.safetensors"
    path.write_bytes(blob[: data.draw(st.integers(0, len(blob)))] if data.draw(st.booleans()) else blob)
    try:
        groups = load_pack(path, weights.model.config, weights.base_id)
    except AdapterError:
        return
    attach_units(weights.model, "long_term", groups)
    assert torch.isfinite(weights.model.layers().__next__().feed_forward.down.weight).all()


@pytest.mark.parametrize("name", ["missing.safetensors", "."])
def test_a_pack_that_cannot_be_read_is_named(
    capsys: pytest.CaptureFixture[str], tiny_weights: Path, tmp_path: Path, name: str
) -> None:
    args = ["generate", "--weights", str(tiny_weights), "--prompt", "x", "--pack", str(tmp_path / name)]
    assert main(args) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "cannot be read" in told.err
    assert told.err.count("\n") == 1
