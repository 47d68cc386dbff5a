"""The static table of drafts: what mostly follows a few ids, as a small file that may lie in a weights folder.

A slot of the table holds the id that mostly follows a context, how surely, and eight bits of the context's hash; the
context itself is stored nowhere. So a context may now and then meet the entry of another: a draft is checked by the
model anyway, and a wrong one costs a little time, never a letter. An entry lies in one of two slots that its hash names
(two-way hashing, Azar et al. 1994, https://doi.org/10.1145/195058.195412), which fills the table well and asks
for no chain.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors.numpy import save

from engine.errors import WeightsError
from engine.plain_files import read_plain
from engine.tensor_files import file_sha256
from engine.units import NO_ENTRY, read_entry, read_tensors

FILE = "drafts.safetensors"
FORMAT = "miniature-memory drafts 1"
MAX_BYTES = 8 << 20
MAX_ORDER, MAX_ORDERS = 32, 8
SURE = 255  # a probability is stored in parts of this; 0 marks an empty slot

# A context's hash is a polynomial of its ids modulo a prime below 2**32, newest id first, so that each longer context
# goes on from the shorter one. No product leaves 63 bits: numpy and Python agree.
PRIME, FACTOR, TURN = 4_294_967_291, 1_540_483_477, 668_265_263

logger = logging.getLogger(__name__)


class DraftTable:
    """Looked up by hashes of contexts (`find` of engine/kernel/draft.c); a few megabytes at most, as the file has them.

    Attributes:
        orders: lengths of the contexts that the table knows, longest first.
        arrays: tags uint8, ids uint8 or uint16, and how surely, uint8; each (slots,).
    """

    def __init__(self, orders: Sequence[int], tags: NDArray[Any], ids: NDArray[Any], sure: NDArray[Any]) -> None:
        self.orders = tuple(orders)
        self.arrays = (tags, ids, sure)

    def __len__(self) -> int:
        """Slots, whether they are filled or not."""
        return len(self.arrays[0])

    @classmethod
    def load(cls, folder: Path, vocab_size: int) -> DraftTable | None:
        """The table of a weights folder; None where there is none, or one of another vocabulary (the log says so).

        Raises:
            WeightsError: the file is damaged, or does not hold what it says.
        """
        path = folder / FILE
        try:
            blob = read_plain(path, MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise WeightsError(f"{path} cannot be read ({error.strerror}); copy it again or remove it.") from error
        try:
            about = read_entry(blob, "drafts", MAX_BYTES)
            named, made_for, orders = about["format"], (about["vocab_size"], about["tokenizer"]), about["orders"]
        except NO_ENTRY as error:
            raise _refusal(path, "is no table of drafts") from error
        if named != FORMAT:
            raise _refusal(path, "is no table of drafts that this version knows")
        if made_for != (vocab_size, file_sha256(folder / "tokenizer.json")):
            logger.warning("%s was made for another vocabulary; writing goes on without it, as exact but slower.", path)
            return None
        if not _are_orders(orders):
            raise _refusal(path, "names contexts of no length that can be looked up")
        try:
            tensors = read_tensors(blob, "U8", "U16")
        except ValueError as error:
            raise _refusal(path, "holds other tensors than a table of drafts") from error
        expected = {"tags": np.uint8, "ids": id_dtype(vocab_size), "sure": np.uint8}
        if {name: tensor.dtype for name, tensor in tensors.items()} != expected:
            raise _refusal(path, "holds other tensors than a table of drafts")
        shapes = {tuple(tensor.shape) for tensor in tensors.values()}
        if len(shapes) != 1 or len(shape := shapes.pop()) != 1 or shape[0] == 0:
            raise _refusal(path, "holds tensors that do not fit each other")
        if int(tensors["ids"].max()) >= vocab_size:
            raise _refusal(path, "holds an id outside of the vocabulary")
        return cls(orders, tensors["tags"], tensors["ids"], tensors["sure"])


EMPTY = DraftTable((), *np.zeros((3, 1), dtype=np.uint8))


def extend_hash(hashed: int, token: int) -> int:
    """The hash of a context that reaches one id further back; that of no id at all is 0."""
    return (hashed + token + 1) * FACTOR % PRIME


def context_hashes(ids: NDArray[Any], length: int) -> NDArray[np.int64]:
    """Hashes, int64 (n - length,), of the `length` ids before each of ids[length:], the same as `extend_hash` gives."""
    hashed = np.zeros(len(ids) - length, dtype=np.int64)
    for back in range(1, length + 1):
        hashed = (hashed + ids[length - back : len(ids) - back].astype(np.int64) + 1) * FACTOR % PRIME
    return hashed


def dump_table(
    entries: tuple[ArrayLike, ArrayLike, ArrayLike],
    slots: int,
    *,
    vocab_size: int,
    tokenizer: str,
    about: Mapping[str, Any],
) -> bytes:
    """The file of a table.

    Args:
        entries: hashes of contexts, the ids that follow and their probabilities, each (n,), the most useful first:
            where both slots of an entry are taken it is left out.
        tokenizer: sha256, in hex, of the tokenizer.json beside which the file will lie.
        about: `orders`, and whatever else is worth knowing of the table.
    """
    hashed, ids, probability = (np.asarray(column) for column in entries)  # each (n,)
    sure = (probability * SURE).round().clip(1, SURE).astype(np.uint8)  # (n,)
    taken = np.full(slots, -1)  # the number of the entry in each slot
    waiting = np.arange(len(hashed))
    for slot in (hashed % slots, hashed * TURN % PRIME % slots):  # (n,)
        first = np.full(slots, len(hashed))
        np.minimum.at(first, slot[waiting], waiting)
        free = (taken < 0) & (first < len(hashed))
        taken[free] = first[free]
        waiting = waiting[taken[slot[waiting]] != waiting]
    filled, chosen = taken >= 0, taken.clip(min=0)
    tensors = {
        "tags": (hashed[chosen] >> 20 & 0xFF).astype(np.uint8) * filled,
        "ids": (ids[chosen] * filled).astype(id_dtype(vocab_size)),
        "sure": sure[chosen] * filled,
    }
    entry = {"format": FORMAT, "vocab_size": vocab_size, "tokenizer": tokenizer, **about}
    blob: bytes = save(tensors, {"drafts": json.dumps(entry, sort_keys=True)})
    return blob


def id_dtype(vocab_size: int) -> np.dtype[Any]:
    """In which a table keeps ids; larger ones than that it never guesses, as packed data knows none either."""
    return np.dtype(np.uint8 if vocab_size <= 2**8 else np.uint16)


def entry_bytes(vocab_size: int) -> int:
    """What a slot takes in the file."""
    return 2 + id_dtype(vocab_size).itemsize


def _are_orders(orders: Any) -> bool:
    """Whether these are lengths of contexts, longest first."""
    return (
        isinstance(orders, list)
        and 0 < len(orders) <= MAX_ORDERS
        and all(type(order) is int and 0 < order <= MAX_ORDER for order in orders)
        and orders == sorted(set(orders), reverse=True)
    )


def _refusal(path: Path, problem: str) -> WeightsError:
    return WeightsError(f"{path} {problem}; make it again with `python -m training drafts`, or remove it.")
