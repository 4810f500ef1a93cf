from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmps.registry import HOOKS


@HOOKS.register_module()
class ResumedValidationHook(Hook):
    """Validates at the start of a resumed training if the checkpoint's validation may be missing.

    mmengine writes the checkpoint of an epoch before the validation that follows, and goes on with
    the next epoch when resumed. A process killed in between would lose the validation, and with it
    possibly the best checkpoint; after the last epoch nothing would make up for it. Whether the
    validation took place cannot be told for sure, and doing it twice changes nothing.
    """

    # after the checkpoint hook, which is told the result
    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Runs the validation that the train loop runs behind the resumed epoch or iteration."""
        loop = runner.train_loop
        if runner.val_loop is None or not loop.iter:
            return
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        done, end = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
        loop._decide_current_val_interval()
        if done >= loop.val_begin and (done % loop.val_interval == 0 or done == end):
            runner.logger.info(f'Validating the checkpoint of {done} again, in case it was not')
            runner.val_loop.run()
