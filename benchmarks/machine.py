"""What the machine is and what it does in a second: its name, its peaks, this process's memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PEAK_SOURCE = Path(__file__).with_name("peak.c")


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def processors() -> list[int]:
    """The processors that this process may use."""
    return sorted(os.sched_getaffinity(0))


# ---- peaks -------------------------------------------------------------------------------------


@functools.cache
def native(dtype: str) -> ctypes.CDLL | None:
    """The functions of ``peak.c`` for an element type; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    element = {"float32": "float", "float64": "double"}[dtype]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        subprocess.run([compiler, "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno",
                        "-fno-trapping-math", "-shared", "-fPIC", f"-DELEMENT={element}",
                        str(PEAK_SOURCE), "-o", str(library)], check=True)
        loaded = ctypes.CDLL(str(library))
    number = {"float32": ctypes.c_float, "float64": ctypes.c_double}[dtype]
    for name in ("multiply_add", "multiply_add_in_turn", "divide_by_root"):
        getattr(loaded, name).restype = ctypes.c_double
        getattr(loaded, name).argtypes = [ctypes.c_long, number, number]
    loaded.read_all.restype = ctypes.c_double
    loaded.read_all.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_long]
    return loaded


def most_a_second(repeat: Callable[[int], float], seconds: float, rounds: int) -> float:
    """How often a second something is done at the best; `repeat` does it so many times and says
    how many seconds that took."""
    count, taken = 1, repeat(1)
    while taken < seconds / 10:
        count *= 4
        taken = repeat(count)
    count = max(1, int(count * seconds / taken))
    return count / min(repeat(count) for _ in range(rounds))


def repeating(function: Callable, *arguments) -> Callable[[int], float]:
    """For `most_a_second`: a native function whose first argument is a number of rounds."""
    return lambda count: seconds_together([lambda: function(count, *arguments)])


def fma_peak(dtype: str = "float32", seconds: float = 0.02, rounds: int = 5) -> float | None:
    """Floating-point operations a second of one core; None where there is no C compiler."""
    library = native(dtype)
    if library is None:
        return None
    return library.operations_of_a_round() * most_a_second(
        repeating(library.multiply_add, 0.5, 1.0), seconds, rounds)


def copy_bandwidth(elements: int, threads: int, seconds: float = 0.02, rounds: int = 5) -> float:
    """Bytes a second read and written by `np.copyto` of float32, the array shared by threads."""
    source, target = np.ones(elements, np.float32), np.zeros(elements, np.float32)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads),
                     strict=True))

    def copy(count, part, from_part):
        for _ in range(count):
            np.copyto(part, from_part)

    return 2 * source.nbytes * most_a_second(_in_parts(copy, parts), seconds, rounds)


def read_bandwidth(elements: int, threads: int, seconds: float = 0.02, rounds: int = 5
                   ) -> float | None:
    """Bytes a second of float32 that are only read, by threads that share the array; None where
    there is no C compiler."""
    library = native("float32")
    if library is None:
        return None
    source = np.ones(elements, np.float32)

    def read(count, part):
        library.read_all(count, part.ctypes.data, part.size)

    parts = [(part,) for part in np.array_split(source, threads)]
    return source.nbytes * most_a_second(_in_parts(read, parts), seconds, rounds)


def _in_parts(function, parts):
    """For `most_a_second`: a function called with every part, in a thread each."""
    return lambda count: seconds_together(
        [functools.partial(function, count, *part) for part in parts])


def seconds_together(calls) -> float:
    """How long calls take that run at the same time, each in a thread of its own."""
    if len(calls) == 1:
        begun = time.perf_counter()
        calls[0]()
        return time.perf_counter() - begun
    threads = [threading.Thread(target=call) for call in calls]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


# ---- memory ------------------------------------------------------------------------------------


def memory(field: str) -> int:
    """Bytes of this process beside pages of files, now (``VmRSS``) or at the most (``VmHWM``).

    Pages of a file are the code that has run: the system shares them and takes them back, and what
    is read of them at a time differs with where a library's functions lie.
    """
    with open("/proc/self/status") as file:
        kilobytes = dict(re.findall(r"^(\w+):\s+(\d+) kB$", file.read(), re.MULTILINE))
    return 1024 * (int(kilobytes[field]) - int(kilobytes["RssFile"]))


def reset_peak_memory() -> int:
    """Begin a new ``VmHWM`` after what is free has gone back; returns where it begins.

    Where the system does not let a process do that, the peak is that of its whole life.
    """
    with contextlib.suppress(AttributeError):       # a C library other than glibc
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return memory("VmRSS")
