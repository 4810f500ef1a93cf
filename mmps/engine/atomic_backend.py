import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend


class AtomicLocalBackend(LocalBackend):
    """Local files that are either complete or absent, also when the process is killed while
    writing.

    Select it with ``backend_args=dict(backend='AtomicLocalBackend')``, as the checkpoint hook of
    ``configs/_base_/default_runtime.py`` does.
    """

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write ``obj`` beside ``filepath``, flush it to the disk and rename it into place."""
        target = Path(filepath)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f'{target.name}.partial')
        with open(partial, 'wb') as file:
            file.write(obj)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)


register_backend('AtomicLocalBackend', AtomicLocalBackend, force=True)
