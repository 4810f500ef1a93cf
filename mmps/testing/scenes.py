import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData


def random_scenes(
    person_ids: list[list[int]],
    size: tuple[int, int] = (96, 128),
    queries: list[list[int]] | None = None,
    scale: float = 1.0,
) -> dict:
    """A batch as a data loader gives it: random images with random boxes.

    Args:
        person_ids: Ids of the people in each image, -1 for an unlabelled one.
        size: Height and width of the images.
        queries: For each image the positions of the people that are queries; None: no queries.
        scale: Network input pixels per original pixel. Boxes are drawn in original pixels.

    Returns:
        ``inputs``: uint8 tensors ``(3, h, w)``; ``data_samples``: ``gt_instances`` and, with
        ``queries``, ``query_instances``.
    """
    height, width = size
    limit = torch.tensor([width, height]) / scale
    samples = []
    for i, ids in enumerate(person_ids):
        corners = torch.rand(len(ids), 2) * limit * 0.5
        sides = limit * (0.2 + 0.3 * torch.rand(len(ids), 2))
        boxes = torch.cat([corners, corners + sides], 1)
        sample = DetDataSample(
            metainfo=dict(
                img_id=i,
                img_path=f'{i}.jpg',
                ori_shape=(round(height / scale), round(width / scale)),
                img_shape=size,
                scale_factor=(scale, scale),
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=boxes,
            labels=torch.zeros(len(ids), dtype=torch.long),
            person_ids=torch.tensor(ids, dtype=torch.long),
        )
        if queries is not None:
            sample.query_instances = InstanceData(
                query_ids=torch.tensor(queries[i], dtype=torch.long), bboxes=boxes[queries[i]]
            )
        samples.append(sample)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for _ in person_ids]
    return dict(inputs=images, data_samples=samples)
