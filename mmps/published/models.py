"""What is known of published models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mmps.published.fetching import PublishedFile, local_file
from mmps.utils.config import PROJECT, load_config, require_entries
from mmps.utils.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

CATALOGUE = Path(__file__).with_name('catalogue.yml')
METAFILES = PROJECT / 'configs'
"""Where each folder of a published method has a ``metafile.yml``."""
SUFFIXES = ('.yml', '.yaml')


class PublishedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model by name: an entry of ``catalogue.yml``, or a file of the same form; or one of a
    method's ``metafile.yml``, whose weights its authors publish.

    Example:
        >>> model = find_model('omz-0013-0286')
        >>> model.is_two_files, model.licence['weights'], model.score_thr
        (True, 'Apache-2.0', 0.5)

    Attributes:
        name: Of the entry, or of the file without its ending.
        title: What it is.
        model: Config of the model; where a value is the name of one of ``files``, :meth:`resolved`
            has its path. Empty where ``checkpoint`` holds it.
        checkpoint: File in the package that holds weights and config.
        files: By name.
        config: File below the project, of a model that its authors' file is converted for.
        weights: Where its authors say that this file is, and what kind of link that is.
        folder: Where files are that have no address, of a file of the same form.
        source: Address of its authors' page.
        papers: Author, title, venue, year.
        licence: Of ``code`` and ``weights``.
        score_thr: Least score of people found, where nobody says otherwise.
        fingerprint: Of the model that it was exported from.
        stated: Numbers of its authors.
        measured: Numbers of ours, with set and date.
        parity: How far it was compared with its authors' program, and what was not.
    """

    title: str
    name: str = ''
    model: dict[str, Any] = {}
    checkpoint: Path | None = None
    files: dict[str, PublishedFile] = {}
    folder: Path | None = None
    config: str = ''
    weights: str = ''
    source: str = ''
    papers: tuple[str, ...] = ()
    licence: dict[str, str] = {}
    score_thr: float = 0.5
    fingerprint: str | None = None
    stated: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    parity: str = ''

    @property
    def is_two_files(self) -> bool:
        """Whether two exported networks are the whole model, which then runs without PyTorch."""
        parts = [self.model.get(part, {}).get('type') for part in ('detector', 'reid')]
        return parts == ['ExportedDetector', 'ExportedReID']

    def resolved(self) -> dict[str, Any]:
        """``model`` with paths in place of the names of files, which are fetched if missing.

        Raises:
            UserError: A file is nowhere, or is damaged.
        """
        paths = {name: str(self._path(name, file)) for name, file in self.files.items()}
        return _replaced(self.model, paths)

    def _path(self, name: str, file: PublishedFile) -> Path:
        if self.folder is None:
            return local_file(name, file, self.name)
        path = self.folder / name
        if not path.is_file():
            raise UserError(f'{path}, which model {self.name} names, does not exist')
        if not file.fits(path):
            raise UserError(f'{path} is damaged: its checksum is not that of model {self.name}')
        return path

    def __str__(self) -> str:
        licence = ', '.join(f'{what} {name}' for what, name in self.licence.items())
        lines = [self.title, *self.papers, self.source]
        lines += [f'config: {self.config}'] if self.config else []
        lines += [f'weights: {self.weights}'] if self.weights else []
        lines += [f'licence: {licence or "not known"}']
        lines += [f'stated: {one}' for one in self.stated]
        lines += [f'measured: {one}' for one in self.measured] or ['measured: nothing']
        lines += [f'parity: {self.parity}'] if self.parity else []
        return '\n    '.join([self.name, *(line for line in lines if line)])


def model_names() -> tuple[str, ...]:
    """The names in the catalogue."""
    return tuple(_read(CATALOGUE))


def is_model_name(word: str | os.PathLike) -> bool:
    """Whether a word stands for a model: a name in the catalogue, or a file of the same form."""
    word = os.fspath(word)
    return (word.endswith(SUFFIXES) and Path(word).is_file()) or word in model_names()


