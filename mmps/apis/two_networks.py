"""Two networks in files, one behind the other, without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmps.apis.network import Network
from mmps.apis.people import People
from mmps.deployment.two_files import DetectorFile, ReIDFile
from mmps.retrieval import ModelTag

if TYPE_CHECKING:
    from mmps.published import PublishedModel


class TwoNetworks(Network):
    """A detector and a re-ID network in ONNX files or OpenVINO's IR; see :class:`Network`.

    What :class:`~mmps.models.detectors.TwoStepPersonSearch` predicts with two exported parts.

    Args:
        detector: Finds people.
        reid: Embeds each, cut out of the image.
        name: For the gallery.
        max_people: Found in an image at most, the most certain first.
        fingerprint: Of the model that both were exported from, whose galleries are shared; None: of
            the re-ID network's files, which alone decide what an embedding is.

    Attributes:
        tag: Which model it is.
    """

    def __init__(
        self,
        detector: DetectorFile,
        reid: ReIDFile,
        name: str,
        *,
        max_people: int = 100,
        fingerprint: str | None = None,
    ) -> None:
        self.detector = detector
        self.reid = reid
        self.max_people = max_people
        self.tag = ModelTag(fingerprint or reid.digest, reid.embed_dim, name)

    @classmethod
    def of_model(
        cls, model: PublishedModel, score_thr: float = 0.0, **options: str | int | None
    ) -> TwoNetworks:
        """The networks of a published model, whose files are fetched if they are missing.

        Args:
            model: One whose parts are both exported.
            score_thr: People found with a lower score are not embedded, nor those below the model's
                own threshold.
            options: For both files: backend, device, threads.
        """
        config = model.resolved()
        detector, reid = (
            {key: value for key, value in config[part].items() if key != 'type'} | options
            for part in ('detector', 'reid')
        )
        lowest = detector.get('score_thr', config.get('score_thr', 0.05))
        detector['score_thr'] = max(lowest, score_thr)
        kept = {key: config[key] for key in ('max_people',) if key in config}
        files = DetectorFile(**detector), ReIDFile(**reid)
        return cls(*files, model.name, fingerprint=model.fingerprint, **kept)

    def __call__(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray] | None = None
    ) -> list[People]:
        """See :class:`Network`."""
        if boxes is not None:
            given = [np.asarray(own, np.float32).reshape(-1, 4) for own in boxes]
            found = [(own, np.ones(len(own), np.float32)) for own in given]
        else:
            found = [
                (own[: self.max_people], scores[: self.max_people])
                for own, scores in self.detector.find(images)
            ]
        crops = [self.reid.cut(image, own) for image, (own, _) in zip(images, found, strict=True)]
        rows = self.reid.embed_crops(np.concatenate(crops)) if crops else []
        ends = np.cumsum([len(one) for one in crops])
        split = np.split(rows, ends[:-1]) if crops else []
        return [People(*people, own) for people, own in zip(found, split, strict=True)]
