# The numbers of the paper's tables, as printed there.
_columns = ['PRW', 'CUHK03', 'CUHK-SYSU']

tables = [
    dict(
        title='Table I: pedestrian detection, AP (IoU > 0.75)',
        metric='det/AP_iou75',
        columns=_columns,
        rows=dict(
            GoogleNet=[0.755, 0.818, 0.764],
            ResNet50=[0.794, 0.845, 0.776],
            DenseNet121=[0.847, 0.862, 0.792],
        ),
    ),
    dict(
        title='Table II: person search, mAP (IoU > 0.75)',
        metric='search/mAP_iou75',
        columns=_columns,
        rows=dict(
            GoogleNet=[0.263, 0.668, 0.685],
            ResNet50=[0.327, 0.714, 0.753],
            DenseNet121=[0.335, 0.703, 0.778],
            GoogleNet_att=[0.281, 0.694, 0.692],
            ResNet50_att=[0.347, 0.721, 0.775],
            DenseNet121_att=[0.358, 0.717, 0.783],
        ),
    ),
]
