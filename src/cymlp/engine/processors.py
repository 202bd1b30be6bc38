"""How many threads to use unless told: what the environment asks for and the machine offers."""

import math
import os
import warnings

_VARIABLES = ("CYMLP_NUM_THREADS", "OMP_NUM_THREADS")


def default_threads(maximum):
    """The number that the environment asks for, else as many as there are usable processors."""
    for variable in _VARIABLES:
        # OMP_NUM_THREADS may hold a list, one number for each level of nested regions.
        text = os.environ.get(variable, "").split(",")[0].strip()
        if not text:
            continue
        if text.isascii() and text.isdigit() and 1 <= int(text) <= maximum:
            return int(text)
        warnings.warn(f"{variable}={os.environ[variable]!r} is ignored: expected a number of "
                      f"threads from 1 to {maximum}", RuntimeWarning, stacklevel=2)
    return min(usable_processors(), maximum)


def usable_processors(root="/"):
    """The least of the machine's processors, the affinity and the control groups' quotas.

    `root` is where the file system with ``proc`` and ``sys`` begins (for tests).
    """
    counts = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    counts += [max(1, math.ceil(quota)) for quota in _quotas(root)]
    return min(counts)


def _quotas(root):
    """The CPU quotas, in processors, of this process's control groups and all above them."""
    mount = os.path.join(root, "sys/fs/cgroup")
    for line in _read(os.path.join(root, "proc/self/cgroup")).splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            limits = [_quota_v2(folder) for folder in _upwards(mount, path)]
        elif "cpu" in controllers.split(","):
            limits = [_quota_v1(folder) for folder in _upwards(os.path.join(mount, "cpu"), path)]
        else:
            continue
        yield from (limit for limit in limits if limit is not None)


def _upwards(mount, path):
    """The folder of a control group and those above it, up to the mount point.

    In a container the path may be the host's, of which only the mount point is there.
    """
    path = os.path.normpath("/" + path.lstrip("/"))
    while path != "/":
        yield mount + path
        path = os.path.dirname(path)
    yield mount


def _quota_v2(folder):
    quota, _, period = _read(os.path.join(folder, "cpu.max")).partition(" ")
    return _ratio(quota, period)


def _quota_v1(folder):
    return _ratio(_read(os.path.join(folder, "cpu.cfs_quota_us")),
                  _read(os.path.join(folder, "cpu.cfs_period_us")))


def _ratio(quota, period):
    """Quota over period; None where there is no limit ("max" in version 2, -1 in version 1)."""
    try:
        ratio = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return ratio if ratio > 0 else None


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
