"""Builds the extension modules: the engine once, every kernel once per instruction-set level.

Environment variables read here:

CYMLP_NO_OPENMP=1   leave OpenMP out (it is also left out, with a warning, where it does not link)
CYMLP_SANITIZE=1    address and undefined-behaviour sanitizers, debug information, -O1
CYMLP_LEVELS=a,b    build only these levels of the kernels (for development; default: all)
CC                  the C compiler, as always
"""

import copy
import hashlib
import os
import re
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError, LinkError

SOURCE = Path("src")
PACKAGE = SOURCE / "cymlp"
KERNELS = PACKAGE / "kernels"
GENERATED_C = Path("build", "cython")

# Instruction-set levels of each machine, with the flags that the compiler needs for them.
# -mprefer-vector-width: without it both compilers use 256-bit registers on AVX-512 too.
LEVELS = {
    "x86_64": {
        "x86_64_v2": ["-march=x86-64-v2"],
        "x86_64_v3": ["-march=x86-64-v3"],
        "x86_64_v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    },
    "aarch64": {"aarch64": ["-march=armv8-a"]},
}
# Built once, for the machine's baseline, although it lies among the kernels: it is what tells
# which level the processor has.
CPU_MODULE = KERNELS / "cpu.pyx"
# The one module that may know OpenMP.
THREADS_MODULE = PACKAGE / "engine" / "threads.pyx"

# Modules of the engine that every call passes. The others are glue: -O3 makes it larger by half.
SHORT_WAY = {"gate", "memory", "runtime", "running", "short_way", "sources", "steps", "threads",
             "walk"}
# And those that the functions on arrays pass: -O3 gains nothing over -O2.
ON_ARRAYS = {"calls", "operands"}
# Of a memset GCC makes `rep stos`, which takes longer to begin than a layer of a single row.
CALL_FLAGS = ["-fno-builtin-memset"]

# Reordering of sums (-ffast-math) and contraction would let the bits depend on the level. The
# two -fno- flags change no result; they only drop errno and floating-point traps.
NUMERIC_FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
# Python's own flags have -fwrapv, under which GCC gives up on many loops over an int. Where a
# short loop happens to begin is a tenth of the time of a small prediction.
KERNEL_FLAGS = ["-fno-wrapv", "-falign-loops=32"]
# Nothing unwinds through a kernel, which calls no Python: a fortieth of the wheel is saved.
UNWINDING_FLAGS = ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]
SIZE_FLAGS = ["-g0", "-fvisibility=hidden"]
SANITIZE_FLAGS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all",
                  "-fno-omit-frame-pointer", "-O1", "-g"]
# Cython drops `const` of pointers in its temporaries.
WARNING_FLAGS = ["-Wno-discarded-qualifiers", "-Wno-unknown-warning-option", "-Wno-psabi",
                 "-Wno-incompatible-pointer-types-discards-qualifiers"]
MACROS = [("CYTHON_CLINE_IN_TRACEBACK", "0")]
DIRECTIVES = {"language_level": 3, "boundscheck": False, "wraparound": False, "cdivision": True,
              "initializedcheck": False, "binding": True, "embedsignature": False,
              "autotestdict": False}


def enabled(variable):
    """Whether an environment variable is set to something other than nothing or 0."""
    return os.environ.get(variable, "0") not in ("", "0")


def machine():
    """The processor's family, as a key of LEVELS."""
    name = sysconfig.get_platform().rsplit("-", 1)[-1].lower()
    name = {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)
    if name not in LEVELS:
        raise SystemExit(f"cymlp builds for {' and '.join(LEVELS)}, not for {name!r}")
    return name


def chosen_levels():
    """Name and flags of every level to build here."""
    levels = LEVELS[machine()]
    wanted = os.environ.get("CYMLP_LEVELS")
    if not wanted:
        return levels
    unknown = set(wanted.split(",")) - set(levels)
    if unknown:
        raise SystemExit(f"CYMLP_LEVELS: {sorted(unknown)} not among {list(levels)}")
    return {level: levels[level] for level in wanted.split(",")}


def build_base():
    """A folder below build/ of its own for every compiler and set of options.

    distutils compares only times, so two configurations in one folder would mix their objects.
    """
    variables = ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS", "CYMLP_LEVELS", "CYMLP_NO_OPENMP",
                 "CYMLP_SANITIZE")
    configuration = [sys.version, Path("setup.py").read_text()]
    configuration += [os.environ.get(name) for name in variables]
    return os.path.join("build", hashlib.sha256(repr(configuration).encode()).hexdigest()[:8])


def compile_flags():
    if enabled("CYMLP_SANITIZE"):
        return NUMERIC_FLAGS + WARNING_FLAGS + ["-fvisibility=hidden"] + SANITIZE_FLAGS
    return NUMERIC_FLAGS + WARNING_FLAGS + SIZE_FLAGS


def link_flags():
    if enabled("CYMLP_SANITIZE"):
        return ["-fsanitize=address,undefined"]
    return ["-Wl,-s"] if sys.platform == "linux" else []


def module_name(path, level=None):
    """The dotted name of a .pyx file, for a kernel with its level before the last part."""
    parts = list(path.relative_to(SOURCE).with_suffix("").parts)
    if level:
        parts.insert(-1, level)
    return ".".join(parts)


def headers_of(path):
    """Everything beside a module, or among the kernels, whose change must rebuild it."""
    folders = {path.parent, KERNELS}
    found = [p for folder in folders for pattern in ("*.h", "*.pxd") for p in folder.glob(pattern)]
    return sorted(map(str, found)) + ["setup.py"]


