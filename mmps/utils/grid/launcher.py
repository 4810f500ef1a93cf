"""The command lines of a run's steps."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from .run import Run, Step


@dataclass(frozen=True)
class Launcher:
    """How the tools are started.

    Attributes:
        tools: Folder of the command-line tools.
        gpus: Processes of a run on this machine.
        partition: Partition of a Slurm cluster to train and test on, or None for this machine.
    """

    tools: Path
    gpus: int = 1
    partition: str | None = None

    def command(self, run: Run, step: Step) -> list[str]:
        """The command line of a step; what it writes is whole or absent."""
        config = run.config_file
        if step == 'evaluate':
            # On this machine always: it takes seconds and no GPU.
            return self.tool(
                'analysis_tools/eval_search.py', config, run.predictions, '--out', run.metrics_file
            )
        if step == 'train':
            subject, options = run.train_dir, ['--resume']
        else:
            subject = run.checkpoint
            options = ['--work-dir', run.test_dir, '--out', run.predictions]
        if self.partition:
            script = self.tools / f'slurm_{step}.sh'
            return _words(script, self.partition, run.name, config, subject, *options)
        named = ['--work-dir', subject] if step == 'train' else [subject]
        if self.gpus > 1:
            script = self.tools / f'dist_{step}.sh'
            # The scripts take what has no name before the number of GPUs.
            first, rest = ([], named) if step == 'train' else (named, [])
            return _words(script, config, *first, self.gpus, *rest, *options)
        return self.tool(f'{step}.py', config, *named, *options)

    def tool(self, script: str, *arguments: object) -> list[str]:
        """The command line of a tool that runs on this machine."""
        return _words(sys.executable, self.tools / script, *arguments)


def _words(*parts: object) -> list[str]:
    return [str(part) for part in parts]
