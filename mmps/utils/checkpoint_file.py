"""Reading checkpoint files without running what they may contain.

A checkpoint is a pickle, and a pickle can hold any program. torch reads one with
``weights_only=True`` without running it; mmengine falls back to running it where that fails, and
downloads are run by default. Importing this module replaces mmengine's readers of local files and
of addresses by readers that refuse instead, for everything that goes through its
``CheckpointLoader``, whatever the scheme of the address: resuming, ``load_from`` and pretrained
weights.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import mmengine.runner.checkpoint
import numpy as np
import torch
from mmengine.dist import barrier, get_rank
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from mmps.utils.environment import version_tuple
from mmps.utils.errors import UserError


def _history_method(owner: Any, name: str) -> Callable:
    """What ``getattr`` may do in a checkpoint: mmengine's log names its own ways to average."""
    if owner is HistoryBuffer and isinstance(name, str) and not name.startswith('_'):
        return getattr(owner, name)
    spelled = f'getattr({owner!r},{name!r})'.replace(' ', '')
    raise pickle.UnpicklingError(f'GLOBAL {spelled}')


# What mmengine keeps of the log, and the NumPy arrays in it. mmengine's own list has ``getattr``
# itself, with which a file could put anything it can reach in the place of those ways to average.
_ARRAY_FUNCTIONS = (np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0])
_SAFE_TYPES: list[Any] = [
    HistoryBuffer,
    np.ndarray,
    np.dtype,
    *{type(np.dtype(kind)) for kind in (np.bool_, np.int32, np.int64, np.float32, np.float64)},
    *_ARRAY_FUNCTIONS,
]
if version_tuple(torch.__version__) >= (2, 6):
    _SAFE_TYPES += [
        (_history_method, 'builtins.getattr'),
        # Where NumPy 1 and 2 have them, whichever wrote the file.
        *(
            (function, f'numpy.{package}.multiarray.{function.__name__}')
            for function in _ARRAY_FUNCTIONS
            for package in ('core', '_core')
        ),
    ]
else:  # which cannot have one function stand in for another
    _SAFE_TYPES.append(getattr)
torch.serialization.add_safe_globals(_SAFE_TYPES)

_REFUSED = re.compile(r'GLOBAL (\S+)')
# torch's message advises to read the file without protection before it says what is wrong.
_REASON = re.compile(r'WeightsUnpickler error:\s*(.+)')
# torchvision's names end in the first digits of the file's SHA-256.
_HASH = re.compile(r'-([0-9a-f]{8,})\.')


class CheckpointError(UserError, ValueError):
    """A file is no checkpoint that can be read; the message names it."""


def read_checkpoint(
    path: str | os.PathLike, map_location: str | torch.device | Callable | None = 'cpu'
) -> Any:
    """What ``torch.save`` wrote, if it is made of tensors and plain values only.

    Args:
        path: A local file.
        map_location: As for ``torch.load``.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is damaged, or would have to run code to be read.
    """
    return _read(existing_file(path), map_location)


def existing_file(path: str | os.PathLike) -> Path:
    """The path, ``~`` resolved, of a file that is there.

    Raises:
        FileNotFoundError: There is no such file.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    return path


def _read(source: Path | IO[bytes], map_location: Any = None, weights_only: object = None) -> Any:
    """Signature of mmengine's function; ``weights_only`` is true, whatever it asks for."""
    path = source if isinstance(source, str | os.PathLike) else 'from a store'
    try:
        return torch.load(source, map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        refused = _REFUSED.search(str(error))
        if not refused:
            reason = _REASON.search(str(error))
            raise CheckpointError(
                f'checkpoint {path} cannot be read, it is damaged or of another kind: '
                f'{reason[1] if reason else error}'
            ) from error
        raise CheckpointError(
            f'checkpoint {path} is refused: to read it, {refused[1]} would have to be run or '
            'built, and a checkpoint needs nothing but tensors and plain values. Get one without '
            'it; or, if you trust whoever made it, rewrite it once: torch.save({"state_dict": '
            'torch.load(FILE, weights_only=False)["state_dict"]}, NEW_FILE)'
        ) from error


@CheckpointLoader.register_scheme('', force=True)
def load_from_local(filename: str, map_location: Any = None) -> Any:
    """mmengine's hook for paths; see :func:`read_checkpoint`."""
    return read_checkpoint(filename, map_location)


@CheckpointLoader.register_scheme(('http://', 'https://'), force=True)
def load_from_http(filename: str, map_location: Any = None) -> Any:
    """mmengine's hook for addresses: fetched once, by one process of each machine.

    The file is kept where torch keeps its downloads, and checked where its name holds its hash.
    """
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(urlsplit(filename).path).name)
    if int(os.environ.get('LOCAL_RANK', get_rank())) == 0 and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        digits = _HASH.search(path.name)
        torch.hub.download_url_to_file(filename, str(path), digits and digits[1])
    barrier()
    return read_checkpoint(path, map_location)


# All other schemes end in these: torchvision:// and its like in the first, stores in the second.
mmengine.runner.checkpoint.load_from_http = load_from_http
mmengine.runner.checkpoint._safe_torch_load = _read
