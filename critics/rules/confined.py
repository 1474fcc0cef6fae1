"""The program that runs a stranger's Python: a process of its own, which gives up what it may do before it runs a line of it.

    python -P -s -B confined.py < {"token": ..., "code": ..., "tests": ..., "seconds": ..., "mebibytes": ...}

It imports nothing of ours. On its standard output, a file, it writes the token with `ready` once it is confined, then `passed`, or
`failed` and why. A filter of system calls (seccomp, Linux on x86-64) refuses all but what computing needs: no socket, no process or
thread, no signal to others, no file opened for writing, nothing renamed or removed. Files can be read, as imports need it; what was
read can go nowhere.
"""

from __future__ import annotations

import builtins
import ctypes
import inspect
import json
import os
import platform
import resource
import struct
import sys
import traceback
import types

ALLOWED = (
    0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 19, 20, 21, 23, 24, 25, 28, 32, 35, 39, 60, 63, 72, 78, 79, 89, 96, 98,
    99, 100, 102, 104, 107, 108, 110, 131, 186, 201, 202, 204, 217, 228, 229, 230, 231, 262, 267, 269, 270, 271, 273, 318, 332,
    334, 439,
)  # fmt: skip
"""read write close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn pread64
readv writev access select sched_yield mremap madvise dup nanosleep getpid exit uname fcntl getdents getcwd readlink
gettimeofday getrusage sysinfo times getuid getgid geteuid getegid getppid sigaltstack gettid time futex
sched_getaffinity getdents64 clock_gettime clock_getres clock_nanosleep exit_group newfstatat readlinkat faccessat
pselect6 ppoll set_robust_list getrandom statx rseq faccessat2"""
OPENING = {2: 1, 257: 2}
"""open and openat -> place of their flags: allowed where these neither write, nor make, nor empty a file."""
WRITING = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
X86_64 = 0xC000003E
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
OUTPUT = 65_536
"""Bytes of any file that it writes to, which is its verdict's alone."""
FILES = 32


def main() -> None:
    """Confine this process, run the code and then its tests, and write what came of it."""
    given = json.loads(sys.stdin.buffer.read())
    verdict = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    limit(given["seconds"], given["mebibytes"])
    refuse_all_but(program())
    token = given["token"]
    os.write(verdict, f"{token} ready\n".encode())
    wrong = run(given["code"], given["tests"])
    os.write(verdict, f"{token} {f'failed {wrong}' if wrong else 'passed'}\n".encode())
    os._exit(0)


def limit(seconds: int, mebibytes: int) -> None:
    """Time of the processor, memory, files."""
    size = mebibytes * 2**20
    for kind, most in (
        (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, size), (resource.RLIMIT_FSIZE, OUTPUT),
        (resource.RLIMIT_NOFILE, FILES), (resource.RLIMIT_CORE, 0),
    ):  # fmt: skip
        resource.setrlimit(kind, (most, most))


def program() -> bytes:
    """The filter, in the kernel's form: (code, jump if true, jump if false, value) for each line."""

    def line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)

    lines = [line(_LOAD, 4), line(_EQUAL, X86_64, 1), line(_RETURN, _KILL), line(_LOAD, 0)]
    for call in ALLOWED:
        lines += [line(_EQUAL, call, 0, 1), line(_RETURN, _ALLOW)]
    for call, place in OPENING.items():
        flags = 16 + 8 * place
        lines += [
            line(_EQUAL, call, 0, 4),
            line(_LOAD, flags),
            line(_ANY_BIT, WRITING, 0, 1),
            line(_RETURN, _REFUSE),
            line(_RETURN, _ALLOW),
        ]
    return b"".join([*lines, line(_RETURN, _REFUSE)])


def refuse_all_but(filtering: bytes) -> None:
    """Put the filter on this process, for good. Exits where the machine cannot, or where it does not hold."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_void_p))

    lines = ctypes.create_string_buffer(filtering)
    given = Program(len(filtering) // 8, ctypes.addressof(lines))
    libc = ctypes.CDLL(None)
    if platform.machine() != "x86_64" or libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        os._exit(3)
    if libc.prctl(_SECCOMP, _FILTER, ctypes.byref(given), 0, 0):
        os._exit(3)
    try:
        os.kill(os.getpid(), 0)
    except PermissionError:
        return
    os._exit(3)


def run(code: str, tests: str) -> str:
    """Why the code does not pass its tests; empty where it does."""
    space = types.ModuleType("solution")
    sys.modules["solution"] = space
    try:
        exec(compile(code, "<code>", "exec"), space.__dict__)
        before = {name: id(value) for name, value in vars(space).items()}
        exec(compile(tests, "<tests>", "exec"), space.__dict__)
        for name, value in [*vars(space).items()]:
            if name.startswith("test") and before.get(name) != id(value) and _is_test(value):
                value()
    except BaseException as error:  # SystemExit too: code that ends before its tests have not passed them
        return told(error)
    return ""


def _is_test(value: object) -> bool:
    return inspect.isfunction(value) and not inspect.signature(value).parameters


def told(error: BaseException) -> str:
    """An error by its kind and line. Its own words are left out: they are the code's."""
    name = type(error).__name__
    known = name if getattr(builtins, name, None) is type(error) else "an error"
    line, place = 0, "code"
    if isinstance(error, SyntaxError) and error.filename in ("<code>", "<tests>"):
        line, place = error.lineno or 0, error.filename.strip("<>")
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename in ("<code>", "<tests>"):
            line, place = frame.lineno or 0, frame.filename.strip("<>")
    return f"{known} in line {line} of its {place}"


if __name__ == "__main__":
    main()
