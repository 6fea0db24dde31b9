import emu_build
import pytest


def pytest_collection_modifyitems(items):
    if reason := emu_build.missing("g++"):
        for item in items:
            if "emulation" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason=f"the emulation compiles the .cu files: {reason}"))
