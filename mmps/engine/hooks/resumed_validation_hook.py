from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmps.registry import HOOKS


@HOOKS.register_module()
class ResumedValidationHook(Hook):
    """Validates at the start of a resumed training if the checkpoint's validation may be missing.

    mmengine writes the checkpoint of an epoch before the validation that follows, and goes on with
    the next epoch when resumed. A process killed in between would lose the validation, and with it
    possibly the best checkpoint; after the last epoch nothing would make up for it. A checkpoint
    that turns out the best so far is written again with the results; any other one is as before its
    validation, which is therefore repeated even if it was done.
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
        unit = 'epoch' if by_epoch else 'iter'
        hub = runner.message_hub
        if str(hub.runtime_info.get('best_ckpt')).endswith(f'_{unit}_{done}.pth'):
            return
        loop._decide_current_val_interval()
        if done >= loop.val_begin and (done % loop.val_interval == 0 or done == end):
            runner.logger.info(f'Resumed after {unit} {done}: its validation may not have ended')
            self._restore(runner, by_epoch)
            runner.val_loop.run()

    @staticmethod
    def _restore(runner: Runner, by_epoch: bool) -> None:
        """Sets what the resumed checkpoint's training left behind, for the best checkpoint."""
        hub, loop = runner.message_hub, runner.train_loop
        hub.update_info('iter', loop.iter - 1)
        if by_epoch:
            hub.update_info('epoch', loop.epoch - 1)
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook):
                # without it, the checkpoint that turns out the best would not be written again
                hook.last_ckpt = hub.runtime_info.get('last_ckpt')
