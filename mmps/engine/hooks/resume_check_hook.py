from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmps.registry import HOOKS
from mmps.utils.checkpoint import check_state_dict, weights_of
from mmps.utils.checkpoint_file import CheckpointError

_STATE = ('meta', 'state_dict', 'message_hub', 'optimizer')


@HOOKS.register_module()
class ResumeCheckHook(Hook):
    """Refuses to resume from a checkpoint that does not hold the whole state of a training.

    mmengine restores what it finds and starts the rest afresh: an optimizer without its momenta,
    or, where weights do not fit, a random layer.
    """

    priority = 'HIGHEST'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Looks for every part of the state, and at the names and shapes of the weights.

        Raises:
            CheckpointError: Something is missing; nothing has been changed yet.
        """
        if not runner._resume:
            return
        path = runner._load_from or f'{runner.work_dir}, the newest'
        state = _STATE if runner.param_schedulers is None else (*_STATE, 'param_schedulers')
        missing = [key for key in state if key not in checkpoint]
        if missing:
            raise CheckpointError(
                f'checkpoint {path} cannot be resumed from: it has no {", ".join(missing)}, as a '
                'published one. To start a new training from its weights, use '
                f'--cfg-options load_from={path} instead of --resume.'
            )
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        check_state_dict(model, weights_of(checkpoint, path), path, with_losses=True)
