"""The ELF file of a probe, as a row of src/probe/programs.rs; run by scripts/update/assemble-probes.

Usage: probe.py NAME BITS ORDER MACHINE FLAGS CODE      (columns of src/probe/programs/table, and a file of machine code)
"""

import struct
import sys
from pathlib import Path

# As large as the largest pages in use: what is aligned to it can be loaded everywhere.
ALIGN = 0x10000
# Aligned to that, above every host's vm.mmap_min_addr, and where programs of 32 bits may be.
BASE = 0x400000


def program(bits, order, machine, flags, code):
    """Its parts: identification, rest of the ELF header, program header, code."""
    header, segment = (52, 32) if bits == 32 else (64, 56)
    # A 32-bit arm kernel has pages of 4 KiB and its programs are linked for that: on an arm64 kernel with larger ones
    # they die, though it runs a program of one segment. So this one has a second, which only pages of 4 KiB can place.
    segments = 2 if machine == 40 else 1
    start = header + segments * segment
    size = start + len(code)

    def pack(form, *values):
        """As in struct, with A for an address."""
        return struct.pack({"little": "<", "big": ">"}[order] + form.replace("A", "I" if bits == 32 else "Q"), *values)

    def load(address, flags, align):
        """The whole file, at that address."""
        where = (0, address, address, size, size)
        return pack("I5AIA", 1, *where, flags, align) if bits == 32 else pack("II5AA", 1, flags, *where, align)

    yield bytes((*b"\x7fELF", bits // 32, {"little": 1, "big": 2}[order], 1, *bytes(9)))
    # An executable; where it starts, where its segments are; sizes and numbers of these, and no sections.
    yield pack("HHI3AI6H", 2, machine, 1, BASE + start, header, 0, flags, header, segment, segments, 0, 0, 0)
    yield load(BASE, 5, ALIGN) + (load(BASE + 0x11000, 4, 0x1000) if segments == 2 else b"")
    yield code


name, bits, order, machine, flags, code = sys.argv[1:]
print(f'    ("{name}", &[')
for part in program(int(bits), order, int(machine, 0), int(flags, 0), Path(code).read_bytes()):
    for at in range(0, len(part), 16):
        print(f"        {', '.join(f'0x{byte:02x}' for byte in part[at : at + 16])},")
print("    ]),")
