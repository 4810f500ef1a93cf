from pathlib import Path

from mmps.deployment import ModelFile
from mmps.retrieval import ModelTag

_GRAPHS = {
    'detector': """
        find (float[1, 3, 48, 64] image) => (float[1, 1, 5] dets, int64[1, 1] labels) {
            dets = Constant <value = float[1, 1, 5] {10, 10, 20, 40, 0.75}> ()
            labels = Constant <value = int64[1, 1] {0}> ()
        }""",
    'reid': """
        embed (float[n, 3, 16, 8] crops) => (float[n, 3] embeddings) {
            means = GlobalAveragePool (crops)
            embeddings = Flatten (means)
        }""",
    'person_search': """
        search (uint8[b, h, w, 3] images, int64[b, 2] sizes, float[m, 4] boxes,
                int64[m] box_images, bool detect) =>
               (int64[1] people_images, float[1, 4] people_boxes, float[1] people_scores,
                float[1, 2] people_embeddings, float[m, 2] box_embeddings) {
            people_images = Constant <value = int64[1] {0}> ()
            people_boxes = Constant <value = float[1, 4] {10, 10, 20, 40}> ()
            people_scores = Constant <value = float[1] {0.75}> ()
            people_embeddings = Constant <value = float[1, 2] {1, 0}> ()
            corners = Constant <value = float[4, 2] {1, 0, 0, 1, 0, 0, 0, 0}> ()
            box_embeddings = MatMul (boxes, corners)
        }""",
}


def write_tiny_networks(folder: str | Path) -> None:
    """Write ``detector.onnx``, ``reid.onnx`` and both in one, ``person_search.onnx``.

    They find one person in every image, of a score of 0.75. The last one embeds them as (1, 0),
    ``reid.onnx`` crops of 8 x 16 pixels as the mean of each channel.
    """
    import onnx

    for name, graph in _GRAPHS.items():
        path = Path(folder, f'{name}.onnx')
        onnx.save(onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["": 17]>{graph}'), path)
    ModelFile(ModelTag('f00d', 2, 'tiny'), size_divisor=1, steps=()).write(path)