def find_model(name: str | os.PathLike) -> PublishedModel:
    """A model by its name in the catalogue or in a metafile, or from a file ``F.yml`` of the
    catalogue's form.

    Raises:
        UserError: There is none of that name, or the file is not of that form.
    """
    name = os.fspath(name)
    if name.endswith(SUFFIXES):
        path = Path(name)
        if not path.is_file():
            raise UserError(f'model {name} does not exist')
        return _model(path.stem, _read(path), path.parent, name)
    entries = _read(CATALOGUE)
    if name in entries:
        return _model(name, entries[name], None, f'{CATALOGUE.name}, {name}')
    methods = models_of_methods()
    if name not in methods:
        known = ', '.join([*entries, *methods])
        raise UserError(f'there is no model {name!r}; there are {known}')
    return methods[name]


def list_models() -> str:
    """All models of the catalogue and of the metafiles, for people."""
    models = (*map(find_model, model_names()), *models_of_methods().values())
    return '\n\n'.join(map(str, models))


def models_of_methods() -> dict[str, PublishedModel]:
    """By name those whose authors publish their weights, from ``configs/*/metafile.yml``."""
    found = {}
    for path in sorted(METAFILES.glob('*/metafile.yml')):
        content = _read(path)
        methods = {one['Name']: one for one in content['Collections']}
        for entry in content['Models']:
            found[entry['Name']] = _of_metafile(entry, methods[entry['In Collection']])
    return found


def _of_metafile(entry: Mapping[str, Any], method: Mapping[str, Any]) -> PublishedModel:
    paper, code = method['Paper'], method['Code']
    results = [
        f'{one["Dataset"]}: '
        + ', '.join(f'{name} {value}' for name, value in one['Metrics'].items())
        + f' ({one["Protocol"]})'
        for one in entry.get('Results', ())
    ]
    return PublishedModel(
        name=entry['Name'],
        title=method['Title'],
        config=entry['Config'],
        weights=f'{entry["Weights"]} ({entry["Link"]})' if 'Weights' in entry else entry['Link'],
        source=code['URL'],
        papers=(f'{paper["Authors"]}, {paper["Title"]}, {paper["Venue"]}',),
        licence=dict(code=code['Licence'], weights=entry['Weights Licence']),
        stated=tuple(results),
        measured=tuple(entry.get('Measured', ())),
        parity=entry['Parity'],
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise UserError(f'model {path} cannot be read: {error}') from error


def _model(name: str, entry: Any, folder: Path | None, where: str) -> PublishedModel:
    try:
        model = msgspec.convert(entry, PublishedModel, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        raise UserError(f'model {where}: {error}') from error
    checkpoint = model.checkpoint and (folder or CATALOGUE.parent) / model.checkpoint
    if not model.model and not checkpoint:
        raise UserError(f'model {where}: needs the key `model` or `checkpoint`')
    return msgspec.structs.replace(model, name=name, folder=folder, checkpoint=checkpoint)


def _replaced(entry: Any, paths: Mapping[str, str]) -> Any:
    """A copy with paths in place of names of files."""
    if isinstance(entry, Mapping):
        return {key: _replaced(value, paths) for key, value in entry.items()}
    if isinstance(entry, (list, tuple)):
        return [_replaced(value, paths) for value in entry]
    return paths.get(entry, entry) if isinstance(entry, str) else entry


OWN_DATA = 'configs/custom/ps_densenet121_att_own_data.py'
"""Whose test set is taken where nobody names another: own data in COCO style."""


def published_config(model: PublishedModel, data: str | os.PathLike = OWN_DATA) -> Config:
    """The config of a model with the test set, the metric and the runtime of another config.

    Two networks resize images themselves, so that their pipeline does not. A checkpoint in the
    package is tested on the set of its own config.

    ``data`` is the config file of any model on the data set.

    Raises:
        UserError: The config cannot be read, or has no test set; a file of the model is missing.
    """
    if model.checkpoint is not None:
        if data != OWN_DATA:
            raise UserError(
                f'{model.name} is tested on the set of its own config; leave out {data}'
            )
        return load_config(os.fspath(model.checkpoint), {})
    config = load_config(os.fspath(data), {})
    require_entries(config, str(data), ('test_dataloader', 'test_evaluator'))
    for key in ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        config.pop(key, None)
    for loader in (config.test_dataloader, config.get('val_dataloader')):
        if loader is not None:
            steps = loader.dataset.pipeline
            loader.dataset.pipeline = [step for step in steps if step.type != 'Resize']
    config.model = model.resolved()
    return config
