"""Write the probe programs (docs/probes.md) to a folder, each named after its row.

Usage: python3 scripts/lib/probes.py FOLDER

They are taken out of src/probe/programs.rs, so they are what is embedded.
"""

import re
import sys
from pathlib import Path

source = Path(__file__).resolve().parents[2] / "src/probe/programs.rs"
for name, row in re.findall(r'\("(.+?)", &\[(.*?)\]\)', source.read_text(), re.DOTALL):
    path = Path(sys.argv[1], name)
    path.write_bytes(bytes.fromhex("".join(re.findall("0x(..)", row))))
    path.chmod(0o755)
