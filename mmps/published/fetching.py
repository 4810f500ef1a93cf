"""Files of published models: found on this machine, or fetched once."""

import hashlib
import os
from pathlib import Path

import msgspec
from tqdm import tqdm

from mmps.utils.errors import UserError

MODELS_VARIABLE = 'MMPS_MODELS'
"""The environment variable with a folder of model files, searched before the cache."""
SECONDS = 30
"""Without an answer, or between two pieces of one, before an attempt is given up."""
ATTEMPTS = 3
PIECE = 1 << 14
"""Bytes; one that a cut connection leaves incomplete is fetched again."""


class PublishedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file, and how it is told from another.

    Attributes:
        url: Where it is published; None: its authors hand it out by hand.
        sha256: Hexadecimal. A file with one of these, or one of the other digests, is accepted. A
            digest that is cut short is compared as far as it goes, which is how OpenMMLab names its
            files.
        sha384: The same by another algorithm.
        md5: The same by another algorithm.
    """

    url: str | None = None
    sha256: str | tuple[str, ...] = ()
    sha384: str | tuple[str, ...] = ()
    md5: str | tuple[str, ...] = ()

    def fits(self, path: Path) -> bool:
        """Whether a file is this one."""
        given = dict(sha256=self.sha256, sha384=self.sha384, md5=self.md5)
        return not any(given.values()) or any(
            hashlib.new(algorithm, path.read_bytes()).hexdigest().startswith(accepted)
            for algorithm, accepted in given.items()
            if accepted
        )


def model_folder() -> Path:
    """Where fetched files are kept: ``models`` in the folder that ``XDG_CACHE_HOME`` names, or in
    ``~/.cache``, below ``mmps``.
    """
    cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(cache, 'mmps', 'models')


def local_file(name: str, file: PublishedFile, model: str) -> Path:
    """The file ``name``, from the folder of ``MMPS_MODELS`` (at any depth), the cache, or the
    internet.

    Raises:
        UserError: It is nowhere, or another file has its name; the message says what to put where.
    """
    given = os.environ.get(MODELS_VARIABLE)
    for path in sorted(Path(given).rglob(name)) if given else ():
        if file.fits(path):
            return path
    kept = model_folder() / model / name
    if kept.is_file():
        if file.fits(kept):
            return kept
        raise UserError(
            f'{kept} is damaged, or is another file of that name: its checksum is not the '
            'published one; remove it, and it is fetched again'
        )
    by_hand = f'get it by hand and put it at {kept}, or into a folder that {MODELS_VARIABLE} names'
    if file.url is None:
        raise UserError(f'{name} of {model} has no address to fetch it from; {by_hand}')
    try:
        _fetch(file, kept)
    except OSError as error:  # the base of what requests raises
        # That of a failed connection is deep inside the exception.
        cause = getattr(error.args[0] if error.args else None, 'reason', None) or error
        raise UserError(
            f'{file.url} cannot be fetched ({type(cause).__name__}: {cause}). Without internet '
            f'{by_hand}. A proxy is taken from the variable HTTPS_PROXY'
        ) from error
    return kept


def _fetch(file: PublishedFile, target: Path) -> None:
    """Fetch into a file beside the target, going on where an earlier attempt was cut off."""
    import requests

    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f'{target.name}.part')
    for attempt in range(ATTEMPTS):
        try:
            _continue(file, part)
            break
        except requests.HTTPError:
            raise
        except requests.RequestException:
            if attempt + 1 == ATTEMPTS:
                raise
    if not file.fits(part):
        size = part.stat().st_size
        part.unlink()
        raise UserError(
            f'{file.url}: what came ({size} bytes) has not the published checksum; it was not kept'
        )
    os.replace(part, target)


def _continue(file: PublishedFile, part: Path) -> None:
    import requests

    have = part.stat().st_size if part.is_file() else 0
    headers = {'Accept-Encoding': 'identity'} | ({'Range': f'bytes={have}-'} if have else {})
    with requests.get(file.url, headers=headers, stream=True, timeout=SECONDS) as answer:
        if answer.status_code == 416:  # nothing is left behind what is there
            return
        answer.raise_for_status()
        goes_on = answer.status_code == 206
        have = have if goes_on else 0
        length = answer.headers.get('Content-Length')
        total = have + int(length) if length else None
        with (
            open(part, 'ab' if goes_on else 'wb') as out,
            tqdm(desc=part.stem, total=total, initial=have, unit='B', unit_scale=True) as bar,
        ):
            for piece in answer.iter_content(PIECE):
                out.write(piece)
                bar.update(len(piece))
