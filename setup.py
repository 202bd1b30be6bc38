"""Builds the compiled modules: the engine once, the kernels once per instruction-set level.

The modules of the engine, and those of a level, are linked into one shared object each, from which
cymlp.bundle loads them.

Environment variables read here:

CYMLP_NO_OPENMP=1   leave OpenMP out (it is also left out, with a warning, where it does not link)
CYMLP_SANITIZE=1    address and undefined-behaviour sanitizers, debug information, -O1
CYMLP_LEVELS=a,b    build only these levels of the kernels (for development; default: all)
CC                  the C compiler, as always
"""

import hashlib
import os
import re
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError, LinkError
from setuptools.modified import newer_group

SOURCE = Path("src")
PACKAGE = SOURCE / "cymlp"
KERNELS = PACKAGE / "kernels"
ENGINE = PACKAGE / "engine"
# Where cymlp.bundle looks for the shared objects.
LIBRARIES = "cymlp.libraries"
ENGINE_LIBRARY = f"{LIBRARIES}.engine"

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
OPENMP_MODULE = "threads"

# Modules of the engine that every call passes. They come first in its shared object, side by side;
# with functions that begin at a cache line, what stands before them matters less to their time.
SHORT_WAY = {"gate", "memory", "runtime", "running", "short_way", "sources", "steps", "threads",
             "walk"}
SHORT_WAY_FLAGS = ["-falign-functions=64"]
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
# Functions are built-in ones, with a signature that `inspect` and `help` read: Cython's own kind
# (binding) was a twelfth of what is compiled.
DIRECTIVES = {"language_level": 3, "boundscheck": False, "wraparound": False, "cdivision": True,
              "initializedcheck": False, "autotestdict": False, "binding": False,
              "embedsignature": True, "embedsignature.format": "clinic"}


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

    Cython and distutils compare only times: two configurations in one folder would mix what they
    make.
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


def module_name(path):
    """The dotted name of a .pyx file."""
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


def headers_of(paths):
    """Everything beside some modules, or among the kernels, whose change must rebuild them."""
    folders = {KERNELS, *(path.parent for path in paths)}
    found = [p for folder in folders for pattern in ("*.h", "*.pxd") for p in folder.glob(pattern)]
    return sorted(map(str, found)) + ["setup.py"]


def include_dirs(paths):
    folders = {str(KERNELS), *(str(path.parent) for path in paths)}
    if any(re.search(r"^\s*(cimport numpy|from numpy cimport)", path.read_text(), re.MULTILINE)
           for path in paths):
        import numpy
        folders.add(numpy.get_include())
    return sorted(folders)


def extension(name, paths, flags=()):
    """What is linked into one shared object, in this order."""
    return Extension(
        name, list(map(str, paths)), depends=headers_of(paths), include_dirs=include_dirs(paths),
        define_macros=MACROS, extra_compile_args=compile_flags() + list(flags),
        extra_link_args=link_flags())


def level_extension(level):
    """The kernels of a level."""
    paths = sorted(path for path in KERNELS.glob("*.pyx") if path != CPU_MODULE)
    return extension(f"{LIBRARIES}.{level}", paths,
                     KERNEL_FLAGS + UNWINDING_FLAGS + LEVELS[machine()][level])


def extensions():
    """The engine, each level's kernels, and what chooses the level."""
    engine = sorted(ENGINE.glob("*.pyx"), key=lambda path: (path.stem not in SHORT_WAY, path))
    return [extension(ENGINE_LIBRARY, engine),
            extension(module_name(CPU_MODULE), [CPU_MODULE], ["-Os"]),
            *map(level_extension, chosen_levels())]


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
        (PACKAGE / "libraries").mkdir(exist_ok=True)
        try:
            super().copy_extensions_to_source()
        finally:
            self.force = before

    def _translate(self):
        """Turn every .pyx into C below build/, and let the extensions compile that."""
        from Cython.Build import cythonize

        depends = {source: ext.depends for ext in self.extensions for source in ext.sources}
        modules = [Extension(module_name(Path(source)), [source], depends=depends[source])
                   for source in depends]
        translated = cythonize(
            modules, build_dir=os.path.join(build_base(), "cython"), include_path=[str(SOURCE)],
            compiler_directives=DIRECTIVES, nthreads=processors(), quiet=True)
        generated = {module.name: module.sources[0] for module in translated}
        for ext in self.extensions:
            ext.sources = [generated[module_name(Path(source))] for source in ext.sources]

    def build_extensions(self):
        """Compile all sources side by side, then link what belongs together."""
        self.check_extensions_list(self.extensions)
        self.openmp_flags = ["-pthread"] + self._openmp_flags()
        with ThreadPoolExecutor(self.parallel or processors()) as pool:
            objects = [[pool.submit(self._compile, ext, source) for source in ext.sources]
                       for ext in self.extensions]
        for ext, jobs in zip(self.extensions, objects, strict=True):
            self._link(ext, [job.result() for job in jobs])

    def _compile(self, ext, source):
        # The levels share their C files, so each needs a folder of its own for the objects.
        folder = os.path.join(self.build_temp, *ext.name.split("."))
        (target,) = self.compiler.object_filenames([source], output_dir=folder)
        if self.force or newer_group([source, *ext.depends], target):
            self.compiler.compile(
                [source], output_dir=folder, macros=ext.define_macros,
                include_dirs=ext.include_dirs,
                extra_postargs=ext.extra_compile_args + self._flags(ext, Path(source).stem))
        return target

    def _flags(self, ext, stem):
        """What a module of the engine is compiled with beyond the rest of its shared object."""
        if ext.name != ENGINE_LIBRARY:
            return []
        if stem in SHORT_WAY:
            openmp = self.openmp_flags if stem == OPENMP_MODULE else []
            return CALL_FLAGS + SHORT_WAY_FLAGS + openmp
        return CALL_FLAGS + ["-O2"] if stem in ON_ARRAYS else ["-Os"]

    def _link(self, ext, objects):
        target = self.get_ext_fullpath(ext.name)
        if self.force or newer_group(objects, target):
            flags = self.openmp_flags if ext.name == ENGINE_LIBRARY else []
            self.compiler.link_shared_object(
                objects, target, libraries=self.get_libraries(ext), build_temp=self.build_temp,
                extra_postargs=ext.extra_link_args + flags, target_lang="c")

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
