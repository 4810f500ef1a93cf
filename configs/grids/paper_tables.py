# Every cell of the paper's tables: six networks on three data sets.
_base_ = '_base_/paper.py'

_models = dict(googlenet='GoogleNet', resnet50='ResNet50', densenet121='DenseNet121')
_sets = dict(prw='PRW', cuhk03='CUHK03', cuhk_sysu='CUHK-SYSU')

experiments = [
    dict(config=f'../ps_{model}{attention}_{files}.py', row=row + attention, column=column)
    for files, column in _sets.items()
    for attention in ('', '_att')
    for model, row in _models.items()
]