def include_dirs(path):
    folders = [str(path.parent), str(KERNELS)]
    if re.search(r"^\s*(cimport numpy|from numpy cimport)", path.read_text(), re.MULTILINE):
        import numpy
        folders.append(numpy.get_include())
    return folders


def extension(path, level=None, level_flags=()):
    return Extension(
        module_name(path, level), [str(path)], depends=headers_of(path),
        include_dirs=include_dirs(path), define_macros=MACROS,
        extra_compile_args=compile_flags() + list(level_flags), extra_link_args=link_flags())


def extensions():
    """One extension per engine module, one per kernel and level."""
    kernels = sorted(path for path in KERNELS.glob("*.pyx") if path != CPU_MODULE)
    once = [path for path in [CPU_MODULE, *sorted((PACKAGE / "engine").glob("*.pyx")),
                              *sorted(PACKAGE.glob("*.pyx"))] if path.exists()]
    found = [extension(path) for path in once]
    for level, flags in chosen_levels().items():
        found += [extension(path, level, KERNEL_FLAGS + UNWINDING_FLAGS + flags)
                  for path in kernels]
    return found


class BuildPython(build_py):
    """build_py that does not let a wheel inherit what an earlier build left in the folder."""

    def run(self):
        if not self.editable_mode:
            builder = self.get_finalized_command("build_ext")
            wanted = {Path(builder.get_ext_fullpath(ext.name)).resolve()
                      for ext in builder.extensions}
            for path in Path(self.build_lib).rglob("*"):
                if path.is_file() and path.resolve() not in wanted:
                    path.unlink()
        super().run()


class BuildExtensions(build_ext):
    """build_ext that runs Cython once per source and keeps the levels' objects apart."""

    def finalize_options(self):
        super().finalize_options()
        if self.editable_mode:
            # An editable install would build in a temporary folder, everything again each time.
            self.build_lib = os.path.join(build_base(), "editable", "lib")
            self.build_temp = os.path.join(build_base(), "editable", "temp")

    def run(self):
        self._translate()
        super().run()

    def copy_extensions_to_source(self):
        # By default only what is newer would be copied: a build with other options, which may be
        # older, would leave the last one's modules in place.
        before, self.force = self.force, True
        try:
            super().copy_extensions_to_source()
        finally:
            self.force = before

    def _translate(self):
        """Turn every .pyx into C below build/, and let the extensions compile that."""
        from Cython.Build import cythonize

        sources = {ext.sources[0]: ext for ext in self.extensions}
        modules = [Extension(module_name(Path(source)), [source], depends=ext.depends)
                   for source, ext in sources.items()]
        translated = cythonize(
            modules, build_dir=str(GENERATED_C), include_path=[str(SOURCE)],
            compiler_directives=DIRECTIVES, nthreads=processors(), quiet=True)
        generated = {module.name: module.sources for module in translated}
        for ext in self.extensions:
            ext.sources = list(generated[module_name(Path(ext.sources[0]))])

    def build_extensions(self):
        self.parallel = self.parallel or processors()
        for ext in self.extensions:
            module = ext.name.removeprefix("cymlp.engine.")
            flags = [] if module == ext.name else ["-Os"]       # [] for a kernel
            if module in SHORT_WAY | ON_ARRAYS:
                flags = CALL_FLAGS + (["-O2"] if module in ON_ARRAYS else [])
            if ext.name == module_name(THREADS_MODULE):
                openmp = ["-pthread"] + self._openmp_flags()
                flags = flags + openmp
                ext.extra_link_args = ext.extra_link_args + openmp
            ext.extra_compile_args = ext.extra_compile_args + flags
        super().build_extensions()

    def build_extension(self, ext):
        # The levels share one C file, so each needs a folder of its own for the object. A copy,
        # because several extensions are being built at a time.
        builder = copy.copy(self)
        builder.build_temp = os.path.join(self.build_temp, *ext.name.split(".")[:-1])
        super(BuildExtensions, builder).build_extension(ext)

    def _openmp_flags(self):
        """The flags for OpenMP, or none where it is unwanted or a trial program does not link."""
        if enabled("CYMLP_NO_OPENMP"):
            return []
        flags = ["-fopenmp"]
        with tempfile.TemporaryDirectory() as folder:
            trial = Path(folder, "trial.c")
            trial.write_text("#include <omp.h>\n"
                             "int main(void) { return omp_get_max_threads() < 1; }\n")
            try:
                objects = self.compiler.compile([str(trial)], folder, extra_postargs=flags)
                self.compiler.link_executable(objects, "trial", folder, extra_postargs=flags)
            except (CompileError, LinkError) as error:
                print("warning: cymlp is built without OpenMP and will run on one thread: "
                      f"{error}", file=sys.stderr)
                return []
        return flags


def processors():
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def packages():
    """All packages under src/, less those of levels that are not built here."""
    others = {f"cymlp.kernels.{level}" for levels in LEVELS.values() for level in levels}
    others -= {f"cymlp.kernels.{level}" for level in chosen_levels()}
    return find_packages(str(SOURCE), exclude=sorted(others))


# Guarded because Cython's worker processes may import this file anew.
if __name__ == "__main__":
    setup(
        package_dir={"": str(SOURCE)},
        packages=packages(),
        ext_modules=extensions(),
        cmdclass={"build_ext": BuildExtensions, "build_py": BuildPython},
        options={"build": {"build_base": build_base()}},
    )
