"""Files that are either whole or absent."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside ``path``, moved into place if the block ends without an error.

    A killed process leaves at most the temporary file, an exception leaves nothing. Missing folders
    are made.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with whole_file(f'{folder}/results/metrics.json') as temporary:
        ...         _ = temporary.write_text('{}')
        ...     os.listdir(f'{folder}/results')
        ['metrics.json']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # process ids repeat on the machines that share a folder
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.{uuid4().hex[:8]}.tmp')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write ``content`` as indented JSON."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + '\n')
