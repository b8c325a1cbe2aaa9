"""A user's first minute, as a script: open a recording, go somewhere, run a command.

usage: first_output.py RECORDING VTIME CONTAINER

Prints, as JSON, instants of the monotonic clock: when this process began to work, when the
package was imported, when the recording was open, when the command's output had come.
"""

import time

instants = [time.monotonic()]

import branchpoint as bp  # noqa: E402 - to be timed

instants.append(time.monotonic())

import sys  # noqa: E402

run = bp.open(sys.argv[1])
instants.append(time.monotonic())
output = bp.bash("echo here").run(run.at(sys.argv[2]).branch(), sys.argv[3]).output
instants.append(time.monotonic())
assert output == "here\n", output
run.close()

import json  # noqa: E402

print(json.dumps(instants))
