from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmps.registry import HOOKS


@HOOKS.register_module()
class NumIdentitiesCheckHook(Hook):
    """Refuses to train when the look-up table's rows are not the data set's identities.

    Too few rows crash in the loss without naming the cause; too many leave rows that attract no
    one.
    """

    def before_train(self, runner: Runner) -> None:
        """Compares ``num_ids`` of data set and model, unless the latter learns no identities.

        Raises:
            ValueError: If they differ.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        dataset = runner.train_dataloader.dataset
        rows, identities = model.num_ids, dataset.num_ids
        if rows is not None and rows != identities:
            raise ValueError(
                f'{dataset.data_root}: the training set has {identities} identities, but the '
                f'model was configured for {rows}. Set {model.num_ids_key}={identities}.'
            )
