import subprocess
import sys

from mmps.utils.memory import keep_freed_memory

COUNT_FAULTS = """
import resource, numpy
from mmps.utils.memory import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    numpy.ones(50_000_000, 'uint8')
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
plain = faults()
worked = keep_freed_memory()
faults()
print(int(worked), plain, faults())
"""


def test_the_second_allocation_needs_no_fresh_pages():
    done = subprocess.run([sys.executable, '-c', COUNT_FAULTS], capture_output=True, text=True)
    worked, plain, kept = map(int, done.stdout.split())
    assert not worked or (plain > 10 * kept)


def test_other_c_libraries(monkeypatch):
    monkeypatch.setattr('ctypes.CDLL', lambda name: object())
    assert keep_freed_memory() is False
