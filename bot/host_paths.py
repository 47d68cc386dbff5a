"""Sentences without the folders of the host: whoever reads them in a chat has no business with where things lie."""

from __future__ import annotations

import os
import re
from pathlib import Path

# From a root on, with at least one folder below it; what is left is the last name. An address of the web is none.
_PATH = re.compile(r"(?<![^\s'\"(\[<=])(?:[A-Za-z]:[\\/]|/)(?:[^\s/\\'\"()<>]+[/\\])+([^\s/\\'\"()<>]*)")


def without_paths(text: str, *folders: Path) -> str:
    """Each path of the host's cut down to its last name.

    Args:
        folders: that are known, and whose names may hold blanks.
    """
    for folder in sorted(map(str, folders), key=len, reverse=True):
        if len(folder) > 1:
            text = text.replace(f"{folder}{os.sep}", "").replace(folder, Path(folder).name)
    return _PATH.sub(r"\1", text)
