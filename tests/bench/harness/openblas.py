"""Have OpenBLAS use the kernels of this processor: those of 2004, its choice for processors it does not know, would be slow peers."""
import ctypes
import os
import sys

UNKNOWN = b"Prescott"
ASKED = "OPENBLAS_CORETYPE"


def core(flags):
    """The newest of OpenBLAS' kernels that a processor with these flags runs."""
    return "SkylakeX" if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags else "Haswell" if {"avx2", "fma"} <= flags else None


def cpuinfo(key):
    """What Linux says of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            return next((line.split(":", 1)[1].strip() for line in f if line.startswith(key)), "unknown")
    except OSError:
        return "unknown"


def name(config):
    """Version and kernels, of what OpenBLAS says of itself."""
    words = config.split()
    kernels = words[-2] if len(words) > 1 and words[-1].startswith("MAX_THREADS=") else "unknown"
    asked = f" that {ASKED} asks for" if ASKED in os.environ else ""
    return f"{' '.join(words[:2])} with the {kernels} kernels{asked}"


def restart_with_best():
    """Start this program again with OPENBLAS_CORETYPE where OpenBLAS does not know the processor; OpenBLAS reads it once."""
    try:
        library = ctypes.CDLL("libopenblas.so.0")
        library.openblas_get_corename.restype = ctypes.c_char_p
        chosen = library.openblas_get_corename()
    except (OSError, AttributeError):
        return
    best = core(set(cpuinfo("flags").split()))
    if chosen == UNKNOWN and best and ASKED not in os.environ:
        os.environ[ASKED] = best
        os.execv(sys.executable, [sys.executable] + sys.argv)
