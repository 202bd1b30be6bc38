"""What the machine is and what it can do: its name, its peaks, and this process's memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import shutil
import subprocess
import tempfile
import threading
import time
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
def fma_peak(dtype: str = "float32", seconds: float = 0.02, rounds: int = 5) -> float | None:
    """Floating-point operations a second of one core; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    element = {"float32": "float", "float64": "double"}[dtype]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        subprocess.run([compiler, "-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC",
                        f"-DELEMENT={element}", str(PEAK_SOURCE), "-o", str(library)], check=True)
        loaded = ctypes.CDLL(str(library))
    number = {"float32": ctypes.c_float, "float64": ctypes.c_double}[dtype]
    loaded.multiply_add.restype = ctypes.c_double
    loaded.multiply_add.argtypes = [ctypes.c_long, number, number]

    def rate(count: int) -> float:
        begun = time.perf_counter()
        loaded.multiply_add(count, 0.5, 1.0)
        return count / (time.perf_counter() - begun)

    count = max(1, int(rate(100_000) * seconds))
    return loaded.operations_of_a_round() * max(rate(count) for _ in range(rounds))


def copy_bandwidth(elements: int, threads: int, seconds: float = 0.02, rounds: int = 5) -> float:
    """Bytes a second read and written by `np.copyto` of float32, the array shared by threads."""
    source, target = np.ones(elements, np.float32), np.zeros(elements, np.float32)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads),
                     strict=True))

    def rate(count: int) -> float:
        def copy(part, from_part):
            for _ in range(count):
                np.copyto(part, from_part)

        return 2 * source.nbytes * count / seconds_together(
            [functools.partial(copy, *pair) for pair in parts])

    count = max(1, int(rate(1) * seconds / (2 * source.nbytes)))
    return max(rate(count) for _ in range(rounds))


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
    """Bytes of this process: ``VmRSS`` is resident now, ``VmHWM`` was at the most."""
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith(field))


def reset_peak_memory() -> int:
    """Begin a new ``VmHWM`` after what is free has gone back; returns where it begins.

    Where the system does not let a process do that, the peak is that of its whole life.
    """
    with contextlib.suppress(AttributeError):       # a C library other than glibc
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return memory("VmRSS")
