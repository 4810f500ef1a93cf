"""A case as a file: what somebody has found out about one person, to be opened again."""

from typing import Annotated, Literal

import msgspec
import numpy as np

from mmps.retrieval import Gallery
from mmps.sources import decode_image
from mmps.web.scenes import to_jpeg
from mmps.web.session import LONGEST_TITLE, MOST_EXEMPLARS, Case, Exemplar, Marks

_UNIT = 1e-3
_Ids = Annotated[
    list[Annotated[str, msgspec.Meta(pattern='^[0-9]{1,19}$')]], msgspec.Meta(max_length=10_000)
]
"""As text: ids have more digits than JavaScript's numbers."""


class _Picture(msgspec.Struct):
    name: str
    embedding: bytes
    bbox: tuple[float, float, float, float]
    jpeg: bytes | None

    @classmethod
    def of(cls, exemplar: Exemplar) -> '_Picture':
        cut = exemplar.cut
        embedding = exemplar.embedding.astype('<f4').tobytes()
        jpeg = None if cut is None else to_jpeg(cut, max(cut.shape))
        return cls(exemplar.name, embedding, tuple(exemplar.bbox.tolist()), jpeg)

    def exemplar(self, dim: int, max_pixels: int) -> Exemplar:
        fits = len(self.embedding) == 4 * dim
        embedding = np.frombuffer(self.embedding, '<f4').astype(np.float32) if fits else None
        if embedding is None or not abs(np.linalg.norm(embedding) - 1) < _UNIT:
            raise ValueError('this case is damaged: an embedding does not fit')
        bbox = np.array(self.bbox, np.float32)
        if not np.isfinite(bbox).all() or not (bbox[2:] > bbox[:2]).all():
            raise ValueError('this case is damaged: a box does not fit')
        cut = None if self.jpeg is None else decode_image(self.jpeg, max_pixels)
        return Exemplar(embedding, cut, bbox, self.name[:LONGEST_TITLE])


_Pictures = Annotated[list[_Picture], msgspec.Meta(max_length=MOST_EXEMPLARS)]


class _Model(msgspec.Struct):
    name: str
    fingerprint: str


class _File(msgspec.Struct, kw_only=True):
    mmps_case: Literal[1]
    title: str
    notes: str
    model: _Model
    gallery: dict[str, str]
    pictures: _Pictures
    lookalikes: _Pictures = []
    right: _Ids
    wrong: _Ids


def pack_case(case: Case, gallery: Gallery) -> bytes:
    """A case as a file of JSON. It has the pictures of the person, but none of the gallery."""
    content = _File(
        mmps_case=1,
        title=case.title,
        notes=case.notes,
        model=_Model(gallery.model.name, gallery.model.fingerprint),
        gallery=dict(address=gallery.info().address, fingerprint=gallery.fingerprint()),
        pictures=[_Picture.of(exemplar) for exemplar in case.exemplars],
        lookalikes=[_Picture.of(exemplar) for exemplar in case.lookalikes],
        right=[str(number) for number in case.marks.right],
        wrong=[str(number) for number in case.marks.wrong],
    )
    return msgspec.json.format(msgspec.json.encode(content), indent=1)


def read_case(content: bytes, gallery: Gallery, max_pixels: int) -> Case:
    """A case from a file, of which nothing is believed.

    Raises:
        ValueError: It is no case, or one of another model.
    """
    try:
        read = msgspec.json.decode(content, type=_File)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError(
            f'this is no case, or it is damaged ({error}); a file case.json of this page is needed'
        ) from error
    model = gallery.model
    if read.model.fingerprint != model.fingerprint:
        raise ValueError(
            f'this case was made with the model {read.model.name}, whose pictures cannot be '
            f'compared with those of {model.name}'
        )
    exemplars, lookalikes = (
        tuple(one.exemplar(model.embed_dim, max_pixels) for one in pictures)
        for pictures in (read.pictures, read.lookalikes)
    )
    right, wrong = (
        tuple(number for number in dict.fromkeys(map(int, ids)) if number < 2**63)
        for ids in (read.right, read.wrong)
    )
    case = Case(exemplars=exemplars, marks=Marks(right, wrong), lookalikes=lookalikes)
    return case.written(read.title, read.notes)
