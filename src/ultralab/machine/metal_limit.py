"""Prints Metal's ``recommendedMaxWorkingSetSize`` in bytes. Run as a script, by path; imports nothing of ours.

A process of its own, because it loads system frameworks through their C entry points: should one of them end the
process (no window server, a virtual machine), the caller only gets no answer. Prints nothing where there is no Metal.
CoreGraphics has to be loaded for there to be a default device (Apple's page on ``MTLCreateSystemDefaultDevice``).
"""

import ctypes
import sys

_FRAMEWORKS = "/System/Library/Frameworks"


def recommended_working_set() -> int:
    """Bytes; 0 without a device. Raises OSError where the frameworks are missing."""
    ctypes.CDLL(f"{_FRAMEWORKS}/CoreGraphics.framework/CoreGraphics")
    metal = ctypes.CDLL(f"{_FRAMEWORKS}/Metal.framework/Metal")
    runtime = ctypes.CDLL("/usr/lib/libobjc.A.dylib")
    metal.MTLCreateSystemDefaultDevice.restype = ctypes.c_void_p
    device = metal.MTLCreateSystemDefaultDevice()
    if not device:
        return 0
    runtime.sel_registerName.restype = ctypes.c_void_p
    runtime.sel_registerName.argtypes = (ctypes.c_char_p,)
    runtime.objc_msgSend.restype = ctypes.c_uint64
    runtime.objc_msgSend.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    selector = runtime.sel_registerName(b"recommendedMaxWorkingSetSize")
    return int(runtime.objc_msgSend(device, selector))


if __name__ == "__main__":
    try:
        print(recommended_working_set() or "")
    except (OSError, AttributeError) as error:
        sys.exit(str(error))
