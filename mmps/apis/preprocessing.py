"""What the test pipeline of a config does to an image between loading and the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmps.utils.errors import UserError

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample
    from mmengine.config import Config
    from torch import Tensor


def test_steps(config: Config) -> list[dict[str, Any]]:
    """The steps of the test pipeline that change pixels, such as ``Resize``.

    Steps that load the image and the annotations are left out, as is the last one, which packs.

    Raises:
        UserError: There is no test pipeline, it is not one for whole scenes, or it loads images in
            a way that sources of images do not.
    """
    dataset = config.get('test_dataloader', {}).get('dataset', {})
    steps = dataset.get('pipeline')
    if not steps:
        raise UserError(
            f'config {config.filename} has no test_dataloader.dataset.pipeline, which says how '
            'images are resized; a config that inherits from configs/_base_/datasets has one'
        )
    loader, *steps = steps
    if not loader.type.split('.')[-1].startswith('Load'):
        raise UserError(f'test pipeline of {config.filename}: begins with {loader.type}, no loader')
    ways = dict(color_type=('color',), imdecode_backend=(None, 'cv2'), to_float32=(False,))
    for key, known in ways.items():
        if loader.get(key, known[0]) not in known:
            raise UserError(
                f'test pipeline of {config.filename}: {loader.type} has {key}={loader[key]!r}; '
                'searching reads images as OpenCV does, in colour and uint8: leave the key out'
            )
    names = ('LoadAnnotations', 'PackPersonSearchInputs', 'PackDetInputs')
    return [step.to_dict() for step in steps if step.type.split('.')[-1] not in names]


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image as the network's own preprocessor takes it; see :meth:`Preprocessing.prepare`."""

    inputs: Tensor
    data_samples: DetDataSample


class Preprocessing:
    """Turns images into what the network's own preprocessor takes, as testing does.

    Args:
        config: Its test pipeline is taken.

    Raises:
        UserError: See :func:`test_steps`.
    """

    def __init__(self, config: Config) -> None:
        import mmdet.datasets.transforms  # noqa: F401 registers the transforms
        from mmcv.transforms import Compose
        from mmengine.registry import DefaultScope

        import mmps.datasets.transforms  # noqa: F401

        with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmps')):
            self._transform = Compose([*test_steps(config), dict(type='PackPersonSearchInputs')])

    def __call__(
        self, images: Sequence[np.ndarray | Prepared], boxes: Sequence[np.ndarray] | None = None
    ) -> dict[str, list]:
        """A batch as a data loader makes it.

        Args:
            images: (h, w, 3) uint8 BGR; or prepared, then without boxes.
            boxes: For each image (m, 4) xyxy in its pixels, to be embedded as queries are.

        Returns:
            ``inputs``, a (3, H, W) tensor of each image, and ``data_samples``.
        """
        per_image = [None] * len(images) if boxes is None else boxes
        packed = [
            image if isinstance(image, Prepared) else self.prepare(image, given)
            for image, given in zip(images, per_image, strict=True)
        ]
        return {key: [getattr(one, key) for one in packed] for key in ('inputs', 'data_samples')}

    def prepare(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Prepared:
        """One image of a batch, e.g. in another thread than the network's."""
        shape = image.shape[:2]
        results = dict(img=image, img_shape=shape, ori_shape=shape)
        if boxes is not None:
            results |= dict(query_ids=np.arange(len(boxes)), query_bboxes=boxes)
        packed = self._transform(results)
        for key in ('gt_instances', 'ignored_instances'):  # nobody annotated anything
            delattr(packed['data_samples'], key)
        return Prepared(**packed)
