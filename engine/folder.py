"""A weights folder in the Hugging Face format, opened: config.json, model.safetensors, tokenizer.json, card.json.

A folder from anywhere is checked before anything of it is used: plain files of bounded size, strict JSON, and exactly
the tensors that its config.json asks for. The tensors are copied out of the file, so that a file which changes on disk
never changes a running model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.card import check_card
from engine.contents import CARD, CONFIG, UNREAD, check_kept
from engine.draft_table import DraftTable
from engine.errors import WeightsError
from engine.hugging_face import read_shape
from engine.plain_files import read_plain
from engine.shape import GPTConfig
from engine.stored_shapes import stored_shapes
from engine.strict_json import parse_object
from engine.tensor_files import TensorFiles
from engine.tokenizer import Tokenizer

BUNDLED = Path(__file__).resolve().parent.parent / "weights"
DEFAULT_NAME = "hearth"
MAX_JSON_BYTES = 4 << 20  # of each small file: some say what to write to the model, in templates


@dataclass(frozen=True)
class Stored:
    """A folder that was checked as far as can be done without reading its tensors."""

    config: GPTConfig
    tokenizer: Tokenizer
    files: TensorFiles
    base_id: str  # sha256 of model.safetensors, in hex: adapters belong to exactly one
    card: dict[str, Any]  # empty if the folder has none
    folder: Path


def default_weights() -> Path:
    """The bundled weights that serve when nobody chose others."""
    return BUNDLED / DEFAULT_NAME


def open_weights(folder: Path, *, n_long_term: int | None = None, n_session: int | None = None) -> Stored:
    """Check a weights folder, but for the values of its tensors.

    Raises:
        WeightsError: the folder or one of its files is missing, damaged, or not a model that this engine serves.
        TokenizerError: the tokenizer is missing, damaged, or larger than the model's vocabulary.
    """
    config, kept = read_config(folder), check_kept(folder)
    if n_long_term is not None:
        config = replace(config, n_long_term=n_long_term)
    if n_session is not None:
        config = replace(config, n_session=n_session)
    tokenizer = Tokenizer.load(folder, **document_tokens(folder, config.vocab_size))
    if tokenizer.vocab_size > config.vocab_size:
        raise WeightsError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens but the model only {config.vocab_size};"
            " the files belong to different models, copy the folder again."
        )
    files = TensorFiles.find(folder)
    files.check(stored_shapes(config))
    return Stored(config, tokenizer, files, files.sha256(kept), read_card(folder), folder)


def check_values(folder: Path) -> None:
    """Read all of a folder once, before anything is given up for it; the errors are those of `open_weights`, or of a
    tensor that holds what is no number, or of a file that serving does not need but that lies there too."""
    stored = open_weights(folder)
    for name in UNREAD:
        if (folder / name).exists():
            read_json(folder / name)
    DraftTable.load(folder, stored.config.vocab_size)
    for _ in stored.files.read():
        pass


def read_config(folder: Path) -> GPTConfig:
    """The model's shape, from the folder's config.json.

    Raises:
        WeightsError: there is no folder or no such file, or it is not of a model that this engine serves.
    """
    if not folder.is_dir():
        raise WeightsError(
            f"There is no weights folder {folder}; name a folder that holds config.json and model.safetensors."
        )
    return read_shape(read_json(folder / CONFIG), folder / CONFIG)


def document_tokens(folder: Path, vocab_size: int) -> dict[str, int | None]:
    """Which ids begin and end a document, by the folder's config.json; None where it does not say."""
    raw, tokens = read_json(folder / CONFIG), dict[str, int | None]()
    for role, key in (("begin", "bos_token_id"), ("end", "eos_token_id")):
        given: Any = raw.get(key)
        token = given[0] if isinstance(given, list) and given else given  # models for chats name several
        tokens[role] = token if type(token) is int and 0 <= token < vocab_size else None
    return tokens


def read_card(folder: Path) -> dict[str, Any]:
    """What the folder says of itself; empty if it says nothing.

    Raises:
        WeightsError: it cannot be read, or says things of another kind than people are shown.
    """
    path = folder / CARD
    return check_card(read_json(path), path) if path.exists() or path.is_symlink() else {}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises WeightsError."""
    try:
        return parse_object(read_plain(path, MAX_JSON_BYTES))
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing; a weights folder needs it.") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}); copy the file itself there.") from error
    except ValueError as error:
        raise WeightsError(f"{path} is not readable JSON ({error}); copy the folder again.") from error
