"""scripts/ptxas_report.py reads what ptxas prints, and refuses spills and stack frames."""

import sys

import emu_build

sys.path.insert(0, str(emu_build.ROOT / "scripts"))
import ptxas_report

LOG = """
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN5bigan4goodIfEEvPT_' for 'sm_90'
ptxas info    : Function properties for _ZN5bigan4goodIfEEvPT_
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 39 registers, used 1 barriers, 32 bytes smem
ptxas info    : Compiling entry function '_ZN5bigan3badEv' for 'sm_90'
ptxas info    : Function properties for _ZN5bigan3badEv
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers
"""


def test_report():
    good, bad = ptxas_report.parse(LOG)
    assert good == ("_ZN5bigan4goodIfEEvPT_", ptxas_report.Use(registers=39, shared=32))
    assert bad == ("_ZN5bigan3badEv", ptxas_report.Use(registers=255, stack=16, spills=20))
    uses = {"x.cu": {"good": {"90": good[1]}, "bad": {"90": bad[1]}}}
    assert ptxas_report.spilling(uses) == ["x.cu: bad on sm_90: 20 bytes spilled, 16 bytes of stack"]
