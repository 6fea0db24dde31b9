"""What pyproject.toml cannot say of the packaging: kernels/ as bigan.kernels, and the native libraries."""

import shutil
import sys
from pathlib import Path

from setuptools import Command, Distribution, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "build_backend"))

from bigan_build import native, tools  # noqa: E402


class NativeDistribution(Distribution):
    """Belongs to a platform once a native library was built, and to every platform otherwise."""

    native: tuple[str, ...] = ()

    def has_ext_modules(self) -> bool:
        return bool(self.native)


class Build(build):
    sub_commands = [*build.sub_commands, ("build_native", None)]

    def run(self) -> None:
        shutil.rmtree(
            Path(self.build_lib, "bigan"), ignore_errors=True
        )  # a module deleted since must not be packaged
        super().run()


class BuildNative(Command):
    """Puts bigan/lib (libraries, build_info.json) beside the Python files; into the source if editable."""

    description = "build the native libraries with CMake"
    user_options = []
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_lib = None

    def finalize_options(self) -> None:
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self) -> None:
        package = ROOT / "bigan" if self.editable_mode else Path(self.build_lib, "bigan")
        try:
            self.distribution.native = tuple(native.build(ROOT, package, ROOT / "build"))
        except tools.BuildError as error:  # a build that was asked for by name and cannot be had
            raise SystemExit(f"bigan: {error}") from None

    def get_source_files(self) -> list[str]:
        return []  # MANIFEST.in lists them

    def get_outputs(self) -> list[str]:
        return [str(path) for path in Path(self.build_lib, "bigan", "lib").glob("*")]

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class Wheel(bdist_wheel):
    """One wheel serves every Python: the libraries are loaded by torch and know nothing of it."""

    def run(self) -> None:
        self.run_command("build")  # first, since only its outcome tells what the wheel is
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()

    def get_tag(self) -> tuple[str, str, str]:
        platform = super().get_tag()[2]
        return "py3", "none", platform


setup(
    distclass=NativeDistribution,
    cmdclass={"bdist_wheel": Wheel, "build": Build, "build_native": BuildNative},
    packages=[*find_packages(include=["bigan", "bigan.*"]), "bigan.kernels"],
    package_dir={"bigan.kernels": "kernels"},
)
