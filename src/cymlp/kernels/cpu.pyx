"""What the processor can do. Built for the baseline, so that it loads on any processor."""

cdef extern from "cpu.h":
    int cpu_x86_64_level() nogil
    int cpu_is_aarch64() nogil


def supported_levels():
    """Names of the levels that the processor and the operating system support, lowest first.

    Returns
    -------
    tuple of str
        Empty on an x86-64 processor below the level v2.

    Examples
    --------
    >>> from cymlp.kernels.cpu import supported_levels
    >>> isinstance(supported_levels(), tuple)
    True
    """
    if cpu_is_aarch64():
        return ("aarch64",)
    return tuple([f"x86_64_v{number}" for number in range(2, cpu_x86_64_level() + 1)])
