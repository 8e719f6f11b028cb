"""Have OpenBLAS use the kernels of this processor: those of 2004, its choice for processors it does not know, would be slow peers."""
import ctypes
import os
import sys

UNKNOWN = b"Prescott"
ASKED = "PERSONALLLM_BENCH_ASKED"


def core(flags):
    """The newest of OpenBLAS' kernels that a processor with these flags runs."""
    return "SkylakeX" if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags else "Haswell" if {"avx2", "fma"} <= flags else None


def flags():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            return set(next((line.split(":", 1)[1] for line in f if line.startswith("flags")), "").split())
    except OSError:
        return set()


def name(config):
    """Version and kernels, of what OpenBLAS says of itself."""
    words = config.split()
    kernels = words[-2] if len(words) > 1 and words[-1].startswith("MAX_THREADS=") else "unknown"
    asked = " that the benchmark asks for, as OpenBLAS does not know this processor" if ASKED in os.environ else ""
    return f"{' '.join(words[:2])} with the {kernels} kernels{asked}"


def restart_with_best():
    """Start this program again with OPENBLAS_CORETYPE where OpenBLAS does not know the processor; OpenBLAS reads it once."""
    try:
        library = ctypes.CDLL("libopenblas.so.0")
        library.openblas_get_corename.restype = ctypes.c_char_p
        chosen = library.openblas_get_corename()
    except (OSError, AttributeError):
        return
    best = core(flags())
    if chosen == UNKNOWN and best and "OPENBLAS_CORETYPE" not in os.environ:
        os.environ.update({"OPENBLAS_CORETYPE": best, ASKED: "1"})
        os.execv(sys.executable, [sys.executable] + sys.argv)
