"""Galleries by brute force, and random frames for them."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmps.retrieval import AsWritten, Gallery, Hit, IndexedFrame, ModelTag, Where
from mmps.retrieval.records import Value
from mmps.retrieval.rows import unpack_colours

DIM = 16
"""Length of the embeddings of :func:`fill_gallery`."""


def model_tag(dim: int, fingerprint: str = 'abc') -> ModelTag:
    """A model that does not exist."""
    return ModelTag(fingerprint, dim, f'model {fingerprint}')


def random_frame(
    rng: np.random.Generator, source: str, people: int, dim: int, **description: object
) -> IndexedFrame:
    """A frame with some people anywhere in it."""
    embeddings = rng.standard_normal((people, dim)).astype(np.float32)
    return IndexedFrame(
        source,
        (64, 48),
        rng.random((people, 4), np.float32),
        rng.random(people, np.float32),
        embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True),
        **description,
    )


def fill_gallery(folder: Path, sources: int = 4, people: int = 5, seed: int = 0) -> Gallery:
    """A gallery of some videos of three frames each, each video of its own time."""
    gallery = Gallery.open(folder, model_tag(DIM))
    rng = np.random.default_rng(seed)
    for number in range(sources):
        frames = [
            random_frame(rng, f'secret{number}.mp4', people, DIM, frame=f, time=float(number))
            for f in range(3)
        ]
        gallery.append(frames)
    return gallery


def damages(path: Path, rng: random.Random) -> Iterator[bytes | None]:
    """A flipped bit, a shorter file, an empty one, none."""
    raw = path.read_bytes()
    place, bit = rng.randrange(len(raw)), rng.randrange(8)
    flipped = bytearray(raw)
    flipped[place] ^= 1 << bit
    yield bytes(flipped)
    yield raw[: rng.randrange(len(raw))]
    yield b''
    yield None


class GalleryOracle:
    """What a gallery has to hold and to find, as lists and loops.

    Attributes:
        frames: By source and number, each with its people by their number in it.
    """

    def __init__(self) -> None:
        self.frames: dict[tuple[str, int], tuple[IndexedFrame, dict[int, IndexedFrame]]] = {}

    def append(self, frames: Collection[IndexedFrame]) -> None:
        for frame in frames:
            people = {
                number: replace(
                    frame,
                    bboxes=frame.bboxes[number],
                    scores=frame.scores[number],
                    embeddings=frame.embeddings[number],
                    colours=None if frame.colours is None else frame.colours[number],
                )
                for number in range(len(frame.scores))
            }
            self.frames[frame.source, frame.frame] = frame, people

    def people(self, where: Where | None = None) -> list[tuple[str, int, int]]:
        """Source, frame and number of whoever passes a filter."""
        return [
            (*key, number)
            for key, (_, people) in sorted(self.frames.items())
            for number, person in sorted(people.items())
            if passes(person, where)
        ]

    def search(
        self, query: np.ndarray, top_k: int, where: Where | None = None
    ) -> list[tuple[np.float32, str, int, int]]:
        """Similarity, source, frame and number of the best."""
        found = []
        for source, frame, number in self.people(where):
            embedding = self.frames[source, frame][1][number].embeddings
            similarity = np.float32((embedding.astype(np.float64) * query).sum())
            found.append((-similarity, source, frame, number))
        return [(-negative, *rest) for negative, *rest in sorted(found)[:top_k]]

    def delete(self, where: Where) -> int:
        gone = self.people(where)
        for source, frame, number in gone:
            del self.frames[source, frame][1][number]
        for key, (frame, people) in list(self.frames.items()):
            touched = any(key == (source, number) for source, number, _ in gone)
            if not people and (touched or (not len(frame.scores) and passes(frame, where))):
                del self.frames[key]
        return len(gone)

    def delete_people(self, people: Collection[tuple[str, int, int]]) -> None:
        for source, frame, number in people:
            whole, left = self.frames[source, frame]
            del left[number]
            if not left:
                self.frames[source, frame] = replace(whole, scores=whole.scores[:0]), {}

    def update(self, where: Where, camera: str | None, metadata: dict) -> None:
        for key, (frame, people) in self.frames.items():
            for number, person in people.items():
                if passes(person, where):
                    people[number] = _described(person, camera, metadata)
            if not people and passes(frame, where):
                self.frames[key] = _described(frame, camera, metadata), people


def passes(one: IndexedFrame, where: Where | None) -> bool:
    """Whether a frame, or a person as a frame of one, passes a filter."""
    where = where or Where()
    unknown = one.time is None and (where.since is not None or where.until is not None)
    return not (
        unknown
        or (where.cameras is not None and one.camera not in where.cameras)
        or (where.sources is not None and one.source not in where.sources)
        or (where.since is not None and one.time < where.since)
        or (where.until is not None and one.time >= where.until)
        or any(
            wanted is not None and not {*wanted} & {*worn}
            for wanted, worn in zip((where.upper, where.lower), _worn(one), strict=True)
        )
        or any(
            key not in one.metadata or not _found(one.metadata[key], value)
            for key, value in (where.metadata or {}).items()
        )
    )


def _worn(one: IndexedFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return unpack_colours(one.colours if isinstance(one.colours, str) else '')


def _found(stored: Value, wanted: Value) -> bool:
    """Whether an entry of a filter finds a value."""
    if isinstance(wanted, AsWritten):
        if isinstance(stored, bool):
            return json.dumps(stored) == wanted
        if isinstance(stored, str):
            return stored == wanted
        try:
            return '_' not in wanted and float(wanted) == stored
        except ValueError:
            return False
    same = (type(stored), stored) == (type(wanted), wanted)
    return same or (not isinstance(wanted, str) and stored == json.dumps(wanted))


def described(hits: list[Hit]) -> list[tuple]:
    """Of hits, what the oracle says of them, but for the number in the frame."""
    return [(np.float32(hit.similarity), hit.source, hit.frame) for hit in hits]


def _described(one: IndexedFrame, camera: str | None, metadata: dict) -> IndexedFrame:
    merged = {**one.metadata, **metadata}
    return replace(one, camera=camera, metadata={k: v for k, v in merged.items() if v is not None})
