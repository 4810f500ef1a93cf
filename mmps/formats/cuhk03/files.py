"""The files of CUHK03 (Li et al., "DeepReID", CVPR 2014; new protocol: Zhong et al., CVPR 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmps.evaluation.functional.annotations import SearchGalleries
from mmps.formats.scene_files import SceneFiles
from mmps.formats.scene_index import Frame, Query, SceneIndex

from .crops import VARIABLES, Crop, read_crops, read_test_people
from .galleries import TestCrops, all_but_junk, single_gallery_shot
from .images import unpack_crops
from .protocol import NewProtocol, read_new_protocol

PROTOCOLS = ('new', 'classic')

CLASSIC_GALLERIES = ('classic', 'classic_any_view', 'classic_all')
"""Galleries of a classic split; see :class:`CUHK03Files`."""


@dataclass(frozen=True)
class CUHK03Files(SceneFiles):
    """``cuhk03_release/cuhk-03.mat`` and ``cuhk03_new_protocol_config_{labeled,detected}.mat``.

    Every crop is a scene with one person, whose box is the crop. View v of camera pair p is camera
    ``2 (p - 1) + v``.

    The new protocol has 767 training and 700 test identities. ``galleries['new']``: each query is
    searched in all gallery crops but the junk, the pictures of the same person by the same camera.
    Test ids are the file's ``labels``.

    A classic split has 100 test identities, and every other one is for training. Test ids are
    ``1000 * pair + person``, every test crop is a query, and there are three galleries:

    * ``'classic'``, single gallery shot: one random crop of each person from the view that is not
      the query's; ten searches per query. Its top-k is the CMC that papers report.
    * ``'classic_any_view'``: the same, but the crops of other people come from both views, as
      torchreid and fast-reid draw them.
    * ``'classic_all'``: every test crop but the junk. Its mAP is the one reported beside the CMC.

    In all of them a query whose person is in no crop of its gallery is not searched. Training ids
    are ranks in the order of the identities: 0..766 in the new protocol.

    Attributes:
        boxes: ``'labelled'`` by hand or ``'detected'`` by a part-based detector.
        protocol: ``'new'`` or ``'classic'``.
        classic_split: Which of the 20 classic splits, from 0.

    Raises:
        ValueError: An unknown or contradictory option.
    """

    boxes: str = 'labelled'
    protocol: str = 'new'
    classic_split: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (('boxes', tuple(VARIABLES)), ('protocol', PROTOCOLS)):
            if getattr(self, name) not in known:
                given, use = getattr(self, name), ' or '.join(map(repr, known))
                raise ValueError(f'{name}={given!r} is unknown; use {use}')
        if self.classic_split and self.protocol != 'classic':
            raise ValueError(
                f"classic_split={self.classic_split} is for protocol='classic', but protocol="
                f'{self.protocol!r}'
            )

    @property
    def crops_file(self) -> Path:
        """The file that holds all crops."""
        return self.root / 'cuhk03_release' / 'cuhk-03.mat'

    @property
    def protocol_file(self) -> Path:
        """The file that holds the new protocol."""
        return self.root / f'cuhk03_new_protocol_config_{VARIABLES[self.boxes]}.mat'

    @property
    def image_root(self) -> Path:
        """See :class:`SceneFiles`."""
        return self.root / crop_folder(self.boxes)

    def sources(self) -> list[Path]:
        """See :class:`SceneFiles`."""
        return [self.crops_file, *([self.protocol_file] if self.protocol == 'new' else [])]

    def read(self) -> SceneIndex:
        """See :class:`SceneFiles`."""
        crops = read_crops(self.crops_file, self.boxes)
        if self.protocol == 'new':
            return self._read_new(read_new_protocol(self.protocol_file, crops))
        return self._read_classic(crops)

    def prepare(self) -> None:
        """Unpack the crops into PNG files beside ``cuhk-03.mat``; see :func:`unpack_crops`."""
        unpack_crops(self.crops_file, self.boxes, self.image_root)

    def _read_new(self, protocol: NewProtocol) -> SceneIndex:
        if not self.test_mode:
            return self._training_set(
                [protocol.crops[row] for row in protocol.train], protocol.labels[protocol.train]
            )
        rows = np.sort(np.concatenate([protocol.queries, protocol.gallery]))
        crops, people = [protocol.crops[row] for row in rows], protocol.labels[rows]
        queries, gallery = (np.searchsorted(rows, r) for r in (protocol.queries, protocol.gallery))
        galleries = dict(new=all_but_junk(_arrays(crops, people), queries, gallery))
        return self._test_set(crops, people, queries, galleries)

    def _read_classic(self, crops: list[Crop]) -> SceneIndex:
        tested = read_test_people(self.crops_file, self.classic_split)
        crops = [c for c in crops if ((c.pair, c.person) in tested) == self.test_mode]
        people = np.array([1000 * c.pair + c.person for c in crops], np.int64)
        if not self.test_mode:
            return self._training_set(crops, people)
        every, arrays = np.arange(len(crops)), _arrays(crops, people)
        galleries = (
            single_gallery_shot(arrays),
            single_gallery_shot(arrays, any_view=True),
            all_but_junk(arrays, every, every),
        )
        named = dict(zip(CLASSIC_GALLERIES, galleries, strict=True))
        return self._test_set(crops, people, every, named)

    def _training_set(self, crops: list[Crop], people: np.ndarray) -> SceneIndex:
        identities, ranks = np.unique(people, return_inverse=True)
        return SceneIndex(self._frames(crops, ranks), len(identities), raw_ids=identities)

    def _test_set(
        self,
        crops: list[Crop],
        people: np.ndarray,
        queries: np.ndarray,
        galleries: dict[int | str, SearchGalleries],
    ) -> SceneIndex:
        frames = self._frames(crops, people)
        wanted = [
            Query(frames[q].name, frames[q].bboxes[0], int(people[q]), frames[q].source)
            for q in queries
        ]
        return SceneIndex(frames, 0, wanted, galleries)

    def _frames(self, crops: list[Crop], people: np.ndarray) -> list[Frame]:
        return [
            Frame(
                name=crop.name,
                bboxes=np.array([[0, 0, crop.width, crop.height]], np.float32),
                person_ids=np.array([person], np.int64),
                source=f'{self.crops_file}, {crop.cell(self.boxes)}',
                camera=crop.camera,
            )
            for crop, person in zip(crops, people, strict=True)
        ]


def crop_folder(boxes: str) -> str:
    """Folder, inside that of the data set, that the crops are unpacked to."""
    return f'cuhk03_release/images_{boxes}'


def _arrays(crops: list[Crop], people: np.ndarray) -> TestCrops:
    return TestCrops(
        people=people,
        cameras=np.array([crop.camera for crop in crops], np.int64),
        views=np.array([crop.view for crop in crops], np.int64),
        bboxes=np.array([[0, 0, c.width, c.height] for c in crops], np.float32).reshape(-1, 4),
    )
