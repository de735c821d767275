"""Makes dist/plugin.wasm. What is needed for it is installed into .venv when it is not there, or is not what
requirements.txt says."""

import os
import subprocess
import sys
import venv
from pathlib import Path

os.chdir(Path(__file__).resolve().parent)
REQUIREMENTS = Path("requirements.txt")
INSTALLED = Path(".venv", "installed-requirements.txt")
PROGRAMS = Path(".venv", "Scripts" if os.name == "nt" else "bin")


def run(program, *words):
    if subprocess.run([PROGRAMS / program, *words]).returncode != 0:
        sys.exit(f"{program} failed; what it printed above says why")


if not INSTALLED.exists() or INSTALLED.read_bytes() != REQUIREMENTS.read_bytes():
    venv.create(".venv", with_pip=True, clear=True)
    run("pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement", REQUIREMENTS)
    INSTALLED.write_bytes(REQUIREMENTS.read_bytes())

# A plugin reaches its mail and nothing else. Python's library wants files and a network, so what it wants of the system is
# replaced: whoever calls it ends the call.
Path("dist").mkdir(exist_ok=True)
world = ["--wit-path", "wit", "--world", "filter"]
run("componentize-py", "--quiet", *world, "componentize", "plugin", "--stub-wasi", "--output", "dist/plugin.wasm")
