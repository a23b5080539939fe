#!/usr/bin/env python3
"""The first card of this machine and what its driver takes, in one line; else exit code 1 and why, in one line on stderr.

Asks the driver itself, so it needs neither CUDA's libraries nor anything that is built.
"""
import ctypes
import sys


def main():
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no card that CUDA can use: no NVIDIA driver (libcuda.so.1) is installed"
    error, count, version, name = driver.cuInit(0), ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(100)
    if error or driver.cuDeviceGetCount(ctypes.byref(count)) or count.value == 0:
        return f"no card that CUDA can use: cuInit says {error}, {count.value} cards"
    driver.cuDeviceGetName(name, len(name), 0)
    driver.cuDriverGetVersion(ctypes.byref(version))
    print(f"{name.value.decode()}, driver for CUDA {version.value // 1000}.{version.value % 1000 // 10}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
