import pytest


@pytest.fixture(scope='session')
def exported(tmp_path_factory):
    """Config, PyTorch model, its file and its checkpoint."""
    # Here, since the process that hands tests out to others loads this file too.
    import torch
    from helpers.exports import decided, exportable_config
    from mmengine.registry import init_default_scope

    from mmps.apis.preprocessing import model_file
    from mmps.deployment.export import write_onnx
    from mmps.registry import MODELS

    init_default_scope('mmps')
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('exported')
    config = exportable_config()
    model = decided(MODELS.build(config.model))
    checkpoint = folder / 'tiny.pth'
    torch.save(dict(state_dict=model.state_dict()), checkpoint)
    path = folder / 'tiny.onnx'
    write_onnx(model, path, model_file(config, model, checkpoint))
    return config, model, path, checkpoint
